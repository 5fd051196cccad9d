"""`cross_validate`: scores of settings on all images, each predicted by a model that has seen none of its group."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.arguments.checks import instance, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import assign_folds
from onlineml.errors import ConfigError, DataError
from onlineml.improving.searching.candidates import Candidate
from onlineml.inference.evaluate import evaluate
from onlineml.storage.patience import background
from onlineml.training.fit import fit
from onlineml.training.progress import check_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.evaluation.base import BaseScores
    from onlineml.training.progress import Progress

__all__ = ["cross_validate"]

_USUAL = Candidate()
_LEAST_FOLDS = 3  # one for testing, one for validation, one for training


@background()
def cross_validate(
    data: Manifest,
    candidate: Candidate = _USUAL,
    *,
    folds: int | Sequence[Any] = 5,
    epochs: int | None = None,
    budget_s: float | None = None,
    seed: int = 0,
    num_workers: int = 0,
    max_bad: float = 0.01,
    progress: Progress = "none",
) -> BaseScores:
    """Train once per fold, and score the predictions for all annotated images together, with one interval.

    The model of each fold is trained on the others, less one for validation (the learning curve, thresholds of scores),
    and predicts the images of its own. So every image counts once, predicted by a model that has seen none of its
    group, and the interval is that of a test set of all images. It says what the settings are worth on so many images;
    no model comes of it. Intervals over folds, which are usual, are too narrow: the folds' models share images (Bengio
    and Grandvalet, No Unbiased Estimator of the Variance of K-Fold Cross-Validation, JMLR 2004); the one given here
    leaves out the chance of training.

    Args:
        data: annotated images; splits do not matter. To keep the test images out, pass
            ``data.select(split=["train", "val"])``.
        candidate: the settings.
        folds: number of folds, at least 3; images of a group come into one fold. Or the fold of each image of ``data``,
            (n,) integers or names, as ``data.column("camera")`` to leave out one camera at a time.
        epochs: of each training, see `onlineml.fit`.
        budget_s: seconds of each training.
        seed: of the division, order, augmentation and new weights, 0..2**31-1.
        num_workers: processes that decode; 0 is a thread.
        max_bad: allowed share of bad images, and of bad boxes, of a split, 0..1.
        progress: of each training, see `onlineml.fit`.

    Returns:
        The scores of the task, without a split and a model. Thresholds of a detector or of several labels are the mean
        of the folds'.

    Raises:
        ConfigError: an argument is invalid, or there are fewer groups than folds.
        DataError: there are no annotated images, or a group is in several of the folds given.
    """
    instance("data", data, Manifest, "a Manifest, such as that of project.freeze()")
    instance("candidate", candidate, Candidate, "a Candidate, such as Candidate(size=96)")
    seed = seed_("seed", seed)
    check_progress(progress)
    annotated = data.kind.is_annotated(data.table)
    if not annotated.any():
        raise DataError("no image is annotated: there is nothing to train on")
    parts = []
    for part in _divided(data.take(annotated), _folds(data, folds, annotated, seed=seed)):
        model = candidate.new_model(part, seed=seed)
        batches = candidate.batches_for(
            part, model, budget_s=budget_s, seed=seed, num_workers=num_workers, max_bad=max_bad
        )
        with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
            fit(model, batches, run=Path(folder) / "run", epochs=epochs, budget_s=budget_s, progress=progress)
        parts.append(evaluate(model, part, num_workers=num_workers, n_bootstrap=0, seed=seed, max_bad=max_bad))
    pooled: BaseScores = parts[0].pooled_with(parts[1:])
    return dataclasses.replace(pooled, manifest_hash=data.hash)


def _folds(data: Manifest, folds: int | Sequence[Any], annotated: NDArray[np.bool_], *, seed: int) -> NDArray[np.int64]:
    """The number of the fold of each annotated image, from 0."""
    groups = data.column("group")[annotated].tolist()
    if isinstance(folds, int) or not hasattr(folds, "__len__"):
        n_folds: Any = whole("folds", folds, least=_LEAST_FOLDS)
        return assign_folds(groups, _labels(data.take(annotated)), n_folds=n_folds, salt=str(seed))
    if isinstance(folds, str) or len(folds) != len(data):
        found = repr(folds) if isinstance(folds, str) else f"{len(folds)} values"
        raise ConfigError(f"folds: {found}: expected a number, or the fold of each of the {len(data)} images")
    given = np.array([str(one) for one in folds], dtype=object)[annotated]
    names, numbers = np.unique(given, return_inverse=True)
    if len(names) < _LEAST_FOLDS:
        raise ConfigError(f"folds: {', '.join(names)}: expected at least {_LEAST_FOLDS} different ones")
    first: dict[str, str] = {}
    for group, fold in zip(groups, given.tolist(), strict=True):
        if first.setdefault(group, fold) != fold:
            raise DataError(
                f"the images of group {group!r} are in the folds {first[group]!r} and {fold!r}: a model would be "
                "tested on what it has seen; put each group into one fold, or change the column 'group'"
            )
    return numbers.astype(np.int64)


def _divided(data: Manifest, fold_of: NDArray[np.int64]) -> list[Manifest]:
    """Return the same images with other splits for each fold: its own images are the test images."""
    folds = int(fold_of.max()) + 1
    masks = [(fold_of == i, fold_of == (i + 1) % folds) for i in range(folds)]
    splits = [np.select([test, val], ["test", "val"], "train").astype(object) for test, val in masks]
    return [data.with_column("split", split) for split in splits]


def _labels(data: Manifest) -> list[str]:
    """The first class name of each image; ``""`` for one without."""
    names, rows = data.kind.names_by_row(data.table)
    found = [""] * len(data)
    for name, row in zip(reversed(names.to_pylist()), rows[::-1].tolist(), strict=True):
        found[row] = name
    return found
