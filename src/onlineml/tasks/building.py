"""Datamodules, models and networks for the task of the data, with suitable sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from onlineml.arguments.checks import instance, seconds, whole
from onlineml.errors import ConfigError
from onlineml.tasks import task_names, task_of
from onlineml.tasks.choosing.plan import Quality, check_quality, plan_for

if TYPE_CHECKING:
    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Options, Url
    from onlineml.tasks.base import VisionModule
    from onlineml.tasks.task import Task

__all__ = ["datamodule_for", "list_models", "model_for"]


def datamodule_for(
    data: Manifest,
    *,
    model: VisionModule | None = None,
    size: int | Literal["auto"] | None = "auto",
    batch_size: int | Literal["auto"] | None = "auto",
    tile_size: int | Literal["auto"] | None = "auto",
    quality: Quality = "balanced",
    budget_s: float | None = None,
    seed: int = 0,
    num_workers: int = 0,
    max_bad: float = 0.01,
) -> ImageDataModule:
    """The datamodule of the manifest's task, with default augmentation.

    Args:
        data: annotated images.
        model: that will be trained; None stands for that of `model_for` without further arguments.
        size: side length of the network's input in pixels. ``"auto"`` or None chooses it. From random weights it is 64
            for classification, which a CPU trains on within minutes. A pretrained classifier gets 128, 160 or 224 by
            ``quality`` (on a GPU more), but not much more than the photos have. A detector gets 320 or as much more as
            small objects need. With ``budget_s``, a short measurement makes it smaller if few epochs would fit.
        batch_size: images per batch. ``"auto"`` or None chooses it: 32 for classification (16 for fewer than 320
            photos) and 4 for detection, more on a GPU, less if memory is short.
        tile_size: of a detector: side in pixels of the square parts of a photo that it looks at one by one, in training
            and wherever the model is used. ``"auto"`` chooses it where small objects would have less than 12 pixels at
            ``size``, and else takes None: whole photos.
        quality: ``"fast"``, ``"balanced"`` or ``"best"``: how much time a photo is worth.
        budget_s: seconds of training that `fit` will be given.
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
    _require_manifest(data)
    task = task_of(data)
    check_quality(quality)
    plan = plan_for(
        data,
        task,
        model=model,
        size=None if size == "auto" else whole("size", size, least=8, of="pixels", optional=True),
        batch_size=None if batch_size == "auto" else whole("batch_size", batch_size, least=1, optional=True),
        tile_size=_tile_size(task, tile_size),
        quality=quality,
        budget_s=seconds("budget_s", budget_s, optional=True),
    )
    options: dict[str, Any] = {} if plan.tile_size is None else {"tile_size": plan.tile_size}
    options |= {"batch_size": plan.batch_size, "seed": seed, "num_workers": num_workers, "max_bad": max_bad}
    made: ImageDataModule = task.load("datamodule")(data, size_hw=(plan.size, plan.size), **options)
    made.chosen = plan.text
    return made


def _tile_size(task: Task, given: int | Literal["auto"] | None) -> int | Literal["auto"] | None:
    if given is None or given == "auto":
        return given
    side = whole("tile_size", given, least=8, of="pixels")
    if task.kind.label_alone:
        raise ConfigError(f"tile_size={side}: expected None for {task.name}; only a detector sees tiles")
    return side


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
    _require_manifest(data)
    made: VisionModule = task_of(data).load("module")(
        class_names=data.class_names, backbone=backbone, weights=weights, seed=seed, storage_options=storage_options
    )
    return made


def _require_manifest(data: object) -> None:
    from onlineml.data.manifest.manifest import Manifest  # noqa: PLC0415 (pyarrow, which the table of tasks does without)

    instance("data", data, Manifest, "a Manifest, such as that of Manifest.from_any(folder) or project.freeze()")


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
