// Pages of images that can be filtered; one of them can be looked at alone.

const GALLERY_KEYS = [
  ["arrows, Home, End", "move; an image that is open makes way for the next one"],
  ["Enter, click", "open the image, with its details and history"],
  ["Escape", "close it; then choose none"],
  ["x, Ctrl+A", "choose the image; choose all of the page, with Shift of all pages"],
  ["Page Up, Page Down", "other pages"],
];

class Gallery {
  constructor(model, el) {
    this.link = new Link(model, el, "gallery");
    this.filters = {};
    this.start = 0;
    this.total = 0;
    this.cards = [];
    this.bar = make("div", { class: "oml-bar" });
    this.matrix = new Matrix(this);
    this.detail = new Detail(this);
    this.tools = new Tools(this);
    this.choice = new Choice(this);
    this.at = 0;
    this.grid = make("div", { class: "oml-grid", role: "listbox", "aria-label": "images" });
    this.link.setHome(this.grid);
    this.link.root.append(this.bar, this.tools.node, this.matrix.node, this.choice.node, this.detail.node, this.grid);
    this.link.explain(GALLERY_KEYS);
    this.link.on("deck", (told) => this.begin(told));
    this.link.on("page", (told) => this.showPage(told));
    this.link.on("pictures", (told, buffers) => this.showPictures(told, buffers));
    this.link.listen(this.link.root, "keydown", (event) => this.key(event));
    this.link.ask("hello");
  }

  begin(told) {
    this.told = told;
    this.filters = { ...told.filters };
    this.start = told.start;
    this.link.root.style.setProperty("--side", `${told.side}px`);
    this.link.named(told.title);
    this.drawBar();
    this.tools.begin(told);
    this.choice.begin(told.mend);
    this.matrix.draw();
    this.turn(this.start);
  }

  drawBar() {
    const { title, facets } = this.told;
    const selects = facets.map((facet) => {
      const all = make("option", { value: "", text: `any ${facet.name}` });
      const options = facet.values.map((value, place) =>
        make("option", {
          value: `=${value}`,
          text: `${value} (${count(facet.counts[place])})`,
          selected: this.filters[facet.name] === value,
        }),
      );
      const select = make("select", { "aria-label": facet.name }, all, options);
      select.addEventListener("change", () => {
        if (select.value) this.filters[facet.name] = select.value.slice(1);
        else delete this.filters[facet.name];
        this.matrix.mark();
        this.turn(0);
      });
      return select;
    });
    this.pageField = make("input", { type: "number", min: "1", class: "oml-page", "aria-label": "page" });
    this.pageField.addEventListener("change", () => this.turn((Number(this.pageField.value) - 1) * this.told.page_size));
    this.pages = make("span");
    this.shown = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.back = make("button", { text: "‹", title: "previous page (Page Up)", "aria-label": "previous page", onclick: () => this.flip(-1) });
    this.forth = make("button", { text: "›", title: "next page (Page Down)", "aria-label": "next page", onclick: () => this.flip(1) });
    const again = make("button", { text: "↻", title: "reload", "aria-label": "reload", onclick: () => this.link.ask("reload") });
    this.bar.replaceChildren(
      make("div", { class: "oml-title", text: title }),
      make("div", { class: "oml-row" }, selects, again, make("span", { class: "oml-space" }), this.shown,
        make("span", { class: "oml-pager" }, this.back, this.pageField, this.pages, this.forth)),
    );
  }

  /** Ask for the page that begins at an image; while one is on its way only the last wish is kept. */
  turn(start) {
    this.start = Math.max(0, start);
    if (this.waiting) {
      this.again = true;
      return;
    }
    this.detail.close();
    this.waiting = this.link.ask("page", { filters: this.filters, start: this.start, arrangement: this.tools.arrangement });
    this.grid.setAttribute("aria-busy", "true");
  }

  flip(step) {
    const start = this.start + step * this.told.page_size;
    if (start >= 0 && start < this.total) this.turn(start);
  }

