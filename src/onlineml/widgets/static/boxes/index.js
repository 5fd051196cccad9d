// Boxes on an image: drawn, moved, resized, deleted, relabelled; suggestions accepted or corrected.
// Everything is kept in pixels of the original; the screen is that times a scale, plus a shift.

class BoxEditor {
  constructor(model, el) {
    this.link = new Link(model, el, "editor");
    this.boxes = [];
    this.selected = -1;
    this.past = [];
    this.future = [];
    this.classes = new ClassBar(this.link, (name) => this.choose(name));
    this.build();
    const { link } = this;
    link.on("classes", (told) => this.classes.show(told.classes));
    link.on("begin", (told) => this.begin(told));
    link.on("image", (told, buffers) => this.showImage(told, buffers));
    link.on("saved", (told) => this.saved(told));
    link.on("undone", (told) => this.undone(told));
    link.on("error", (told) => {
      link.say(told.text);
      this.leaving = null;
      this.saving = false;
      if (told.of === this.loading) this.loading = null;
    });
    link.listen(link.root, "keydown", (event) => this.key(event));
    this.drafts = new Drafts(this);
    link.ask("hello");
  }

  build() {
    const button = (text, title, onclick) => make("button", { text, title, onclick, "aria-label": text.length === 1 ? title : null });
    this.where = make("span", { class: "oml-muted" });
    this.status = make("span", { class: "oml-state" });
    this.sayings = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.go = button("Save & next ⏎", "save the boxes as shown and continue (Enter)", () => this.leave(1, true));
    const bar = make("div", { class: "oml-row" },
      make("span", { class: "oml-pager" }, button("‹", "previous image (Page Up)", () => this.leave(-1)), this.where,
        button("›", "next image (Page Down)", () => this.leave(1))),
      this.go,
      button("Skip ␣", "skip (Space)", () => this.skip()),
      button("Undo", "undo the last change, or the last saved image (Ctrl+Z)", () => this.undo()),
      make("span", { class: "oml-space" }),
      this.status,
      make("span", { class: "oml-pager" }, button("−", "zoom out (-)", () => this.canvas.zoom(1 / 1.5)),
        button("whole", "the whole image (0)", () => this.canvas.fit(true)),
        button("+", "zoom in (+)", () => this.canvas.zoom(1.5))));
    this.canvas = new Canvas(this);
    this.mouse = new Mouse(this);
    this.reasons = new Reasons(this);
    this.options = new Options(this);
    this.clipboard = new Clipboard(this);
    this.link.root.append(bar, this.classes.node, this.reasons.node, this.canvas.frame, make("div", { class: "oml-row" }, this.sayings, make("span", { class: "oml-space" }),
      button("Repeat previous", "the boxes of the previous image or frame, too (Ctrl+B)", () => this.clipboard.repeat()), this.options.node));
    this.link.explain(EDITOR_KEYS);
  }

  // ---- images ----

  begin(told) {
    this.n = told.n;
    this.answered = told.answered;
    this.link.named(`boxes of ${told.title}`);
    this.drafts.begin(told.project);
    if (told.n) this.load(told.place, this.drafts.draft?.id);
    else this.where.textContent = "no image is open";
  }

  /** Show an image by its place; by its id, if that is among them. */
  load(place, id = null) {
    if (place < 0 || place >= this.n) {
      this.sayings.textContent = place < 0 ? "this is the first image" : "that was the last image";
      return;
    }
    this.place = place;
    this.loading = this.link.ask("load", { place, id });
    this.canvas.frame.setAttribute("aria-busy", "true");
  }

  showImage(told, buffers) {
    if (told.of !== this.loading) return;
    this.loading = null;
    this.link.say(told.error ? `This image cannot be shown: ${told.error}` : "");
    this.canvas.frame.setAttribute("aria-busy", "false");
    this.image = told;
    this.place = told.place;
    this.boxes = told.boxes.map((box) => ({ ...box, xyxy: [...box.xyxy] }));
    this.selected = -1;
    this.past = [];
    this.future = [];
    this.changed = false;
    this.link.root.dataset.image = told.id;
    this.tellPlace();
    this.canvas.show(told.error ? null : buffers[0]);
    this.reasons.show(told.whys);
    this.drafts.resume();
    this.link.rest();
  }

  tellPlace() {
    this.link.root.dataset.answered = this.answered;
    const guesses = this.boxes.filter((box) => box.guess !== undefined).length;
    this.where.textContent = `${count(this.place + 1)} of ${count(this.n)}`;
    const parts = [this.image.state];
    if (guesses) parts.push(`${guesses} suggested`);
    if (this.changed) parts.push("changed");
    this.status.textContent = parts.join(", ");
    this.status.classList.toggle("oml-warm", this.image.state === "in conflict");
    this.options.tell();
    this.tellSelected();
  }

