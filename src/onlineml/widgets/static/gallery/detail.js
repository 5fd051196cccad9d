// One image of the page in large, with all that is known of it.

class Detail {
  constructor(gallery) {
    this.gallery = gallery;
    this.link = gallery.link;
    this.opened = null;
    this.node = make("div", { class: "oml-detail", role: "region", "aria-label": "the image in large", hidden: true });
    this.link.on("open", (told, buffers) => this.show(told, buffers));
  }

  open(row) {
    this.opened = row;
    this.gallery.choice.tell();
    this.gallery.go(this.gallery.cards.findIndex((card) => card.row === row));
    for (const card of this.gallery.cards) card.node.classList.toggle("oml-current", card.row === row);
    this.link.ask("open", { row });
  }

  show(told, buffers) {
    if (told.row !== this.opened) return;
    if (this.url) this.link.forget(this.url);
    let picture = make("span", { class: "oml-broken", text: told.error || "no picture" });
    if (!told.error && buffers[0]?.byteLength) {
      this.url = this.link.picture(buffers[0]);
      const [height, width] = told.size;
      const tiny = Math.max(height, width) <= 96 ? "oml-tiny" : "";
      const drawn = told.versions ?? [{ name: null, boxes: told.boxes }];
      picture = drawn.map(({ name, boxes }) => make("figure", {},
        name ? make("figcaption", { text: name }) : null,
        make("div", { class: "oml-frame", style: `--ratio:${width / height}` },
          make("img", { src: this.url, alt: told.title, class: tiny }),
          ...overlay(this.gallery.tools.cut(boxes), told.size, { labels: boxes.length <= 30 }))));
    }
    const facts = told.facts.map(([name, text]) => [make("dt", { text: name }), make("dd", { text })]);
    this.node.replaceChildren(
      make("div", { class: `oml-large ${told.versions ? "oml-several" : ""}` }, picture),
      make("div", { class: "oml-facts" },
        make("button", { class: "oml-close", text: "×", title: "close (Escape)", "aria-label": "close", onclick: () => this.close() }),
        make("div", { class: `oml-name oml-${told.tone || "plain"}`, text: told.title }),
        make("div", { class: "oml-note", text: told.note }),
        make("dl", {}, facts)),
    );
    this.node.classList.toggle("oml-wide", Boolean(told.versions));
    this.node.hidden = false;
    this.node.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.opened = null;
    this.gallery.choice.tell();
    this.node.hidden = true;
    for (const card of this.gallery.cards) card.node.classList.remove("oml-current");
  }
}
