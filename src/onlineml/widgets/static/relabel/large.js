// The present image in large, beside the grid.

class Large {
  constructor(grid) {
    this.grid = grid;
    this.link = grid.link;
    this.node = make("div", { class: "oml-large oml-beside", hidden: true });
    this.link.on("open", (told, buffers) => this.show(told, buffers));
  }

  toggle(open = this.node.hidden) {
    this.node.hidden = !open;
    if (open) this.ask();
  }

  ask() {
    const card = this.grid.cards[this.grid.at];
    if (card) this.link.ask("open", { id: card.id });
  }

  show(told, buffers) {
    if (told.id !== this.grid.cards[this.grid.at]?.id) return;
    if (this.url) this.link.forget(this.url);
    if (told.error) {
      this.node.replaceChildren(make("span", { class: "oml-broken", text: told.error }));
      return;
    }
    this.url = this.link.picture(buffers[0]);
    const [height, width] = told.size;
    const tiny = Math.max(height, width) <= 96 ? "oml-tiny" : "";
    this.node.replaceChildren(make("div", { class: "oml-frame", style: `--ratio:${width / height}` },
      make("img", { src: this.url, alt: "the image in large", class: tiny })));
  }
}