  tellSelected() {
    const box = this.boxes[this.selected];
    const short = (value) => Number(value.toFixed(2));
    const told = box
      ? `${box.label || "(no class)"}${box.score === undefined ? "" : ` ${box.score.toFixed(2)}`}: ` +
        `${box.xyxy.slice(0, 2).map(short).join(", ")} – ${box.xyxy.slice(2).map(short).join(", ")} ` +
        `(${short(box.xyxy[2] - box.xyxy[0])} × ${short(box.xyxy[3] - box.xyxy[1])} px)`
      : `${many(this.boxes.length, "box", "boxes")}; ${many(this.answered, "image")} answered here`;
    this.sayings.textContent = told;
  }

  // ---- changes ----

  snapshot() {
    return { boxes: this.boxes.map((box) => ({ ...box, xyxy: [...box.xyxy] })), selected: this.selected, changed: this.changed,
      reason: this.reasons.at };
  }

  restore(snapshot) {
    Object.assign(this, { boxes: snapshot.boxes.map((box) => ({ ...box, xyxy: [...box.xyxy] })),
      selected: snapshot.selected, changed: snapshot.changed });
    this.reasons.back(snapshot.reason);
    this.drafts.keep();
    this.canvas.draw();
    this.tellPlace();
  }

  /** Note that a person has changed a box, or which boxes there are. */
  touch(box, before) {
    this.past.push(before);
    this.future = [];
    this.changed = true;
    if (box) {
      delete box.guess;
      delete box.score;
      box.changed = true;
    }
    this.drafts.keep();
    this.tellPlace();
  }

  select(place) {
    this.selected = place;
    this.canvas.draw();
    this.tellSelected();
  }

  choose(name) {
    this.classes.setCurrent(name);
    const box = this.boxes[this.selected];
    if (!box || box.label === name) return;
    const before = this.snapshot();
    box.label = name;
    this.touch(box, before);
    this.canvas.draw();
  }

  remove() {
    if (!this.boxes[this.selected]) return;
    const before = this.snapshot();
    this.boxes.splice(this.selected, 1);
    this.selected = -1;
    this.touch(null, before);
    this.canvas.draw();
  }

  nudge(dx, dy, corner) {
    const box = this.boxes[this.selected];
    const [height, width] = this.image.size;
    const before = this.snapshot();
    const [x1, y1, x2, y2] = box.xyxy;
    box.xyxy = corner
      ? [x1, y1, Math.min(width, Math.max(x1 + 1, x2 + dx)), Math.min(height, Math.max(y1 + 1, y2 + dy))]
      : shifted(box.xyxy, dx, dy, width, height);
    if (String(box.xyxy) === String(before.boxes[this.selected].xyxy)) return;
    this.touch(box, before);
    this.canvas.draw();
  }

  undo() {
    if (this.past.length) {
      this.future.push(this.snapshot());
      this.restore(this.past.pop());
    } else this.link.ask("undo");
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.snapshot());
    this.restore(this.future.pop());
  }

  undone(told) {
    this.answered = told.answered;
    if (told.class) this.classes.gone(told);
    else if (told.place === null) this.sayings.textContent = "nothing to undo";
    else this.load(told.place);
  }

  // ---- written ----

  save(wanted = false) {
    if (!this.image || this.saving || this.loading || !(this.changed || wanted)) return;
    this.sayings.textContent = "saving …";
    const boxes = this.options.shown().map(({ xyxy, label }) => ({ xyxy, label }));
    this.saving = true;
    this.link.say("");
    this.link.ask("save", { id: this.image.id, boxes, base: this.image.base });
  }

  /** Go to another image; what was changed is saved first, and what is seen where that is asked for. */
  leave(step, wanted = false) {
    if (!this.image || this.saving) return;
    if (!wanted && !this.changed) {
      this.load(this.place + step);
      return;
    }
    if (this.options.shown().some((box) => !box.label)) {
      this.link.say("Each box needs a class: select the one without, and press the key of its class.");
      return;
    }
    this.leaving = step;
    this.save(wanted);
  }

  skip() {
    if (!this.image || this.saving) return;
    this.leaving = 1;
    this.saving = true;
    this.link.ask("skip", { id: this.image.id });
  }

  saved(told) {
    this.saving = false;
    this.answered = told.answered;
    if (told.id !== this.image?.id) return;
    this.changed = false;
    this.image.base = told.base;
    this.drafts.keep();
    if (told.what === "saved") this.settle();
    const step = this.leaving;
    this.leaving = null;
    if (step && this.place + step < this.n && this.place + step >= 0) this.load(this.place + step);
    else {
      this.tellPlace();
      this.sayings.textContent = step ? `${told.what}; that was the last image` : told.what;
      this.link.rest();
    }
  }

  /** What is seen is now what the image has: nothing of it is a suggestion any more. */
  settle() {
    this.image.state = "annotated";
    const chosen = this.boxes[this.selected];
    this.boxes = this.options.shown();
    this.selected = this.boxes.indexOf(chosen);
    for (const box of this.boxes) {
      delete box.guess;
      delete box.score;
    }
    this.canvas.draw();
  }

  // ---- keys ----

  key(event) {
    if (isTyping(event)) return;
    if (pressInEditor(this, event)) event.preventDefault();
  }

  close() {
    this.save();
    this.canvas.close();
    this.link.close();
  }
}

export default {
  render({ model, el }) {
    const editor = new BoxEditor(model, el);
    return () => editor.close();
  },
};
