// A grid of images whose labels are accepted or corrected by keys. What a key does is seen at once; that it is in the
// log is marked when the kernel says so.

const RELABEL_HELP = `A class's key: that is its label. Enter: what is shown is right. Space: skip. Backspace: take back the last answer.
Delete: leave the image out of all datasets. Arrows: move; with Shift, or Shift and a click, choose several, which then get one answer. Shift+Enter:
accept all suggestions of the page. Page Up, Page Down: other pages. +: the image in large. /: find a class by its name, or add one.
Where an image has several labels, a class's key switches it on or off, 0 says that none applies, and Enter goes on.`;

/** A label, or a set of them, in words. */
const words = (value) => (Array.isArray(value) ? value.join(", ") || "(no labels)" : value ?? "(no label)");
const isSame = (one, other) => words(Array.isArray(one) ? [...one].sort() : one) === words(Array.isArray(other) ? [...other].sort() : other);
/** What is shown of a card: a suggestion that waits, or else its label. */
const shown = (card) => (card.open && card.guess) || card.label;

class RelabelGrid {
  constructor(model, el) {
    this.link = new Link(model, el, "relabel");
    this.pages = new Map();
    this.saying = new Map();
    this.answers = []; // given here and not taken back, the last one at the end
    this.cards = [];
    this.at = 0;
    this.anchor = null;
    this.classes = new ClassBar(this.link, (name) => (this.several ? this.toggle(name) : this.say("label", name)));
    this.build();
    const { link } = this;
    link.on("classes", (told) => {
      this.classes.show(told.classes);
      this.mark();
    });
    link.on("begin", (told) => this.begin(told));
    link.on("cards", (told) => this.take(told));
    link.on("pictures", (told, buffers) => this.takePictures(told, buffers));
    link.on("saved", (told) => this.saved(told));
    link.on("undone", (told) => this.undone(told));
    link.on("news", (told) => told.cards.forEach((card) => this.renew(card)));
    link.on("open", (told, buffers) => this.showLarge(told, buffers));
    link.on("error", (told) => this.failed(told));
    link.listen(link.root, "keydown", (event) => this.key(event));
    this.ticker = setInterval(() => this.look(), 4000);
    link.ask("hello");
  }

  build() {
    const button = (text, title, onclick) => make("button", { text, title, onclick });
    this.title = make("span", { class: "oml-title" });
    this.progress = make("progress", { class: "oml-progress", value: 0, max: 1 });
    this.told = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.page = make("span", { class: "oml-muted" });
    this.large = make("div", { class: "oml-large oml-beside", hidden: true });
    this.grid = make("div", { class: "oml-grid", role: "listbox", "aria-label": "images" });
    this.none = button("None 0", "no class applies (0)", () => this.sayNone());
    this.none.hidden = true;
    this.link.root.append(
      make("div", { class: "oml-row" }, this.title, this.progress, this.told, make("span", { class: "oml-space" }),
        button("‹", "previous page (Page Up)", () => this.flip(-1)), this.page,
        button("›", "next page (Page Down)", () => this.flip(1))),
      make("div", { class: "oml-row" },
        button("Right ⏎", "what is shown is right (Enter)", () => this.say("accept")),
        this.none,
        button("Skip ␣", "leave it undecided (Space)", () => this.say("skip")),
        button("Undo ⌫", "take back the last answer (Backspace)", () => this.undo()),
        button("Leave out", "leave it out of all datasets (Delete)", () => this.say("delete")),
        button("Accept page", "accept all suggestions of this page (Shift+Enter)", () => this.acceptPage()),
        button("Large", "the image in large (+)", () => this.toggleLarge())),
      this.classes.node,
      make("div", { class: "oml-split" }, this.grid, this.large),
      make("details", {}, make("summary", { text: "keys" }), make("div", { class: "oml-muted", text: RELABEL_HELP })),
    );
  }

  // ---- pages ----

