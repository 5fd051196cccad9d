// A grid of images whose labels are accepted or corrected by keys. What a key does is seen at once; that it is in the
// log is marked when the kernel says so.

class RelabelGrid {
  constructor(model, el) {
    this.link = new Link(model, el, "relabel");
    this.pages = new Map();
    this.cards = [];
    this.at = 0;
    this.anchor = null;
    this.classes = new ClassBar(this.link, (name) => (this.several ? this.answers.toggle(name) : this.answers.say("label", name)));
    this.build();
    const { link } = this;
    link.on("classes", (told) => {
      this.classes.show(told.classes);
      this.mark();
    });
    link.on("begin", (told) => this.begin(told));
    link.on("cards", (told) => this.take(told));
    link.on("pictures", (told, buffers) => this.takePictures(told, buffers));
    link.on("news", (told) => told.cards.forEach((card) => this.renew(card)));
    link.listen(link.root, "keydown", (event) => this.key(event));
    link.on("elsewhere", (told) => told.ids.some((id) => this.find(id)) && this.look());
    link.listen(document, "visibilitychange", () => this.look());
    link.listen(window, "focus", () => this.look());
    this.ticker = setInterval(() => this.look(), 4000);
    link.ask("hello");
  }

  build() {
    const button = (text, title, onclick) => make("button", { text, title, onclick, "aria-label": text.length === 1 ? title : null });
    this.title = make("span", { class: "oml-title" });
    this.progress = make("progress", { class: "oml-progress", value: 0, max: 1, "aria-label": "answered" });
    this.told = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.page = make("span", { class: "oml-muted" });
    this.answers = new Answers(this);
    this.verdicts = new Verdicts(this);
    this.large = new Large(this);
    this.grid = make("div", { class: "oml-grid", role: "listbox", "aria-label": "images", "aria-multiselectable": "true" });
    this.link.setHome(this.grid);
    this.none = button("None 0", "no class applies (0)", () => this.answers.sayNone());
    this.none.hidden = true;
    this.link.root.append(
      make("div", { class: "oml-row" }, this.title, this.progress, this.told, make("span", { class: "oml-space" }),
        make("span", { class: "oml-pager" }, button("‹", "previous page (Page Up)", () => this.flip(-1)), this.page,
          button("›", "next page (Page Down)", () => this.flip(1)))),
      make("div", { class: "oml-row" },
        button("Right ⏎", "what is shown is right (Enter)", () => this.answers.say("accept")),
        this.verdicts.node,
        this.none,
        button("Skip ␣", "leave it undecided (Space)", () => this.answers.say("skip")),
        button("Undo ⌫", "take back the last answer (Backspace)", () => this.answers.undo()),
        button("Leave out", "leave it out of all datasets (Delete)", () => this.answers.say("delete")),
        this.answers.pageNode,
        button("Large", "the image in large (+)", () => this.large.toggle())),
      this.classes.node,
      make("div", { class: "oml-split" }, this.grid, this.large.node),
    );
    this.link.explain(RELABEL_KEYS);
  }

  // ---- pages ----

  begin(told) {
    Object.assign(this, { n: told.n, done: told.done, size: told.page_size, several: told.several });
    this.none.hidden = !told.several;
    if (this.classes.ofKey("0")) Object.assign(this.none, { textContent: "None", title: "no class applies" });
    this.answers.begin(told.project);
    this.title.textContent = told.title;
    this.link.named(`labels of ${told.title}`);
    this.link.root.style.setProperty("--side", `${told.side}px`);
    this.progress.max = Math.max(1, told.n);
    this.tell();
    if (!told.n) {
      this.grid.setAttribute("role", "region");
      this.grid.replaceChildren(make("p", { class: "oml-muted", text: "No image is open." }));
      return;
    }
    this.show(this.size * Math.floor(told.place / this.size), told.place % this.size);
  }

  /** The page that begins at an image; it is asked for unless it is here. */
  want(start) {
    if (start < 0 || start >= this.n) return null;
    if (!this.pages.has(start)) {
      const number = this.link.ask("cards", { start });
      this.pages.set(start, { start, number, cards: null });
    }
    return this.pages.get(start);
  }

  show(start, at = 0) {
    const page = this.want(start);
    if (!page) return;
    this.start = start;
    this.page.textContent = `page ${count(1 + start / this.size)} of ${count(Math.ceil(this.n / this.size))}`;
    this.waitingAt = at;
    this.grid.setAttribute("aria-busy", String(!page.cards));
    this.cards = []; // keys pressed meanwhile are about no card
    if (page.cards) this.showCards(page);
  }

