"""A grid of images whose labels are accepted or corrected from the keyboard, saved to the project's log at once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.label_sets import ADDED
from onlineml.errors import ConfigError
from onlineml.pages import markup
from onlineml.registry.promotions import default_author
from onlineml.widgets._answers import OwnAnswers
from onlineml.widgets._classes import checked_keys, class_facts
from onlineml.widgets._manifest_items import images_items
from onlineml.widgets._pictures import items_html, pictures, send_pictures
from onlineml.widgets._queue import answers, ids_and_reasons, open_images, open_mask, rotated, with_reasons
from onlineml.widgets._view import View, own_project, page_key, require_own_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.kinds.base import AnnotationKind
    from onlineml.improving.review.result import ReviewQueue
    from onlineml.project.project import Project

__all__ = ["Relabel"]

_OPEN_PX = 1024
_STATIC = 24
_TOLD_GUESSES = 3  # of the classes that a model thought likely


class Relabel(View):
    """Labels of images, accepted or corrected from the keyboard. Of several labels each is switched on and off.

    Each answer is an entry of the project's log, written before it is shown as saved. Images that others answer
    meanwhile are marked and skipped; concurrent answers are both kept, see `onlineml.Project.labels.conflicts`. Opened
    again, it continues with open images.

    Args:
        project: of a task whose images have labels.
        images: ids of the images, in their order, or a review queue, whose reasons are shown; by default those that
            nobody has answered: contradictions, then suggestions, the least sure first, then images without a label.
            Different people begin at different pages.
        author: of the entries; by default the user of the hub or the machine.
        keys: the key of some classes, one character each; by default a class that is called by a digit or letter has
            that one, and the others have the free digits and letters in order.
        page_size: images per page.
        thumbnail_px: the longer side of a thumbnail.

    Attributes:
        image_ids: the images, in order.

    Raises:
        ConfigError: the project's task has another widget, or a key is none.
        DataError: an image is not in the project.
    """

    script: ClassVar[str] = "relabel"

    def __init__(
        self,
        project: Project,
        images: Sequence[str] | ReviewQueue | None = None,
        *,
        author: str | None = None,
        keys: Mapping[str, str] | None = None,
        page_size: int = 50,
        thumbnail_px: int = 160,
    ) -> None:
        super().__init__()
        require_own_task(self, project)
        if not 1 <= page_size <= 200 or not 16 <= thumbnail_px <= _OPEN_PX:
            raise ConfigError(
                f"page_size={page_size}, thumbnail_px={thumbnail_px}: expected 1 to 200 images on a page, of 16 to "
                f"{_OPEN_PX} pixels"
            )
        self.project, self.author = project, default_author(author)
        self.page_size, self.thumbnail_px = page_size, thumbnail_px
        self._project = own_project(project)
        state = self._project.labels.state()
        self._reasons: dict[str, list[dict[str, Any]]] = {}
        if images is None:
            self.image_ids = rotated(open_images(state), author=self.author, block=page_size)
        else:
            self.image_ids, self._reasons = ids_and_reasons(images)
            state.require_images(self.image_ids)
        self._keys = checked_keys(keys, state.class_names)
        self._several = ADDED in project.kind.claim_events  # an image has a set of labels
        self._start = 0
        self._own = OwnAnswers(self._project, self.author)
        self._said: defaultdict[str, dict[str, str]] = defaultdict(dict)  # by view, its last entry by image id
        self._told: defaultdict[str, dict[str, Any]] = defaultdict(dict)  # by view, what it was told by image id
        self._gallery = images_items(project, state, self.image_ids)

    @property
    def n_saved(self) -> int:
        """Number of answers saved here, without undone ones."""
        return len(self._own)

    # ---- asked ----

    def answer(self, ask: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Answer the grid's own script."""
        del buffers
        kind = ask.get("kind")
        if kind == "hello":
            self._send_begin()
        elif kind == "cards":
            self._send_cards(int(ask["start"]), ask.get("number"))
        elif kind == "showing":
            self._start = int(ask["start"])
        elif kind == "say":
            self._say(ask)
        elif kind == "undo":
            self._undo(ask.get("of"))
        elif kind == "news":
            self._send_news([str(image_id) for image_id in ask["ids"]])
        elif kind == "open":
            self._send_open(str(ask["id"]))
        elif kind == "class":
            self._add_class(str(ask["name"]), ask.get("number"))
        elif kind == "kept":
            self._send_kept(ask["answers"])

    def _send_begin(self) -> None:
        self._send_classes()
        waits = open_mask(self._own.state(), self.image_ids)
        first, done = int(np.argmax(waits)) if waits.any() else 0, int((~waits).sum())
        facts = {"title": self.project.title, "page_size": self.page_size, "side": self.thumbnail_px}
        facts |= {"several": self._several, "project": page_key(self.project, self.author)}
        self.send({"kind": "begin", "n": len(self.image_ids), "place": first, "done": done, **facts})

    def _send_classes(self) -> None:
        self.send_all({"kind": "classes", "classes": class_facts(self._project.classes.names(), self._keys)})

    def _add_class(self, name: str, number: object) -> None:
        new = self._own.add_class(name, number)
        self._send_classes()
        self.send({"kind": "class", "of": number, "name": name, "new": new})

    def _send_cards(self, start: int, number: object) -> None:
        """Send a page with the entries of others, then its thumbnails."""
        rows = range(max(0, start), min(max(0, start) + self.page_size, len(self.image_ids)))
        cards = self._cards(self._own.state(), [self.image_ids[row] for row in rows])
        self._told[self._asker] |= {card["id"]: card for card in cards}
        self.send({"kind": "cards", "of": number, "start": start, "cards": cards})
        send_pictures(self, self._gallery, rows, of=number, side=self.thumbnail_px)

    def _send_news(self, ids: Sequence[str]) -> None:
        """Send the changes that were made to these images in other views, or by others, since they were last sent."""
        cards = self._cards(self._own.state(), ids)
        told, said = self._told[self._asker], self._said[self._asker]
        news = [card for card in cards if card != told.get(card["id"]) and card["base"] != said.get(card["id"])]
        told |= {card["id"]: card for card in cards}
        self.send({"kind": "news", "cards": news})

    def _send_open(self, image_id: str) -> None:
        row = self.image_ids.index(image_id)
        (large,) = pictures(self._gallery, [row], side=_OPEN_PX)
        told = {"kind": "open", "id": image_id, "size": large.size_hw, "error": large.error}
        self.send(told, [large.picture])

    # ---- what is known ----

    def _cards(self, state: Annotations, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the facts that the grid gets about each image."""
        kind, wanted = state.kind, pa.array(ids, pa.string())
        at = pc.index_in(wanted, value_set=state.table["image_id"])
        labels = state.table[kind.key].take(at).to_pylist()
        origins = state.provenance.select(["event", "author"]).take(at).to_pylist()
        found = pc.index_in(wanted, value_set=state.suggestions["image_id"])
        guesses = state.suggestions.take(found).to_pylist()
        revisions = state.revisions(list(ids))
        told = zip(ids, at.to_pylist(), labels, origins, guesses, revisions, strict=True)
        return [
            _card(kind, image_id, label, origin, guess, base=revision, conflict=image_id in state.conflicts)
            | {"whys": self._reasons.get(image_id, [])}
            if place is not None
            else {"id": image_id, "state": "deleted", "open": False, "label": None, "base": revision}
            for image_id, place, label, origin, guess, revision in told
        ]

    # ---- written ----

    def _say(self, ask: Mapping[str, Any]) -> None:
        """Write one answer about one or several images, and tell so."""
        ids = [str(image_id) for image_id in ask["ids"]]
        bases = dict(zip(ids, ask["bases"], strict=True))
        expected_revisions = {image_id: self._own.revision(image_id, base) for image_id, base in bases.items()}
        what = str(ask["what"])
        if what == "skip":
            entries = self._project.labels.skip(ids, author=self.author)
        elif what == "delete":
            entries = self._project.images.delete(ids, author=self.author)
        elif what == "accept":
            entries = self._accept(ids, ask["labels"], expected_revisions)
        elif what == "label":
            values = ask.get("labels") or [self._project.kind.of_label(str(ask["label"]))] * len(ids)
            labels = dict(zip(ids, values, strict=True))
            entries = self._project.labels.set(labels, expected_revision=expected_revisions, author=self.author)
        elif what in {"add", "remove"}:
            change = self._project.labels.add if what == "add" else self._project.labels.remove
            entries = change(ids, [str(ask["label"])], expected_revision=expected_revisions, author=self.author)
        else:
            raise ConfigError(f"unknown answer {what!r}; expected label, add, remove, accept, skip or delete")
        said = dict(zip(ids, entries, strict=True))
        self._own.wrote(ask.get("number"), said, bases)
        if not ask.get("again"):  # the view shows it already
            self._said[self._asker] |= said
        self.send({"kind": "saved", "of": ask.get("number"), "bases": said})
        self.send_others({"kind": "elsewhere", "ids": ids})

    def _accept(
        self, ids: Sequence[str], labels: Sequence[Any], expected_revisions: Mapping[str, str | None]
    ) -> list[str]:
        """Accept what was seen: a suggestion as such, which keeps its model; a label that was there, as that."""
        told = [self._told[self._asker].get(image_id, {}) for image_id in ids]
        guessed = [one.get("open") and one["guess"] == label for one, label in zip(told, labels, strict=True)]
        if all(guessed):
            return self._project.labels.accept(ids, author=self.author)
        return self._project.labels.set(
            dict(zip(ids, labels, strict=True)), expected_revision=expected_revisions, author=self.author
        )

    def _send_kept(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Tell which answers that a view could not save are still about what it showed."""
        ids = [[str(image_id) for image_id in one["ids"]] for one in answers]
        state = self._own.state()
        still = [state.revisions(own) == one["bases"] for own, one in zip(ids, answers, strict=True)]
        told = [one for one, is_so in zip(answers, still, strict=True) if is_so]
        self.send({"kind": "kept", "answers": told})

    def _undo(self, number: str | None) -> None:
        answer = self._own.take_back(number)
        if answer is None:
            self.send({"kind": "undone", "cards": []})
            return
        if answer.is_class:
            self._send_classes()
            self.send({"kind": "undone", "cards": [], **answer.class_facts(self._project.classes.names())})
            return
        ids = list(answer.entries)
        for image_id in ids:
            self._said[self._asker].pop(image_id, None)
        cards = self._cards(self._own.state(), ids)
        self._told[self._asker] |= {card["id"]: card for card in cards}
        self.send({"kind": "undone", "place": self.image_ids.index(ids[0]), "cards": cards})
        self.send_others({"kind": "elsewhere", "ids": ids})

    # ---- left ----

    def static_html(self) -> str:
        """Return the progress so far, and the present page with its labels."""
        n = len(self.image_ids)
        if not n:
            return markup("<p><b>{}</b>: no image is open.</p>", self.project.title)
        state = self.project.labels.state()
        n_open = int(open_mask(state, self.image_ids).sum())
        shown = self.image_ids[self._start : self._start + _STATIC]
        gallery = with_reasons(images_items(self.project, state, shown), self._reasons)
        head = markup("<b>{}</b>: {:,} of {:,} images answered.", self.project.title, n - n_open, n)
        return items_html(head, gallery, range(len(gallery)))

    def __repr__(self) -> str:
        return f"<Relabel of {len(self.image_ids):,} images, {self.n_saved:,} answers given here>"


def _card(
    kind: AnnotationKind,
    image_id: str,
    label: str | list[str] | None,
    origin: Mapping[str, Any],
    guess: Mapping[str, Any],
    *,
    base: str | None,
    conflict: bool,
) -> dict[str, Any]:
    guessed = guess.get(kind.names)
    scores = guess.get("top_scores", guess.get("scores"))  # of several classes, or of each label
    top = [] if guessed is None else list(zip(guess[kind.guessed], scores, strict=True))[:_TOLD_GUESSES]
    answered = origin["event"] in answers(kind) and not conflict and guessed is None and label is not None
    state = "conflict" if conflict else "skipped" if guess.get("skipped") else origin["event"]
    return {
        "id": image_id,
        "label": label,
        "guess": guessed,
        "score": guess.get("score"),
        "sure": guess.get("score", min(scores, default=0.5) if scores else 0.5),
        "top": top,
        "state": state,
        "by": origin["author"],
        "open": not answered and state != "skipped",
        "base": base,
    }
