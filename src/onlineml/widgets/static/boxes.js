// Boxes on an image: drawn, moved, resized, deleted, relabelled; suggestions accepted or corrected.
// Everything is kept in pixels of the original; the screen is that times a scale, plus a shift.

const HANDLES = [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]];
const CURSORS = ["nwse", "ns", "nesw", "ew", "nwse", "ns", "nesw", "ew"];
const LEAST_DRAG = 3; // pixels of the screen; less is a click
const HELP = `Draw: drag on the image. Select: click a box, or Tab. Move: drag inside the selected box, or arrows (Shift: 10 px;
Alt: its lower right corner). Relabel: the class's key. Delete: Delete. Undo: Ctrl+Z, redo: Ctrl+Shift+Z.
Enter: save and go on. Page Down, Page Up: the same, forwards and back. Space: skip. Zoom: + and -, Ctrl+wheel; 0: whole image; drag with the
middle button, or with Shift, to move the view. Dashed boxes are suggestions: what you see when you go on is saved.`;

class BoxEditor {
  constructor(model, el) {
    this.link = new Link(model, el, "editor");
    this.boxes = [];
    this.selected = -1;
    this.past = [];
    this.future = [];
    this.classes = new ClassBar(this.link, (name) => this.choose(name));
    this.build();
    const { link } = this;
    link.on("classes", (told) => this.classes.show(told.classes));
    link.on("begin", (told) => this.begin(told));
    link.on("image", (told, buffers) => this.showImage(told, buffers));
    link.on("detail", (told, buffers) => this.showDetail(told, buffers));
    link.on("saved", (told) => this.saved(told));
    link.on("undone", (told) => this.undone(told));
    link.on("error", (told) => {
      link.say(told.text);
      this.leaving = null;
      this.saving = false;
      if (told.of === this.loading) this.loading = null;
    });
    link.listen(link.root, "keydown", (event) => this.key(event));
    link.listen(document, "visibilitychange", () => document.hidden && this.save());
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(this.stage);
    link.ask("hello");
  }

  build() {
    const button = (text, title, onclick) => make("button", { text, title, onclick });
    this.where = make("span", { class: "oml-muted" });
    this.status = make("span", { class: "oml-state" });
    this.sayings = make("span", { class: "oml-muted", "aria-live": "polite" });
    this.go = button("Save & next ⏎", "save the boxes as shown and continue (Enter)", () => this.leave(1, true));
    const bar = make("div", { class: "oml-row" },
      button("‹", "previous image (Page Up)", () => this.leave(-1)),
      this.where,
      button("›", "next image (Page Down)", () => this.leave(1)),
      this.go,
      button("Skip ␣", "skip (Space)", () => this.skip()),
      button("Undo", "undo the last change, or the last saved image (Ctrl+Z)", () => this.undo()),
      make("span", { class: "oml-space" }),
      this.status,
      button("−", "zoom out (-)", () => this.zoom(1 / 1.5)),
      button("whole", "the whole image (0)", () => this.fit(true)),
      button("+", "zoom in (+)", () => this.zoom(1.5)));
    this.stage = make("svg:svg", { class: "oml-stage" });
    this.layers = ["picture", "detail", "boxes", "handles"].map(() => make("svg:g"));
    this.stage.append(...this.layers);
    this.tags = make("div", { class: "oml-tags" });
    const frame = make("div", { class: "oml-canvas" }, this.stage, this.tags);
    this.frame = frame;
    const { link } = this;
    link.root.append(bar, this.classes.node, frame, make("div", { class: "oml-row" }, this.sayings),
      make("details", {}, make("summary", { text: "keys" }), make("div", { class: "oml-muted", text: HELP })));
    link.listen(this.stage, "pointerdown", (event) => this.down(event));
    link.listen(this.stage, "pointermove", (event) => this.move(event));
    link.listen(this.stage, "pointerup", (event) => this.up(event));
    link.listen(this.stage, "pointercancel", () => this.cancel());
    link.listen(this.stage, "wheel", (event) => this.wheel(event), { passive: false });
    link.listen(this.stage, "contextmenu", (event) => event.preventDefault());
  }

  // ---- images ----

  begin(told) {
    this.n = told.n;
    this.answered = told.answered;
    if (told.n) this.load(told.place);
    else this.where.textContent = "no image is open";
  }

  load(place) {
    if (place < 0 || place >= this.n) {
      this.sayings.textContent = place < 0 ? "this is the first image" : "that was the last image";
      return;
    }
    this.place = place;
    this.loading = this.link.ask("load", { place });
    this.frame.setAttribute("aria-busy", "true");
  }

