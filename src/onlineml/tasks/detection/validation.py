"""Detections in the batches of a validation, and their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import ConfigError
from onlineml.evaluation.coco.scores import coco_scores_of
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.thresholds import best_thresholds
from onlineml.models.processes import dealt_parts
from onlineml.tasks.batches import targets_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from onlineml.data.loading.detection_datasets import DetectionBatch
    from onlineml.tasks.detection.module import ObjectDetector

__all__ = ["DetectionMetric", "check_answer"]

# boxes, classes, and regions of the ground truth or scores of detections
_Image: TypeAlias = "tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]"
_KEYS = {"boxes", "labels", "scores"}


class DetectionMetric:
    """Ground truth and detections of the batches so far, in pixels of the upright originals."""

    def __init__(self, batches: Sequence[list[tuple[_Image, _Image]]] = ()) -> None:
        self._batches = list(batches)

    def __len__(self) -> int:
        return sum(map(len, self._batches))

    def of_all_processes(self) -> DetectionMetric:
        """Return one with the batches that all processes have added, which were dealt out to them in turn."""
        return DetectionMetric(dealt_parts(self._batches))

    def add(self, batch: DetectionBatch, found: Sequence[Mapping[str, Tensor]]) -> None:
        """Add a batch and its detections; without ``scale`` and ``size_hw``, images are taken for the originals."""
        scales = batch.get("scale", torch.ones(len(found)))
        sizes = batch.get("size_hw", torch.tensor(batch["image"].shape[2:]).expand(len(found), 2))
        images: list[tuple[_Image, _Image]] = []
        for i, (target, objects) in enumerate(zip(targets_of(batch), found, strict=True)):
            scale = float(scales[i])
            height, width = sizes[i].tolist()
            boxes = _numpy(objects["boxes"]) / scale
            boxes = np.clip(boxes, 0.0, np.array([width, height, width, height], dtype=np.float64))
            seen = (boxes, _numpy(objects["labels"]).astype(np.int64), _numpy(objects["scores"]))
            labels = _numpy(target["labels"]).astype(np.int64)
            truth = (_numpy(target["boxes"]) / scale, labels, _numpy(target["ignore"]) / scale)
            images.append((truth, seen))
        self._batches.append(images)

    def average_precision(self, class_names: Sequence[str]) -> tuple[float, float]:
        """AP at an IoU of 0.5, and COCO's over 0.5 to 0.95."""
        scores = coco_scores_of(self._boxes(len(class_names)), self._all_found(), class_names)
        return scores.map_50, scores.map_50_95

    def thresholds(self, class_names: Sequence[str]) -> dict[str, float]:
        """The score of each class with the highest F1; see `onlineml.evaluation.best_thresholds`."""
        return best_thresholds(self._boxes(len(class_names)), self._all_found(), class_names)

    def _all_found(self) -> Detections:
        return Detections.by_image([seen for batch in self._batches for _, seen in batch])

    def _boxes(self, n_classes: int) -> Boxes:
        boxes, labels, crowd, counts = [], [], [], []
        for own, ids, regions in (truth for batch in self._batches for truth, _ in batch):
            # ignored regions apply to every class
            boxes += [own, np.repeat(regions, n_classes, axis=0)]
            labels += [ids, np.tile(np.arange(n_classes), len(regions))]
            crowd += [np.zeros(len(own), bool), np.ones(len(regions) * n_classes, bool)]
            counts.append(len(own) + len(regions) * n_classes)
        merged = np.concatenate(boxes)
        return Boxes(
            merged,
            np.concatenate(labels).astype(np.int64),
            np.concatenate(crowd),
            np.full(len(merged), np.nan),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.ones(len(counts), bool),
        )


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().double().numpy().reshape((-1, 4) if values.ndim == 2 else (-1,))


def check_answer(model: ObjectDetector, image: Tensor) -> None:
    """Run a detector on images in its present mode, and check its answer; see `VisionModule.try_out`.

    Args:
        model: in training mode, its losses are computed, with a made-up object in each image.
        image: (B, 3, H, W) uint8 RGB.

    Raises:
        ConfigError: the answer is not as `onlineml.models.detector.Detector` has it.
    """
    name, (n, _, height, width) = type(model.network).__name__, image.shape
    if model.training:
        box = torch.tensor([[width / 4, height / 4, width / 2, height / 2]])
        target = {"boxes": box, "labels": torch.zeros(1, dtype=torch.int64), "ignore": torch.zeros(0, 4)}
        answer: Any = model.network.losses(model.normalize(image), [target] * n, trust=0.0)
        fits, expected = getattr(answer, "shape", None) == (n,), f"a tensor of {n} losses"
    else:
        answer, expected = model.detect(image), f"a list of {n} dictionaries with {', '.join(sorted(_KEYS))}"
        fits = isinstance(answer, list) and len(answer) == n and all({*one} >= _KEYS for one in answer)
    if not fits:
        raise ConfigError(f"the detector {name} returned a {type(answer).__name__}: expected {expected}")
