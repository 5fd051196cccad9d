// The picture and its boxes on the screen: everything is in pixels of the original, times a scale, plus a shift.

const HANDLES = [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]];
const CURSORS = ["nwse", "ns", "nesw", "ew", "nwse", "ns", "nesw", "ew"];

class Canvas {
  constructor(editor) {
    this.editor = editor;
    this.link = editor.link;
    this.stage = make("svg:svg", { class: "oml-stage", role: "listbox", "aria-label": "boxes" });
    this.layers = ["picture", "detail", "boxes", "handles"].map((name) => make("svg:g", { "aria-hidden": name === "boxes" ? null : "true" }));
    this.stage.append(...this.layers);
    this.link.setHome(this.stage);
    this.tags = make("div", { class: "oml-tags", "aria-hidden": "true" });
    this.frame = make("div", { class: "oml-canvas" }, this.stage, this.tags);
    this.link.listen(this.stage, "wheel", (event) => this.wheel(event), { passive: false });
    this.link.on("detail", (told, buffers) => this.showDetail(told, buffers));
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(this.stage);
  }

  /** The picture of another image, null for none; what was asked of the one before is forgotten. */
  show(buffer) {
    for (const url of [this.url, this.detailUrl]) if (url) this.link.forget(url);
    this.detailUrl = null;
    this.url = buffer ? this.link.picture(buffer) : null;
    this.picture = make("svg:image", { href: this.url, preserveAspectRatio: "none" });
    this.layers[0].replaceChildren(...(this.url ? [this.picture] : []));
    this.layers[1].replaceChildren();
    this.fit(true);
  }

  fit(whole = false) {
    if (!this.editor.image) return;
    const [height, width] = this.editor.image.size;
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
    if (!this.editor.image) return;
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

  /** Show the whole image, should a box be out of sight. */
  reveal([x1, y1, x2, y2]) {
    const { width, height } = this.stage.getBoundingClientRect();
    const [[left, top], [right, bottom]] = [this.toScreen([x1, y1]), this.toScreen([x2, y2])];
    if (right < 0 || bottom < 0 || left > width || top > height) this.fit(true);
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
      const [height, width] = this.editor.image.size;
      const fine = this.scale * window.devicePixelRatio;
      if (fine <= 1600 / Math.max(height, width) || Math.max(height, width) <= 1600) return;
      const box = this.stage.getBoundingClientRect();
      const [x1, y1] = [-this.x / this.scale, -this.y / this.scale];
      const region = [x1, y1, x1 + box.width / this.scale, y1 + box.height / this.scale];
      const px = [box.width * window.devicePixelRatio, box.height * window.devicePixelRatio];
      this.link.ask("detail", { id: this.editor.image.id, region, px_wh: px });
    }, 250);
  }

  showDetail(told, buffers) {
    if (told.id !== this.editor.image?.id) return;
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
    const [height, width] = this.editor.image.size;
    const crisp = this.scale >= 4 ? "pixelated" : "auto";
    if (this.url) {
      put(this.picture, [0, 0, width, height]).style.imageRendering = crisp;
      if (this.layers[1].firstChild) put(this.detail.node, this.detail.region).style.imageRendering = crisp;
    }
    const shapes = [];
    const tags = [];
    this.editor.boxes.forEach((box, place) => {
      if (!this.editor.options.isShown(box)) return;
      const color = this.editor.classes.color(box.label);
      const chosen = place === this.editor.selected;
      const dashed = box.guess !== undefined ? "oml-dashed" : "";
      shapes.push(put(make("svg:rect", { class: "oml-rim" }), box.xyxy));
      const score = box.score === undefined ? "" : ` ${box.score.toFixed(2)}`;
      const text = (box.label || "(no class)") + score;
      const line = make("svg:rect", { class: `oml-line ${dashed}`, style: `stroke:${color}`, "data-box": place, role: "option",
        id: `${this.link.name}-box-${place}`, "aria-selected": String(chosen), "aria-label": `${text}${dashed ? ", suggested" : ""}` });
      if (chosen) line.setAttribute("style", `stroke:${color};stroke-width:3px;fill:${color}22`);
      shapes.push(put(line, box.xyxy));
      const [left, top] = this.toScreen(box.xyxy);
      const style = `left:${left}px;top:${top - 17 < 0 ? top : top - 17}px;background:${color}`;
      if (this.editor.options.hasLabels || chosen) tags.push(make("span", { class: `oml-tag ${chosen ? "oml-chosen" : ""}`, style, text }));
    });
    const { ghost } = this.editor.reasons;
    if (ghost) shapes.push(put(make("svg:rect", { class: "oml-line oml-ghost" }), ghost.xyxy));
    this.layers[2].replaceChildren(...shapes);
    this.link.point(this.layers[2].querySelector("[aria-selected=true]"));
    this.tags.replaceChildren(...tags);
    this.layers[3].replaceChildren(...this.handles());
    this.refine();
  }

  handles() {
    const box = this.editor.boxes[this.editor.selected];
    if (!box) return [];
    const [x1, y1, x2, y2] = box.xyxy;
    return HANDLES.map(([u, v], place) => {
      const [x, y] = this.toScreen([x1 + u * (x2 - x1), y1 + v * (y2 - y1)]);
      return make("svg:rect", { x: x - 5, y: y - 5, width: 10, height: 10, class: "oml-handle", "data-handle": place,
        style: `cursor:${CURSORS[place]}-resize` });
    });
  }

  close() {
    this.watcher.disconnect();
    clearTimeout(this.refining);
  }
}
