// A mouse on the canvas: boxes are drawn, moved and resized, and the view is shifted.

const LEAST_DRAG = 3; // pixels of the screen; less is a click

class Mouse {
  constructor(editor) {
    this.editor = editor;
    this.canvas = editor.canvas;
    const { link } = editor;
    const { stage } = this.canvas;
    link.listen(stage, "pointerdown", (event) => this.down(event));
    link.listen(stage, "pointermove", (event) => this.move(event));
    link.listen(stage, "pointerup", (event) => this.up(event));
    link.listen(stage, "pointercancel", () => this.cancel());
    link.listen(stage, "contextmenu", (event) => event.preventDefault());
  }

  down(event) {
    if (!this.editor.image || this.editor.loading) return;
    this.editor.link.focus();
    event.preventDefault();
    this.canvas.stage.setPointerCapture(event.pointerId);
    const start = [event.clientX, event.clientY];
    const from = this.canvas.toImage(event);
    if (event.button === 1 || event.button === 2 || event.shiftKey) {
      this.drag = { kind: "pan", start, x: this.canvas.x, y: this.canvas.y };
      return;
    }
    const handle = event.target.dataset?.handle;
    const border = event.target.dataset?.box;
    if (handle !== undefined) this.drag = { kind: "resize", handle: HANDLES[Number(handle)], box: this.editor.selected };
    else if (border !== undefined && Number(border) !== this.editor.selected) {
      this.editor.select(Number(border));
      this.drag = { kind: "move", box: this.editor.selected };
    } else if (this.editor.selected >= 0 && inside(this.editor.boxes[this.editor.selected].xyxy, from)) {
      this.drag = { kind: "move", box: this.editor.selected };
    } else this.drag = { kind: "new" };
    Object.assign(this.drag, { start, from, before: this.editor.snapshot(), xyxy: [...(this.editor.boxes[this.drag.box]?.xyxy ?? [])] });
  }

  move(event) {
    const { drag } = this;
    if (!drag) return;
    const far = Math.hypot(event.clientX - drag.start[0], event.clientY - drag.start[1]) >= LEAST_DRAG;
    if (!drag.moved && !far) return;
    drag.moved = true;
    if (drag.kind === "pan") {
      this.canvas.x = drag.x + event.clientX - drag.start[0];
      this.canvas.y = drag.y + event.clientY - drag.start[1];
    } else this.dragTo(drag, this.canvas.toImage(event));
    this.canvas.draw();
    this.editor.tellSelected();
  }

  dragTo(drag, to) {
    const [height, width] = this.editor.image.size;
    if (drag.kind === "new") {
      const a = snapped(drag.from, width, height);
      const b = snapped(to, width, height);
      const xyxy = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
      if (drag.box === undefined) {
        drag.box = this.editor.boxes.push({ xyxy, label: this.editor.classes.current ?? "", changed: true }) - 1;
        this.editor.selected = drag.box;
      }
      this.editor.boxes[drag.box].xyxy = xyxy;
      return;
    }
    const box = this.editor.boxes[drag.box];
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
      if (drag.kind === "new" || drag.kind === "move") this.editor.select(smallestAt(this.editor.boxes, this.canvas.toImage(event), this.editor.selected,
        (box) => this.editor.options.isShown(box)));
      return;
    }
    const box = this.editor.boxes[drag.box];
    if (!box || box.xyxy[2] - box.xyxy[0] < 1 || box.xyxy[3] - box.xyxy[1] < 1) {
      this.editor.restore(drag.before); // nothing that has an area
      return;
    }
    if (String(box.xyxy) !== String(drag.xyxy)) this.editor.touch(box, drag.before);
    this.canvas.draw();
  }

  cancel() {
    if (this.drag?.before) this.editor.restore(this.drag.before);
    this.drag = null;
  }
}
