// Boxes that are copied within and across images, in all editors of the page, and those of the previous image.

const COPIED = { boxes: [] };
const PASTE_PX = 10; // away from the original, in the same image

class Clipboard {
  constructor(editor) {
    this.editor = editor;
    editor.link.on("previous", (told) => this.hear(told));
  }

  /** The selected box; all boxes that are shown, where none is selected. */
  copy() {
    const { boxes, selected, sayings } = this.editor;
    const chosen = boxes[selected] ? [boxes[selected]] : this.editor.options.shown();
    COPIED.boxes = chosen.map(({ xyxy, label }) => ({ xyxy: [...xyxy], label }));
    COPIED.from = this.editor.image?.id;
    COPIED.pasted = 0;
    sayings.textContent = `${many(chosen.length, "box", "boxes")} copied`;
  }

  paste() {
    const here = COPIED.from === this.editor.image?.id;
    COPIED.pasted = here ? (COPIED.pasted ?? 0) + 1 : 0; // each further one beside the one before
    this.add(COPIED.boxes, PASTE_PX * COPIED.pasted, "nothing was copied");
  }

  /** The boxes of the image before this one: in a video, of the frame before. */
  repeat() {
    if (this.editor.image) this.editor.link.ask("previous", { id: this.editor.image.id });
  }

  hear(told) {
    if (told.id === this.editor.image?.id) this.add(told.boxes, 0, "the previous image has no boxes");
  }

  /** Boxes beside those of the image, without any that it has already; what lies outside is cut off. */
  add(boxes, shift, none) {
    const { editor } = this;
    if (!editor.image || editor.loading || editor.saving) return;
    const [height, width] = editor.image.size;
    const before = editor.snapshot();
    const same = (a, b) => a.label === b.label && String(a.xyxy) === String(b.xyxy);
    const fresh = boxes.map(({ xyxy, label }) => ({ label, xyxy: shift ? shifted(xyxy, shift, shift, width, height) : clipped(xyxy, width, height) }))
      .filter((box) => box.xyxy[2] - box.xyxy[0] >= 1 && box.xyxy[3] - box.xyxy[1] >= 1 && !editor.boxes.some((own) => same(own, box)));
    if (!fresh.length) {
      editor.sayings.textContent = boxes.length ? "all of these boxes are here already, or outside" : none;
      return;
    }
    editor.boxes.push(...fresh.map((box) => ({ ...box, changed: true })));
    editor.touch(null, before);
    editor.select(fresh.length === 1 ? editor.boxes.length - 1 : -1);
    editor.sayings.textContent = `${many(fresh.length, "box", "boxes")} added`;
  }

  /** Whether a key with Ctrl copies or repeats. */
  key(letter) {
    if (letter === "c" && String(getSelection())) return false; // a text is copied
    const act = { c: () => this.copy(), v: () => this.paste(), b: () => this.repeat() }[letter];
    act?.();
    return Boolean(act);
  }
}

/** A box within an image; nothing of it may be left. */
function clipped([x1, y1, x2, y2], width, height) {
  return [Math.max(0, x1), Math.max(0, y1), Math.min(width, x2), Math.min(height, y2)];
}