  begin(told) {
    Object.assign(this, { n: told.n, done: told.done, size: told.page_size, several: told.several });
    this.none.hidden = !told.several;
    this.title.textContent = told.title;
    this.link.root.style.setProperty("--side", `${told.side}px`);
    this.progress.max = Math.max(1, told.n);
    this.tell();
    if (!told.n) {
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
    page.cards = told.cards.map((facts) => this.makeCard(facts));
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

  makeCard(facts) {
    const card = { ...facts, first: facts.label, pending: 0 };
    card.name = make("div", { class: "oml-name" });
    card.note = make("div", { class: "oml-note" });
    card.mark = make("span", { class: "oml-mark" });
    card.node = make("div", { class: "oml-card", role: "option", "data-id": facts.id },
      make("div", { class: "oml-picture" }, card.mark), card.name, card.note);
    card.node.addEventListener("click", (event) => {
      this.link.root.focus({ preventScroll: true });
      const place = this.cards.indexOf(card);
      this.anchor = event.shiftKey ? this.anchor ?? this.at : null;
      this.go(place);
    });
    card.node.addEventListener("dblclick", () => this.toggleLarge(true));
    this.draw(card);
    return card;
  }

  draw(card) {
    const { node } = card;
    const percent = (score) => `${Math.round(100 * score)} %`;
    const guessed = card.guess && card.open;
    const several = Array.isArray(card.guess);
    card.name.textContent = guessed ? `${words(card.guess)}${several ? "" : ` ${percent(card.score)}`} ?` : words(card.label);
    card.name.className = `oml-name ${guessed ? "oml-guess" : ""}`;
    const changed = ["label", "add", "remove"].includes(card.answer) && !isSame(card.label, card.first);
    let note = guessed ? card.top.slice(several ? 0 : 1).map(([name, score]) => `${name} ${percent(score)}`).join(", ") : "";
    if (guessed && card.label) note = isSame(card.guess, card.label) ? "as labelled" : `is labelled ${words(card.label)}`;
    if (changed) note = `was ${card.first ? words(card.first) : "without a label"}`;
    else if (card.state === "conflict") note = "people contradict each other";
    else if (card.state === "deleted") note = "left out";
    else if (card.state === "skipped") note = "skipped";
    else if (card.other) note = `answered by ${card.by}`;
    else if (card.answer) note = "confirmed";
    card.note.textContent = note;
    card.mark.textContent = card.failed ? "!" : card.pending ? "…" : card.answer || card.other ? "✓" : "";
    const color = this.classes.color([shown(card)].flat()[0]);
    node.style.setProperty("--label", card.label || guessed ? color : "transparent");
    node.classList.toggle("oml-changed", changed);
    node.classList.toggle("oml-answered", !card.open);
    node.classList.toggle("oml-failed", Boolean(card.failed));
    node.dataset.state = card.failed ? "failed" : card.pending ? "pending" : card.open ? "open" : card.state;
    node.setAttribute("aria-label", `${card.name.textContent}, ${note || card.state}`);
    this.mark();
  }

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
    this.cards[place].node.scrollIntoView({ block: "nearest" });
    if (!this.large.hidden) this.askLarge();
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
    const waiting = this.saying.size ? `; ${count(this.saying.size)} being saved` : "";
    this.told.textContent = `${count(this.done)} of ${count(this.n)} answered${waiting}`;
    this.link.root.dataset.done = this.done;
    this.link.root.dataset.waiting = this.saying.size;
  }

  // ---- answers ----

  say(what, label = null) {
    if (label !== null) this.classes.setCurrent(label);
    let cards = this.chosen().filter((card) => card.state !== "deleted");
    if (what === "accept") cards = cards.filter(shown);
    if (!cards.length) {
      this.told.textContent = what === "accept" ? "there is nothing to accept: press the key of its class" : "nothing to answer";
      return;
    }
    this.send(cards, what, cards.map((card) => (what === "label" ? label : shown(card))), { label });
    this.advance();
  }

  /** One class of the chosen images switched on or, where all have it, off: of a suggestion, the whole set is said. */
  toggle(name) {
    const cards = this.chosen().filter((card) => card.state !== "deleted");
    if (!cards.length) return;
    const on = !cards.every((card) => shown(card)?.includes(name));
    const sets = cards.map((card) => [...(shown(card) ?? []).filter((one) => one !== name), ...(on ? [name] : [])].sort());
    if (cards.some((card) => card.open && card.guess)) this.send(cards, "label", sets, { labels: sets });
    else this.send(cards, on ? "add" : "remove", sets, { label: name });
  }

  sayNone() {
    const cards = this.chosen().filter((card) => card.state !== "deleted");
    if (!cards.length) return;
    const sets = cards.map(() => []);
    this.send(cards, "label", sets, { labels: sets });
    this.advance();
  }

  /** An answer: what is seen of each card from now on, and what the kernel is told beside its ids. */
  send(cards, what, labels, facts) {
    const told = { ids: cards.map((card) => card.id), bases: cards.map((card) => card.base), what, ...facts };
    if (what === "accept") told.labels = labels;
    const before = cards.map(({ open, label: was, answer, state, other }) => ({ open, label: was, answer, state, other }));
    const number = this.link.ask("say", told);
    this.saying.set(number, { cards, before, since: performance.now() });
    this.answers.push({ number, cards, before, start: this.start, at: this.cards.indexOf(cards[0]) });
    cards.forEach((card, place) => {
      if (card.open) this.done += 1;
      Object.assign(card, { open: false, answer: what, other: false, failed: false });
      card.pending += 1;
      card.state = { skip: "skipped", delete: "deleted", accept: "accepted" }[what] ?? "corrected";
      const said = labels[place];
      if (what !== "skip" && what !== "delete") card.label = Array.isArray(said) ? [...said].sort() : said;
      this.draw(card);
    });
    this.tell();
  }

  acceptPage() {
    const cards = this.cards.filter((card) => card.open && card.guess);
    if (!cards.length) return;
    this.send(cards, "accept", cards.map(shown), {});
    this.at = this.cards.length - 1;
    this.advance();
  }

  saved(told) {
    const said = this.saying.get(told.of);
    if (!said) return;
    this.saying.delete(told.of);
    for (const card of said.cards) {
      card.pending -= 1;
      card.base = told.bases[card.id];
      this.draw(card);
    }
    this.tell();
    const ms = performance.now() - said.since;
    this.link.root.dispatchEvent(new CustomEvent("oml-saved", { detail: { ms } }));
    this.link.rest();
  }

  /** An answer that could not be written: its cards are as before, marked, and the reason is told. */
  failed(told) {
    this.link.say(told.text);
    const said = this.saying.get(told.of);
    if (!said) return;
    this.saying.delete(told.of);
    this.answers = this.answers.filter((answer) => answer.number !== told.of);
    for (const card of said.cards) Object.assign(card, { pending: card.pending - 1, failed: true });
    this.restore(said);
  }

  /** Cards as they were before an answer. */
  restore({ cards, before }) {
    cards.forEach((card, place) => {
      if (before[place].open && !card.open) this.done -= 1;
      Object.assign(card, before[place]);
      this.draw(card);
    });
    this.tell();
  }

  /** Take back the last answer: here at once, so that the next key is about its image, and in the log. */
  undo() {
    const last = this.answers.pop();
    this.link.ask("undo");
    if (!last) return;
    this.restore(last);
    this.anchor = null;
    if (last.start === this.start && this.cards.length) this.go(last.at);
    else this.show(last.start, last.at);
  }

  undone(told) {
    if (!told.cards.length) {
      this.told.textContent = "nothing was answered here that could be taken back";
      return;
    }
    const known = told.cards.some((card) => this.find(card.id));
    told.cards.forEach((card) => this.renew(card, true));
    const start = this.size * Math.floor(told.place / this.size);
    if (!known) this.show(start, told.place - start); // of before the page was loaded again
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
    this.draw(card);
    this.tell();
    if (taken) this.link.rest();
  }

  /** Ask what others have answered, while somebody looks and nothing is under way. */
  look() {
    if (document.hidden || this.saying.size || !this.cards.length || !this.link.root.isConnected) return;
    this.link.ask("news", { ids: this.cards.map((card) => card.id) });
  }

  // ---- the image in large ----

  toggleLarge(open = this.large.hidden) {
    this.large.hidden = !open;
    if (open) this.askLarge();
  }

  askLarge() {
    const card = this.cards[this.at];
    if (card) this.link.ask("open", { id: card.id });
  }

  showLarge(told, buffers) {
    if (told.id !== this.cards[this.at]?.id) return;
    if (this.largeUrl) this.link.forget(this.largeUrl);
    if (told.error) {
      this.large.replaceChildren(make("span", { class: "oml-broken", text: told.error }));
      return;
    }
    this.largeUrl = this.link.picture(buffers[0]);
    const [height, width] = told.size;
    const tiny = Math.max(height, width) <= 96 ? "oml-tiny" : "";
    this.large.replaceChildren(make("div", { class: "oml-frame", style: `--ratio:${width / height}` },
      make("img", { src: this.largeUrl, alt: "", class: tiny })));
  }

  // ---- keys ----

  key(event) {
    if (!isTyping(event) && this.press(event)) event.preventDefault();
  }

  press(event) {
    const onButton = event.target.closest("button, summary");
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key.toLowerCase() !== "z" || event.altKey) return false;
      this.undo();
    } else if (event.key === "Enter") {
      if (onButton) return false;
      if (event.shiftKey) this.acceptPage();
      else this.say("accept");
    } else if (event.key === " ") {
      if (onButton) return false;
      this.say("skip");
    } else if (event.key === "Backspace") this.undo();
    else if (event.key === "Delete") this.say("delete");
    else if (event.key === "PageDown") this.flip(1);
    else if (event.key === "PageUp") this.flip(-1);
    else if (event.key === "+") this.toggleLarge();
    else if (event.key === "Escape") {
      this.anchor = null;
      this.toggleLarge(false);
      this.go(this.at);
    } else if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") this.arrow(event);
    else if (this.several && event.key === "0") this.sayNone();
    else return this.classes.key(event.key);
    return true;
  }

  arrow(event) {
    const across = getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
    const to = { Home: 0, End: this.cards.length - 1 }[event.key] ?? this.at + steps[event.key];
    this.anchor = event.shiftKey ? this.anchor ?? this.at : null;
    if (to >= 0 && to < this.cards.length) this.go(to);
    else if (event.key === "ArrowRight" && !event.shiftKey) this.show(this.start + this.size, 0);
    else if (event.key === "ArrowLeft" && !event.shiftKey) this.show(this.start - this.size, "last");
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
