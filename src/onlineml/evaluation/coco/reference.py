"""The reference: pycocotools, given what it cannot stumble over and asked for what its summary is made of."""
# ruff: noqa: PLC0415 - it is an extra

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import MissingDependencyError
from onlineml.evaluation.coco.arrays import AREA_RANGES, IOU_THRESHOLDS, RECALLS, Curves

if TYPE_CHECKING:
    from onlineml.evaluation.coco.arrays import CocoArrays
    from onlineml.evaluation.types import Floats

__all__ = ["reference_curves"]


def reference_curves(arrays: CocoArrays) -> Curves:
    """Precision and recall by pycocotools.

    Annotations are numbered from 1: it takes the object with id 0 for found by nobody. Its loader of results, which
    fails on an empty list, is left out.

    Raises:
        MissingDependencyError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        msg = "engine='pycocotools' needs pycocotools: pip install 'onlineml[coco]', or take engine='numpy'"
        raise MissingDependencyError(msg) from error
    if not arrays.n_classes or not arrays.n_images:
        shape = (len(IOU_THRESHOLDS), arrays.n_classes, len(AREA_RANGES))
        precision = np.full((shape[0], len(RECALLS), *shape[1:]), np.nan)
        return Curves(precision, np.full(shape, np.nan), np.full((*shape[:2], 2), np.nan))
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset, found.dataset = _truth(arrays), _found(arrays)
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = _defined(evaluation.eval["precision"]), _defined(evaluation.eval["recall"])
    return Curves(precision[..., -1], recall[..., -1], recall[:, :, 0, :-1])


def _defined(values: Floats) -> Floats:
    return np.where(values < 0, np.nan, values)


def _documents(arrays: CocoArrays) -> dict[str, Any]:
    return {
        "images": [{"id": i} for i in range(arrays.n_images)],
        "categories": [{"id": i} for i in range(arrays.n_classes)],
    }


def _truth(arrays: CocoArrays) -> dict[str, Any]:
    columns = (arrays.truth_image, arrays.truth_class, arrays.truth_xywh, arrays.truth_area, arrays.truth_crowd)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    names = ("image_id", "category_id", "bbox", "area", "iscrowd")
    annotations = [{"id": i, **dict(zip(names, row, strict=True))} for i, row in enumerate(rows, start=1)]
    return {**_documents(arrays), "annotations": annotations}


def _found(arrays: CocoArrays) -> dict[str, Any]:
    area = arrays.found_xywh[:, 2] * arrays.found_xywh[:, 3]
    columns = (arrays.found_image, arrays.found_class, arrays.found_xywh, area, arrays.found_scores)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    names = ("image_id", "category_id", "bbox", "area", "score")
    annotations = [{"id": i, **dict(zip(names, row, strict=True))} for i, row in enumerate(rows, start=1)]
    return {**_documents(arrays), "annotations": annotations}
