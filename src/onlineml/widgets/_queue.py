"""The open images, in an order in which several people working at once rarely meet."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.kinds.base import AnnotationKind

__all__ = ["answers", "key_of", "open_images", "open_mask", "rotated"]

_STARTS = 8  # different starting blocks of people; the most urgent images stay near the front
_KEYS = "123456789abcdefghijklmnopqrstuvwxyz"


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


def key_of(class_names: Sequence[str]) -> Mapping[str, str]:
    """The key of each class: digits, then letters; further classes have none."""
    return dict(zip(class_names, _KEYS, strict=False))
