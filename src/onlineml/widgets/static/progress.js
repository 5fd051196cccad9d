// A panel that the kernel draws, and a button that stops what it shows.

class ProgressPanel {
  constructor(model, el) {
    this.link = new Link(model, el, "run");
    this.link.patient = true;
    this.panel = make("div", { class: "oml-panel", text: "starting …" });
    this.stop = make("button", { text: "Stop", hidden: true, title: "stop after this step, with a checkpoint from which it can go on" });
    this.note = make("span", { class: "oml-muted" });
    this.link.root.append(this.panel, make("div", { class: "oml-row" }, this.stop, this.note));
    this.link.named("progress of a training");
    this.link.unsaved = () => "A training in it goes on from its checkpoint with resume().";
    this.link.explain([["Tab", "to the button that stops the training, and away from it"]]);
    this.link.on("panel", (told) => this.show(told));
    this.link.listen(this.stop, "click", () => this.ask(model));
    this.link.ask("look");
    this.ticker = setInterval(() => this.look(), 2000);
  }

  show(told) {
    // Only what its kernel has escaped comes here; a log that was scrolled stays where it was.
    const before = this.panel.querySelector("pre")?.scrollTop;
    this.panel.innerHTML = told.html;
    const log = this.panel.querySelector("pre");
    if (log) log.scrollTop = before ?? log.scrollHeight;
    this.told = told;
    this.stop.hidden = !told.stops;
    this.stop.disabled = told.asked;
    this.link.root.dataset.over = told.over;
    if (told.asked && !told.over) this.note.textContent = "stopping; a checkpoint is stored first …";
    else this.note.textContent = "";
    if (told.over) clearInterval(this.ticker);
  }

  look() {
    // A training in this kernel tells by itself, and hears nothing while it runs.
    if (document.hidden || this.link.dead || this.told?.pushed || this.told?.over) return;
    this.link.ask("look");
  }

  ask(model) {
    this.stop.disabled = true;
    this.note.textContent = "stopping; a checkpoint is stored first …";
    if (!this.told.pushed) {
      this.link.ask("stop");
      return;
    }
    const kernel = model.widget_manager?.kernel;
    if (kernel?.interrupt) kernel.interrupt();
    else {
      this.link.ask("stop");
      this.note.textContent = "stopping; if nothing happens, press the notebook's ■ once, which does the same";
    }
  }
}

export default {
  render({ model, el }) {
    const view = new ProgressPanel(model, el);
    return () => {
      clearInterval(view.ticker);
      view.link.close();
    };
  },
};
