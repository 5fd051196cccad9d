"""A challenger from the champion, on new, corrected and old images: it goes on learning, and forgets little.

Under a limit of compute, plain replay of all history beats every method of continual learning (Prabhu et al.,
Computationally Budgeted Continual Learning, CVPR 2023); so history is replayed, and what is special here is the start
and the end: weights that are there, and weights between the old and the new network (WiSE-FT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import nn

from onlineml.data.loading.datamodules import ClassificationDataModule
from onlineml.data.loading.detection_datamodules import DetectionDataModule
from onlineml.errors import ConfigError
from onlineml.improving.challenger import successor
from onlineml.improving.challenger.growth import align_weights
from onlineml.improving.challenger.new_head import fit_new_head, fit_new_rows
from onlineml.improving.challenger.rename import current_names, resize_head
from onlineml.improving.challenger.weight_space import interpolate
from onlineml.registry.versions import publish_to
from onlineml.storage import io
from onlineml.tasks.by_task import datamodule_for, model_for
from onlineml.tasks.classification import ImageClassifier
from onlineml.tasks.loading import load_model
from onlineml.training.fit import fit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.review.features import FeatureStore
    from onlineml.runs.run import Run
    from onlineml.tasks.base import VisionModule
    from onlineml.training.progress import Progress

__all__ = ["HOWS", "How", "Recipe", "train_challenger", "train_first"]

How = Literal["warm", "head", "rows", "shrink", "full"]
HOWS: tuple[How, ...] = get_args(How)

_SHARES = (0.75, 0.5, 0.25)  # of the new network, between it and the old one
_UNEVEN = 2.0  # times as many images of the commonest class as of the rarest: from there on each is drawn as often
_PACKAGES = ("timm:", "transformers:")
_EPOCHS = {"warm": 10, "head": 10, "shrink": 30, "full": 30}  # where neither epochs nor a budget are given


@dataclass(frozen=True)
class Recipe:
    """How a challenger is trained.

    Attributes:
        how: ``"warm"``: all weights go on from the champion's; ``"head"``: only the last layer is fitted anew, to all
            labels, on features that are kept (of a detector: its head is trained); ``"rows"``: only the last layer's
            rows of new classes are fitted, everything else stays to the bit (classifiers); ``"shrink"``: the
            champion's weights, shrunk and perturbed, are trained as fresh ones are; ``"full"``: from the beginning.
        replay: how many training images at most are used of those that the champion knows as they are now, drawn so
            that rare classes have their share; None: all. New and corrected images are always used.
        epochs: see `onlineml.fit`; where neither this nor the next is given, 10, or 30 of fresh weights.
        budget_s: seconds of training.
        size: pixels a side of a first model's input; see `onlineml.datamodule_for`.
        batch_size: images a step; None is the datamodule's.
        backbone: of a first model, see `onlineml.model_for`, also for the next one.
        weights: that a first model, and ``"full"``, start from.
        seed: of order, augmentation and fresh weights.
        num_workers: processes that decode; 0 is a thread.
        max_bad: share of a split's images, and boxes, that may be bad.
        progress: see `onlineml.fit`.

    Raises:
        ConfigError: there is no such way, or fewer than no images to replay.
    """

    how: How = "warm"
    replay: int | None = None
    epochs: int | None = None
    budget_s: float | None = None
    size: int | None = None
    batch_size: int | None = None
    backbone: str = "auto"
    weights: str | None = None
    seed: int = 0
    num_workers: int = 0
    max_bad: float = 0.01
    progress: Progress = "lines"

    def __post_init__(self) -> None:
        if self.how not in HOWS:
            raise ConfigError(f"how={self.how!r}: expected one of {', '.join(HOWS)}")
        if self.replay is not None and self.replay < 0:
            raise ConfigError(f"replay={self.replay}: expected a number of images, or None for all of them")

    @property
    def own_backbone(self) -> str | None:
        """The import path of a network of the user's own, without which its models cannot be loaded."""
        return self.backbone if ":" in self.backbone and not self.backbone.startswith(_PACKAGES) else None