  showImage(told, buffers) {
    if (told.of !== this.loading) return;
    this.loading = null;
    this.link.say(told.error ? `This image cannot be shown: ${told.error}` : "");
    this.frame.setAttribute("aria-busy", "false");
    this.image = told;
    this.boxes = told.boxes.map((box) => ({ ...box, xyxy: [...box.xyxy] }));
    this.selected = -1;
    this.past = [];
    this.future = [];
    this.changed = false;
    for (const url of [this.url, this.detailUrl]) if (url) this.link.forget(url);
    this.detailUrl = null;
    this.url = told.error ? null : this.link.picture(buffers[0]);
    this.picture = make("svg:image", { href: this.url, preserveAspectRatio: "none" });
    this.layers[0].replaceChildren(...(this.url ? [this.picture] : []));
    this.layers[1].replaceChildren();
    this.link.root.dataset.image = told.id;
    this.tellPlace();
    this.fit(true);
    this.link.rest();
  }

  tellPlace() {
    this.link.root.dataset.answered = this.answered;
    const guesses = this.boxes.filter((box) => box.guess !== undefined).length;
    this.where.textContent = `${count(this.place + 1)} of ${count(this.n)}`;
    const parts = [this.image.state];
    if (guesses) parts.push(`${guesses} suggested`);
    if (this.changed) parts.push("changed");
    this.status.textContent = parts.join(", ");
    this.status.classList.toggle("oml-warm", this.image.state === "in conflict");
    this.tellSelected();
  }

  tellSelected() {
    const box = this.boxes[this.selected];
    const short = (value) => Number(value.toFixed(2));
    const told = box
      ? `${box.label || "(no class)"}${box.score === undefined ? "" : ` ${box.score.toFixed(2)}`}: ` +
        `${box.xyxy.slice(0, 2).map(short).join(", ")} – ${box.xyxy.slice(2).map(short).join(", ")} ` +
        `(${short(box.xyxy[2] - box.xyxy[0])} × ${short(box.xyxy[3] - box.xyxy[1])} px)`
      : `${many(this.boxes.length, "box", "boxes")}; ${many(this.answered, "image")} answered here`;
    this.sayings.textContent = told;
  }

  // ---- the view ----

  fit(whole = false) {
    if (!this.image) return;
    const [height, width] = this.image.size;
    const room = this.frame.clientWidth;
    if (!width || !room) return;
    const tall = Math.min(Math.max(room * height / width, 240), 640, Math.max(320, window.innerHeight * 0.68));
    this.stage.style.height = `${tall}px`;
    const all = Math.min((room - 16) / width, (tall - 16) / height);
    if (whole || !this.scale || this.scale <= this.least) {
      this.scale = all;
      this.x = (room - width * all) / 2;
      this.y = (tall - height * all) / 2;
    }
    this.least = all;
    this.draw();
  }