  showCards(page) {
    this.cards = page.cards;
    this.grid.replaceChildren(...this.cards.map((card) => card.node));
    let at = this.waitingAt;
    if (at === "open") {
      at = this.cards.findIndex((card) => card.open);
      if (at < 0 && page.start + this.size < this.n) {
        this.show(page.start + this.size, "open");
        return;
      }
    }
    this.answers.tellPage();
    this.go(at === "last" ? this.cards.length - 1 : Math.max(0, Math.min(at, this.cards.length - 1)));
    this.link.ask("showing", { start: page.start });
    this.want(page.start + this.size); // so that it is here when it is turned to
    for (const [start, other] of this.pages) {
      if (Math.abs(start - page.start) > 2 * this.size && other.cards && !this.isWaiting(other)) this.drop(other);
    }
  }

  isWaiting(page) {
    return page.cards.some((card) => card.pending);
  }

  drop(page) {
    for (const card of page.cards) this.link.forget(card.url);
    this.pages.delete(page.start);
  }

  take(told) {
    const page = this.pages.get(told.start);
    if (!page || page.number !== told.of) return;
    page.cards = told.cards.map((facts) => makeCard(this, facts));
    if (this.start === told.start) {
      this.grid.setAttribute("aria-busy", "false");
      this.showCards(page);
    }
  }

  takePictures(told, buffers) {
    const page = [...this.pages.values()].find((one) => one.number === told.of);
    if (!page?.cards) return;
    told.sizes.forEach((size, place) => {
      const card = page.cards[told.first + place];
      const picture = card.node.querySelector(".oml-picture");
      if (told.errors[place]) {
        picture.append(make("span", { class: "oml-broken", text: told.errors[place] }));
        return;
      }
      card.url = this.link.picture(buffers[place]);
      picture.prepend(make("img", { src: card.url, alt: "", class: Math.max(...size) <= 96 ? "oml-tiny" : "" }));
    });
  }

  flip(step) {
    this.show(this.start + step * this.size);
  }

  // ---- cards ----

  go(place) {
    if (place < 0 || place >= this.cards.length) return;
    this.at = place;
    const chosen = new Set(this.chosen());
    this.cards.forEach((card, i) => {
      card.node.classList.toggle("oml-current", i === place);
      card.node.classList.toggle("oml-chosen", chosen.size > 1 && chosen.has(card));
      card.node.setAttribute("aria-selected", String(chosen.has(card)));
    });
    this.mark();
    this.link.point(this.cards[place].node);
    this.cards[place].node.scrollIntoView({ block: "nearest" });
    if (!this.large.node.hidden) this.large.ask();
  }

  /** The classes that the present image has, in the bar. */
  mark() {
    if (this.several && this.cards[this.at]) this.classes.setOn(shown(this.cards[this.at]) ?? []);
  }

  chosen() {
    if (this.anchor === null) return this.cards[this.at] ? [this.cards[this.at]] : [];
    const [a, b] = [Math.min(this.anchor, this.at), Math.max(this.anchor, this.at)];
    return this.cards.slice(a, b + 1);
  }

  /** To the next image that nobody has answered, on this page or a later one. */
  advance() {
    this.anchor = null;
    const next = this.cards.findIndex((card, place) => place > this.at && card.open);
    if (next >= 0) this.go(next);
    else if (this.start + this.size < this.n) this.show(this.start + this.size, "open");
    else {
      this.go(this.at);
      const left = this.n - this.done;
      this.told.textContent = left > 0 ? `the end; ${count(left)} before it are open` : "all are answered";
    }
  }

  tell() {
    this.progress.value = this.done;
    const waiting = this.answers.saying.size ? `; ${count(this.answers.saying.size)} being saved` : "";
    this.told.textContent = `${count(this.done)} of ${count(this.n)} answered${waiting}`;
    this.link.root.dataset.done = this.done;
    this.link.root.dataset.waiting = this.answers.saying.size;
  }

  find(id) {
    for (const page of this.pages.values()) {
      const card = page.cards?.find((one) => one.id === id);
      if (card) return card;
    }
    return null;
  }

  /** What is known of an image now, by others or after taking back. */
  renew(facts, taken = false) {
    const card = this.find(facts.id);
    if (!card || card.pending) return;
    if (card.open !== facts.open) this.done += facts.open ? -1 : 1;
    const other = !taken && !facts.open && facts.state !== "skipped";
    Object.assign(card, facts, { other, failed: false, answer: taken ? null : card.answer });
    if (other) card.answer = null;
    drawCard(this, card);
    this.tell();
    this.answers.tellPage();
    if (taken) this.link.rest();
  }

  /** Ask what others have answered, while somebody looks and nothing is under way. */
  look() {
    if (document.hidden || this.link.dead || this.answers.saying.size || !this.cards.length || !this.link.root.isConnected) return;
    this.link.ask("news", { ids: this.cards.map((card) => card.id) });
  }

  // ---- keys ----

  key(event) {
    if (!isTyping(event) && pressInGrid(this, event)) event.preventDefault();
  }

  close() {
    clearInterval(this.ticker);
    this.link.close();
  }
}

export default {
  render({ model, el }) {
    const grid = new RelabelGrid(model, el);
    return () => grid.close();
  },
};