def train_challenger(
    champion: VisionModule,
    data: Manifest,
    recipe: Recipe,
    *,
    run: Run,
    lineage: Mapping[str, str],
    changed: Collection[str] = (),
    known: NDArray[np.bool_] | None = None,
    store: FeatureStore | None = None,
) -> Any:
    """Train what may take the champion's place; interrupted and called again with the same run, it goes on.

    Args:
        champion: left as it is.
        data: a frozen dataset; its classes are the challenger's.
        recipe: how.
        run: gets the training's record, and the challenger as ``challenger/``.
        lineage: what classes of the champion are called now.
        changed: ids of images that are new, or whose labels or boxes are others than those the champion was trained on.
        known: of a detector, see `onlineml.DetectionDataModule`.
        store: keeps features of the champion's backbone.

    Returns:
        The challenger, in evaluation mode, on the CPU.

    Raises:
        ConfigError: the champion's network cannot be trained so.
        StoppedError, TooManyBadImagesError, TrainingError: as `onlineml.fit`.
    """
    if (done := _stored(run, "challenger", recipe)) is not None:
        return done
    if recipe.how == "rows" and data.task == "detection":
        raise ConfigError("how='rows' is for classifiers; a detector with new classes goes on with how='warm'")
    images = _images(champion, data, recipe, changed=changed, known=known)
    if recipe.how in {"head", "rows"} and isinstance(images, ClassificationDataModule):
        model = successor.from_champion(champion, data.class_names, lineage=lineage, seed=recipe.seed)
        if recipe.how == "head":
            told = fit_new_head(model, images, store=store, run=run)
        else:
            kept = _kept_names(champion, data, lineage)
            told = fit_new_rows(model, images, store=store, old_names=kept, run=run)
        model.manifest_hash = data.hash
        model.eval()
    else:
        model = _trained(champion, data, recipe, images, run=run, lineage=lineage)
        told = {}
        if recipe.how in {"warm", "head"}:
            told = _mix(model, champion, images, lineage=lineage)
    run.update_spec({"trained": told})
    return _keep(model, run)


def train_first(data: Manifest, recipe: Recipe, *, run: Run) -> Any:
    """Train a model of a project that has none; interrupted and called again with the same run, it goes on.

    Raises:
        ConfigError, StoppedError, TooManyBadImagesError, TrainingError: as `onlineml.fit`.
    """
    if (done := _stored(run, "challenger", recipe)) is not None:
        return done
    model = _stored(run, "model", recipe)
    if model is None:
        images = datamodule_for(
            data,
            size=recipe.size,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            num_workers=recipe.num_workers,
            max_bad=recipe.max_bad,
        )
        model = model_for(
            data,
            backbone=recipe.backbone,
            weights=recipe.weights,
            seed=recipe.seed,
            storage_options=run.storage_options,
        )
        fit(model, images, run=run, epochs=recipe.epochs, budget_s=recipe.budget_s, progress=recipe.progress)
    return _keep(model, run)


def _stored(run: Run, name: str, recipe: Recipe) -> Any:
    """A model of an earlier attempt; None where there is none."""
    if not io.exists(run.path(f"{name}/model.json"), storage_options=run.storage_options):
        return None
    return load_model(run.path(name), backbone=recipe.own_backbone, storage_options=run.storage_options)


def _keep(model: Any, run: Run) -> Any:
    model.reference = ""  # it was made here
    publish_to(run.path("challenger"), model.export_files(), storage_options=run.storage_options)
    return model


def _kept_names(champion: VisionModule, data: Manifest, lineage: Mapping[str, str]) -> set[str]:
    return {name for name in current_names(champion.class_names, lineage, known=data.class_names) if name is not None}


# ---- which images ----


def _images(
    champion: VisionModule,
    data: Manifest,
    recipe: Recipe,
    *,
    changed: Collection[str],
    known: NDArray[np.bool_] | None,
) -> ClassificationDataModule | DetectionDataModule:
    shared: dict[str, Any] = {"size_hw": champion.input_size_hw(), "seed": recipe.seed, "max_bad": recipe.max_bad}
    shared["num_workers"] = recipe.num_workers
    if recipe.batch_size is not None:
        shared["batch_size"] = recipe.batch_size
    images: ClassificationDataModule | DetectionDataModule
    if data.task == "detection":
        images = DetectionDataModule(data, known_classes=known, **shared)
    else:
        counts = np.bincount(data.label_ids()[_train_rows(data)], minlength=len(data.class_names))
        uneven = counts.max(initial=0) > _UNEVEN * counts[counts > 0].min(initial=1)
        images = ClassificationDataModule(data, balance=bool(uneven), **shared)
    if recipe.replay is not None:
        images.leave_out(_not_replayed(data, images.rows_of("train"), recipe.replay, changed, seed=recipe.seed))
    return images


def _train_rows(data: Manifest) -> NDArray[np.int64]:
    return np.flatnonzero((data.column("split") == "train") & (data.label_ids() >= 0))


