"""A detector's scores on a split of a manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.augment.detection_geometry import fit_inside
from onlineml.data.loading.detection_datamodules import DetectionDataModule
from onlineml.data.manifest.box_arrays import Boxes, clean_boxes
from onlineml.errors import DataError, TrainingError
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.score import detection_scores
from onlineml.inference.cutoffs import cutoffs
from onlineml.inference.detecting import Fitted, detect_in, detection_network, tile_size_of
from onlineml.inference.evaluation import own_label_ids, slice_values, small_jpegs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from onlineml.data.loading.detection_datasets import DetectionBatch
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.inference.detecting import DetectionModel, Objects
    from onlineml.inference.evaluation import Arrays, EvaluateOptions
    from onlineml.inference.network import Network

__all__ = ["detections_in", "evaluate_detector", "split_truth", "usable_boxes"]

_THUMBNAILS = 24
_THUMBNAIL_PX = 320  # boxes are drawn on them


def evaluate_detector(
    model: DetectionModel,
    data: Manifest,
    options: EvaluateOptions,
    *,
    known_only: bool = False,
) -> DetectionScores:
    """Score a detector; see `onlineml.evaluate`.

    Args:
        model: the detector.
        data: the images.
        options: see `onlineml.evaluate`.
        known_only: leave out objects of classes that it does not know, and images that show no others.
    """
    found = _found_in(model, data, options)
    truth, _ = usable_boxes(data, found)
    if known_only:
        found, truth = _of_known(model, data, found, truth)
    rows = _known(found.image_rows)
    scores = detection_scores(
        replace(truth, label_ids=own_label_ids(model.class_names, data, truth.label_ids)),
        found,
        model.class_names,
        image_ids=data.column("image_id")[rows].tolist(),
        uris=data.column("uri")[rows].tolist(),
        sizes_hw=found.sizes_hw,
        groups=data.column("group")[rows],
        slices=slice_values(data, options.slices, rows),
        thresholds=_thresholds(model),
        n_bootstrap=options.n_bootstrap,
        seed=options.seed,
        split=options.split,
        manifest_hash=data.hash,
        model_ref=model.reference,
    )
    worst = [image.image_id for image in scores.worst[:_THUMBNAILS]]
    return scores.with_thumbnails(small_jpegs(data, worst, min_side=_THUMBNAIL_PX, shrink=_thumbnail))


def split_truth(
    model: DetectionModel, data: Manifest, options: EvaluateOptions
) -> tuple[NDArray[np.int64], Boxes, Detections]:
    """Return rows of the manifest, and in their images the objects, with the model's class ids, and all detections."""
    found = _found_in(model, data, options)
    truth, _ = usable_boxes(data, found)
    own = replace(truth, label_ids=own_label_ids(model.class_names, data, truth.label_ids))
    return _known(found.image_rows), own, found


def _found_in(model: DetectionModel, data: Manifest, options: EvaluateOptions) -> Detections:
    found = options.compute(_outputs, model, data, options)
    index = np.repeat(np.arange(len(found["rows"])), found["n_objects"])
    objects = (found["boxes_xyxy"], found["label_ids"], found["scores"])
    return Detections(index, *objects, len(found["rows"]), found["rows"], found["sizes_hw"])


def _outputs(model: DetectionModel, data: Manifest, options: EvaluateOptions) -> Arrays:
    """Rows, sizes and detections of the images of a manifest, for `EvaluateOptions.compute`."""
    dm = DetectionDataModule(
        data,
        size_hw=model.input_size_hw(),
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        augment="none",
        tile_size=tile_size_of(model),
        max_bad=options.max_bad,
    )
    batches = dm.loader(options.split)
    network = detection_network(
        model,
        engine=options.engine,
        batch_size=options.batch_size,
        n_images=lambda: len(batches) * options.batch_size,
        may_pause=True,
    )
    found = detections_in(model, batches, network=network)
    return {
        "rows": _known(found.image_rows),
        "sizes_hw": _known(found.sizes_hw),
        "n_objects": np.bincount(found.image_index, minlength=found.n_images),
        "boxes_xyxy": found.boxes_xyxy,
        "label_ids": found.label_ids,
        "scores": found.scores,
    }


