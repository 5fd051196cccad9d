"""Scores as JSON and back, without loss.

One object: the single numbers under ``scores`` and ``top_k``, their ``intervals``, ``per_class``, ``confusion`` as
[truth id, predicted id, count] of the cells that are not 0, ``reliability``, ``by_slice``, ``mistakes``, the
``images`` column by column, ``probabilities`` as base64 of zlib of the raw array, ``thumbnails`` as base64.
An undefined number (nan) is null.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation.scores import ClassificationScores
from onlineml.evaluation.slices import SliceScore
from onlineml.evaluation.tables import Mistake, PerClass, Reliability

if TYPE_CHECKING:
    from onlineml.evaluation._types import Array, Floats

__all__ = ["FORMAT", "from_json", "to_json"]

FORMAT = "onlineml.classification_scores"
VERSION = 1
MAX_PROBABILITY_BYTES = 64 * 2**20  # beyond it a reader waits seconds for numbers that only curves need
_INTS = ("support", "predicted", "n")


def to_json(scores: ClassificationScores, *, probabilities: bool | None = None) -> str:
    """Write scores as JSON text.

    Args:
        scores: what to write.
        probabilities: whether the (N, C) probabilities go in. None: if they take at most 64 MiB; without them the
            scores read back have everything but curves.

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
        "per_class": _rows(scores.per_class, rename={"names": "name"}),
        "confusion": _cells(scores.confusion),
        "reliability": _rows(scores.reliability),
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
        "probabilities": None if array is None else _pack(array),
        "thumbnails": {key: base64.b64encode(data).decode() for key, data in scores.thumbnails.items()},
    }
    return json.dumps(_plain(content), allow_nan=False, ensure_ascii=False)


def _rows(table: PerClass | Reliability, *, rename: dict[str, str] | None = None) -> list[dict[str, Any]]:
    columns = {f.name: getattr(table, f.name) for f in dataclasses.fields(table)}
    names = [(rename or {}).get(name, name) for name in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _cells(confusion: Array) -> list[list[int]]:
    truths, predictions = np.nonzero(confusion)
    return np.stack([truths, predictions, confusion[truths, predictions]], axis=1).tolist()  # type: ignore[no-any-return]


def _pack(array: Floats) -> dict[str, Any]:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    packed = base64.b64encode(zlib.compress(little.tobytes(), 1)).decode()
    return {"dtype": little.dtype.str, "shape": list(array.shape), "zlib_base64": packed}


def _unpack(packed: dict[str, Any]) -> Floats:
    if packed["dtype"] not in {"<f4", "<f8"}:
        msg = f"probabilities have dtype {packed['dtype']!r}; expected '<f4' or '<f8'"
        raise DataError(msg)
    dtype = np.dtype(packed["dtype"])
    data = zlib.decompress(base64.b64decode(packed["zlib_base64"]))
    return np.frombuffer(data, dtype).reshape(packed["shape"]).astype(dtype.newbyteorder("="))


def _plain(value: Any) -> Any:
    """Only what JSON has: arrays as lists, nan as None."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _column(rows: list[dict[str, Any]], name: str) -> Array:
    if name.endswith("_interval"):
        return np.array([[_number(v) for v in row[name]] for row in rows]).reshape(len(rows), 2)
    values = [row[name] for row in rows]
    return np.array(values, np.int64) if name in _INTS else np.array([_number(v) for v in values], np.float64)


def from_json(text: str | bytes) -> ClassificationScores:
    """Read what `to_json` wrote.

    Raises:
        DataError: the text is not JSON, is of another kind, or is from a later version of onlineml.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        msg = f"evaluation is not JSON ({error}); expected what ClassificationScores.to_json wrote"
        raise DataError(msg) from error
    kind = content.get("format") if isinstance(content, dict) else None
    if kind != FORMAT or content.get("format_version", 0) > VERSION:
        found = f"format {kind!r}, version {content.get('format_version') if isinstance(content, dict) else None}"
        msg = f"expected {FORMAT!r} up to version {VERSION}, found {found}; update onlineml or give another file"
        raise DataError(msg)
    try:
        return _scores(content)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        msg = f"the evaluation is damaged: {type(error).__name__}: {error}; evaluate the model again"
        raise DataError(msg) from error


def _scores(content: dict[str, Any]) -> ClassificationScores:
    images, rows, bins = content["images"], content["per_class"], content["reliability"]
    class_fields = [f.name for f in dataclasses.fields(PerClass) if f.name != "names"]
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
        probabilities=None if content["probabilities"] is None else _unpack(content["probabilities"]),
        groups=None if images["group"] is None else tuple(images["group"]),
        slices={name: tuple(values) for name, values in images["slices"].items()},
        n_groups=content["n_groups"],
        n_bootstrap=content["n_bootstrap"],
        seed=content["seed"],
        top_k={int(k): _number(value) for k, value in content["top_k"].items()},
        intervals={name: (_number(low), _number(high)) for name, (low, high) in content["intervals"].items()},
        per_class=PerClass(tuple(row["name"] for row in rows), **{name: _column(rows, name) for name in class_fields}),
        reliability=Reliability(**{f.name: _column(bins, f.name) for f in dataclasses.fields(Reliability)}),
        by_slice=tuple(SliceScore(**_numbers(row, "accuracy", "low", "high")) for row in content["by_slice"]),
        mistakes=tuple(Mistake(**row) for row in content["mistakes"]),
        thumbnails={key: base64.b64decode(data) for key, data in content["thumbnails"].items()},
        **{name: _number(value) for name, value in content["scores"].items()},
    )


def _numbers(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return row | {name: _number(row[name]) for name in names}
