"""Lossless conversion of a detector's scores to JSON and back.

One object as in `onlineml.evaluation.classification.serial`, with ``errors`` and ``worst``, and under ``truth`` and
``found`` the boxes column by column, each as base64 of zlib of the raw array.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import DataError
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.result import DetectionScores
from onlineml.evaluation.detection.tables import DetectionSlice, ErrorType, PerObjectClass, SeenBox, WorstImage
from onlineml.evaluation.json import cells, column_of, number, numbers, pack, parsed, plain, rows_of, unpack

if TYPE_CHECKING:
    from onlineml.evaluation.types import Array

__all__ = ["FORMAT", "from_json", "to_json"]

FORMAT = "onlineml.detection_scores"
VERSION = 1
MAX_DETECTION_BYTES = 64 * 2**20  # the same limit as for the probabilities of a classifier
_TRUTH = {
    "boxes_xyxy": "<f8",
    "label_ids": "<i8",
    "crowd": "|b1",
    "area": "<f8",
    "offsets": "<i8",
    "annotated": "|b1",
}
_FOUND = {"image_index": "<i8", "boxes_xyxy": "<f8", "label_ids": "<i8", "scores": "<f8"}
_SLICE_NUMBERS = ("map_50", "low", "high", "map_50_95", "precision", "recall")


def to_json(scores: DetectionScores, *, detections: bool | None = None) -> str:
    """Encode scores as JSON text.

    Args:
        scores: the scores to write.
        detections: whether to include the boxes of truth and detections. None: if they take at most 64 MiB; without
            them, the scores have everything but curves when read.

    Returns:
        Strict JSON: nan is null.
    """
    size = sum(array.nbytes for array in (*_columns(scores.truth, _TRUTH), *_columns(scores.found, _FOUND)))
    kept = scores.found is not None and (size <= MAX_DETECTION_BYTES if detections is None else detections)
    content = {
        "format": FORMAT,
        "format_version": VERSION,
        "model_ref": scores.model_ref,
        "split": scores.split,
        "manifest_hash": scores.manifest_hash,
        "class_names": scores.class_names,
        "n_images": scores.n_images,
        "n_objects": scores.n_objects,
        "n_groups": scores.n_groups,
        "n_bootstrap": scores.n_bootstrap,
        "seed": scores.seed,
        "thresholds": [scores.thresholds[name] for name in scores.class_names],
        "thresholds_given": scores.thresholds_given,
        "scores": {name: scores.score(name) for name in scores.score_names()},
        "intervals": scores.intervals,
        "per_class": rows_of(scores.per_class, rename={"names": "name"}),
        "confusion": cells(scores.confusion),
        "errors": [dataclasses.asdict(row) for row in scores.errors],
        "by_slice": [dataclasses.asdict(row) for row in scores.by_slice],
        "worst": [dataclasses.asdict(row) for row in scores.worst],
        "images": {
            "image_id": scores.image_ids,
            "uri": scores.uris,
            "size_hw": scores.sizes_hw,
            "group": scores.groups,
            "slices": scores.slices,
        },
        "truth": _packed(scores.truth, _TRUTH) if kept else None,
        "found": _packed(scores.found, _FOUND) if kept else None,
        "outcomes": pack(scores.outcomes) if kept and scores.outcomes is not None else None,
        "thumbnails": {key: base64.b64encode(data).decode() for key, data in scores.thumbnails.items()},
    }
    return json.dumps(plain(content), allow_nan=False, ensure_ascii=False)


def _columns(boxes: Boxes | Detections | None, names: dict[str, str]) -> list[Array]:
    return [] if boxes is None else [getattr(boxes, name) for name in names]


def _packed(boxes: Boxes | Detections | None, names: dict[str, str]) -> dict[str, Any]:
    return {name: pack(column) for name, column in zip(names, _columns(boxes, names), strict=True)}


def _unpacked(content: dict[str, Any], names: dict[str, str]) -> dict[str, Array]:
    return {name: unpack(content[name], dtypes=(dtype,)) for name, dtype in names.items()}


def from_json(text: str | bytes) -> DetectionScores:
    """Read the result of `to_json`.

    Raises:
        DataError: the text is not JSON, is of another kind, is damaged, or is from a later version of onlineml.
    """
    content = parsed(text, expected=FORMAT, version=VERSION)
    try:
        return _scores(content)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        msg = f"the evaluation is damaged: {type(error).__name__}: {error}; evaluate the model again"
        raise DataError(msg) from error


def _scores(content: dict[str, Any]) -> DetectionScores:
    images, rows, names = content["images"], content["per_class"], tuple(content["class_names"])
    class_fields = [f.name for f in dataclasses.fields(PerObjectClass) if f.name != "names"]
    confusion = np.zeros((len(names) + 1, len(names) + 1), np.int64)
    for truth, predicted, n in content["confusion"]:
        confusion[truth, predicted] = n
    found = content["found"]
    return DetectionScores(
        class_names=names,
        model_ref=content["model_ref"],
        split=content["split"],
        manifest_hash=content["manifest_hash"],
        image_ids=tuple(images["image_id"]),
        uris=tuple(images["uri"]),
        sizes_hw=np.array(images["size_hw"], np.int64).reshape(-1, 2),
        groups=None if images["group"] is None else tuple(images["group"]),
        slices={name: tuple(values) for name, values in images["slices"].items()},
        n_groups=content["n_groups"],
        n_bootstrap=content["n_bootstrap"],
        seed=content["seed"],
        truth=None if found is None else Boxes(**_unpacked(content["truth"], _TRUTH)),
        found=None if found is None else Detections(**_unpacked(found, _FOUND), n_images=content["n_images"]),
        outcomes=None if found is None else unpack(content["outcomes"], dtypes=("|i1",)),
        thresholds=dict(zip(names, map(number, content["thresholds"]), strict=True)),
        thresholds_given=content["thresholds_given"],
        intervals={name: (number(low), number(high)) for name, (low, high) in content["intervals"].items()},
        per_class=PerObjectClass(
            tuple(row["name"] for row in rows), **{name: column_of(rows, name) for name in class_fields}
        ),
        confusion=confusion,
        errors=tuple(ErrorType(**numbers(row, "ap_50_cost")) for row in content["errors"]),
        by_slice=tuple(DetectionSlice(**numbers(row, *_SLICE_NUMBERS)) for row in content["by_slice"]),
        worst=tuple(_worst(row) for row in content["worst"]),
        thumbnails={key: base64.b64decode(data) for key, data in content["thumbnails"].items()},
        **{name: number(value) for name, value in content["scores"].items()},
    )


def _worst(row: dict[str, Any]) -> WorstImage:
    boxes = tuple(SeenBox(**numbers(box, "score") | {"box_xyxy": tuple(box["box_xyxy"])}) for box in row["boxes"])
    return WorstImage(**row | {"size_hw": tuple(row["size_hw"]), "boxes": boxes})
