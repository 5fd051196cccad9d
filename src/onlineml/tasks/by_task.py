"""What the task of the data decides: which datamodule and which model, with sizes that suit them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.data.loading.datamodules import ClassificationDataModule
from onlineml.data.loading.detection_datamodules import DetectionDataModule
from onlineml.tasks.classification import ImageClassifier
from onlineml.tasks.detection import ObjectDetector

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["datamodule_for", "model_for"]

# pixels a side that two CPU cores train on within minutes, and images a step that learn well at that size
_SIZE = {"classification": 64, "detection": 320}
_BATCH_SIZE = {"classification": 32, "detection": 4}


def datamodule_for(
    data: Manifest,
    *,
    size: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    num_workers: int = 0,
    max_bad: float = 0.01,
) -> ClassificationDataModule | DetectionDataModule:
    """The datamodule of the manifest's task, with its usual augmentation.

    Args:
        data: images with labels, or with boxes.
        size: pixels a side of the network's input; None is 64 for classes and 320 for objects, which a CPU trains on
            within minutes.
        batch_size: images a step; None is 32 for classes and 4 for objects.
        seed: of order and augmentation, 0..2**31-1.
        num_workers: loader processes; 0 makes batches ahead in a thread.
        max_bad: share of a split's images, and of its boxes, that may be bad (0..1).

    Raises:
        ConfigError: an argument is outside its range.
        DataError: nothing to train on.
    """
    side = _SIZE[data.task] if size is None else size
    make = DetectionDataModule if data.task == "detection" else ClassificationDataModule
    return make(
        data,
        size_hw=(side, side),
        batch_size=_BATCH_SIZE[data.task] if batch_size is None else batch_size,
        seed=seed,
        num_workers=num_workers,
        max_bad=max_bad,
    )


def model_for(
    data: Manifest,
    *,
    backbone: str = "auto",
    weights: str | None = None,
    seed: int = 0,
    storage_options: Mapping[str, Any] | None = None,
) -> ImageClassifier | ObjectDetector:
    """A fresh model of the manifest's task and classes.

    Args:
        data: images with labels, or with boxes.
        backbone: ``"auto"``, a torchvision name, ``"timm:NAME"`` or ``"package.module:factory"``; of a detector, the
            network below its head.
        weights: None starts at random; a published name such as ``"DEFAULT"``, or the path or URL of a file.
        seed: of the fresh weights.
        storage_options: opens the URL of ``weights``.

    Raises:
        ConfigError, WeightsError, MissingDependencyError: as `onlineml.models.classifiers.build_classifier`.
    """
    make = ObjectDetector if data.task == "detection" else ImageClassifier
    return make(
        class_names=data.class_names, backbone=backbone, weights=weights, seed=seed, storage_options=storage_options
    )
