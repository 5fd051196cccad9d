// What is shown besides the filters: names that are searched, a least score, and the order.

class Tools {
  constructor(gallery) {
    this.gallery = gallery;
    this.atLeast = [];
    this.search = make("input", { type: "search", class: "oml-find", placeholder: "search names", "aria-label": "search names" });
    this.by = make("select", { "aria-label": "sort by" });
    this.way = make("button");
    this.least = make("input", { type: "range", min: "0", max: "1", step: "0.01", "aria-label": "least score" });
    this.told = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.scores = make("label", { class: "oml-check", hidden: true }, "score ≥", this.least, this.told);
    this.sorting = make("span", { class: "oml-check" }, this.by, this.way);
    this.node = make("div", { class: "oml-row oml-tools" }, this.search, this.sorting, this.scores);
    const { link } = gallery;
    link.listen(this.search, "input", () => this.soon());
    link.listen(this.search, "keydown", (event) => event.key === "Escape" && this.clear(event));
    link.listen(this.by, "change", () => this.turn());
    link.listen(this.least, "input", () => {
      this.tell();
      this.soon();
    });
    link.listen(this.way, "click", () => {
      this.descending = !this.descending;
      this.drawWay();
      this.turn();
    });
  }

  begin({ orders, arrangement }) {
    const options = orders.map((name) => make("option", { value: name, text: `by ${name}` }));
    this.by.replaceChildren(make("option", { value: "", text: "usual order" }), ...options);
    this.by.value = arrangement.sort_by;
    this.sorting.hidden = !orders.length;
    this.scores.hidden = !orders.includes("score");
    this.search.value = arrangement.search;
    this.least.value = arrangement.least_score;
    this.descending = arrangement.descending;
    this.drawWay();
  }

  drawWay() {
    const text = this.descending ? "largest first" : "smallest first";
    this.way.textContent = this.descending ? "↓" : "↑";
    this.way.title = text;
    this.way.setAttribute("aria-label", text);
  }

  get arrangement() {
    return { search: this.search.value, sort_by: this.by.value, descending: this.descending, least_score: this.leastScore };
  }

  get leastScore() {
    return this.scores.hidden ? 0 : Number(this.least.value);
  }

  /** The boxes from the least score on; those without a score stay. */
  cut(boxes) {
    return boxes.filter((box) => box.score === undefined || box.score >= this.leastScore);
  }

  /** The number of images from each score on, as the page was answered. */
  hear(atLeast) {
    this.atLeast = atLeast ?? [];
    this.tell();
  }

  tell() {
    const [all] = this.atLeast;
    const n = this.atLeast[Math.round(100 * this.leastScore)];
    const counts = all === undefined ? "" : `: ${count(n)} of ${many(all, "image")}`;
    this.told.textContent = `${this.leastScore.toFixed(2)}${counts}`;
  }

  clear(event) {
    if (!this.search.value) return;
    event.stopPropagation();
    this.search.value = "";
    this.turn();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.turn(), 250);
  }

  turn() {
    clearTimeout(this.timer);
    this.gallery.turn(0);
  }
}
