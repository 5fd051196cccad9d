// Two answers for an image whose label a model contradicts: the label is right, or the model is.

/** The label, or the labels, that the model would give a card; null for none. */
function modelSays(card) {
  const whys = (card.whys ?? []).filter((why) => why.suggestion);
  if (!whys.length) return card.open ? card.guess ?? null : null;
  const single = whys.filter((why) => why.applies === null);
  if (single.length || !Array.isArray(card.label)) return Array.isArray(card.label) ? card.guess ?? null : single[0]?.suggestion ?? null;
  const labels = new Set(card.label);
  for (const { suggestion, applies } of whys) applies ? labels.add(suggestion) : labels.delete(suggestion);
  return [...labels].sort();
}

class Verdicts {
  constructor(grid) {
    this.grid = grid;
    const button = (text, title, onclick) => make("button", { text, title, onclick });
    this.node = make("span", { class: "oml-row" },
      button("Label right ,", "the label is right, the model is not (comma)", () => this.say((card) => card.label, "label")),
      button("Model right .", "the model is right, the label is not (full stop)", () => this.say(modelSays, "model")));
  }

  /** Whether a key is one of the two answers. */
  key(key) {
    if (key === ",") this.say((card) => card.label, "label");
    else if (key === ".") this.say(modelSays, "model");
    else return false;
    return true;
  }

  say(wanted, who) {
    const cards = this.grid.chosen().filter((card) => card.state !== "deleted" && wanted(card) !== null);
    if (!cards.length) {
      this.grid.told.textContent = who === "label" ? "there is no label: press the key of its class" : "the model proposes nothing here";
      return;
    }
    const labels = cards.map(wanted);
    const same = cards.every((card, place) => isSame(card.label, labels[place]) || (card.open && isSame(card.guess, labels[place])));
    this.grid.answers.send(cards, same ? "accept" : "label", labels, { labels });
    this.grid.advance();
  }
}
