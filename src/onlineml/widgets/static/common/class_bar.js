// The classes of a project: one is chosen by its key, by a click, or by its name in a field; a new one is created.

const MOST_BUTTONS = 40;
const MOST_FOUND = 12;

class ClassBar {
  constructor(link, choose) {
    this.link = link;
    this.choose = choose;
    this.classes = [];
    this.current = null;
    this.active = -1;
    this.buttons = make("span", { class: "oml-classes", role: "group", "aria-label": "classes" });
    const list = `${link.name}-classes`;
    this.field = make("input", { class: "oml-find", placeholder: "find or add a class (/)", "aria-label": "find or add a class",
      role: "combobox", "aria-expanded": "false", "aria-controls": list, "aria-autocomplete": "list", autocomplete: "off" });
    this.list = make("div", { class: "oml-found", id: list, role: "listbox", "aria-label": "classes", hidden: true });
    this.told = make("span", { class: "oml-muted", role: "status" });
    this.node = make("div", { class: "oml-row oml-classbar" }, this.buttons,
      make("span", { class: "oml-finder" }, this.field, this.list), this.told);
    link.listen(this.field, "keydown", (event) => this.typed(event));
    link.listen(this.field, "input", () => this.find());
    link.listen(this.field, "blur", () => this.fold());
    link.on("class", (told) => this.created(told));
  }

  show(classes) {
    this.classes = classes;
    this.buttons.replaceChildren(...classes.slice(0, MOST_BUTTONS).map(({ name, key, color }) =>
      make("button", { class: "oml-class", "data-class": name, title: key ? `${name} (${key})` : name, "aria-keyshortcuts": key || null,
        onclick: () => this.choose(name) },
      make("i", { style: `background:${color}` }), make("span", { text: name }), key ? make("kbd", { text: key }) : null)));
    const names = classes.map(({ name }) => name);
    this.setCurrent(names.includes(this.current) ? this.current : names[0] ?? null);
  }

  setCurrent(name) {
    this.current = name;
    for (const node of this.buttons.children) {
      const on = node.dataset.class === name;
      node.classList.toggle("oml-chosen", on);
      node.setAttribute("aria-pressed", String(on));
    }
  }

  /** Several classes at once, each of which may be switched off again. */
  setOn(names) {
    for (const node of this.buttons.children) {
      const on = names.includes(node.dataset.class);
      node.classList.toggle("oml-chosen", on);
      node.setAttribute("aria-pressed", String(on));
    }
  }

  color(name) {
    return this.classes.find((one) => one.name === name)?.color ?? "#9aa0a6";
  }

  ofKey(key) {
    return this.classes.find((one) => one.key && one.key === key.toLowerCase());
  }

  /** Whether a key means a class, or leads to the field. */
  key(key) {
    if (key === "/") {
      this.field.focus();
      return true;
    }
    const found = this.ofKey(key);
    if (found) this.choose(found.name);
    return Boolean(found);
  }

  // ---- the field ----

  get text() {
    return this.field.value.trim();
  }

  /** Show the classes whose names hold what was typed, those that begin with it first, and at the end a new class. */
  find() {
    const wanted = this.text.toLowerCase();
    const places = this.classes.map((one) => [one.name.toLowerCase().indexOf(wanted), one]).filter(([place]) => place >= 0);
    const found = places.sort(([a], [b]) => Math.min(a, 1) - Math.min(b, 1)).slice(0, MOST_FOUND).map(([, one]) => one);
    const exact = found.some(({ name }) => name === this.text);
    const options = found.map(({ name, color }) => this.option(name, () => this.take(name), make("i", { style: `background:${color}` })));
    if (wanted && !exact) options.push(this.option(`add the class “${this.text}”`, () => this.create()));
    options.forEach((node, place) => node.setAttribute("id", `${this.link.name}-option-${place}`));
    this.list.replaceChildren(...options);
    this.list.hidden = !wanted || !options.length;
    this.field.setAttribute("aria-expanded", String(!this.list.hidden));
    this.activate(-1);
  }

  option(text, act, ...before) {
    const node = make("div", { role: "option", "aria-selected": "false" }, before, text);
    node.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    node.addEventListener("click", act);
    node.act = act;
    return node;
  }

  activate(place) {
    const options = [...this.list.children];
    this.active = place;
    options.forEach((node, i) => node.setAttribute("aria-selected", String(i === place)));
    if (options[place]) this.field.setAttribute("aria-activedescendant", options[place].id);
    else this.field.removeAttribute("aria-activedescendant");
    options[place]?.scrollIntoView({ block: "nearest" });
  }

  fold() {
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.activate(-1);
  }

  typed(event) {
    const n = this.list.hidden ? 0 : this.list.children.length;
    if (event.key === "Escape") this.leave();
    else if (event.key === "ArrowDown" && n) this.activate((this.active + 1) % n);
    else if (event.key === "ArrowUp" && n) this.activate(this.active > 0 ? this.active - 1 : n - 1);
    else if (event.key === "Enter") this.enter();
    else return;
    event.preventDefault();
  }

  /** Take the option that is active, or the class that alone is meant; else point at the first option, and wait. */
  enter() {
    if (!this.text) return;
    if (this.list.hidden) this.find();
    const options = [...this.list.children];
    if (this.active >= 0) {
      options[this.active].act();
      return;
    }
    const begins = this.classes.filter(({ name }) => name.toLowerCase().startsWith(this.text.toLowerCase()));
    const found = this.classes.find(({ name }) => name === this.text) ?? (begins.length === 1 ? begins[0] : null);
    if (found) this.take(found.name);
    else this.activate(0);
  }

  leave() {
    this.field.value = "";
    this.fold();
    this.link.focus();
  }

  take(name) {
    this.leave();
    this.choose(name);
  }

  create() {
    const name = this.text;
    this.leave();
    this.link.ask("class", { name });
  }

  /** A class that was asked for here exists: it is chosen, and can be taken back. */
  created({ name, of, new: isNew }) {
    if (isNew) {
      this.oncreated?.(of, name);
      this.told.replaceChildren(`the class “${name}” was added `, make("button", { text: "take it back", onclick: () => this.takeBack(of) }));
    }
    this.choose(name);
  }

  takeBack(of) {
    this.told.replaceChildren();
    this.ontakeback?.(of);
    this.link.ask("undo", { of });
  }

  /** What became of a class that was taken back. */
  gone({ class: name, gone }) {
    this.told.textContent = gone ? `the class “${name}” is gone again` : `“${name}” stays: images have it`;
  }
}

