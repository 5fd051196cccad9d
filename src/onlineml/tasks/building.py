"""Datamodules, models and networks for the task of the data, with suitable sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.arguments.checks import whole
from onlineml.tasks import task_names, task_of

if TYPE_CHECKING:
    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Options, Url
    from onlineml.tasks.base import VisionModule

__all__ = ["datamodule_for", "list_models", "model_for"]


def datamodule_for(
    data: Manifest,
    *,
    size: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    num_workers: int = 0,
    max_bad: float = 0.01,
) -> ImageDataModule:
    """The datamodule of the manifest's task, with default augmentation.

    Args:
        data: annotated images.
        size: side length of the network's input in pixels; None is the task's: 64 for classification and 320 for
            detection, which a CPU trains on within minutes.
        batch_size: images per batch; None is the task's: 32 for classification and 4 for detection.
        seed: of order and augmentation, 0..2**31-1.
        num_workers: loader processes; 0 prefetches in a thread.
        max_bad: allowed share of bad images, and of bad boxes, of a split, 0..1.

    Raises:
        ConfigError: an argument is outside its range.
        DataError: nothing to train on.

    Example:
        >>> oml.datamodule_for(data, size=64)
        ClassificationDataModule({'train': 32, 'val': 12, 'test': 20}, size_hw=(64, 64), batch_size=32)
    """
    task = task_of(data)
    size = whole("size", size, least=8, of="pixels", optional=True)
    side = task.default_size if size is None else size
    made: ImageDataModule = task.load("datamodule")(
        data,
        size_hw=(side, side),
        batch_size=task.train_batch_size if batch_size is None else batch_size,
        seed=seed,
        num_workers=num_workers,
        max_bad=max_bad,
    )
    return made


def model_for(
    data: Manifest,
    *,
    backbone: str = "auto",
    weights: Url | None = "auto",
    seed: int = 0,
    storage_options: Options = None,
) -> VisionModule:
    """A new model for the manifest's task and classes.

    Args:
        data: annotated images.
        backbone: ``"auto"``, a torchvision name, ``"timm:NAME"`` or ``"package.module:factory"``; see `list_models`.
        weights: ``"auto"``: the published weights of the network from a cache, a package, a mirror or its hub, see
            ``docs/models/pretrained.md``, and random ones if none can be had, which `fit` says; ``"random"``; a
            published name such as ``"DEFAULT"``, or the path or URL of a file, which are an error if they cannot be
            had.
        seed: of random weights.
        storage_options: of the filesystem, for ``weights``.

    Raises:
        ConfigError, WeightsError, MissingDependencyError: as `onlineml.models.classifiers.build_classifier`.

    Example:
        >>> oml.model_for(data, backbone="resnet18").class_names
        ('large white', 'monarch', 'small white', 'viceroy')
    """
    made: VisionModule = task_of(data).load("module")(
        class_names=data.class_names, backbone=backbone, weights=weights, seed=seed, storage_options=storage_options
    )
    return made


def list_models(task: str | None = None, *, pretrained: bool | None = None) -> list[str]:
    """Names of the available networks: our own, torchvision's, and timm's and transformers' if installed.

    Classification networks are values of ``backbone`` of `ImageClassifier` and `ObjectDetector`, detectors values of
    ``architecture`` of `ObjectDetector`.

    Args:
        task: ``"classification"``, ``"detection"``, or None for all.
        pretrained: True: only networks with published weights, for ``weights="DEFAULT"``; False: only those without;
            None: all. transformers' weights are published under names of the hub, which are not listed: a model type
            such as ``"transformers:d_fine"`` has none.

    Returns:
        Names, our own first, then sorted by package and name; each once.

    Raises:
        ConfigError: the task is unknown.

    Example:
        >>> "resnet18" in oml.list_models("classification", pretrained=True)
        True
    """
    chosen = task_names() if task is None else (task,)
    names = [name for one in chosen for name in task_of(one).load("networks")(pretrained=pretrained)]
    return list(dict.fromkeys(names))
