// What was changed and is not saved yet: kept in the page, brought back, and compared with what others say meanwhile.

class Drafts {
  constructor(editor) {
    this.editor = editor;
    this.link = editor.link;
    const { link } = this;
    link.on("elsewhere", (told) => told.ids.includes(editor.image?.id) && this.look());
    link.on("news", (told) => this.hear(told));
    link.listen(document, "visibilitychange", () => (document.hidden ? editor.save() : this.look()));
    link.listen(window, "focus", () => this.look());
    link.unsaved = () => (editor.changed ? "The boxes that you changed are kept: they come back when the image is shown again." : "");
  }

  /** What was kept of a project, if anything. */
  begin(project) {
    this.kept ??= new Kept(this.link, `boxes ${project}`);
    this.draft = this.kept.take().at(-1) ?? null;
  }

  /** What was changed here before the kernel or the page ended, on the same boxes as now. */
  resume() {
    const { draft, editor } = this;
    if (draft?.id !== editor.image.id) return;
    this.draft = null;
    if (draft.base !== editor.image.base) return;
    editor.past.push(editor.snapshot());
    editor.boxes = draft.boxes;
    editor.changed = true;
    this.keep();
    editor.canvas.draw();
    editor.tellPlace();
    this.link.say("Your changes that were not saved are back. Ctrl+Z takes them away.");
  }

  keep() {
    const { changed, image, boxes } = this.editor;
    this.kept.put(changed ? { id: image.id, base: image.base, boxes } : null);
  }

  /** Ask whether the image was annotated elsewhere, when one of its views says so or somebody comes back to this one. */
  look() {
    const { image, loading, saving } = this.editor;
    if (image && !this.link.dead && !loading && !saving) this.link.ask("news", { id: image.id, base: image.base });
  }

  hear(told) {
    if (told.id !== this.editor.image?.id || told.base === this.editor.image.base) return;
    this.editor.answered = told.answered;
    if (!this.editor.changed) this.editor.load(this.editor.place);
    else this.link.say(told.own
      ? "You saved other boxes of this image in another view meanwhile: saving replaces them by what you see here."
      : "Somebody else annotated this image meanwhile: saving what you see here contradicts them, and both are kept.");
  }
}
