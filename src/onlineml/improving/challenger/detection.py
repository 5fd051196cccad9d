"""Successors of a detector: what nobody could know is no background, and boxes have the names of today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torchvision.ops import batched_nms

from onlineml.data.loading.detection_datamodules import DetectionDataModule
from onlineml.improving.challenger.current_names import distinct, remap_thresholds
from onlineml.improving.challenger.known_classes import known_classes
from onlineml.improving.challenger.successor_pieces import SuccessorPieces
from onlineml.inference.evaluate_detector import evaluate_detector
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.augment.tiles import Tiles
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.improving.recipe import Recipe
    from onlineml.inference.evaluation import EvaluateOptions
    from onlineml.tasks.detection import ObjectDetector
    from onlineml.tasks.kept_settings import KeptSettings

__all__ = ["DetectorPieces", "RenamedDetector"]

_SAME_IOU = 0.6  # of two boxes of one class; the compact detector's own limit


class DetectorPieces(SuccessorPieces):
    """The parts of training a successor that are specific to detectors."""

    def images(
        self,
        data: Manifest,
        recipe: Recipe,
        *,
        size_hw: tuple[int, int],
        known: NDArray[np.bool_] | None = None,
        kept: KeptSettings,
    ) -> DetectionDataModule:
        """All annotated images; of classes that an annotator could not know, only annotated boxes count."""
        return DetectionDataModule(
            data,
            size_hw=size_hw,
            batch_size=recipe.batch_size or kept.images.batch_size or task_of(data).train_batch_size,
            augment=kept.images.augment_again,
            flips="horizontal" if kept.images.flips == "auto" else kept.images.flips,
            multi_scale=kept.images.multi_scale,
            mosaic=kept.images.mosaic,
            copy_paste=kept.images.copy_paste,
            seed=recipe.seed,
            num_workers=recipe.num_workers,
            known_classes=known,
            tile_size=kept.images.tile_size,
            max_bad=recipe.bad_share,
        )

    def known_classes(self, state: Annotations, data: Manifest) -> NDArray[np.bool_]:
        """See `onlineml.improving.challenger.known_classes.known_classes`."""
        return known_classes(state, data)

    def renamed_scores(
        self, model: ObjectDetector, names: Sequence[str | None], data: Manifest, options: EvaluateOptions
    ) -> DetectionScores:
        """Objects of classes that the detector never knew are left out, and images that show no others."""
        found: Any = model if distinct(names) == model.class_names else RenamedDetector(model, names)
        return evaluate_detector(found, data, options, known_only=True)


class RenamedDetector:
    """A detector whose classes have the names of today; objects of a class that is gone are left out.

    Args:
        model: the detector.
        names: what its classes are called now, see `current_names`.
    """

    task = "detection"

    def __init__(self, model: ObjectDetector, names: Sequence[str | None]) -> None:
        self.model = model
        self.class_names = distinct(names)
        place = {name: i for i, name in enumerate(self.class_names)}
        self._label_of = torch.tensor([-1 if name is None else place[name] for name in names])
        self._merges = len(self.class_names) < sum(name is not None for name in names)
        self.thresholds = remap_thresholds(model, names)
        self.reference = model.reference

    @property
    def training(self) -> bool:
        """Of the model."""
        return self.model.training

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return self.model.device

    @property
    def tiles(self) -> Tiles | None:
        """Of the model."""
        return self.model.tiles

    def input_size_hw(self) -> tuple[int, int]:
        """Of the model."""
        return self.model.input_size_hw()

    def train(self, mode: bool = True) -> Any:
        """As of the model."""
        return self.model.train(mode)

    def detect(self, image: Tensor) -> list[Mapping[str, Tensor]]:
        """The model's objects under the present names; of two boxes of merged classes in one place, the surer."""
        found: list[Mapping[str, Tensor]] = []
        for objects in self.model.detect(image):
            labels = self._label_of.to(objects["labels"].device)[objects["labels"]]
            kept = torch.nonzero(labels >= 0).flatten()
            if self._merges:
                boxes, scores = objects["boxes"][kept].float(), objects["scores"][kept].float()
                kept = kept[batched_nms(boxes, scores, labels[kept], _SAME_IOU)]
            found.append({"boxes": objects["boxes"][kept], "labels": labels[kept], "scores": objects["scores"][kept]})
        return found