  showPage(told) {
    if (told.of !== this.waiting) return;
    this.link.say("");
    this.total = told.total;
    const size = this.told.page_size;
    if (told.start >= told.total && told.start > 0) {
      this.waiting = null;
      this.turn(size * Math.floor(Math.max(0, told.total - 1) / size));
      return;
    }
    const pages = Math.max(1, Math.ceil(told.total / size));
    this.pageField.value = 1 + Math.floor(told.start / size);
    this.pageField.max = pages;
    this.pages.textContent = `of ${count(pages)}`;
    this.shown.textContent = many(told.total, "image");
    this.tools.hear(told.at_least);
    this.back.disabled = told.start === 0;
    this.forth.disabled = told.start + size >= told.total;
    for (const card of this.cards) this.link.forget(card.url);
    this.cards = told.cards.map((card) => this.drawCard(card));
    const empty = make("p", { class: "oml-muted", text: "No image matches these filters." });
    this.grid.replaceChildren(...(this.cards.length ? this.cards.map((card) => card.node) : [empty]));
    this.grid.setAttribute("role", this.cards.length ? "listbox" : "region");
    this.go(0);
    this.choice.tell();
  }

  /** The present image, of which keys are. */
  go(place) {
    this.at = Math.max(0, Math.min(place, this.cards.length - 1));
    this.cards.forEach((card, i) => card.node.setAttribute("aria-selected", String(i === this.at)));
    this.link.point(this.cards[this.at]?.node ?? null);
  }

  drawCard(card) {
    const picture = make("div", { class: "oml-picture" });
    const node = make("div", { class: "oml-card", role: "option", title: `${card.id}\n${card.title}` }, picture,
      make("div", { class: `oml-name oml-${card.tone || "plain"}`, text: card.title }),
      make("div", { class: "oml-note", text: card.note }),
      card.mended ? make("div", { class: "oml-note oml-warm", text: card.mended }) : null);
    node.addEventListener("click", () => {
      this.link.focus();
      this.detail.open(card.row);
    });
    const drawn = { ...card, node, picture };
    this.choice.decorate(drawn);
    return drawn;
  }

  showPictures(told, buffers) {
    if (told.of !== this.waiting) return;
    told.sizes.forEach((size, place) => {
      const card = this.cards[told.first + place];
      if (!card) return;
      if (told.errors[place] || !buffers[place]?.byteLength) {
        card.picture.append(make("span", { class: "oml-broken", text: told.errors[place] || "no picture" }));
        return;
      }
      card.url = this.link.picture(buffers[place]);
      const tiny = Math.max(...size) <= 96 ? "oml-tiny" : "";
      card.picture.append(make("img", { src: card.url, alt: "", class: tiny }), ...overlay(this.tools.cut(card.boxes), size));
    });
    if (!told.last) return;
    this.waiting = null;
    this.grid.setAttribute("aria-busy", "false");
    if (this.again) {
      this.again = false;
      this.turn(this.start);
      return;
    }
    this.link.rest();
    this.link.ask("warm", { start: this.start + this.told.page_size });
  }

  key(event) {
    if (isTyping(event)) return;
    if (this.choice.key(event)) event.preventDefault();
    else if (event.key === "PageDown") this.flip(1);
    else if (event.key === "PageUp") this.flip(-1);
    else if (event.key === "Escape") this.detail.close();
    else if (event.key === "Enter" && !event.target.closest("button, summary") && this.cards.length) this.detail.open(this.cards[this.at].row);
    else if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") this.arrow(event.key);
    else return;
    event.preventDefault();
  }

  arrow(key) {
    const across = getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
    const to = { Home: 0, End: this.cards.length - 1 }[key] ?? this.at + steps[key];
    if (to < 0 || to >= this.cards.length) return;
    this.go(to);
    if (this.detail.opened !== null) this.detail.open(this.cards[to].row);
    else this.cards[to].node.scrollIntoView({ block: "nearest" });
  }
}

export default {
  render({ model, el }) {
    const gallery = new Gallery(model, el);
    return () => gallery.link.close();
  },
};
