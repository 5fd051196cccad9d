"""Images of a gallery mended where they are seen: relabelled, left out, or opened in the task's editor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.data.annotations.label_sets import ADDED
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError
from onlineml.registry.promotions import default_author
from onlineml.tasks import task_of
from onlineml.widgets._answers import seen_by
from onlineml.widgets._view import own_project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.annotations.state import Annotations
    from onlineml.evaluation.render.gallery import GalleryItems
    from onlineml.project.project import Project
    from onlineml.widgets._view import View

__all__ = ["Mending"]


class Mending:
    """A person's changes of the images in a gallery, each an entry of the project's log.

    Args:
        project: that has the images; it is opened again, so that the gallery's revision is its own.
        author: of the entries; by default the user of the hub or the machine.

    Attributes:
        project: opened again.
        done: what was done to images here, in words, by id.
        editor: the widget in which images were opened last; None before.
    """

    def __init__(self, project: Project, author: str | None) -> None:
        self.project, self.author = own_project(project), default_author(author)
        self.done: dict[str, str] = {}
        self.editor: View | None = None
        self._frame: Any = None  # the live gallery, with the editor below it
        self._entries: list[dict[str, str]] = []  # entry by image id, of each change
        self._ids: dict[str, str] | None = None
        self._in_editor: dict[str, str | None] = {}  # known revisions of the images that were opened there

    def told(self) -> dict[str, Any]:
        """Return what the front end offers: labels for one image, several, or none (boxes are for the editor)."""
        kind = self.project.kind
        several = ADDED in kind.claim_events
        names = list(self.project.classes.names()) if several or kind.label_alone else []
        return {"classes": names, "several": several, "editor": bool(task_of(self.project).widget)}

    def ids_of(self, gallery: GalleryItems, rows: Sequence[int]) -> list[str]:
        """Return the project's ids of images of a gallery, which are found by their id or their URL.

        Raises:
            DataError: an image is not in the project.
        """
        if self._ids is None:
            state = self._shown()
            data = Manifest(state.table, state.class_names, root=self.project.url, task=self.project.task)
            own = data.table["image_id"].to_pylist()
            self._ids = {**dict(zip(data.urls(), own, strict=True)), **{one: one for one in own}}
        known = self._ids
        found = [known.get(gallery.ids[row]) or known.get(gallery.urls[row]) for row in rows]
        strange = [gallery.ids[row] for row, one in zip(rows, found, strict=True) if one is None]
        if strange:
            raise DataError(
                f"{count(len(strange), 'of these images is', 'of these images are')} not in "
                f"{self.project.title!r}, such as {strange[0]}: add them "
                "with project.add, or choose others"
            )
        return [one for one in found if one is not None]

    def framed(self, live: Any) -> Any:
        """Return an ipywidgets box with the live gallery, and later with the editor below it."""
        if self._frame is None:
            from ipywidgets import VBox  # noqa: PLC0415 (only with a front end)

            self._frame = VBox([live])
        return self._frame

    def change(self, gallery: GalleryItems, rows: Sequence[int], what: str, label: str) -> None:
        """Do what a person chose for images: label, add, remove, delete, undo, editor, or close the editor."""
        if what == "undo":
            self._undo()
        elif what == "close":
            self._put_below(None)
        elif what == "editor":
            ids = self.ids_of(gallery, rows)
            self.editor = task_of(self.project).load("widget")(self.project, ids, author=self.author)
            self._note_edits()
            self._in_editor |= dict(zip(ids, self.project.labels.state().revisions(ids), strict=True))
            self._put_below(self.editor)
        else:
            self._write(self.ids_of(gallery, rows), what, label)

    def _put_below(self, editor: View | None) -> None:
        if self._frame is not None:
            self._frame.children = (self._frame.children[0], *((editor.widget,) if editor is not None else ()))

    def _write(self, ids: Sequence[str], what: str, label: str) -> None:
        """Write one change of several images to the log.

        Raises:
            ConfigError: the change is unknown.
            UnknownClassError: the label is not one of the project's classes.
        """
        labels, seen = self.project.labels, self._seen(ids)
        if what == "label":
            entries, said = labels.set(ids, label, expected_revision=seen, author=self.author), f"now {label}"
        elif what == "add":
            entries, said = labels.add(ids, [label], expected_revision=seen, author=self.author), f"now also {label}"
        elif what == "remove":
            entries = labels.remove(ids, [label], expected_revision=seen, author=self.author)
            said = f"no longer {label}"
        elif what == "delete":
            entries, said = self.project.images.delete(ids, author=self.author), "left out"
        else:
            raise ConfigError(f"unknown change {what!r}; expected label, add, remove or delete")
        self._entries.append(dict(zip(ids, entries, strict=True)))
        self._note_edits()
        self.done.update(dict.fromkeys(ids, said))

    def _shown(self) -> Annotations:
        """Return the state that the gallery read, which is what its person has seen."""
        return self.project.annotation_log.seen or self.project.labels.state()

    def _seen(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return the revisions that the author has seen: in the gallery, or by answering in another widget since."""
        bases = self._shown().revisions(ids)
        now = self.project.labels.state()
        return {one: seen_by(self.author, now, one, base) for one, base in zip(ids, bases, strict=True)}

    def _undo(self) -> None:
        if not self._entries:
            raise ConfigError("nothing was changed here that could be taken back")
        for image_id, entry in reversed(self._entries[-1].items()):
            self.project.labels.undo(entry, author=self.author)
            self._note_edits()
            self.done.pop(image_id, None)
        self._entries.pop()

    def _note_edits(self) -> None:
        """Note which images were changed since they were opened in the editor, or since this was last called."""
        if not self._in_editor:
            return
        before, now = self._in_editor, self.project.labels.state().revisions(list(self._in_editor))
        self._in_editor = dict(zip(before, now, strict=True))
        changed = [one for one, revision in self._in_editor.items() if revision != before[one]]
        self.done.update(dict.fromkeys(changed, "changed in the editor"))

    def notes(self, gallery: GalleryItems, rows: Sequence[int]) -> list[str]:
        """Return what was done here to each of these images, in words; "" for nothing."""
        self._note_edits()
        known = self._ids or {}
        ids = [known.get(gallery.ids[row]) or known.get(gallery.urls[row]) for row in rows]
        return [self.done.get(one or "", "") for one in ids]
