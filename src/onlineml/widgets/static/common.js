// Stands before each view's own lines, in one module with them.

/** An element: attributes as such, `on…` as listeners, `text` as its text. */
function make(tag, facts = {}, ...children) {
  const node = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** Whether keys go into a field, where they are letters and not commands. */
function isTyping(event) {
  return Boolean(event.target.closest?.("input, select, textarea"));
}

function count(number) {
  return number.toLocaleString("en");
}

function many(number, one, several = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : several}`;
}

/** What a view has in common with all others: its place in the page, its messages, its end. */
class Link {
  constructor(model, el, name) {
    this.model = model;
    this.gone = new AbortController();
    this.handlers = new Map();
    this.name = Math.random().toString(36).slice(2); // several views of one model each have their own questions
    this.asked = 0;
    this.urls = new Set();
    // Without the attribute JupyterLab takes keys for itself: x would cut the cell.
    this.root = make("div", { class: `oml oml-${name}`, tabindex: "0", "data-lm-suppress-shortcuts": "true" });
    this.alert = make("div", { class: "oml-alert", role: "alert", hidden: true });
    this.root.append(this.alert);
    // What the notebook keeps of this view is out of sight while the view itself is here.
    const id = model.get("view_id");
    el.append(make("style", { text: `#${id}, .jp-OutputArea-child:has(> * > #${id}) { display: none !important; }` }));
    el.append(this.root);
    this.heard = (content, buffers) => {
      clearTimeout(this.patience);
      if (this.quiet) this.say("");
      this.handlers.get(content.kind)?.(content, buffers ?? []);
    };
    model.on("msg:custom", this.heard);
    this.on("error", (content) => this.say(content.text));
    this.listen(this.root, "keydown", (event) => event.stopPropagation());
  }

  on(kind, handler) {
    this.handlers.set(kind, handler);
  }

  /** Ask the kernel; returns the number that its answer carries. */
  ask(kind, facts = {}, buffers = undefined) {
    this.asked += 1;
    const number = `${this.name}-${this.asked}`;
    this.model.send({ kind, number, ...facts }, undefined, buffers);
    if (kind !== "rest" && kind !== "warm" && !this.patient) {
      clearTimeout(this.patience);
      this.patience = setTimeout(() => this.wonder(), 8000);
    }
    return number;
  }

  /** Let the kernel bring up to date what the notebook keeps, when nothing has happened for a while. */
  rest() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.ask("rest"), 1500);
  }

  listen(target, event, handler, options = {}) {
    target.addEventListener(event, handler, { signal: this.gone.signal, ...options });
  }

  wonder() {
    this.say("The kernel is not responding. If it is busy with a cell, it will respond afterwards; if it was restarted, run the cell again.");
    this.quiet = true;
  }

  say(text) {
    this.quiet = false;
    this.alert.textContent = text;
    this.alert.hidden = !text;
  }

  picture(buffer) {
    const url = URL.createObjectURL(new Blob([buffer]));
    this.urls.add(url);
    return url;
  }

  forget(url) {
    if (this.urls.delete(url)) URL.revokeObjectURL(url);
  }

  close() {
    this.gone.abort();
    clearTimeout(this.resting);
    clearTimeout(this.patience);
    this.model.off("msg:custom", this.heard);
    for (const url of [...this.urls]) this.forget(url);
  }
}

/** Boxes over a picture, in pixels of the original, each with its label. */
function overlay(boxes, [height, width], { labels = false } = {}) {
  const layer = make("svg:svg", { class: "oml-boxes", viewBox: `0 0 ${width} ${height}` });
  for (const box of boxes) {
    const [x1, y1, x2, y2] = box.xyxy;
    const place = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
    const dashed = box.dashed ? "oml-dashed" : "";
    layer.append(make("svg:rect", { ...place, class: "oml-rim" }));
    const line = make("svg:rect", { ...place, class: `oml-line ${dashed}`, style: `stroke:${box.color}` });
    line.append(make("svg:title", { text: box.text }));
    layer.append(line);
  }
  if (!labels) return [layer];
  const tags = make("div", { class: "oml-tags" });
  for (const box of boxes) {
    const style = `left:${(100 * box.xyxy[0]) / width}%;top:${(100 * box.xyxy[1]) / height}%;background:${box.color}`;
    tags.append(make("span", { class: "oml-tag", style, text: box.text }));
  }
  return [layer, tags];
}

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
