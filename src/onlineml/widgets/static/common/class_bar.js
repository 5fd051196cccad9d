/** The classes with their keys: one is chosen by its key, by a click, or by its name in a field. */
class ClassBar {
  constructor(link, choose) {
    this.link = link;
    this.choose = choose;
    this.classes = [];
    this.current = null;
    this.buttons = make("span", { class: "oml-classes" });
    this.field = make("input", { class: "oml-find", placeholder: "find or add a class (/)", "aria-label": "find or add a class",
      list: `${link.name}-classes` });
    this.names = make("datalist", { id: `${link.name}-classes` });
    this.node = make("div", { class: "oml-row oml-classbar" }, this.buttons, this.field, this.names);
    link.listen(this.field, "keydown", (event) => this.typed(event));
  }

  show(classes) {
    this.classes = classes;
    this.names.replaceChildren(...classes.map(({ name }) => make("option", { value: name })));
    this.buttons.replaceChildren(...classes.slice(0, 40).map(({ name, key, color }) => {
      const label = make("button", { class: "oml-class", "data-class": name, title: key ? `${name} (${key})` : name },
        make("i", { style: `background:${color}` }), make("span", { text: name }), key ? make("kbd", { text: key }) : null);
      label.addEventListener("click", () => {
        this.choose(name);
        this.link.root.focus({ preventScroll: true });
      });
      return label;
    }));
    if (this.pending && classes.some(({ name }) => name === this.pending)) {
      const name = this.pending;
      this.pending = null;
      this.choose(name);
    } else this.setCurrent(this.current ?? classes[0]?.name ?? null);
  }

  setCurrent(name) {
    this.current = name;
    for (const node of this.buttons.children) node.classList.toggle("oml-chosen", node.dataset.class === name);
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

  /** Whether a key means a class, or leads to the field. */
  key(key) {
    if (key === "/") {
      this.field.focus();
      return true;
    }
    const found = this.classes.find((one) => one.key && one.key === key.toLowerCase());
    if (found) this.choose(found.name);
    return Boolean(found);
  }

  typed(event) {
    if (event.key === "Escape") {
      this.field.value = "";
      this.link.root.focus({ preventScroll: true });
    }
    if (event.key !== "Enter") return;
    event.preventDefault();
    const text = this.field.value.trim();
    if (!text) return;
    const begins = this.classes.filter(({ name }) => name.toLowerCase().startsWith(text.toLowerCase()));
    const found = this.classes.find(({ name }) => name === text) ?? (begins.length === 1 ? begins[0] : null);
    this.field.value = "";
    this.link.root.focus({ preventScroll: true });
    if (found) this.choose(found.name);
    else {
      this.pending = text;
      this.link.ask("class", { name: text });
    }
  }
}
