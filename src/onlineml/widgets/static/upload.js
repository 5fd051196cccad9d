// Files are sent in pieces, each after the one before has arrived; small ones together in one message.

const PIECE = 1 << 20; // a notebook server takes messages of 10 MB
const TOGETHER = 32;
const TOGETHER_BYTES = 4 << 20;

class Uploader {
  constructor(model, el) {
    this.link = new Link(model, el, "upload");
    this.queue = [];
    this.files = new Map();
    this.next = 0;
    this.build();
    const { link } = this;
    link.on("begin", (told) => this.begin(told));
    link.on("got", (told) => this.got(told));
    link.on("stored", (told) => this.mark(told.file, `${many(told.images, "image")} stored …`));
    link.on("done", (told) => this.done(told));
    link.on("total", (told) => this.total(told));
    link.on("folders", (told) => this.askFolders(told));
    link.on("error", (told) => this.failed(told));
    link.unsaved = () => this.keep();
    link.ask("hello");
  }

  build() {
    const { link } = this;
    this.title = make("span", { class: "oml-title" });
    this.sum = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.labels = make("datalist", { id: `${link.name}-labels` });
    this.label = make("input", { class: "oml-find", list: `${link.name}-labels`, placeholder: "class, or none yet", "aria-label": "class" });
    const meanings = [["", "ask"], ["yes", "are classes"], ["no", "mean nothing"]];
    this.folders = make("select", { "aria-label": "folders of archives" }, meanings.map(([value, text]) => make("option", { value, text })));
    this.every = make("input", { type: "number", min: "0.05", step: "0.05", value: "0.5", class: "oml-page", "aria-label": "seconds between frames" });
    this.labelled = make("span", { class: "oml-row oml-apart" }, make("label", { class: "oml-check", text: "class " }, this.label, this.labels),
      make("label", { class: "oml-check" }, "folders of archives ", this.folders));
    this.picker = make("input", { type: "file", multiple: true, hidden: true, "aria-label": "files" });
    this.path = make("input", { class: "oml-path", placeholder: "path or URL of a file or folder, such as s3://lab/photos.zip", "aria-label": "path or URL" });
    this.zone = make("div", { class: "oml-zone" },
      make("button", { text: "Choose files", onclick: () => this.picker.click() }),
      make("span", { class: "oml-muted", text: "or drop images, zip archives and videos here" }));
    this.list = make("div", { class: "oml-files", role: "log", "aria-label": "files" });
    link.root.append(
      make("div", { class: "oml-row" }, this.title, make("span", { class: "oml-space" }), this.sum),
      make("div", { class: "oml-row oml-apart" }, this.labelled, make("label", { class: "oml-check", text: "video frames every " }, this.every, "s")),
      this.zone, this.picker,
      make("div", { class: "oml-row" }, make("span", { class: "oml-muted", text: "large files, by a path or URL that the kernel can read:" }),
        this.path, make("button", { text: "Take it", onclick: () => this.takePath() })),
      this.list);
    link.explain([["Tab", "move between the fields and buttons"], ["Enter", "take the path or URL that was typed"]]);
    link.listen(this.picker, "change", () => {
      this.add([...this.picker.files]);
      this.picker.value = "";
    });
    link.listen(this.path, "keydown", (event) => event.key === "Enter" && this.takePath());
    for (const kind of ["dragenter", "dragover"]) {
      link.listen(this.zone, kind, (event) => {
        event.preventDefault();
        event.stopPropagation();
        this.zone.classList.add("oml-over");
      });
    }
    link.listen(this.zone, "dragleave", () => this.zone.classList.remove("oml-over"));
    link.listen(this.zone, "drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.zone.classList.remove("oml-over");
      this.add([...event.dataTransfer.files]);
    });
  }

  begin(told) {
    this.most = told.max_bytes;
    this.title.textContent = `Upload to ${told.title}`;
    this.link.named(`upload to ${told.title}`);
    this.offer(told.project);
    this.labelled.hidden = !told.labelled;
    if (told.label) this.label.value = told.label;
    this.total(told);
  }

  total(told) {
    this.sum.textContent = `${many(told.added, "image")} uploaded here`;
    this.link.root.dataset.added = told.added;
    this.labels.replaceChildren(...told.classes.map((value) => make("option", { value })));
    this.link.rest();
  }

  /** How things are to be stored, as it is said when they are added. */
  options() {
    const said = { "": null, yes: true, no: false }[this.folders.value];
    return { label: this.label.value.trim(), from_folders: said, every_s: Number(this.every.value) };
  }

  /** Ask whether the folders of an archive are classes; other files go on meanwhile. */
  askFolders({ file, folders }) {
    const entry = this.files.get(file);
    if (!entry) return;
    this.now = this.now?.filter((one) => one !== entry);
    const named = folders.slice(0, 12).map(({ name, n, known }) => `${name} (${count(n)}${known ? "" : ", a new class"})`);
    const more = folders.length > 12 ? ` and ${count(folders.length - 12)} more` : "";
    entry.state.textContent = `has ${many(folders.length, "folder")}: ${named.join(", ")}${more}. What do they mean?`;
    entry.node.dataset.state = "asks";
    const { label } = entry.options;
    const answers = make("span", { class: "oml-row" },
      make("button", { text: "They are the classes", onclick: () => this.decide(entry, answers, true) }),
      make("button", { text: `Nothing: ${label ? `all are ${label}` : "no class yet"}`, onclick: () => this.decide(entry, answers, false) }));
    entry.node.append(answers);
    this.settle();
  }

  decide(entry, answers, areClasses) {
    answers.remove();
    delete entry.node.dataset.state;
    entry.state.textContent = "waits";
    this.queue.push(Object.assign(entry, { decided: true, options: { ...entry.options, from_folders: areClasses } }));
    this.pump();
  }

  // ---- files that were not stored when the kernel ended ----

  /** Keep them in the page for the view that comes after, and tell how many there are. */
  keep() {
    const left = [...this.files.values()].filter((one) => !one.finished);
    globalThis.onlinemlFiles ??= new Map();
    if (left.length) globalThis.onlinemlFiles.set(this.project, left.map(({ name, size, file, url, options }) => ({ name, size, file, url, options })));
    return left.length ? `${many(left.length, "file")} not stored yet: the next view of this project will ask about them.` : "";
  }

  offer(project) {
    this.project = project;
    const left = globalThis.onlinemlFiles?.get(project);
    if (!left) return;
    globalThis.onlinemlFiles.delete(project);
    const upload = () => {
      for (const one of left) this.queue.push(Object.assign(this.line(one.name, one.size), one));
      this.pump();
    };
    this.link.askPerson(`${many(left.length, "file")} could not be stored when the kernel ended.`, [["Upload them", upload], ["Forget", null]]);
  }

  line(name, size) {
    this.next += 1;
    const id = `${this.link.name}-${this.next}`;
    const bar = make("progress", { class: "oml-progress", value: 0, max: Math.max(1, size), "aria-label": name });
    const state = make("span", { class: "oml-muted", text: "waits" });
    const node = make("div", { class: "oml-file", "data-name": name }, make("span", { class: "oml-filename", text: name, title: name }), bar, state);
    this.list.prepend(node);
    const entry = { id, name, size, bar, state, node };
    this.files.set(id, entry);
    return entry;
  }

  add(files) {
    for (const file of files) {
      const entry = this.line(file.name, file.size);
      if (file.size > this.most) {
        this.finish(entry, `too large for the browser (${count(file.size)} bytes): copy it to storage, and give its path or URL above`, true);
        this.path.focus();
        continue;
      }
      this.queue.push(Object.assign(entry, { file, options: this.options() }));
    }
    this.pump();
  }

  takePath() {
    const url = this.path.value.trim();
    if (!url) return;
    const entry = this.line(url, 1);
    this.path.value = "";
    this.queue.push(Object.assign(entry, { url, options: this.options() }));
    this.pump();
  }

  /** Send what comes next, one thing at a time. */
  async pump() {
    if (this.now?.length || !this.queue.length) return;
    const first = this.queue[0];
    if (first.decided) {
      this.now = [this.queue.shift()];
      first.state.textContent = "is stored …";
      first.number = this.link.ask("folders", { file: first.id, ...first.options });
    } else if (first.url) {
      this.now = [this.queue.shift()];
      first.state.textContent = "is read …";
      first.number = this.link.ask("path", { file: first.id, url: first.url, ...first.options });
    } else if (first.size <= PIECE) await this.sendTogether();
    else {
      this.now = [this.queue.shift()];
      first.number = this.link.ask("file", { file: first.id, name: first.name, size: first.size });
    }
  }

  async sendTogether() {
    const batch = [];
    let bytes = 0;
    const same = JSON.stringify(this.queue[0].options);
    while (this.queue.length && batch.length < TOGETHER) {
      const one = this.queue[0];
      if (one.url || one.decided || one.size > PIECE || bytes + one.size > TOGETHER_BYTES || JSON.stringify(one.options) !== same) break;
      bytes += one.size;
      batch.push(this.queue.shift());
    }
    this.now = batch;
    try {
      const buffers = await Promise.all(batch.map((one) => one.file.arrayBuffer()));
      const number = this.link.ask("several", { files: batch.map((one) => one.id), names: batch.map((one) => one.name), ...batch[0].options }, buffers);
      for (const one of batch) Object.assign(one, { number }).state.textContent = "is stored …";
    } catch (error) {
      for (const one of batch) this.finish(one, `cannot be read: ${error.message}`, true);
      this.settle();
    }
  }

  async got(told) {
    const entry = this.files.get(told.file);
    if (!entry?.file || !this.now?.includes(entry)) return;
    entry.bar.value = told.received;
    if (told.received >= entry.size) {
      entry.state.textContent = "is stored …";
      entry.number = this.link.ask("end", { file: entry.id, ...entry.options });
      return;
    }
    entry.state.textContent = `${Math.round((100 * told.received) / entry.size)} %`;
    try {
      const piece = await entry.file.slice(told.received, told.received + PIECE).arrayBuffer();
      entry.number = this.link.ask("piece", { file: entry.id, offset: told.received }, [piece]);
    } catch (error) {
      this.link.ask("drop", { file: entry.id });
      this.finish(entry, `cannot be read: ${error.message}`, true);
      this.settle();
    }
  }

  mark(id, text) {
    const entry = this.files.get(id);
    if (entry && this.now?.length === 1) entry.state.textContent = text;
  }

  done(told) {
    const entry = this.files.get(told.file);
    if (!entry) return;
    const parts = [];
    if (told.images) parts.push(many(told.images, "image"));
    if (told.n_refused) parts.push(`${count(told.n_refused)} refused`);
    this.finish(entry, parts.join(", ") || "nothing in it", told.n_refused > 0 && !told.images, told.refused);
    this.settle();
  }

  failed(told) {
    this.link.say("");
    const hit = (this.now ?? []).filter((one) => one.number === told.of);
    if (!hit.length) this.link.say(told.text);
    for (const one of hit) this.finish(one, told.text, true);
    this.settle();
  }

  finish(entry, text, bad, refused = []) {
    entry.finished = true;
    entry.bar.hidden = true;
    entry.state.textContent = text;
    entry.state.className = bad ? "oml-bad" : "oml-good";
    entry.node.dataset.state = bad ? "refused" : "added";
    if (refused.length === 1 && refused[0][0] === entry.name) entry.state.textContent = refused[0][1];
    else if (refused.length) {
      entry.node.append(make("details", {}, make("summary", { text: "refused files" }),
        make("ul", {}, refused.map(([name, why]) => make("li", { text: `${name}: ${why}` })))));
    }
  }

  settle() {
    if (this.now?.some((one) => !one.finished)) return;
    this.now = null;
    this.pump();
  }
}

export default {
  render({ model, el }) {
    const uploader = new Uploader(model, el);
    return () => uploader.link.close();
  },
};
