"""COCO's detection scores, from COCO files or from arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from onlineml.arguments.counted import count, part_of
from onlineml.errors import DataError
from onlineml.evaluation.classification.inputs import checked_names
from onlineml.evaluation.coco.arrays import CocoArrays
from onlineml.evaluation.coco.curves import coco_curves
from onlineml.evaluation.coco.read import read_coco
from onlineml.evaluation.coco.result import CocoScores, summarize
from onlineml.evaluation.detection.matching import xywh_of
from onlineml.storage.location import Location, Options

if TYPE_CHECKING:
    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.detection.detections import Detections

__all__ = ["CocoScores", "coco_scores", "coco_scores_of"]

Source: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | PathLike[str]


def coco_scores(ground_truth: Source, detections: Source, *, storage_options: Options = None) -> CocoScores:
    """Compute the scores of the COCO challenge for boxes, equal to pycocotools' to 1e-12, with checked inputs.

    Everything is checked before anything is counted, and every kind of problem is reported with its rows. Annotation
    ids are not used, so 0 and repeated ids do no harm. A missing ``iscrowd`` is 0, a missing ``area`` is that of the
    box. No detections at all result in scores of 0. The 100 detections of highest score per class and image count,
    however low their scores. Undefined scores are nan.

    Args:
        ground_truth: a COCO document (``images``, ``categories``, ``annotations`` with ``image_id``, ``category_id``,
            ``bbox`` as [x, y, width, height] in pixels): a dict, or the path or URL of its JSON.
        detections: COCO results: a list of dicts with ``image_id``, ``category_id``, ``bbox``, ``score``; or a dict
            with that list under ``annotations``; or the path or URL of such JSON.
        storage_options: options of the filesystem, for URLs.

    Returns:
        The scores.

    Raises:
        DataError: the documents are not as described; scores are nan; sizes are negative; images or categories do not
            exist in the ground truth. All problems are in one message.
        NotFoundError: there is no file at that path or URL.
    """
    arrays, class_names = read_coco(
        *(
            Location.of(source, storage_options) if isinstance(source, str | PathLike) else source
            for source in (ground_truth, detections)
        )
    )
    return _scores(arrays, class_names)


def coco_scores_of(truth: Boxes, found: Detections, class_names: Sequence[str]) -> CocoScores:
    """Compute `coco_scores` of boxes in arrays.

    Images without annotations are excluded with their detections, and so are true boxes of no known class (`label_ids`
    -1).

    Args:
        truth: annotations of N images; boxes finite and not empty, such as those of ``check().manifest``.
        found: detections in the same N images.
        class_names: C distinct names.

    Raises:
        DataError: the numbers of images differ; labels are beyond C; true boxes are invalid.
    """
    names = checked_names(class_names)
    _check_arrays(truth, found, names)
    at = np.flatnonzero(truth.annotated[truth.image_index] & (truth.label_ids >= 0))
    seen = np.flatnonzero(truth.annotated[found.image_index])
    number = np.cumsum(truth.annotated) - 1  # index among the annotated images
    truth_xywh, found_xywh = xywh_of(truth.boxes_xyxy[at]), xywh_of(found.boxes_xyxy[seen])
    area = truth.area[at]
    arrays = CocoArrays(
        n_images=int(truth.annotated.sum()),
        n_classes=len(names),
        truth_image=number[truth.image_index[at]],
        truth_class=truth.label_ids[at],
        truth_xywh=truth_xywh,
        truth_area=np.where(np.isnan(area), truth_xywh[:, 2] * truth_xywh[:, 3], area),
        truth_crowd=truth.crowd[at],
        found_image=number[found.image_index[seen]],
        found_class=found.label_ids[seen],
        found_xywh=found_xywh,
        found_scores=found.scores[seen],
    )
    return _scores(arrays, names)


def _scores(arrays: CocoArrays, class_names: tuple[str, ...]) -> CocoScores:
    counted = arrays.truth_class[~arrays.truth_crowd]
    n_objects = np.bincount(counted, minlength=arrays.n_classes).astype(np.int64)
    return summarize(coco_curves(arrays), class_names, n_images=arrays.n_images, n_objects=n_objects)


def _check_arrays(truth: Boxes, found: Detections, names: tuple[str, ...]) -> None:
    n_images = len(truth.offsets) - 1
    if n_images != found.n_images:
        msg = f"the truth is of {n_images} images and the detections of {found.n_images}; give both of the same images"
        raise DataError(msg)
    highest = {"truth": truth.label_ids.max(initial=-1), "detections": found.label_ids.max(initial=-1)}
    beyond = [f"the {what} have label id {value}" for what, value in highest.items() if value >= len(names)]
    if beyond:
        msg = (
            f"{' and '.join(beyond)}, but there are {count(len(names), 'class')}; label ids are indices "
            "into class_names"
        )
        raise DataError(msg)
    boxes = truth.boxes_xyxy
    fine = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    bad = np.flatnonzero(~fine & truth.annotated[truth.image_index] & (truth.label_ids >= 0))
    if len(bad):
        first = f"row {bad[0]}, {boxes[bad[0]].tolist()}, in image {truth.image_index[bad[0]]}"
        msg = f"{part_of(len(bad), len(boxes), 'true box is')} empty or not finite, such as {first}; remove them first"
        raise DataError(msg)
