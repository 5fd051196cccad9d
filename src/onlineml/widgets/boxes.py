"""An editor of boxes, which saves each image to the project's log."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.images.decode import decode
from onlineml.data.images.thumbnails import encoded, shrink
from onlineml.errors import ConfigError, NotFoundError
from onlineml.pages import markup
from onlineml.registry.promotions import default_author
from onlineml.storage.io import read_many
from onlineml.storage.location import Location
from onlineml.widgets._answers import OwnAnswers
from onlineml.widgets._box_state import accepted_guesses, boxes_told, state_of
from onlineml.widgets._classes import checked_keys, class_facts
from onlineml.widgets._manifest_items import images_items
from onlineml.widgets._pictures import items_html, pictures, warm
from onlineml.widgets._queue import frame_before, ids_and_reasons, open_images, open_mask, rotated, with_reasons
from onlineml.widgets._view import View, own_project, page_key, require_own_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from onlineml.improving.review.result import ReviewQueue
    from onlineml.project.project import Project

__all__ = ["BoxEditor"]

_SHOWN_PX = 1600  # the longer side of the first image; zooming in requests more
_DETAIL_PX = 2400
_BLOCK = 10  # images between the starts of two people
_STATIC = 12


class BoxEditor(View):
    """Draws, moves, resizes, deletes and relabels boxes, and accepts or corrects suggestions.

    Enter or Page Down saves the boxes as shown. Coordinates are pixels of the upright original, whatever the size on
    the screen; an untouched box keeps its coordinates bit for bit.

    Args:
        project: of the task detection.
        images: ids of the images, in order, or a review queue, whose suspect boxes are selected with the reason; by
            default the open ones: conflicts, then suggestions, least confident
            first, then images without boxes.
        author: of the entries; by default the user of the hub or the machine.
        keys: the key of some classes, as of `Relabel`.

    Attributes:
        image_ids: the images, in order.

    Raises:
        ConfigError: the project's task has another widget, or a key is none.
        DataError: an image is not in the project.
    """

    script: ClassVar[str] = "boxes"

    def __init__(
        self,
        project: Project,
        images: Sequence[str] | ReviewQueue | None = None,
        *,
        author: str | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        require_own_task(self, project)
        self.project, self.author = project, default_author(author)
        self._project = own_project(project)
        state = self._project.labels.state()
        self._reasons: dict[str, list[dict[str, Any]]] = {}
        if images is None:
            self.image_ids = rotated(open_images(state), author=self.author, block=_BLOCK)
            self._place = 0
        else:
            self.image_ids, self._reasons = ids_and_reasons(images)
            state.require_images(self.image_ids)
            self._place = int(np.argmax(open_mask(state, self.image_ids))) if self.image_ids else 0
        self._keys = checked_keys(keys, state.class_names)
        self._own = OwnAnswers(self._project, self.author)
        self._answered: set[str] = set()
        self._pixels: tuple[str, NDArray[np.uint8]] | None = None  # of the zoomed image
        self._gallery = images_items(project, state, self.image_ids)
        self._row_of = {image_id: row for row, image_id in enumerate(self._gallery.ids)}
        self._pool: ThreadPoolExecutor | None = None
        self._warming: Future[None] | None = None

    @property
    def n_saved(self) -> int:
        """Number of answers saved here, without undone ones."""
        return len(self._own)

    # ---- asked ----

    def answer(self, ask: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Answer the editor's own script."""
        del buffers
        kind = ask.get("kind")
        if kind == "hello":
            self._send_classes()
            facts = {"title": self.project.title, "project": page_key(self.project, self.author), "place": self._place}
            self.send({"kind": "begin", "n": len(self.image_ids), "answered": self._n_answered, **facts})
        elif kind == "load":
            place = self.image_ids.index(ask["id"]) if ask.get("id") in self.image_ids else int(ask["place"])
            self._send_image(place, ask.get("number"))
        elif kind == "previous":
            self._send_previous(str(ask["id"]))
        elif kind == "detail":
            self._send_detail(str(ask["id"]), ask["region"], ask["px_wh"])
        elif kind == "save":
            self._save(str(ask["id"]), ask["boxes"], ask.get("base"), ask.get("number"))
        elif kind == "skip":
            (entry,) = self._project.labels.skip(str(ask["id"]), author=self.author)
            self._written(str(ask["id"]), entry, "skipped", ask.get("number"))
        elif kind == "undo":
            self._undo(ask.get("of"))
        elif kind == "class":
            new = self._own.add_class(str(ask["name"]), ask.get("number"))
            self._send_classes()
            self.send({"kind": "class", "of": ask.get("number"), "name": str(ask["name"]), "new": new})
        elif kind == "news":
            self._send_news(str(ask["id"]), ask.get("base"))

    @property
    def _n_answered(self) -> int:
        return len(self._answered)

    def _send_classes(self) -> None:
        self.send_all({"kind": "classes", "classes": class_facts(self._project.classes.names(), self._keys)})

    def _send_news(self, image_id: str, base: str | None) -> None:
        """Tell a view whether somebody has said anything about its image since, and whether it was its own author."""
        present = self._own.state().revision(image_id)
        own = self._own.revision(image_id, base) == present
        self.send({"kind": "news", "id": image_id, "base": present, "own": own, "answered": self._n_answered})

    def _send_image(self, place: int, number: object) -> None:
        if not 0 <= place < len(self.image_ids):
            raise ConfigError(f"there is no image {place + 1}; there are {len(self.image_ids):,}")
        self._place = place
        image_id = self.image_ids[place]
        state = self._own.state()  # includes entries of others
        row = state.row(image_id)
        if not row:
            raise NotFoundError(f"{image_id} was deleted meanwhile; continue with the next one")
        (picture,) = pictures(self._gallery, [self._row_of[image_id]], side=_SHOWN_PX)
        told = {
            "kind": "image",
            "of": number,
            "place": place,
            "id": image_id,
            "base": state.revision(image_id),
            "size": picture.size_hw,
            "error": picture.error,
            "boxes": boxes_told(state, row),
            "state": state_of(state, row),
            "whys": self._reasons.get(image_id, []) if open_mask(state, [image_id])[0] else [],
        }
        self.send(told, [picture.picture])
        self._warm_next()

    def _send_previous(self, image_id: str) -> None:
        """Send the boxes of the frame before in the same video, else of the image before in the list."""
        state = self._project.labels.state()
        before = frame_before(state, image_id)
        if before is None:
            place = self.image_ids.index(image_id)
            before = state.row(self.image_ids[place - 1]) if place else {}
        pairs = zip(before.get("boxes_xyxy") or (), before.get("labels") or (), strict=True)
        boxes = [{"xyxy": list(box), "label": label or ""} for box, label in pairs]
        self.send({"kind": "previous", "id": image_id, "boxes": boxes})

    def _warm_next(self) -> None:
        rows = [self._row_of[one] for one in self.image_ids[self._place + 1 : self._place + 3]]
        if rows and (self._warming is None or self._warming.done()):
            self._pool = self._pool or ThreadPoolExecutor(1)
            self._warming = self._pool.submit(warm, self._gallery, rows, side=_SHOWN_PX)

    def _send_detail(self, image_id: str, region: Sequence[float], px_wh: Sequence[float]) -> None:
        """Send a part of an image at a finer scale, for zooming."""
        pixels = self._original(image_id)
        height, width = pixels.shape[:2]
        x1, y1 = max(0, int(region[0])), max(0, int(region[1]))
        x2, y2 = min(width, int(np.ceil(region[2]))), min(height, int(np.ceil(region[3])))
        if x2 <= x1 or y2 <= y1:
            return
        part = shrink(pixels[y1:y2, x1:x2], min(_DETAIL_PX, max(1, int(max(px_wh)))))
        self.send({"kind": "detail", "id": image_id, "region": [x1, y1, x2, y2]}, [encoded(part, quality=90)])

    def _original(self, image_id: str) -> NDArray[np.uint8]:
        if self._pixels is None or self._pixels[0] != image_id:
            row = self._row_of[image_id]
            versions = [self._gallery.versions[row]]
            place = Location(self._gallery.urls[row], self._gallery.storage_options)
            (content,) = read_many([place], versions=versions)
            if isinstance(content, OSError):
                raise content
            self._pixels = (image_id, decode(content).pixels)
        return self._pixels[1]

    # ---- written ----

    def _save(self, image_id: str, boxes: Sequence[Mapping[str, Any]], base: str | None, number: object) -> None:
        """Save the shown boxes: accept the suggestion or the present boxes if they are the same, else correct."""
        state = self._own.state()
        expected_revision = self._own.revision(image_id, base)
        guessed = accepted_guesses(state, image_id, boxes) if state.revision(image_id) == expected_revision else None
        if guessed is not None:
            entry = self._project.labels.accept(image_id, indices=guessed, author=self.author)[0]
        else:
            corners = np.array([box["xyxy"] for box in boxes], dtype=np.float64).reshape(-1, 4)
            labels = [str(box["label"]) for box in boxes]
            entry = self._project.labels.set(
                image_id, (corners, labels), expected_revision=expected_revision, author=self.author
            )[0]
        self._written(image_id, entry, "saved", number)

    def _written(self, image_id: str, entry: str, what: str, number: object) -> None:
        self._own.wrote(number, {image_id: entry}, {})
        self._answered.add(image_id)
        revision = self._own.state().revision(image_id)
        self.send({"kind": "saved", "id": image_id, "what": what, "answered": self._n_answered, "base": revision})
        self.send_others({"kind": "elsewhere", "ids": [image_id]})

    def _undo(self, number: str | None) -> None:
        answer = self._own.take_back(number)
        told = {"kind": "undone", "place": None, "answered": self._n_answered}
        if answer is None or answer.is_class:
            self._send_classes()
            self.send(told | (answer.class_facts(self._project.classes.names()) if answer else {}))
            return
        (image_id,) = answer.entries
        if not self._own.has_answered(image_id):
            self._answered.discard(image_id)
        self.send(told | {"place": self.image_ids.index(image_id), "answered": self._n_answered})
        self.send_others({"kind": "elsewhere", "ids": [image_id]})

    # ---- left ----

    def static_html(self) -> str:
        """Return the progress so far, and the images around the present one with their boxes."""
        n = len(self.image_ids)
        told = "<b>{}</b>: boxes of {:,} images, {:,} answered here."
        head = markup(told, self.project.title, n, self._n_answered)
        if not n:
            return markup("<p>{} No image is open.</p>", head)
        first = max(0, min(self._place - _STATIC // 2, n - _STATIC))
        shown = self.image_ids[first : first + _STATIC]
        gallery = with_reasons(images_items(self.project, self.project.labels.state(), shown), self._reasons)
        return items_html(head, gallery, range(len(gallery)), side=150)

    def __repr__(self) -> str:
        return f"<BoxEditor of {count(len(self.image_ids), 'image')}, {self._n_answered:,} answered>"
