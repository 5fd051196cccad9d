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
