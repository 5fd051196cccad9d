"""The images that wait for an answer, in an order in which several people who answer at once rarely meet."""

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

_STARTS = 8  # places at which people begin, so many blocks apart at most: what is most urgent stays near the front
_KEYS = "123456789abcdefghijklmnopqrstuvwxyz"


def open_images(state: Annotations) -> list[str]:
    """Images that nobody has answered: those that contradict, then suggestions, the least sure first, then unlabelled.

    What somebody skipped comes last.
    """
    guesses = state.suggestions
    scores = state.kind.surety(guesses)
    skipped = guesses["skipped"].to_numpy().astype(bool)
    order = np.lexsort((np.array(scores, dtype=np.float64), skipped))
    guessed = [guesses["image_id"][int(place)].as_py() for place in order]
    n_open = int((~skipped).sum())
    said = state.kind.is_annotated(state.table)
    missing = state.table["image_id"].filter(pa.array(~said)).to_pylist()
    present = set(state.table["image_id"].to_pylist())
    conflicts = [image_id for image_id in state.conflicts if image_id in present]
    return list(dict.fromkeys([*conflicts, *guessed[:n_open], *_without(missing, guessed[n_open:]), *guessed[n_open:]]))


def answers(kind: AnnotationKind) -> list[str]:
    """Return the events of the log by which a person who sees an image says what it shows."""
    return [event for event in kind.claim_events if event != "uploaded"]


def open_mask(state: Annotations, image_ids: Sequence[str]) -> NDArray[np.bool_]:
    """Return a mask of the images that wait for an answer.

    These have contradicting entries, a suggestion, no label, or one that nobody has confirmed. An image that was
    skipped, or no longer exists, does not wait.
    """
    wanted = pa.array(image_ids, pa.string())
    at = pc.index_in(wanted, value_set=state.table["image_id"])
    guess = pc.index_in(wanted, value_set=state.suggestions["image_id"])
    skipped = pc.fill_null(state.suggestions["skipped"].take(guess), False)
    events = state.provenance["event"].take(at)
    confirmed = pc.fill_null(pc.is_in(events, value_set=pa.array(answers(state.kind))), False)
    said = state.table[state.kind.key].take(at)
    conflict = pc.is_in(wanted, value_set=pa.array(list(state.conflicts), pa.string()))
    there, guessed, labelled = at.is_valid(), guess.is_valid(), said.is_valid()
    masks = (np.asarray(one).astype(bool) for one in (there, guessed, labelled, skipped, confirmed, conflict))
    is_there, is_guessed, is_labelled, is_skipped, is_confirmed, is_conflict = masks
    waits = is_conflict | ((is_guessed | ~is_labelled | ~is_confirmed) & ~is_skipped)
    return np.asarray(is_there & waits, dtype=bool)


def _without(ids: Sequence[str], others: Sequence[str]) -> list[str]:
    left_out = set(others)
    return [one for one in ids if one not in left_out]


def rotated(image_ids: Sequence[str], *, author: str, block: int) -> list[str]:
    """The same images in the same order, but begun at another block by another author.

    Args:
        image_ids: the most urgent first.
        author: who will answer.
        block: images that are shown together.
    """
    n_blocks = -(-len(image_ids) // block)
    if n_blocks < 2:
        return list(image_ids)
    start = block * (hashlib.sha256(author.encode()).digest()[0] % min(_STARTS, n_blocks))
    return [*image_ids[start:], *image_ids[:start]]


def key_of(class_names: Sequence[str]) -> Mapping[str, str]:
    """The key that stands for each class: digits, then letters; classes beyond them have none."""
    return dict(zip(class_names, _KEYS, strict=False))