def _not_replayed(
    data: Manifest, rows: NDArray[np.int64], replay: int, changed: Collection[str], *, seed: int
) -> NDArray[np.int64]:
    """Training images that are left out: of those that did not change, all but so many."""
    own = set(changed)
    history = np.array([row for row in rows if data.column("image_id")[row] not in own], np.int64)
    if len(history) <= replay:
        return history[:0]
    weights = _rareness(data, history)
    rng = np.random.default_rng([seed, len(history)])
    # the largest of u^(1/w) are a draw by weights without putting back (Efraimidis and Spirakis 2006)
    keys = rng.random(len(history)) ** (1 / weights)
    return np.sort(history[np.argsort(-keys, kind="stable")[replay:]])


def _rareness(data: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """One by the images, or objects, of each image's class; of several the rarest; nothing counts as the commonest."""
    n_classes = max(len(data.class_names), 1)
    if data.task != "detection":
        labels = data.label_ids()[rows]
        return np.asarray(1.0 / np.bincount(labels, minlength=n_classes)[labels], np.float64)
    boxes = data.boxes()
    counts = np.maximum(np.bincount(boxes.label_ids[boxes.label_ids >= 0], minlength=n_classes), 1)
    by_image = np.full(len(data), 1.0 / counts.max())
    known = boxes.label_ids >= 0
    np.maximum.at(by_image, boxes.image_index[known], 1.0 / counts[boxes.label_ids[known]])
    return by_image[rows]


# ---- trained, and mixed with what was there ----


def _trained(
    champion: VisionModule,
    data: Manifest,
    recipe: Recipe,
    images: ClassificationDataModule | DetectionDataModule,
    *,
    run: Run,
    lineage: Mapping[str, str],
) -> Any:
    if (done := _stored(run, "model", recipe)) is not None:
        return done
    if recipe.how == "full":
        model = successor.from_scratch(
            champion,
            data.class_names,
            weights=recipe.weights,
            seed=recipe.seed,
            storage_options=run.storage_options,
        )
    else:
        start = successor.shrink_perturb if recipe.how == "shrink" else successor.from_champion
        model = start(champion, data.class_names, lineage=lineage, seed=recipe.seed)
    if recipe.how == "head":
        model.frozen_share = 1.0
    epochs = _EPOCHS[recipe.how] if recipe.epochs is None and recipe.budget_s is None else recipe.epochs
    fit(model, images, run=run, epochs=epochs, budget_s=recipe.budget_s, progress=recipe.progress)
    return model


def _mix(
    model: Any,
    champion: VisionModule,
    images: ClassificationDataModule | DetectionDataModule,
    *,
    lineage: Mapping[str, str],
) -> dict[str, Any]:
    """Give the model the best weights on validation between the champion's and its own; returns what was chosen."""
    names = current_names(champion.class_names, lineage, known=model.class_names)
    new_ids = [i for i, name in enumerate(model.class_names) if name not in set(names)]
    align = bool(new_ids) and isinstance(model, ImageClassifier) and isinstance(model.head, nn.Linear | nn.Conv2d)
    val = images.val_dataloader()
    if not len(val):
        if align:
            _align(model, new_ids)
        return {"share": 1.0, "aligned": align}
    best = _Trial(1.0, False, _state(model), model.validate(val))
    if align:
        _align(model, new_ids)
        best = _better(model, best, _Trial(1.0, True, _state(model), model.validate(val)))
    model.network.load_state_dict(best.state)
    old = resize_head(champion, names, model.class_names)
    _copy_rows(model, old, new_ids)
    new = best
    for share in _SHARES:
        model.network.load_state_dict(interpolate(old.state_dict(), new.state, share))
        best = _better(model, best, _Trial(share, new.aligned, _state(model), model.validate(val)))
    model.network.load_state_dict(best.state)
    model.after_training(val)
    return {"share": best.share, "aligned": best.aligned, **{k: round(v, 6) for k, v in best.metrics.items()}}


class _Trial(NamedTuple):
    """Weights that may be kept: the new network's share, whether new rows are aligned, and how good they are."""

    share: float
    aligned: bool
    state: dict[str, torch.Tensor]
    metrics: dict[str, float]


def _state(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def _better(model: Any, first: _Trial, second: _Trial) -> _Trial:
    """The better one on validation; the first where they are alike."""
    return second if model.selection_score(second.metrics) > model.selection_score(first.metrics) else first


def _align(model: Any, new_ids: list[int]) -> None:
    model.network.set_submodule(model.head_name, align_weights(model.head, new_ids))


def _copy_rows(model: Any, old: nn.Module, ids: list[int]) -> None:
    """The rows of new classes, which the old network never had, are not mixed: both get those of the new."""
    if not ids:
        return
    name = model.head_name if isinstance(model, ImageClassifier) else "to_logits"
    source: Any = model.network.get_submodule(name)
    target: Any = old.get_submodule(name)
    with torch.no_grad():
        target.weight[ids] = source.weight[ids]
        if target.bias is not None:
            target.bias[ids] = source.bias[ids]
