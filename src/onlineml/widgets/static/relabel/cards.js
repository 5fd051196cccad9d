// A card: an image with its label, the model's suggestion, and what became of it.

/** A label, or a set of them, in words. */
const words = (value) => (Array.isArray(value) ? value.join(", ") || "(no labels)" : value ?? "(no label)");
const isSame = (one, other) => words(Array.isArray(one) ? [...one].sort() : one) === words(Array.isArray(other) ? [...other].sort() : other);
/** What is shown of a card: a suggestion that waits, or else its label. */
const shown = (card) => (card.open && card.guess) || card.label;

/** A card of the grid; a click makes it the present one. */
function makeCard(grid, facts) {
  const card = { ...facts, first: facts.label, pending: 0 };
  card.name = make("div", { class: "oml-name" });
  card.note = make("div", { class: "oml-note" });
  card.mark = make("span", { class: "oml-mark" });
  card.node = make("div", { class: "oml-card", role: "option", "data-id": facts.id },
    make("div", { class: "oml-picture" }, card.mark), card.name, card.note);
  card.node.addEventListener("click", (event) => {
    grid.link.focus();
    const place = grid.cards.indexOf(card);
    grid.anchor = event.shiftKey ? grid.anchor ?? grid.at : null;
    grid.go(place);
  });
  card.node.addEventListener("dblclick", () => grid.large.toggle(true));
  drawCard(grid, card);
  return card;
}

function drawCard(grid, card) {
  const { node } = card;
  const percent = (score) => `${Math.round(100 * score)} %`;
  const guessed = card.guess && card.open;
  const several = Array.isArray(card.guess);
  card.name.textContent = guessed ? `${words(card.guess)}${several ? "" : ` ${percent(card.score)}`} ?` : words(card.label);
  card.name.className = `oml-name ${guessed ? "oml-guess" : ""}`;
  const changed = ["label", "add", "remove"].includes(card.answer) && !isSame(card.label, card.first);
  let note = guessed ? card.top.slice(several ? 0 : 1).map(([name, score]) => `${name} ${percent(score)}`).join(", ") : "";
  if (guessed && card.label) note = isSame(card.guess, card.label) ? "as labelled" : `is labelled ${words(card.label)}`;
  if (card.open && card.whys?.length) note = [note, ...card.whys.map((why) => why.text)].filter(Boolean).join("; ");
  if (changed) note = `was ${card.first ? words(card.first) : "without a label"}`;
  else if (card.state === "conflict") note = "people contradict each other";
  else if (card.state === "deleted") note = "left out";
  else if (card.state === "skipped") note = "skipped";
  else if (card.other) note = `answered by ${card.by}`;
  else if (card.answer) note = "confirmed";
  card.note.textContent = note;
  card.mark.textContent = card.failed ? "!" : card.pending ? "…" : card.answer || card.other ? "✓" : "";
  const color = grid.classes.color([shown(card)].flat()[0]);
  node.style.setProperty("--label", card.label || guessed ? color : "");
  node.classList.toggle("oml-changed", changed);
  node.classList.toggle("oml-answered", !card.open);
  node.classList.toggle("oml-failed", Boolean(card.failed));
  node.dataset.state = card.failed ? "failed" : card.pending ? "pending" : card.open ? "open" : card.state;
  node.setAttribute("aria-label", `${card.name.textContent}, ${note || card.state}`);
  grid.mark();
}
