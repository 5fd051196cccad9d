// Answers about the cards: seen at once, marked when the kernel has written them, and taken back.

class Answers {
  constructor(grid) {
    this.grid = grid;
    this.link = grid.link;
    this.saying = new Map(); // under way, by the number of the message
    this.given = []; // here and not taken back, the last one at the end
    this.again = new Set(); // numbers of answers that an earlier view could not save
    this.least = make("input", { class: "oml-page", type: "number", min: 0, max: 100, step: 5, value: 0, "aria-label": "least score in percent" });
    this.page = make("button", { text: "Accept page", title: "accept the suggestions of this page (Shift+Enter)", onclick: () => this.acceptPage() });
    this.pageNode = make("span", { class: "oml-pager" }, this.page, make("label", { class: "oml-check" }, "from", this.least, "%"));
    this.link.listen(this.least, "input", () => this.tellPage());
    this.link.on("saved", (told) => this.saved(told));
    this.link.on("kept", (told) => this.offer(told.answers));
    this.grid.classes.oncreated = (number, name) => this.given.push({ number, name });
    this.grid.classes.ontakeback = (number) => (this.given = this.given.filter((one) => one.number !== number));
    this.link.unsaved = () => (this.saying.size
      ? `${many(this.saying.size, "answer")} of yours could not be saved; the next view of this project will ask about them.` : "");
    this.link.on("undone", (told) => this.undone(told));
    this.link.on("error", (told) => this.failed(told));
  }

  /** Ask what to do with answers that a view before this one could not save. */
  begin(project) {
    if (this.kept) return;
    this.kept = new Kept(this.link, `relabel ${project}`);
    const answers = this.kept.take().flat();
    if (answers.length) this.link.ask("kept", { answers });
  }

  offer(answers) {
    if (!answers.length) return;
    const save = () => {
      for (const told of answers) this.again.add(this.link.ask("say", { ...told, again: true }));
    };
    this.link.askPerson(`${many(answers.length, "answer")} could not be saved when the kernel ended.`, [["Save now", save], ["Forget", null]]);
  }

  keep() {
    const told = [...this.saying.values()].map((one) => one.told);
    this.kept.put(told.length ? told : null);
    if (this.link.dead) this.link.tellLost();
    this.grid.tell();
    this.tellPage();
  }

  say(what, label = null) {
    if (label !== null) this.grid.classes.setCurrent(label);
    let cards = this.grid.chosen().filter((card) => card.state !== "deleted");
    if (what === "accept") cards = cards.filter(shown);
    if (!cards.length) {
      this.grid.told.textContent = what === "accept" ? "there is nothing to accept: press the key of its class" : "nothing to answer";
      return;
    }
    this.send(cards, what, cards.map((card) => (what === "label" ? label : shown(card))), { label });
    this.grid.advance();
  }

  /** One class of the chosen images switched on or, where all have it, off: of a suggestion, the whole set is said. */
  toggle(name) {
    const cards = this.grid.chosen().filter((card) => card.state !== "deleted");
    if (!cards.length) return;
    const on = !cards.every((card) => shown(card)?.includes(name));
    const sets = cards.map((card) => [...(shown(card) ?? []).filter((one) => one !== name), ...(on ? [name] : [])].sort());
    if (cards.some((card) => card.open && card.guess)) this.send(cards, "label", sets, { labels: sets });
    else this.send(cards, on ? "add" : "remove", sets, { label: name });
  }

  sayNone() {
    const cards = this.grid.chosen().filter((card) => card.state !== "deleted");
    if (!cards.length) return;
    const sets = cards.map(() => []);
    this.send(cards, "label", sets, { labels: sets });
    this.grid.advance();
  }

