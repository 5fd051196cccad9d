// Why a review queue asks for an image: each reason selects its box, and is answered by one key.

class Reasons {
  constructor(editor) {
    this.editor = editor;
    this.whys = [];
    this.at = 0;
    this.text = make("b", { class: "oml-why", "aria-live": "polite" });
    const button = (text, title, onclick) => make("button", { text, title, onclick });
    this.node = make("div", { class: "oml-row oml-reason", hidden: true }, this.text,
      button("Label right ,", "what people said is right (comma)", () => this.keep()),
      button("Model right .", "what the model says is right (full stop)", () => this.take()));
  }

  /** The reasons of another image. */
  show(whys) {
    this.whys = whys ?? [];
    this.at = 0;
    this.present();
  }

  get why() {
    return this.whys[this.at];
  }

  /** The model's box of the present reason, where it is not one of the image's own. */
  get ghost() {
    return this.why?.xyxy && !this.isSwapped() ? { xyxy: this.why.xyxy, label: this.why.suggestion } : null;
  }

  /** The suspect box among those that are shown; -1 where it is missing or was deleted. */
  place() {
    return this.why && this.why.object >= 0 ? this.editor.boxes.findIndex((box) => box.own === this.why.object) : -1;
  }

  isSwapped() {
    const box = this.editor.boxes[this.place()];
    return Boolean(box) && box.label !== this.why.suggestion;
  }

  present() {
    this.node.hidden = !this.why;
    if (!this.why) return;
    const several = this.whys.length > 1 ? ` (${this.at + 1} of ${this.whys.length})` : "";
    this.text.textContent = this.why.text + several;
    this.editor.select(this.place());
    const box = this.ghost ?? this.editor.boxes[this.place()];
    if (box) this.editor.canvas.reveal(box.xyxy);
  }

  keep() {
    if (!this.why) return;
    this.editor.past.push(this.editor.snapshot());
    this.next();
  }

  take() {
    const { why, editor } = this;
    if (!why) return;
    const before = editor.snapshot();
    const own = editor.boxes[this.place()];
    if (own && this.isSwapped()) own.label = why.suggestion;
    else if (own && why.xyxy) own.xyxy = [...why.xyxy];
    else if (why.xyxy) editor.boxes.push({ xyxy: [...why.xyxy], label: why.suggestion });
    else {
      editor.sayings.textContent = "the model proposes no box here: draw it, or save what is shown";
      return;
    }
    editor.touch(own ?? editor.boxes.at(-1), before);
    this.next();
  }

  /** The next reason; after the last one the boxes are saved. */
  next() {
    this.at += 1;
    this.present();
    if (!this.why) this.editor.leave(1, true);
    else this.editor.canvas.draw();
  }

  /** To the reason of before, where a change is undone. */
  back(at) {
    if (at === this.at) return;
    this.at = at;
    this.present();
  }

  /** Whether a key answers the present reason. */
  key(key) {
    if (!this.why || (key !== "," && key !== ".")) return false;
    if (this.editor.saving || this.editor.loading) return true; // of the image that is being left
    if (key === ",") this.keep();
    else this.take();
    return true;
  }
}
