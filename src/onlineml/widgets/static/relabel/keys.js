// The grid's keys.

const RELABEL_KEYS = [
  ["a class's key", "that is its label; where images have several, it is switched on or off"],
  ["0", "where images have several labels: none applies"],
  ["Enter", "what is shown is right"],
  ["Space", "skip: leave it undecided"],
  ["Backspace, Ctrl+Z", "take back the last answer"],
  ["Delete", "leave the image out of all datasets"],
  ["arrows", "move; with Shift, or Shift and a click, choose several, which then get one answer"],
  ["Shift+Enter", "accept the suggestions of the page that are sure enough"],
  ["Page Up, Page Down", "other pages"],
  ["+", "the image in large"],
  [", and .", "the label is right; the model is right"],
  ["/", "find a class by its name, or add one"],
];

/** What a key does in the grid; returns false for one that it leaves to the page. */
function pressInGrid(grid, event) {
  const onButton = event.target.closest("button, summary");
  if (event.ctrlKey || event.metaKey || event.altKey) {
    if (event.key.toLowerCase() !== "z" || event.altKey) return false;
    grid.answers.undo();
  } else if (event.key === "Enter") {
    if (onButton) return false;
    if (event.shiftKey) grid.answers.acceptPage();
    else grid.answers.say("accept");
  } else if (event.key === " ") {
    if (onButton) return false;
    grid.answers.say("skip");
  } else if (event.key === "Backspace") grid.answers.undo();
  else if (event.key === "Delete") grid.answers.say("delete");
  else if (event.key === "PageDown") grid.flip(1);
  else if (event.key === "PageUp") grid.flip(-1);
  else if (event.key === "+") grid.large.toggle();
  else if (event.key === "Escape") {
    grid.anchor = null;
    grid.large.toggle(false);
    grid.go(grid.at);
  } else if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") arrowInGrid(grid, event);
  else if (grid.several && event.key === "0" && !grid.classes.ofKey("0")) grid.answers.sayNone();
  else return grid.verdicts.key(event.key) || grid.classes.key(event.key);
  return true;
}

function arrowInGrid(grid, event) {
  const across = getComputedStyle(grid.grid).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
  const to = { Home: 0, End: grid.cards.length - 1 }[event.key] ?? grid.at + steps[event.key];
  grid.anchor = event.shiftKey ? grid.anchor ?? grid.at : null;
  if (to >= 0 && to < grid.cards.length) grid.go(to);
  else if (event.key === "ArrowRight" && !event.shiftKey) grid.show(grid.start + grid.size, 0);
  else if (event.key === "ArrowLeft" && !event.shiftKey) grid.show(grid.start - grid.size, "last");
}