  zoom(factor, at = null) {
    if (!this.image) return;
    const box = this.stage.getBoundingClientRect();
    const [px, py] = at ?? [box.width / 2, box.height / 2];
    const most = Math.max(48, this.least);
    const scale = Math.min(most, Math.max(this.least, this.scale * factor));
    if (scale === this.least) {
      this.fit(true);
      return;
    }
    this.x = px - ((px - this.x) * scale) / this.scale;
    this.y = py - ((py - this.y) * scale) / this.scale;
    this.scale = scale;
    this.draw();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    const box = this.stage.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY / 300), [event.clientX - box.left, event.clientY - box.top]);
  }

  toScreen([x, y]) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  toImage(event) {
    const box = this.stage.getBoundingClientRect();
    return [(event.clientX - box.left - this.x) / this.scale, (event.clientY - box.top - this.y) / this.scale];
  }

  /** Ask for a finer picture of what is seen, where the one at hand is coarser than the screen. */
  refine() {
    clearTimeout(this.refining);
    if (!this.url) return;
    this.refining = setTimeout(() => {
      const [height, width] = this.image.size;
      const fine = this.scale * window.devicePixelRatio;
      if (fine <= 1600 / Math.max(height, width) || Math.max(height, width) <= 1600) return;
      const box = this.stage.getBoundingClientRect();
      const [x1, y1] = [-this.x / this.scale, -this.y / this.scale];
      const region = [x1, y1, x1 + box.width / this.scale, y1 + box.height / this.scale];
      const px = [box.width * window.devicePixelRatio, box.height * window.devicePixelRatio];
      this.link.ask("detail", { id: this.image.id, region, px_wh: px });
    }, 250);
  }

  showDetail(told, buffers) {
    if (told.id !== this.image?.id) return;
    if (this.detailUrl) this.link.forget(this.detailUrl);
    this.detailUrl = this.link.picture(buffers[0]);
    this.detail = { node: make("svg:image", { href: this.detailUrl, preserveAspectRatio: "none" }), region: told.region };
    this.layers[1].replaceChildren(this.detail.node);
    this.draw();
  }

  draw() {
    const put = (node, [x1, y1, x2, y2]) => {
      const [left, top] = this.toScreen([x1, y1]);
      node.setAttribute("x", left);
      node.setAttribute("y", top);
      node.setAttribute("width", Math.max(0, (x2 - x1) * this.scale));
      node.setAttribute("height", Math.max(0, (y2 - y1) * this.scale));
      return node;
    };
    const [height, width] = this.image.size;
    const crisp = this.scale >= 4 ? "pixelated" : "auto";
    if (this.url) {
      put(this.picture, [0, 0, width, height]).style.imageRendering = crisp;
      if (this.layers[1].firstChild) put(this.detail.node, this.detail.region).style.imageRendering = crisp;
    }
    const shapes = [];
    const tags = [];
    this.boxes.forEach((box, place) => {
      const color = this.classes.color(box.label);
      const chosen = place === this.selected;
      const dashed = box.guess !== undefined ? "oml-dashed" : "";
      shapes.push(put(make("svg:rect", { class: "oml-rim" }), box.xyxy));
      const line = make("svg:rect", { class: `oml-line ${dashed}`, style: `stroke:${color}`, "data-box": place });
      if (chosen) line.setAttribute("style", `stroke:${color};stroke-width:3px;fill:${color}22`);
      shapes.push(put(line, box.xyxy));
      const [left, top] = this.toScreen(box.xyxy);
      const score = box.score === undefined ? "" : ` ${box.score.toFixed(2)}`;
      const style = `left:${left}px;top:${top - 17 < 0 ? top : top - 17}px;background:${color}`;
      tags.push(make("span", { class: `oml-tag ${chosen ? "oml-chosen" : ""}`, style, text: (box.label || "(no class)") + score }));
    });
    this.layers[2].replaceChildren(...shapes);
    this.tags.replaceChildren(...tags);
    this.layers[3].replaceChildren(...this.handles());
    this.refine();
  }

  handles() {
    const box = this.boxes[this.selected];
    if (!box) return [];
    const [x1, y1, x2, y2] = box.xyxy;
    return HANDLES.map(([u, v], place) => {
      const [x, y] = this.toScreen([x1 + u * (x2 - x1), y1 + v * (y2 - y1)]);
      return make("svg:rect", { x: x - 5, y: y - 5, width: 10, height: 10, class: "oml-handle", "data-handle": place,
        style: `cursor:${CURSORS[place]}-resize` });
    });
  }

  // ---- the mouse ----

  down(event) {
    if (!this.image || this.loading) return;
    this.link.root.focus({ preventScroll: true });
    event.preventDefault();
    this.stage.setPointerCapture(event.pointerId);
    const start = [event.clientX, event.clientY];
    const from = this.toImage(event);
    if (event.button === 1 || event.button === 2 || event.shiftKey) {
      this.drag = { kind: "pan", start, x: this.x, y: this.y };
      return;
    }
    const handle = event.target.dataset?.handle;
    const border = event.target.dataset?.box;
    if (handle !== undefined) this.drag = { kind: "resize", handle: HANDLES[Number(handle)], box: this.selected };
    else if (border !== undefined && Number(border) !== this.selected) {
      this.select(Number(border));
      this.drag = { kind: "move", box: this.selected };
    } else if (this.selected >= 0 && inside(this.boxes[this.selected].xyxy, from)) {
      this.drag = { kind: "move", box: this.selected };
    } else this.drag = { kind: "new" };
    Object.assign(this.drag, { start, from, before: this.snapshot(), xyxy: [...(this.boxes[this.drag.box]?.xyxy ?? [])] });
  }

  move(event) {
    const { drag } = this;
    if (!drag) return;
    const far = Math.hypot(event.clientX - drag.start[0], event.clientY - drag.start[1]) >= LEAST_DRAG;
    if (!drag.moved && !far) return;
    drag.moved = true;
    if (drag.kind === "pan") {
      this.x = drag.x + event.clientX - drag.start[0];
      this.y = drag.y + event.clientY - drag.start[1];
    } else this.dragTo(drag, this.toImage(event));
    this.draw();
    this.tellSelected();
  }

  dragTo(drag, to) {
    const [height, width] = this.image.size;
    if (drag.kind === "new") {
      const a = snapped(drag.from, width, height);
      const b = snapped(to, width, height);
      const xyxy = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
      if (drag.box === undefined) {
        drag.box = this.boxes.push({ xyxy, label: this.classes.current ?? "", changed: true }) - 1;
        this.selected = drag.box;
      }
      this.boxes[drag.box].xyxy = xyxy;
      return;
    }
    const box = this.boxes[drag.box];
    if (drag.kind === "move") {
      const dx = Math.round(to[0] - drag.from[0]);
      const dy = Math.round(to[1] - drag.from[1]);
      box.xyxy = shifted(drag.xyxy, dx, dy, width, height);
    } else box.xyxy = stretched(drag.xyxy, drag.handle, snapped(to, width, height));
  }

  up(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.kind === "pan") return;
    if (!drag.moved) {
      if (drag.kind === "new" || drag.kind === "move") this.select(smallestAt(this.boxes, this.toImage(event), this.selected));
      return;
    }
    const box = this.boxes[drag.box];
    if (!box || box.xyxy[2] - box.xyxy[0] < 1 || box.xyxy[3] - box.xyxy[1] < 1) {
      this.restore(drag.before); // nothing that has an area
      return;
    }
    if (String(box.xyxy) !== String(drag.xyxy)) this.touch(box, drag.before);
    this.draw();
  }

  cancel() {
    if (this.drag?.before) this.restore(this.drag.before);
    this.drag = null;
  }

  // ---- changes ----

  snapshot() {
    return { boxes: this.boxes.map((box) => ({ ...box, xyxy: [...box.xyxy] })), selected: this.selected, changed: this.changed };
  }

  restore(snapshot) {
    Object.assign(this, { boxes: snapshot.boxes.map((box) => ({ ...box, xyxy: [...box.xyxy] })),
      selected: snapshot.selected, changed: snapshot.changed });
    this.draw();
    this.tellPlace();
  }

  /** Note that a person has changed a box, or which boxes there are. */
  touch(box, before) {
    this.past.push(before);
    this.future = [];
    this.changed = true;
    if (box) {
      delete box.guess;
      delete box.score;
      box.changed = true;
    }
    this.tellPlace();
  }

  select(place) {
    this.selected = place;
    this.draw();
    this.tellSelected();
  }

  choose(name) {
    this.classes.setCurrent(name);
    const box = this.boxes[this.selected];
    if (!box || box.label === name) return;
    const before = this.snapshot();
    box.label = name;
    this.touch(box, before);
    this.draw();
  }

  remove() {
    if (!this.boxes[this.selected]) return;
    const before = this.snapshot();
    this.boxes.splice(this.selected, 1);
    this.selected = -1;
    this.touch(null, before);
    this.draw();
  }

  nudge(dx, dy, corner) {
    const box = this.boxes[this.selected];
    const [height, width] = this.image.size;
    const before = this.snapshot();
    const [x1, y1, x2, y2] = box.xyxy;
    box.xyxy = corner
      ? [x1, y1, Math.min(width, Math.max(x1 + 1, x2 + dx)), Math.min(height, Math.max(y1 + 1, y2 + dy))]
      : shifted(box.xyxy, dx, dy, width, height);
    if (String(box.xyxy) === String(before.boxes[this.selected].xyxy)) return;
    this.touch(box, before);
    this.draw();
  }

  undo() {
    if (this.past.length) {
      this.future.push(this.snapshot());
      this.restore(this.past.pop());
    } else this.link.ask("undo");
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.snapshot());
    this.restore(this.future.pop());
  }

  undone(told) {
    this.answered = told.answered;
    if (told.place === null) this.sayings.textContent = "nothing to undo";
    else this.load(told.place);
  }

  // ---- written ----

  save(wanted = false) {
    if (!this.image || this.saving || this.loading || !(this.changed || wanted)) return;
    this.sayings.textContent = "saving …";
    const boxes = this.boxes.map(({ xyxy, label }) => ({ xyxy, label }));
    this.saving = true;
    this.link.say("");
    this.link.ask("save", { id: this.image.id, boxes, base: this.image.base });
  }

  /** Go to another image; what was changed is saved first, and what is seen where that is asked for. */
  leave(step, wanted = false) {
    if (!this.image || this.saving) return;
    if (!wanted && !this.changed) {
      this.load(this.place + step);
      return;
    }
    if (this.boxes.some((box) => !box.label)) {
      this.link.say("Each box needs a class: select the one without, and press the key of its class.");
      return;
    }
    this.leaving = step;
    this.save(wanted);
  }

  skip() {
    if (!this.image || this.saving) return;
    this.leaving = 1;
    this.saving = true;
    this.link.ask("skip", { id: this.image.id });
  }

  saved(told) {
    this.saving = false;
    this.answered = told.answered;
    if (told.id !== this.image?.id) return;
    this.changed = false;
    this.image.base = told.base;
    if (told.what === "saved") this.settle();
    const step = this.leaving;
    this.leaving = null;
    if (step && this.place + step < this.n && this.place + step >= 0) this.load(this.place + step);
    else {
      this.tellPlace();
      this.sayings.textContent = step ? `${told.what}; that was the last image` : told.what;
      this.link.rest();
    }
  }

  /** What is seen is now what the image has: nothing of it is a suggestion any more. */
  settle() {
    this.image.state = "annotated";
    for (const box of this.boxes) {
      delete box.guess;
      delete box.score;
    }
    this.draw();
  }

  // ---- keys ----

  key(event) {
    if (isTyping(event)) return;
    if (this.press(event)) event.preventDefault();
  }

  press(event) {
    const ctrl = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    if (ctrl && letter === "z" && !event.shiftKey) this.undo();
    else if (ctrl && (letter === "y" || letter === "z")) this.redo();
    else if (ctrl) return false;
    else if (event.key === "Enter") {
      if (event.target.closest("button, summary")) return false; // that is pressed
      this.leave(1, true);
    } else if (event.key === "PageDown") this.leave(1);
    else if (event.key === "PageUp") this.leave(-1);
    else if (event.key === " ") {
      if (event.target.closest("button, summary")) return false;
      this.skip();
    } else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else if (event.key === "Escape") {
      if (this.drag) this.cancel();
      else this.select(-1);
    } else if (event.key === "Tab" && event.target === this.link.root && this.boxes.length) {
      const last = this.boxes.length - 1;
      const next = this.selected + (event.shiftKey ? -1 : 1);
      if (next > last || next < (event.shiftKey ? 0 : -1)) return false; // out of the editor
      this.select(next);
    } else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.fit(true);
    else if (event.key.startsWith("Arrow")) return this.arrow(event);
    else return this.classes.key(event.key);
    return true;
  }

  arrow(event) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (this.selected >= 0) {
      const far = event.shiftKey ? 10 : 1;
      this.nudge(dx * far, dy * far, event.altKey);
    } else if (dx) this.leave(dx);
    else return false;
    return true;
  }

  close() {
    this.save();
    this.watcher.disconnect();
    clearTimeout(this.refining);
    this.link.close();
  }
}

