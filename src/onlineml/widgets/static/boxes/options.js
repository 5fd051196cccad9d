// What is seen of the boxes: their labels, which 300 boxes hide each other by, and suggestions from a least score on.

const MANY_BOXES = 60; // from here on labels are hidden at first, but for the selected box's

class Options {
  constructor(editor) {
    this.editor = editor;
    this.labels = null; // as a person chose; null: by the number of boxes
    this.least = make("input", { type: "range", min: "0", max: "1", step: "0.01", value: "0", "aria-label": "least score" });
    this.told = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.scores = make("label", { class: "oml-check", hidden: true }, "suggestions ≥", this.least, this.told);
    this.button = make("button", { text: "Labels #", title: "show or hide the labels (#)", onclick: () => this.toggle() });
    this.node = make("span", { class: "oml-row" }, this.button, this.scores);
    editor.link.listen(this.least, "input", () => this.cut());
  }

  get leastScore() {
    return Number(this.least.value);
  }

  get isFew() {
    return this.editor.boxes.length <= MANY_BOXES;
  }

  get hasLabels() {
    return this.labels ?? this.isFew;
  }

  /** Whether a box is shown, and so saved: all but suggestions below the least score. */
  isShown(box) {
    return box.guess === undefined || box.score === undefined || box.score >= this.leastScore;
  }

  shown() {
    return this.editor.boxes.filter((box) => this.isShown(box));
  }

  toggle() {
    const wanted = !this.hasLabels;
    this.labels = wanted === this.isFew ? null : wanted;
    this.editor.canvas.draw();
    this.tell();
  }

  cut() {
    const { editor } = this;
    if (editor.boxes[editor.selected] && !this.isShown(editor.boxes[editor.selected])) editor.selected = -1;
    editor.canvas.draw();
    this.tell();
  }

  tell() {
    const guesses = this.editor.boxes.filter((box) => box.guess !== undefined && box.score !== undefined);
    this.scores.hidden = !guesses.length;
    const n = guesses.filter((box) => this.isShown(box)).length;
    this.told.textContent = `${this.leastScore.toFixed(2)}: ${count(n)} of ${count(guesses.length)}`;
    this.button.setAttribute("aria-pressed", String(this.hasLabels));
  }
}
