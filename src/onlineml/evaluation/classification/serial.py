"""Lossless conversion of a classifier's scores to JSON and back.

One object: the single numbers under ``scores`` and ``top_k``, their ``intervals``, ``per_class``, ``confusion`` as
[truth id, predicted id, count] of the cells that are not 0, ``reliability``, ``by_slice``, ``mistakes``, the ``images``
column by column, ``probabilities`` as base64 of zlib of the raw array, ``thumbnails`` as base64. An undefined number
(nan) is null.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from typing import Any

import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation.classification.result import ClassificationScores
from onlineml.evaluation.classification.tables import Mistake, PerClass, Reliability
from onlineml.evaluation.json import cells, column_of, number, numbers, pack, parsed, plain, rows_of, unpack
from onlineml.evaluation.slices import SliceScore

__all__ = ["FORMAT", "from_json", "to_json"]

FORMAT = "onlineml.classification_scores"
VERSION = 1
MAX_PROBABILITY_BYTES = 64 * 2**20  # larger arrays take seconds to read, and only curves need them


def to_json(scores: ClassificationScores, *, probabilities: bool | None = None) -> str:
    """Encode scores as JSON text.

    Args:
        scores: the scores to write.
        probabilities: whether to include the (N, C) probabilities. None: if they take at most 64 MiB; without them, the
            scores have everything but curves when read.

    Returns:
        Strict JSON: nan is null.
    """
    array = scores.probabilities
    if array is not None and not (array.nbytes <= MAX_PROBABILITY_BYTES if probabilities is None else probabilities):
        array = None
    names = scores.score_names()
    content = {
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
        "scores": {name: scores.score(name) for name in names if not name.startswith("top_")},
        "top_k": {str(k): value for k, value in scores.top_k.items()},
        "intervals": scores.intervals,
        "per_class": rows_of(scores.per_class, rename={"names": "name"}),
        "confusion": cells(scores.confusion),
        "reliability": rows_of(scores.reliability),
        "by_slice": [dataclasses.asdict(row) for row in scores.by_slice],
        "mistakes": [dataclasses.asdict(row) for row in scores.mistakes],
        "images": {
            "image_id": scores.image_ids,
            "uri": scores.uris,
            "label": scores.labels,
            "prediction": scores.predictions,
            "confidence": scores.confidences,
            "group": scores.groups,
            "slices": scores.slices,
        },
        "probabilities": None if array is None else pack(array),
        "thumbnails": {key: base64.b64encode(data).decode() for key, data in scores.thumbnails.items()},
    }
    return json.dumps(plain(content), allow_nan=False, ensure_ascii=False)


def from_json(text: str | bytes) -> ClassificationScores:
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


def _scores(content: dict[str, Any]) -> ClassificationScores:
    images, rows, bins = content["images"], content["per_class"], content["reliability"]
    packed = content["probabilities"]
    fields = [f.name for f in dataclasses.fields(PerClass) if f.name != "names"]
    return ClassificationScores(
        class_names=tuple(content["class_names"]),
        model_ref=content["model_ref"],
        split=content["split"],
        manifest_hash=content["manifest_hash"],
        image_ids=tuple(images["image_id"]),
        uris=tuple(images["uri"]),
        labels=np.array(images["label"], np.int64),
        predictions=np.array(images["prediction"], np.int64),
        confidences=np.array(images["confidence"], np.float64),
        probabilities=None if packed is None else unpack(packed, dtypes=("<f4", "<f8")),
        groups=None if images["group"] is None else tuple(images["group"]),
        slices={name: tuple(values) for name, values in images["slices"].items()},
        n_groups=content["n_groups"],
        n_bootstrap=content["n_bootstrap"],
        seed=content["seed"],
        top_k={int(k): number(value) for k, value in content["top_k"].items()},
        intervals={name: (number(low), number(high)) for name, (low, high) in content["intervals"].items()},
        per_class=PerClass(tuple(row["name"] for row in rows), **{name: column_of(rows, name) for name in fields}),
        reliability=Reliability(**{f.name: column_of(bins, f.name) for f in dataclasses.fields(Reliability)}),
        by_slice=tuple(SliceScore(**numbers(row, "accuracy", "low", "high")) for row in content["by_slice"]),
        mistakes=tuple(Mistake(**row) for row in content["mistakes"]),
        thumbnails={key: base64.b64decode(data) for key, data in content["thumbnails"].items()},
        **{name: number(value) for name, value in content["scores"].items()},
    )
