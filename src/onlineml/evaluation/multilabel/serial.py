"""Lossless conversion of multi-label scores to JSON and back.

One object: the single numbers under ``scores``, their ``intervals``, ``thresholds``, ``per_class``, ``confusion`` as
[truth id, predicted id, count] of the cells that are not 0, ``by_slice``, ``worst``, the ``images`` column by column
with ``truth`` and ``predictions`` as base64 of zlib of the bits, ``probabilities`` likewise of the raw array,
``thumbnails`` as base64. An undefined number (nan) is null.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation.classification.serial import MAX_PROBABILITY_BYTES
from onlineml.evaluation.json import cells, column_of, number, numbers, pack, parsed, plain, rows_of, unpack
from onlineml.evaluation.multilabel.result import MultilabelScores
from onlineml.evaluation.multilabel.tables import LabelScore, MultilabelSlice, PerLabel, WrongImage

if TYPE_CHECKING:
    from onlineml.evaluation.types import Array

__all__ = ["FORMAT", "from_json", "to_dict", "to_json"]

FORMAT = "onlineml.multilabel_scores"
VERSION = 1


def to_dict(scores: MultilabelScores) -> dict[str, Any]:
    """Return the numbers as plain JSON values, without the per-image predictions, which only `to_json` writes."""
    numbers_alone = {
        "format": FORMAT,
        "format_version": VERSION,
        "model_ref": scores.model_ref,
        "split": scores.split,
        "manifest_hash": scores.manifest_hash,
        "class_names": scores.class_names,
        "n_images": scores.n_images,
        "n_groups": scores.n_groups,
        "n_bootstrap": scores.n_bootstrap,
        "seed": scores.seed,
        "thresholds": scores.thresholds,
        "scores": {name: scores.score(name) for name in scores.score_names()},
        "intervals": scores.intervals,
        "per_class": rows_of(scores.per_class, rename={"names": "name"}),
        "confusion": cells(scores.confusion),
        "by_slice": [dataclasses.asdict(row) for row in scores.by_slice],
    }
    content: dict[str, Any] = plain(numbers_alone)
    return content


def to_json(scores: MultilabelScores, *, probabilities: bool | None = None) -> str:
    """Encode scores as JSON text.

    Args:
        scores: the scores to write.
        probabilities: whether to include the (N, K) probabilities. None: if they take at most 64 MiB; without them, the
            scores have everything but curves when read.

    Returns:
        Strict JSON: nan is null.
    """
    array = scores.probabilities
    if array is not None and not (array.nbytes <= MAX_PROBABILITY_BYTES if probabilities is None else probabilities):
        array = None
    content = to_dict(scores) | {
        "worst": [dataclasses.asdict(row) for row in scores.worst],
        "images": {
            "image_id": scores.image_ids,
            "uri": scores.uris,
            "truth": pack(np.packbits(scores.truth)),
            "predictions": pack(np.packbits(scores.predictions)),
            "group": scores.groups,
            "slices": scores.slices,
        },
        "probabilities": None if array is None else pack(array),
        "thumbnails": {key: base64.b64encode(data).decode() for key, data in scores.thumbnails.items()},
    }
    return json.dumps(plain(content), allow_nan=False, ensure_ascii=False)


def from_json(text: str | bytes) -> MultilabelScores:
    """Read the result of `to_json`.

    Raises:
        DataError: the text is not JSON, is of another kind, or is from a later version of onlineml.
    """
    content = parsed(text, expected=FORMAT, version=VERSION)
    try:
        return _scores(content)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        msg = f"the evaluation is damaged: {type(error).__name__}: {error}; evaluate the model again"
        raise DataError(msg) from error


def _bits(packed: dict[str, Any], shape: tuple[int, int]) -> Array:
    bits = np.unpackbits(unpack(packed, dtypes=("|u1",)), count=shape[0] * shape[1])
    return bits.reshape(shape).astype(bool)


def _labels(pairs: list[list[Any]]) -> tuple[LabelScore, ...]:
    return tuple(LabelScore(name, score) for name, score in pairs)


def _wrong_image(row: dict[str, Any]) -> WrongImage:
    lists = {"truth": tuple(row["truth"]), "missed": _labels(row["missed"]), "false": _labels(row["false"])}
    return WrongImage(**{**row, **lists})


def _scores(content: dict[str, Any]) -> MultilabelScores:
    images, rows, packed = content["images"], content["per_class"], content["probabilities"]
    shape = (len(images["image_id"]), len(content["class_names"]))
    fields = [f.name for f in dataclasses.fields(PerLabel) if f.name != "names"]
    return MultilabelScores(
        class_names=tuple(content["class_names"]),
        model_ref=content["model_ref"],
        split=content["split"],
        manifest_hash=content["manifest_hash"],
        image_ids=tuple(images["image_id"]),
        uris=tuple(images["uri"]),
        truth=_bits(images["truth"], shape),
        predictions=_bits(images["predictions"], shape),
        probabilities=None if packed is None else unpack(packed, dtypes=("<f4", "<f8")),
        groups=None if images["group"] is None else tuple(images["group"]),
        slices={name: tuple(values) for name, values in images["slices"].items()},
        n_groups=content["n_groups"],
        n_bootstrap=content["n_bootstrap"],
        seed=content["seed"],
        thresholds=content["thresholds"],
        intervals={name: (number(low), number(high)) for name, (low, high) in content["intervals"].items()},
        per_class=PerLabel(tuple(row["name"] for row in rows), **{name: column_of(rows, name) for name in fields}),
        by_slice=tuple(
            MultilabelSlice(**numbers(row, "micro_f1", "low", "high", "subset_accuracy")) for row in content["by_slice"]
        ),
        worst=tuple(_wrong_image(row) for row in content["worst"]),
        thumbnails={key: base64.b64decode(data) for key, data in content["thumbnails"].items()},
        **{name: number(value) for name, value in content["scores"].items()},
    )
