// The confusion matrix above the images.

class Matrix {
  constructor(gallery) {
    this.gallery = gallery;
    this.node = make("div", { class: "oml-extra", hidden: true });
  }

  /** A table whose cells filter, where the view has one. */
  draw() {
    const { matrix } = this.gallery.told;
    this.node.hidden = !matrix;
    if (!matrix) return;
    const head = make("tr", {}, make("td", { text: "truth ↓   predicted →" }),
      matrix.columns.map((name) => make("th", { text: name, title: name, scope: "col" })));
    this.cells = [];
    const rows = matrix.rows.map((truth, i) =>
      make("tr", {}, make("th", { text: truth, title: truth, scope: "row" }), matrix.columns.map((said, j) => {
        const { n, share, value, right } = matrix.cells[i][j];
        const cell = make("button", { text: n ? count(n) : "·", disabled: !value, title: value ?? "",
          "aria-label": value ? `${value}: ${count(n)}` : null });
        const color = right ? "61, 133, 198" : "217, 96, 76";
        cell.style.background = n ? `rgba(${color}, ${0.08 + 0.6 * Math.sqrt(share)})` : "transparent";
        cell.addEventListener("click", () => this.choose(value));
        this.cells.push([cell, value]);
        return make("td", {}, cell);
      })));
    const note = matrix.note ? make("p", { class: "oml-muted", text: matrix.note }) : null;
    this.node.replaceChildren(make("table", { class: "oml-matrix" }, make("thead", {}, head), make("tbody", {}, rows)), note ?? "");
    this.mark();
  }

  choose(value) {
    const { facet } = this.gallery.told.matrix;
    if (this.gallery.filters[facet] === value) delete this.gallery.filters[facet];
    else this.gallery.filters[facet] = value;
    this.gallery.drawBar();
    this.mark();
    this.gallery.turn(0);
  }

  mark() {
    if (!this.gallery.told.matrix) return;
    for (const [cell, value] of this.cells) {
      const chosen = Boolean(value) && this.gallery.filters[this.gallery.told.matrix.facet] === value;
      cell.classList.toggle("oml-chosen", chosen);
      cell.setAttribute("aria-pressed", String(chosen));
    }
  }
}
