"""The open images, in an order in which several people working at once rarely meet."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.improving.review.reasons import first_few, without_prefix
from onlineml.improving.review.result import ReviewQueue, Why

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.kinds.base import AnnotationKind
    from onlineml.evaluation.render.gallery import GalleryItem, GalleryItems

__all__ = [
    "answers",
    "frame_before",
    "ids_and_reasons",
    "open_images",
    "open_mask",
    "rotated",
    "with_reasons",
]

_STARTS = 8  # different starting blocks of people; the most urgent images stay near the front


def open_images(state: Annotations) -> list[str]:
    """The open images: conflicts, then suggestions, least confident first, then unlabelled, then skipped ones."""
    guesses = state.suggestions
    scores = state.kind.surety(guesses)
    skipped = guesses["skipped"].to_numpy().astype(bool)
    order = np.lexsort((np.array(scores, dtype=np.float64), skipped))
    guessed = [guesses["image_id"][int(place)].as_py() for place in order]
    n_open = int((~skipped).sum())
    annotated = state.kind.is_annotated(state.table)
    missing = state.table["image_id"].filter(pa.array(~annotated)).to_pylist()
    present = set(state.table["image_id"].to_pylist())
    conflicts = [image_id for image_id in state.conflicts if image_id in present]
    return list(dict.fromkeys([*conflicts, *guessed[:n_open], *_without(missing, guessed[n_open:]), *guessed[n_open:]]))


def answers(kind: AnnotationKind) -> list[str]:
    """Return the events of the log by which a person who sees an image says what it shows."""
    return [event for event in kind.claim_events if event != "uploaded"]


def open_mask(state: Annotations, image_ids: Sequence[str]) -> NDArray[np.bool_]:
    """Return a mask of the open images.

    These have a conflict, a suggestion, no label, or an unconfirmed one, and were neither skipped nor deleted.
    """
    wanted = pa.array(image_ids, pa.string())
    at = pc.index_in(wanted, value_set=state.table["image_id"])
    guess = pc.index_in(wanted, value_set=state.suggestions["image_id"])
    skipped = pc.fill_null(state.suggestions["skipped"].take(guess), False)
    events = state.provenance["event"].take(at)
    confirmed = pc.fill_null(pc.is_in(events, value_set=pa.array(answers(state.kind))), False)
    label = state.table[state.kind.key].take(at)
    conflict = pc.is_in(wanted, value_set=pa.array(list(state.conflicts), pa.string()))
    there, guessed, labelled = at.is_valid(), guess.is_valid(), label.is_valid()
    masks = (np.asarray(one).astype(bool) for one in (there, guessed, labelled, skipped, confirmed, conflict))
    is_there, is_guessed, is_labelled, is_skipped, is_confirmed, is_conflict = masks
    waits = is_conflict | ((is_guessed | ~is_labelled | ~is_confirmed) & ~is_skipped)
    return np.asarray(is_there & waits, dtype=bool)


def frame_before(state: Annotations, image_id: str) -> dict[str, Any] | None:
    """The row of the frame before this one in the same video; None for the first frame, and an image of no video."""
    own, table = state.row(image_id), state.table
    if not own or own.get("frame") is None:
        return None
    same = pc.and_(pc.equal(table["group"], own["group"]), pc.less(table["frame"], own["frame"]))
    earlier = table.filter(pc.fill_null(same, False))
    if not len(earlier):
        return None
    last = pc.max(earlier["frame"])
    return dict(earlier.filter(pc.equal(earlier["frame"], last)).slice(0, 1).to_pylist()[0])


def _without(ids: Sequence[str], others: Sequence[str]) -> list[str]:
    left_out = set(others)
    return [one for one in ids if one not in left_out]


def rotated(image_ids: Sequence[str], *, author: str, block: int) -> list[str]:
    """Rotate images so that different authors start at different blocks.

    Args:
        image_ids: the most urgent first.
        author: the person who will answer.
        block: images that are shown together.
    """
    n_blocks = -(-len(image_ids) // block)
    if n_blocks < 2:
        return list(image_ids)
    start = block * (hashlib.sha256(author.encode()).digest()[0] % min(_STARTS, n_blocks))
    return [*image_ids[start:], *image_ids[:start]]


def ids_and_reasons(images: Sequence[str] | ReviewQueue) -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """The ids of images, and why a queue asks for each of them, as the front end is told; empty without a queue."""
    if not isinstance(images, ReviewQueue):
        return list(dict.fromkeys(images)), {}
    return [item.image_id for item in images], {item.image_id: [_reason(why) for why in item.whys] for item in images}


def _reason(why: Why) -> dict[str, Any]:
    name, applies = without_prefix(why.suggestion)
    box = None if why.box_xyxy is None else list(why.box_xyxy)
    return {"text": str(why), "suggestion": name, "applies": applies, "xyxy": box, "object": why.object_row}


def with_reasons(gallery: GalleryItems, reasons: Mapping[str, Sequence[Mapping[str, Any]]]) -> GalleryItems:
    """Images with the reasons of a queue as their notes, where they have none of their own."""

    def noted(item: GalleryItem, image_id: str) -> GalleryItem:
        note = "; ".join(first_few(str(reason["text"]) for reason in reasons.get(image_id, ())))
        return replace(item, note=item.note or note)

    def items(rows: Sequence[int]) -> list[GalleryItem]:
        return [noted(item, gallery.ids[row]) for row, item in zip(rows, gallery.items(rows), strict=True)]

    return replace(gallery, items=items) if reasons else gallery
