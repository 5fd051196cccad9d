// Elements of the page; the files of this folder stand before each view's own, in one module with them.

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
  const field = event.target.closest?.("input, select, textarea");
  return Boolean(field) && (field.type !== "range" || /^(Arrow|Page|Home|End)/.test(event.key)); // a slider takes no letters
}

function count(number) {
  return number.toLocaleString("en");
}

function many(number, one, several = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : several}`;
}