def detections_in(
    model: DetectionModel, batches: Iterable[DetectionBatch], *, network: Network[Objects] | None = None
) -> Detections:
    """All detections in the images of a loader, whatever their score.

    Args:
        model: the detector.
        batches: of its images.
        network: of the model, see `detect_in`.

    Raises:
        TrainingError: boxes or scores are not finite.
    """
    rows, sizes, objects = [np.zeros(0, np.int64)], [np.zeros((0, 2), np.int64)], []
    for batch in batches:
        rows.append(batch["index"].numpy())
        sizes.append(batch["size_hw"].numpy())
        images = _fitted(batch)
        for image_id, found in zip(batch["image_id"], detect_in(model, images, network=network), strict=True):
            if found is None:
                raise TrainingError(
                    f"the model's boxes or scores are not finite for the image {image_id}: its weights have diverged; "
                    "train it again with a lower lr"
                )
            objects.append((found.boxes_xyxy, found.label_ids, found.scores))
    return Detections.by_image(objects, image_rows=np.concatenate(rows), sizes_hw=np.concatenate(sizes))


def _fitted(batch: DetectionBatch) -> list[Fitted]:
    """The images of a batch without their padding."""
    pixels = batch["image"].permute(0, 2, 3, 1).numpy()
    images = []
    for one, scale, size_hw in zip(pixels, batch["scale"].tolist(), batch["size_hw"].tolist(), strict=True):
        height, width = (max(1, round(side * scale)) for side in size_hw)
        images.append(Fitted(one[:height, :width], scale, (size_hw[0], size_hw[1])))
    return images


def usable_boxes(data: Manifest, found: Detections) -> tuple[Boxes, NDArray[np.int64]]:
    """The boxes of the predicted images, and their indices among all boxes of the data.

    Bad boxes, and those of unknown classes, are left out. A box that exceeds its image is not clipped, so that scores
    equal pycocotools' on the user's own file.
    """
    given, rows, sizes_hw = data.boxes(), _known(found.image_rows), _known(found.sizes_hw)
    picked, boxes = [np.zeros(0, np.int64)], [np.zeros((0, 4))]
    for row, (height, width) in zip(rows.tolist(), sizes_hw.tolist(), strict=True):
        own = given.of(row)
        _, codes = clean_boxes(given.boxes_xyxy[own], (height, width))
        usable = ((codes == "") | (codes == "box_clipped")) & (given.label_ids[own] >= 0)
        picked.append(np.arange(own.start, own.stop)[usable])
        boxes.append(given.boxes_xyxy[own][usable])
    chosen = np.concatenate(picked)
    kept = Boxes(
        boxes_xyxy=np.concatenate(boxes),
        label_ids=given.label_ids[chosen],
        crowd=given.crowd[chosen],
        area=given.area[chosen],
        offsets=np.cumsum([len(part) for part in picked]),
        annotated=given.annotated[rows],
    )
    return kept, chosen


def _known(values: NDArray[np.int64] | None) -> NDArray[np.int64]:
    if values is None:
        raise DataError("these detections have no rows of a manifest: use those of detections_in")
    return values


def _of_known(model: DetectionModel, data: Manifest, found: Detections, truth: Boxes) -> tuple[Detections, Boxes]:
    """Images and objects without those of classes that the model does not know."""
    known = np.isin(np.array(data.class_names, dtype=object)[truth.label_ids], list(model.class_names))
    if known.all():
        return found, truth
    counts, n_known = (
        np.bincount(images, minlength=found.n_images) for images in (truth.image_index, truth.image_index[known])
    )
    told = (counts == 0) | (n_known > 0)
    chosen = known & told[truth.image_index]
    kept = Boxes(
        boxes_xyxy=truth.boxes_xyxy[chosen],
        label_ids=truth.label_ids[chosen],
        crowd=truth.crowd[chosen],
        area=truth.area[chosen],
        offsets=np.concatenate([[0], np.cumsum(n_known[told])]).astype(np.int64),
        annotated=truth.annotated[told],
    )
    return found.of_rows(_known(found.image_rows)[told]), kept


def _thresholds(model: DetectionModel) -> dict[str, float] | None:
    """The thresholds as in `onlineml.predict`; None if none were chosen on validation."""
    if model.thresholds is None:
        return None
    return dict(zip(model.class_names, cutoffs(model, None).tolist(), strict=True))


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if max(pixels.shape) <= _THUMBNAIL_PX:
        return pixels
    return fit_inside(pixels, (_THUMBNAIL_PX, _THUMBNAIL_PX))[0]