/** The nearest corner between pixels, within the image. */
function snapped([x, y], width, height) {
  return [Math.min(width, Math.max(0, Math.round(x))), Math.min(height, Math.max(0, Math.round(y)))];
}

function shifted([x1, y1, x2, y2], dx, dy, width, height) {
  const right = dx > 0 ? Math.max(0, Math.min(dx, width - x2)) : Math.min(0, Math.max(dx, -x1));
  const down = dy > 0 ? Math.max(0, Math.min(dy, height - y2)) : Math.min(0, Math.max(dy, -y1));
  return [x1 + right, y1 + down, x2 + right, y2 + down];
}

/** The box with the sides that a handle holds at another place; a side that is drawn over the other changes roles. */
function stretched([x1, y1, x2, y2], [u, v], [x, y]) {
  if (u === 0) x1 = x;
  if (u === 1) x2 = x;
  if (v === 0) y1 = y;
  if (v === 1) y2 = y;
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

function inside([x1, y1, x2, y2], [x, y]) {
  return x >= x1 && x <= x2 && y >= y1 && y <= y2;
}

/** The smallest box at a point, or the next larger one where that is selected already; -1 where there is none. */
function smallestAt(boxes, point, selected) {
  const area = (place) => {
    const [x1, y1, x2, y2] = boxes[place].xyxy;
    return (x2 - x1) * (y2 - y1);
  };
  const hit = boxes.map((_, place) => place).filter((place) => inside(boxes[place].xyxy, point));
  hit.sort((a, b) => area(a) - area(b));
  if (!hit.length) return -1;
  return hit[(hit.indexOf(selected) + 1) % hit.length];
}

export default {
  render({ model, el }) {
    const editor = new BoxEditor(model, el);
    return () => editor.close();
  },
};
