"""What models guess of images: written beside the log as one table a call, and shown until a person answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import CLAIM_EVENTS, one_chunk
from onlineml.data.annotations.images import renamed
from onlineml.data.manifest.box_arrays import clean_boxes
from onlineml.data.manifest.boxes import BOX_COLUMNS
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from onlineml.data.annotations.fold import Folded

__all__ = ["guesses", "names_guessed", "open_suggestions"]

_SCORES = pa.list_(pa.float64())
_LABEL = pa.schema(
    [
        ("image_id", pa.string()),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("top_labels", pa.list_(pa.string())),
        ("top_scores", _SCORES),
    ]
)
_BOXES = pa.schema([("image_id", pa.string()), *BOX_COLUMNS.items(), ("scores", _SCORES)])
_NO_EDGE = (np.inf, np.inf)


# ---- written ----


def guesses(predictions: Any, *, image_ids: Callable[[Sequence[str]], list[str | None]], detection: bool) -> pa.Table:
    """The table of what a model guessed.

    Args:
        predictions: by image id, or rows with a ``uri``. Each has ``label``, ``score``, ``top`` and ``error`` (see
            `onlineml.inference.predictions.Prediction`), or ``boxes_xyxy``, ``labels``, ``scores`` and ``error``; by
            image id also a pair (label, score), or a triple (boxes_xyxy, labels, scores).
        image_ids: finds the ids of images by their uris.
        detection: whether it guessed boxes.

    Returns:
        A row per image that could be used.

    Raises:
        DataError: a guess is of another task or malformed, or images are not in the project.
    """
    if isinstance(predictions, Mapping):
        names, rows = list(predictions), list(predictions.values())
    else:
        rows = list(predictions)
        uris = [str(row.uri) for row in rows]
        found = image_ids(uris)
        missing = [uri for uri, image_id in zip(uris, found, strict=True) if image_id is None]
        if missing:
            raise DataError(
                f"{len(missing)} images of these predictions are not in the project: {examples(missing)}; predict on "
                "the project's own images, such as data.urls(), or give the predictions by image id"
            )
        names = [str(image_id) for image_id in found]
    facts = _of_boxes if detection else _of_label
    told = [facts(name, row) for name, row in zip(names, rows, strict=True)]
    return pa.Table.from_pylist([one for one in told if one is not None], schema=_BOXES if detection else _LABEL)


def _of_label(image_id: str, guess: Any) -> dict[str, Any] | None:
    if isinstance(guess, tuple) and len(guess) == 2:
        top: list[tuple[str, float]] = [guess]
    elif hasattr(guess, "top") and not hasattr(guess, "boxes_xyxy"):
        if guess.error is not None or guess.label is None:
            return None
        top = list(guess.top) or [(guess.label, guess.score)]
    else:
        raise DataError(f"the guess for {image_id} must be a prediction or a pair (label, score); it is {guess!r}")
    labels, scores = [str(label) for label, _ in top], _checked_scores([score for _, score in top], image_id)
    best = {"label": labels[0], "score": scores[0]}
    return {"image_id": image_id, **best, "top_labels": labels, "top_scores": scores}


def _of_boxes(image_id: str, guess: Any) -> dict[str, Any] | None:
    if hasattr(guess, "boxes_xyxy"):
        if guess.error is not None:
            return None
        guess = (guess.boxes_xyxy, guess.labels, guess.scores)
    try:
        given, labels, scores = guess
        boxes = np.asarray(given, dtype=np.float64).reshape(-1, 4)
        names, numbers = [str(label) for label in labels], _checked_scores(scores, image_id)
    except (TypeError, ValueError) as err:
        raise DataError(
            f"the guess for {image_id} must be found objects or a triple (boxes_xyxy, labels, scores); it is {guess!r}"
        ) from err
    if not len(boxes) == len(names) == len(numbers):
        counts = f"{len(boxes)} boxes, {len(names)} labels and {len(numbers)} scores"
        raise DataError(f"the guess for {image_id} must have a label and a score for each box; it has {counts}")
    _, codes = clean_boxes(boxes, _NO_EDGE)  # type: ignore[arg-type]  # no edge to be beyond
    usable = [place for place, code in enumerate(codes) if code not in {"box_not_finite", "box_empty"}]
    return {
        "image_id": image_id,
        "boxes_xyxy": boxes[usable].tolist(),
        "labels": [names[place] for place in usable],
        "scores": [numbers[place] for place in usable],
    }


def _checked_scores(scores: Iterable[Any], image_id: str) -> list[float]:
    numbers = [float(score) for score in scores]
    if not all(0 <= number <= 1 for number in numbers):
        raise DataError(f"the scores for {image_id} must be numbers between 0 and 1; found {examples(numbers)}")
    return numbers


def names_guessed(table: pa.Table) -> list[str]:
    """All class names in a table of guesses."""
    lists = table["labels" if "labels" in table.column_names else "top_labels"]
    return [str(name) for name in pc.unique(pc.list_flatten(lists)).to_pylist()]


# ---- read ----


def open_suggestions(folded: Folded, read_file: Callable[[str], pa.Table], *, detection: bool) -> pa.Table:
    """See `onlineml.data.annotations.Annotations.suggestions`."""
    entries = folded.entries
    tables = [(_BOXES if detection else _LABEL).empty_table()]
    places: list[np.ndarray] = [np.empty(0, np.int64)]
    for row in entries.rows("suggested"):
        tables.append(read_file(entries.text_of(row, "file")).select(tables[0].column_names).cast(tables[0].schema))
        places.append(np.full(len(tables[-1]), row))
    table, place = pa.concat_tables(tables).combine_chunks(), np.concatenate(places)
    codes = one_chunk(table["image_id"]).dictionary_encode().indices.to_numpy()
    last = np.full(int(codes.max(initial=-1)) + 1, -1)
    last[codes] = np.arange(len(codes))  # of several writes to one place the last one stays
    table, place = table.take(pa.array(last)), place[last]
    images = folded.images
    state = _places(images.table["image_id"], images.places, table["image_id"])
    human_annotated = np.isin(state, entries.rows(*CLAIM_EVENTS))
    wanted = (state >= 0) & ~(human_annotated & (state > place))
    table, place = table.filter(pa.array(wanted)), place[wanted]
    skipped = _places(
        pa.array(list(folded.skipped), pa.string()),
        np.array(list(folded.skipped.values()), dtype=np.int64),
        table["image_id"],
    )
    table = renamed(table, folded.classes.lineage)
    return (
        table.append_column("model", entries.texts("model", place))
        .append_column("entry", entries.ids(place))
        .append_column("skipped", pa.array(skipped > place))
    )


def _places(names: Any, places: np.ndarray, wanted: Any) -> np.ndarray:
    """The place that goes with each wanted name; -1 where there is none."""
    at = pc.index_in(wanted, value_set=names).fill_null(-1).to_numpy()
    return np.where(at >= 0, np.append(places, -1)[at], -1)
