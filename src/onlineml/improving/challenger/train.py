"""Training a challenger from the champion, on new, corrected and old images.

With limited compute, plain replay of all images beats every continual learning method (Prabhu et al., Computationally
Budgeted Continual Learning, CVPR 2023), so all images are replayed. Only the initial weights and the interpolation at
the end (WiSE-FT) are special.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.improving.challenger import successor
from onlineml.improving.challenger.between import keep_best_between
from onlineml.improving.challenger.current_names import current_names, distinct
from onlineml.improving.challenger.images import challenger_images
from onlineml.improving.challenger.successor_pieces import successor_pieces
from onlineml.models.classifiers import is_unspecified
from onlineml.registry.versions import publish_to
from onlineml.storage import io
from onlineml.storage.codec import plain
from onlineml.tasks.building import datamodule_for, model_for
from onlineml.tasks.loading import load_model
from onlineml.training.fit import fit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.recipe import How, Recipe
    from onlineml.runs.run import Run
    from onlineml.storage.location import Url
    from onlineml.tasks.base import VisionModule
    from onlineml.training.features import FeatureStore
    from onlineml.training.progress import Progress

__all__ = ["train_challenger", "train_first"]

_EPOCHS = {"warm": 10, "head": 10, "shrink": 30, "full": 30}  # defaults without epochs and budget


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
    progress: Progress = "lines",
) -> Any:
    """Train a challenger; after an interruption, a call with the same run resumes it.

    Args:
        champion: not changed.
        data: a frozen dataset; its classes are the challenger's.
        recipe: the settings; ``how="auto"`` is ``"warm"`` here.
        run: records the training, and stores the challenger as ``challenger/``.
        lineage: present names of the champion's classes.
        changed: ids of images that are new, or whose annotations changed since the champion was trained.
        known: of a detector, see `onlineml.DetectionDataModule`.
        store: of features of the champion's backbone.
        progress: see `onlineml.fit`.

    Returns:
        The challenger, in evaluation mode, on the CPU.

    Raises:
        ConfigError: the champion's network does not support the recipe.
        StoppedError, TooManyBadImagesError, TrainingError: as `onlineml.fit`.
    """
    if (done := _stored(run, "challenger", recipe)) is not None:
        return done
    how: How = "warm" if recipe.how == "auto" else recipe.how
    images = challenger_images(champion, data, recipe, changed=changed, known=known)
    if how == "rows" or (how == "head" and successor_pieces(data).fits_heads):
        model, facts = _with_other_head(champion, images, recipe, how=how, lineage=lineage, store=store, run=run)
    else:
        model = _trained(champion, images, recipe, how=how, lineage=lineage, run=run, progress=progress)
        facts = {}
        if how in {"warm", "head"}:
            facts = keep_best_between(model, champion, images, lineage=lineage)
    run.update_spec({"trained": plain(facts)})  # undefined figures are None
    return _store(model, run)


def train_first(data: Manifest, recipe: Recipe, *, run: Run, progress: Progress = "lines") -> Any:
    """Train the first model of a project; after an interruption, a call with the same run resumes it.

    Args:
        data: a frozen dataset.
        recipe: the settings, except ``how``.
        run: records the training, and stores the model as ``challenger/``.
        progress: see `onlineml.fit`.

    Raises:
        ConfigError, StoppedError, TooManyBadImagesError, TrainingError: as `onlineml.fit`.
    """
    if (done := _stored(run, "challenger", recipe)) is not None:
        return done
    model = _stored(run, "model", recipe)
    if model is None:
        model = model_for(data, backbone=recipe.backbone, weights=_weights(recipe, run), seed=recipe.seed)
        images = datamodule_for(
            data,
            model=model,
            budget_s=recipe.budget_s,
            size=recipe.size,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            num_workers=recipe.num_workers,
            max_bad=recipe.bad_share,
        )
        _fit(model, images, recipe, run=run, epochs=recipe.epochs, progress=progress)
    return _store(model, run)


def _weights(recipe: Recipe, run: Run) -> Url | None:
    """The weights of a recipe; a file is read with the credentials of the run's store."""
    weights = recipe.weights
    return weights if weights is None or is_unspecified(weights) else run.location.to(weights)


def _stored(run: Run, name: str, recipe: Recipe) -> Any:
    """Load a model of an earlier attempt, if there is one."""
    if not io.exists(run.location / name / "model.json"):
        return None
    return load_model(run.location / name, backbone=recipe.own_backbone)


def _store(model: Any, run: Run) -> Any:
    model.reference = ""  # not loaded from a URL
    publish_to(run.location / "challenger", model.export_files())
    return model


def _with_other_head(
    champion: VisionModule,
    images: ImageDataModule,
    recipe: Recipe,
    *,
    how: How,
    lineage: Mapping[str, str],
    store: FeatureStore | None,
    run: Run,
) -> tuple[Any, dict[str, float]]:
    """Return the champion with a last layer fitted to features, and its metrics."""
    data = images.manifest
    pieces = successor_pieces(data)
    model = successor.from_champion(champion, data.class_names, lineage=lineage, seed=recipe.seed)
    if how == "head":
        facts = pieces.fit_head(model, images, store=store, run=run)
    else:
        old_names = distinct(current_names(champion.class_names, lineage, known=data.class_names))
        facts = pieces.fit_rows(model, images, store=store, old_names=old_names, run=run)
    model.manifest_hash = data.hash
    model.eval()
    if len(val := images.val_dataloader()):
        model.after_training(val)
    return model, facts


def _trained(
    champion: VisionModule,
    images: ImageDataModule,
    recipe: Recipe,
    *,
    how: How,
    lineage: Mapping[str, str],
    run: Run,
    progress: Progress,
) -> Any:
    """Return a trained module, or that of an earlier attempt."""
    if (done := _stored(run, "model", recipe)) is not None:
        return done
    names = images.manifest.class_names
    if how == "full":
        model = champion.rebuild(names, weights=_weights(recipe, run), seed=recipe.seed)
        successor.with_settings(model, champion, lineage=lineage)
    else:
        start = successor.shrink_perturb if how == "shrink" else successor.from_champion
        model = start(champion, names, lineage=lineage, seed=recipe.seed)
    if how == "head":
        model.frozen_share = 1.0
    epochs = _EPOCHS[how] if recipe.epochs is None and recipe.budget_s is None else recipe.epochs
    _fit(model, images, recipe, run=run, epochs=epochs, progress=progress)
    return model


def _fit(
    model: VisionModule,
    images: ImageDataModule,
    recipe: Recipe,
    *,
    run: Run,
    epochs: int | None,
    progress: Progress,
) -> None:
    fit(
        model,
        images,
        run=run,
        epochs=epochs,
        budget_s=recipe.budget_s,
        progress=progress,
        devices=recipe.devices,
    )
