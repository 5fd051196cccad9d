/** What a view has in common with all others: its place in the page, its keys, its messages, its end. */
class Link {
  constructor(model, el, name) {
    this.model = model;
    this.gone = new AbortController();
    this.handlers = new Map();
    this.name = Math.random().toString(36).slice(2); // several views of one model each have their own questions
    this.asked = 0;
    this.urls = new Set();
    // Without the attribute JupyterLab takes keys for itself: x would cut the cell.
    this.root = make("div", { class: `oml oml-${name}`, role: "group", tabindex: "0", "data-lm-suppress-shortcuts": "true" });
    this.home = this.root; // where keys are heard
    this.alert = make("div", { class: "oml-alert", role: "alert", hidden: true });
    this.question = make("div", { class: "oml-question", role: "alertdialog", hidden: true });
    this.root.append(this.alert, this.question);
    // What the notebook keeps of this view is out of sight while the view itself is here.
    const id = model.get("view_id");
    el.append(make("style", { text: `#${id}, .jp-OutputArea-child:has(> * > #${id}) { display: none !important; }` }));
    el.append(this.root);
    this.heard = (content, buffers) => {
      if (content.from === this.name || (content.to && content.to !== this.name)) return;
      clearTimeout(this.patience);
      if (this.quiet) this.say("");
      this.guarded(() => this.handlers.get(content.kind)?.(content, buffers ?? []));
    };
    model.on("msg:custom", this.heard);
    this.on("error", (content) => this.say(content.text));
    this.listen(this.root, "keydown", (event) => this.key(event));
    this.listen(this.root, "click", (event) => this.clicked(event));
    this.watchKernel();
  }

  on(kind, handler) {
    this.handlers.set(kind, handler);
  }

  /** Ask the kernel; returns the number that its answer carries. */
  ask(kind, facts = {}, buffers = undefined) {
    this.asked += 1;
    const number = `${this.name}-${this.asked}`;
    if (this.dead) {
      if (kind !== "rest" && kind !== "warm") this.tellLost();
      return number;
    }
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
    target.addEventListener(event, (told) => this.guarded(() => handler(told)), { signal: this.gone.signal, ...options });
  }

  // ---- the focus ----

  /** Hear keys at a part of the view from now on, which has a name and a role of its own. */
  setHome(node) {
    this.home = node;
    node.setAttribute("tabindex", "0");
    this.root.setAttribute("tabindex", "-1");
  }

  focus() {
    this.home.focus({ preventScroll: true });
  }

  /** Do something; should it take away what had the focus, the view has it. */
  guarded(run) {
    const had = this.root.contains(document.activeElement);
    run();
    if (had && this.isAdrift()) this.focus();
  }

  isAdrift() {
    const at = document.activeElement;
    return !this.root.contains(at) || Boolean(at.disabled) || at.checkVisibility?.() === false;
  }

  /** Give the focus back after a button was pressed with a mouse, so that the next key is the view's. */
  clicked(event) {
    const button = event.target.closest?.("button");
    if (button && event.detail > 0 && !this.question.contains(document.activeElement)) this.focus();
  }

  /** Point out which of its parts the home is at, for those who do not see it. */
  point(node) {
    if (node) {
      node.id ||= `${this.name}-${(this.pointed = (this.pointed ?? 0) + 1)}`;
      this.home.setAttribute("aria-activedescendant", node.id);
    } else this.home.removeAttribute("aria-activedescendant");
  }

  // ---- keys ----

  /** The keys of a view, told when "?" is pressed: pairs of keys and what they do. */
  explain(rows) {
    const lines = [...rows, ["?", "show or hide these keys"]];
    const cells = lines.map(([keys, text]) => make("tr", {}, make("th", { scope: "row" }, make("kbd", { text: keys })), make("td", { text })));
    this.help = make("details", { class: "oml-help" }, make("summary", { text: "keys (?)" }), make("table", {}, make("tbody", {}, cells)));
    this.root.append(this.help);
  }

  key(event) {
    event.stopPropagation();
    if (event.key !== "?" || isTyping(event) || !this.help) return;
    event.preventDefault();
    this.help.open = !this.help.open;
    if (this.help.open) this.help.scrollIntoView({ block: "nearest" });
  }

  // ---- what is told ----

  named(text) {
    this.root.setAttribute("aria-label", text);
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

  /** Ask a person: each answer is a button with what it does; Escape does nothing. */
  askPerson(text, answers) {
    const close = () => {
      this.question.hidden = true;
      this.question.replaceChildren();
      this.focus();
    };
    const id = `${this.name}-question`;
    const buttons = answers.map(([answer, act]) => make("button", { text: answer, onclick: () => {
      close();
      act?.();
    } }));
    this.question.replaceChildren(make("div", { id, text }), make("div", { class: "oml-row" }, buttons));
    this.question.setAttribute("aria-labelledby", id);
    this.question.onkeydown = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    };
    this.question.hidden = false;
    buttons[0].focus({ preventScroll: true });
    this.question.scrollIntoView({ block: "nearest" });
  }

  picture(buffer) {
    const url = URL.createObjectURL(new Blob([buffer]));
    this.urls.add(url);
    return url;
  }

  forget(url) {
    if (this.urls.delete(url)) URL.revokeObjectURL(url);
  }

  // ---- the end of the kernel ----

  /** Notice at once that the kernel was restarted or has died: its widgets are gone then. */
  watchKernel() {
    this.ended = () => this.lose();
    this.model.on("comm_live_update", this.ended);
    const kernel = this.model.widget_manager?.kernel; // of JupyterLab and Notebook
    const states = ["restarting", "autorestarting", "terminating", "dead"];
    this.stateOf = (_, state) => states.includes(state) && this.lose();
    this.states = kernel?.statusChanged;
    this.states?.connect?.(this.stateOf);
  }

  lose() {
    if (this.dead) return;
    this.dead = true;
    clearTimeout(this.patience);
    clearTimeout(this.resting);
    this.root.dataset.kernel = "ended";
    globalThis.onlinemlViews?.delete(this.name);
    this.tellLost();
  }

  tellLost() {
    const kept = this.unsaved?.() ?? "";
    this.say(`The kernel was restarted or has ended, and this view with it: run the cell again. ${kept}`.trim());
  }

  close() {
    this.gone.abort();
    clearTimeout(this.resting);
    clearTimeout(this.patience);
    this.model.off("msg:custom", this.heard);
    this.model.off("comm_live_update", this.ended);
    this.states?.disconnect?.(this.stateOf);
    for (const url of [...this.urls]) this.forget(url);
  }
}

