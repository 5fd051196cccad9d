// Chosen images, which are relabelled, left out, or opened in the editor; without any chosen, the one that is open.

class Choice {
  constructor(gallery) {
    this.gallery = gallery;
    this.link = gallery.link;
    this.rows = new Set();
    this.n = 0; // changes that can be taken back
    this.node = make("div", { class: "oml-row oml-choice", role: "toolbar", "aria-label": "chosen images", hidden: true });
    this.link.on("mended", (told) => this.mended(told));
    this.link.on("rows", (told) => this.everywhere(told.rows));
  }

  /** What the project's task lets one do; null: nothing, the images belong to no project. */
  begin(mend) {
    this.mend = mend;
    this.node.hidden = !mend;
    if (!mend) return;
    const button = (text, title, onclick) => make("button", { text, title, onclick });
    const chosen = this.classes?.value;
    this.told = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.classes = make("select", { "aria-label": "label to give" }, mend.classes.map((name) => make("option", { value: name, text: name })));
    if (mend.classes.includes(chosen)) this.classes.value = chosen;
    const say = (what) => () => this.ask(what, this.classes.value);
    const labels = mend.several
      ? [button("Add", "these images show this class, too", say("add")), button("Remove", "these images do not show this class", say("remove"))]
      : [button("Relabel", "this is the class of these images", say("label"))];
    this.acts = [
      ...(mend.classes.length ? [this.classes, ...labels] : []),
      button("Leave out", "leave these images out of all datasets", () => this.ask("delete")),
      ...(mend.editor ? [button("Open in the editor", "these images, below", () => this.ask("editor"))] : []),
    ];
    this.back = button("Undo", "take back the last change that was made here", () => this.ask("undo"));
    this.done = button("Close the editor", "and show what has changed", () => this.ask("close"));
    this.done.hidden = !this.editing;
    this.node.replaceChildren(this.told, ...this.acts, this.back, this.done,
      button("Choose page", "choose all images of this page (Ctrl+A)", () => this.all()),
      button("Choose all", "choose all images that match the filters, on all pages (Ctrl+Shift+A)", () => this.link.ask("rows")));
    this.clear(); // the images may have been read anew, and have other numbers
  }

  /** The images that an action is about. */
  get targets() {
    const { opened } = this.gallery.detail;
    return this.rows.size ? [...this.rows] : opened === null ? [] : [opened];
  }

  /** A mark on a card, by which it is chosen; the card itself tells whether it is. */
  decorate(card) {
    if (!this.mend) return;
    const pick = make("span", { class: "oml-pick", title: "choose (x)", "aria-hidden": "true" });
    card.picture.append(pick);
    card.node.addEventListener("click", (event) => {
      if (event.target !== pick && !event.ctrlKey && !event.metaKey && !event.shiftKey) return;
      event.stopImmediatePropagation();
      this.link.focus?.();
      this.toggle(card, event.shiftKey);
    }, true);
    this.mark(card);
  }

  toggle(card, range = false) {
    const place = this.gallery.cards.indexOf(card);
    const from = range && this.last !== undefined ? this.last : place;
    const on = range || !this.rows.has(card.row);
    for (let i = Math.min(from, place); i <= Math.max(from, place); i += 1) this.set(this.gallery.cards[i], on);
    this.last = place;
    this.gallery.go?.(place);
    this.tell();
  }

  set(card, on) {
    if (!card) return;
    if (on) this.rows.add(card.row);
    else this.rows.delete(card.row);
    this.mark(card);
  }

  all() {
    const on = !this.gallery.cards.every((card) => this.rows.has(card.row));
    for (const card of this.gallery.cards) this.set(card, on);
    this.tell();
  }

  /** All images on all pages; none, if they are chosen already. */
  everywhere(rows) {
    const on = !rows.every((row) => this.rows.has(row));
    for (const row of rows) this.rows[on ? "add" : "delete"](row);
    for (const card of this.gallery.cards) this.mark(card);
    this.tell();
  }

  clear() {
    this.rows.clear();
    this.last = undefined;
    for (const card of this.gallery.cards) this.mark(card);
    this.tell();
  }

  mark(card) {
    card.node.classList.toggle("oml-picked", this.rows.has(card.row));
    card.node.setAttribute("aria-checked", String(this.rows.has(card.row)));
  }

  tell() {
    if (!this.mend) return;
    const n = this.targets.length;
    const here = this.gallery.cards.filter((card) => this.rows.has(card.row)).length;
    const beyond = this.rows.size > here ? `, ${count(this.rows.size - here)} of them not on this page` : "";
    this.told.textContent = n ? `${many(n, "image")} ${this.rows.size ? "chosen" : "open"}${beyond}:` : "choose images by their corner, or x:";
    for (const act of this.acts) act.disabled = !n;
    this.back.disabled = !this.n;
  }

  ask(what, label = "") {
    this.link.say("");
    this.link.ask("mend", { rows: what === "undo" || what === "close" ? [] : this.targets, what, label });
  }

  mended({ what, n }) {
    if (what === "editor" || what === "close") this.editing = what === "editor";
    else this.n += what === "undo" ? -1 : 1;
    this.done.hidden = !this.editing;
    if (what === "editor") {
      this.told.textContent = `${many(n, "image")} opened below`;
      return;
    }
    this.clear();
    this.gallery.turn(this.gallery.start);
  }

  /** Whether a key chooses images. */
  key(event) {
    const card = this.gallery.cards[this.gallery.at ?? 0];
    const ctrl = event.ctrlKey || event.metaKey;
    if (!this.mend || !card) return false;
    if (ctrl && event.key.toLowerCase() === "a") event.shiftKey ? this.link.ask("rows") : this.all();
    else if (!ctrl && event.key === "x") this.toggle(card);
    else if (event.key === "Escape" && this.rows.size && this.gallery.detail.opened === null) this.clear();
    else return false;
    return true;
  }
}