  /** An answer: what is seen of each card from now on, and what the kernel is told beside its ids. */
  send(cards, what, labels, facts) {
    const told = { ids: cards.map((card) => card.id), bases: cards.map((card) => card.base), what, ...facts };
    if (what === "accept") told.labels = labels;
    const before = cards.map(({ open, label: was, answer, state, other }) => ({ open, label: was, answer, state, other }));
    const number = this.link.ask("say", told);
    this.saying.set(number, { cards, before, told, since: performance.now() });
    this.given.push({ number, cards, before, start: this.grid.start, at: this.grid.cards.indexOf(cards[0]) });
    cards.forEach((card, place) => {
      if (card.open) this.grid.done += 1;
      Object.assign(card, { open: false, answer: what, other: false, failed: false });
      card.pending += 1;
      card.state = { skip: "skipped", delete: "deleted", accept: "accepted" }[what] ?? "corrected";
      const said = labels[place];
      if (what !== "skip" && what !== "delete") card.label = Array.isArray(said) ? [...said].sort() : said;
      drawCard(this.grid, card);
    });
    this.keep();
  }

  // ---- a page at once ----

  /** The suggestions of the page that are at least as sure as is asked for. */
  sure() {
    return this.grid.cards.filter((card) => card.open && card.guess && 100 * card.sure >= Number(this.least.value));
  }

  tellPage() {
    const n = this.sure().length;
    this.page.textContent = `Accept page (${count(n)})`;
    this.page.disabled = !n;
  }

  /** Accept them; a person is asked where that would replace a label by another one. */
  acceptPage() {
    const cards = this.sure();
    const others = cards.filter((card) => card.label && !isSame(card.guess, card.label));
    if (!others.length) {
      this.acceptAll(cards);
      return;
    }
    const rest = cards.filter((card) => !others.includes(card));
    const answers = rest.length ? [[`Accept the ${count(rest.length)} others`, () => this.acceptAll(rest)]] : [];
    this.link.askPerson(`${count(others.length)} of ${many(cards.length, "suggestion")} would replace a label that the image has.`,
      [...answers, [`Replace ${many(others.length, "label")}`, () => this.acceptAll(cards)], ["Cancel", null]]);
  }

  acceptAll(cards) {
    if (!cards.length) return;
    this.send(cards, "accept", cards.map(shown), {});
    const left = this.grid.cards.findIndex((card) => card.open);
    this.grid.at = left >= 0 ? left - 1 : this.grid.cards.length - 1;
    this.grid.advance();
  }

  saved(told) {
    if (this.again.delete(told.of)) this.grid.look();
    const said = this.saying.get(told.of);
    if (!said) return;
    this.saying.delete(told.of);
    for (const card of said.cards) {
      card.pending -= 1;
      card.base = told.bases[card.id];
      drawCard(this.grid, card);
    }
    this.keep();
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
    this.given = this.given.filter((answer) => answer.number !== told.of);
    for (const card of said.cards) Object.assign(card, { pending: card.pending - 1, failed: true });
    this.restore(said);
    this.keep();
  }

  /** Cards as they were before an answer. */
  restore({ cards, before }) {
    cards.forEach((card, place) => {
      if (before[place].open && !card.open) this.grid.done -= 1;
      Object.assign(card, before[place]);
      drawCard(this.grid, card);
    });
    this.grid.tell();
    this.tellPage();
  }

  /** Take back the last answer: here at once, so that the next key is about its image, and in the log. */
  undo() {
    const last = this.given.pop();
    this.link.ask("undo", { of: last?.number });
    if (!last?.cards) return;
    this.restore(last);
    this.grid.anchor = null;
    if (last.start === this.grid.start && this.grid.cards.length) this.grid.go(last.at);
    else this.grid.show(last.start, last.at);
  }

  undone(told) {
    if (told.class) this.grid.classes.gone(told);
    else if (!told.cards.length) {
      this.grid.told.textContent = "nothing was answered here that could be taken back";
    }
    if (!told.cards.length) return;
    const known = told.cards.some((card) => this.grid.find(card.id));
    told.cards.forEach((card) => this.grid.renew(card, true));
    const start = this.grid.size * Math.floor(told.place / this.grid.size);
    if (!known) this.grid.show(start, told.place - start); // of before the page was loaded again
  }
}
