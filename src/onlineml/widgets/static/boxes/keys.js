// The editor's keys.

const EDITOR_KEYS = [
  ["drag on the image", "draw a box of the current class"],
  ["click, Tab", "select a box; again: the next larger one beneath, the next one"],
  ["drag inside, arrows", "move it; Shift: 10 pixels; Alt: its lower right corner"],
  ["drag a handle", "resize it"],
  ["a class's key", "relabel it"],
  ["Delete", "delete it"],
  ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo; then take back the last image that was saved"],
  ["Enter", "save the boxes as shown, dashed suggestions too, and continue"],
  ["Page Down, Page Up", "next or previous image; saves only changes"],
  ["Space", "skip"],
  ["+ − 0, Ctrl+wheel", "zoom; drag with Shift or the middle button to move the view"],
  [", and .", "of a review queue: the label is right; the model is right; then the next reason"],
  ["Ctrl+C, Ctrl+V", "copy the selected box, or all, and paste, also in another image"],
  ["Ctrl+B", "the boxes of the previous image, too"],
  ["#", "show or hide labels"],
  ["/", "find a class by its name, or add one"],
];

/** What a key does in the editor; returns false for one that it leaves to the page. */
function pressInEditor(editor, event) {
  const ctrl = event.ctrlKey || event.metaKey;
  const letter = event.key.toLowerCase();
  if (ctrl && letter === "z" && !event.shiftKey) editor.undo();
  else if (ctrl && (letter === "y" || letter === "z")) editor.redo();
  else if (ctrl) return editor.clipboard.key(letter);
  else if (event.key === "#") editor.options.toggle();
  else if (event.key === "Enter") {
    if (event.target.closest("button, summary")) return false; // that is pressed
    editor.leave(1, true);
  } else if (event.key === "PageDown") editor.leave(1);
  else if (event.key === "PageUp") editor.leave(-1);
  else if (event.key === " ") {
    if (event.target.closest("button, summary")) return false;
    editor.skip();
  } else if (event.key === "Delete" || event.key === "Backspace") editor.remove();
  else if (event.key === "Escape") {
    if (editor.mouse.drag) editor.mouse.cancel();
    else editor.select(-1);
  } else if (event.key === "Tab" && event.target === editor.link.home && editor.boxes.length) {
    const last = editor.boxes.length - 1;
    const step = event.shiftKey ? -1 : 1;
    let next = editor.selected + step;
    while (editor.boxes[next] && !editor.options.isShown(editor.boxes[next])) next += step;
    if (next > last || next < (event.shiftKey ? 0 : -1)) return false; // out of the editor
    editor.select(next);
  } else if (event.key === "+" || event.key === "=") editor.canvas.zoom(1.5);
  else if (event.key === "-") editor.canvas.zoom(1 / 1.5);
  else if (event.key === "0" && !editor.classes.ofKey("0")) editor.canvas.fit(true);
  else if (event.key.startsWith("Arrow")) return arrowInEditor(editor, event);
  else return editor.reasons.key(event.key) || editor.classes.key(event.key);
  return true;
}

function arrowInEditor(editor, event) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (editor.selected >= 0) {
    const far = event.shiftKey ? 10 : 1;
    editor.nudge(dx * far, dy * far, event.altKey);
  } else if (dx) editor.leave(dx);
  else return false;
  return true;
}
