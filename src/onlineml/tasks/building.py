"""Choices that depend on the task of the data: datamodule, model and networks, with sizes that suit them."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """The datamodule of the manifest's task, with its usual augmentation.

    Args:
        data: images with annotations.
        size: side length of the network's input in pixels; None is the task's: 64 for classes and 320 for objects,
            which a CPU trains on within minutes.
        batch_size: images in a batch; None is the task's: 32 for classes and 4 for objects.
        seed: of order and augmentation, 0..2**31-1.
        num_workers: loader processes; 0 makes batches ahead in a thread.
        max_bad: share of a split's images, and of its boxes, that may be bad (0..1).

    Raises:
        ConfigError: an argument is outside its range.
        DataError: nothing to train on.
    """
    task = task_of(data)
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
    weights: Url | None = None,
    seed: int = 0,
    storage_options: Options = None,
) -> VisionModule:
    """A fresh model of the manifest's task and classes.

    Args:
        data: images with annotations.
        backbone: ``"auto"``, a torchvision name, ``"timm:NAME"`` or ``"package.module:factory"``; of a detector, the
            network below its head. See `list_models`.
        weights: None starts at random; a published name such as ``"DEFAULT"``, or the path or URL of a file.
        seed: of the fresh weights.
        storage_options: opens the URL of ``weights``.

    Raises:
        ConfigError, WeightsError, MissingDependencyError: as `onlineml.models.classifiers.build_classifier`.
    """
    made: VisionModule = task_of(data).load("module")(
        class_names=data.class_names, backbone=backbone, weights=weights, seed=seed, storage_options=storage_options
    )
    return made


def list_models(task: str | None = None, *, pretrained: bool | None = None) -> list[str]:
    """Names of the networks that can be had here: our own, torchvision's, and timm's and transformers' if installed.

    Those of classifiers are what `ImageClassifier` and, below its head, `ObjectDetector` take as ``backbone``; those of
    detectors what `ObjectDetector` takes as ``architecture``.

    Args:
        task: ``"classification"``, ``"detection"``, or None for all.
        pretrained: True: only networks with published weights, which ``weights="DEFAULT"`` fetches; False: only those
            without; None: all. Weights of transformers' are published under names of the hub, which are not listed: a
            model type such as ``"transformers:d_fine"`` has none.

    Returns:
        Names, our own first, then sorted by package and name; each once.

    Raises:
        ConfigError: there is no such task.
    """
    chosen = task_names() if task is None else (task,)
    names = [name for one in chosen for name in task_of(one).load("networks")(pretrained=pretrained)]
    return list(dict.fromkeys(names))
