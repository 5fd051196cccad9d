"""The boxes of an image as the editor shows them: its own, and those that a model suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.manifest.box_arrays import box_iou

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.annotations.state import Annotations

__all__ = ["accepted_guesses", "boxes_told", "state_of"]

_SAME_IOU = 0.5  # a suggestion this close to a box of its class is not shown


def state_of(state: Annotations, row: Mapping[str, Any]) -> str:
    if row["image_id"] in state.conflicts:
        return "in conflict"
    return "not annotated" if row["labels"] is None else "annotated"


def guess_of(state: Annotations, image_id: str) -> dict[str, Any] | None:
    place = pc.index(state.suggestions["image_id"], pa.scalar(image_id, pa.string())).as_py()
    return None if place < 0 else dict(state.suggestions.slice(place, 1).to_pylist()[0])


def accepted_guesses(state: Annotations, image_id: str, boxes: Sequence[Mapping[str, Any]]) -> list[int] | None:
    """Return the indices of accepted suggested boxes; None unless the boxes are the image's own and suggested ones."""
    guess = guess_of(state, image_id)
    row = state.row(image_id)
    if guess is None or not row:
        return None
    n_own = len(row["labels"] or ())
    pairs = list(zip(row["boxes_xyxy"] or (), row["labels"] or (), strict=True))
    pairs += list(zip(guess["boxes_xyxy"], guess["labels"], strict=True))
    seen = [(list(map(float, box["xyxy"])), box["label"]) for box in boxes]
    given = [(list(box), label) for box, label in pairs]
    if seen[:n_own] != given[:n_own]:
        return None
    chosen = []
    for one in seen[n_own:]:
        place = next((i for i in range(n_own, len(given)) if given[i] == one and i - n_own not in chosen), None)
        if place is None:
            return None
        chosen.append(place - n_own)
    return chosen or None


def boxes_told(state: Annotations, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The image's own boxes, then suggested ones that it does not have yet."""
    own = [
        {"xyxy": list(box), "label": label or "", "own": place}
        for place, (box, label) in enumerate(zip(row["boxes_xyxy"] or (), row["labels"] or (), strict=True))
    ]
    guess = guess_of(state, row["image_id"])
    if guess is None:
        return own
    given = np.array(guess["boxes_xyxy"], dtype=np.float64).reshape(-1, 4)
    near = box_iou(given, np.array([box["xyxy"] for box in own]).reshape(-1, 4)) > _SAME_IOU
    told = []
    for place, (box, label, score) in enumerate(zip(given.tolist(), guess["labels"], guess["scores"], strict=True)):
        there = any(near[place, i] and one["label"] == label for i, one in enumerate(own))
        if not there:
            told.append({"xyxy": box, "label": label, "guess": place, "score": score, "model": guess["model"]})
    return [*own, *told]
