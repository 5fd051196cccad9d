"""`calibrate` and `check_calibration`: probabilities and thresholds that hold what they promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.arguments.checks import instance, one_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError
from onlineml.evaluation.calibration.calibration import calibration_of, checked_rate
from onlineml.evaluation.calibration.check import check_evidence
from onlineml.inference.evaluation import EvaluateOptions, check_slices, task_for
from onlineml.lazy import told_if_slow
from onlineml.tasks import task_of
from onlineml.tasks.base import VisionModule
from onlineml.tasks.calibrated import calibration_for
from onlineml.tasks.loading import opened_model

if TYPE_CHECKING:
    import pandas as pd

    from onlineml.evaluation.calibration.calibration import Calibration
    from onlineml.registry.versions import ModelVersion
    from onlineml.storage.location import Options, Url
    from onlineml.tasks.task import Task

__all__ = ["calibrate", "calibration_on", "check_calibration"]

_SPLITS = ("val", "test")


def calibrate(
    model: VisionModule,
    data: Manifest,
    *,
    split: str = "val",
    batch_size: int | None = None,
    num_workers: int = 0,
    max_bad: float = 0.01,
) -> Calibration:
    """Calibrate a model on photos that it was not trained on, and keep the calibration as ``model.calibration``.

    Afterwards ``predict(model, photos, miss_rate=0.05)`` misses 5 % of the truth of each class, and no more: a
    classifier by answering with a set of labels, a multi-label classifier and a detector by other thresholds. A
    classifier's probabilities get a temperature (Guo et al. 2017) where that lowers the log loss of photos that it
    was not fitted on. ``save`` and ``project.publish`` store the calibration; training and renaming drop it.

    The rate holds on average over calibrations, for photos drawn like those of ``split`` (split conformal prediction
    and conformal risk control, see `onlineml.evaluation.calibration.Calibration`). Photos of one group count as one:
    it is the mean over new groups, or new photos, of the share that is missed of what they show of a class; with n of
    them that show several things, at most ``1 / (2 * (n + 1))`` more. It does not hold for photos of another kind,
    such as those of another camera; nor exactly where ``split`` also chose between models, as validation does within
    `fit`.

    Args:
        model: a trained model of ours; a published version is loaded first, calibrated, and published again.
        data: its annotated photos; its class names may be in another order than the model's.
        split: "val", or "test", after which the test photos are no test of the calibration.
        batch_size: images per batch; None is that of `onlineml.evaluate`.
        num_workers: processes that load; 0 is a thread.
        max_bad: share of images, and of boxes, 0..1, that may be bad; they are left out.

    Returns:
        The calibration, which prints what it found.

    Raises:
        ConfigError: the model is no module, was never trained, is of another task, or its task cannot be calibrated;
            or ``split`` is "train".
        DataError: the split has no annotated photos.
        UnknownClassError: photos show classes that the model does not know.
        TooManyBadImagesError: more than ``max_bad`` are bad.

    Example:
        >>> oml.calibrate(model, data).split
        'val'
    """
    instance("model", model, VisionModule, "a trained model, such as oml.load_model(url) or what oml.fit has trained")
    options = _options(_checked(model, data, split), split, batch_size, num_workers, max_bad)
    model.calibration = calibration_on(model, data, options, fit=True)
    return model.calibration


def calibration_on(model: Any, data: Manifest, options: EvaluateOptions, *, fit: bool) -> Calibration:
    """Compute the calibration of a model, see `calibrate`.

    Args:
        model: of ours, or an export.
        data: its annotated photos.
        options: with the split.
        fit: whether to fit a temperature, which the model does not have yet.
    """
    with told_if_slow(f"Calibrating on the images of {options.split}"):
        _, evidence = task_of(model).load("evidence")(model, data, options, fit=fit)
    return calibration_of(
        evidence, model.class_names, model=model.fingerprint(), split=options.split, manifest_hash=data.hash
    )


def check_calibration(
    model: VisionModule | ModelVersion | Url,
    data: Manifest,
    *,
    miss_rate: float,
    split: str = "test",
    by: str = "group",
    batch_size: int | None = None,
    num_workers: int = 0,
    n_bootstrap: int = 1000,
    seed: int = 0,
    max_bad: float = 0.01,
    storage_options: Options = None,
) -> pd.DataFrame:
    """Measure what a calibrated model misses on other photos, by class and by group.

    Args:
        model: a calibrated model, a published version, or an argument of `onlineml.load_model`.
        data: annotated photos.
        miss_rate: as in `onlineml.predict`.
        split: of the photos; another one than that of the calibration, or photos that came later.
        by: a column of the manifest: a row for each of its values that several photos have.
        batch_size: images per batch; None is that of `onlineml.evaluate`.
        num_workers: processes that load; 0 is a thread.
        n_bootstrap: resamples of the 95 % intervals, over groups of photos.
        seed: of the resamples.
        max_bad: share of images, and of boxes, 0..1, that may be bad; they are left out.
        storage_options: open the model's URL.

    Returns:
        A row for all photos (``of`` "all"), each class ("class") and each value of ``by``: ``name``; the number of
        photos, labels or objects ``shown``; the share ``missed``, the mean over groups of photos and the classes that
        each shows; ``low`` and ``high``, its 95 % interval, by resampling groups; the mean number of answers in the
        photos, ``size``, for a classifier that of the label sets; the share of the photos with ``one`` answer and
        with ``none``; and ``false``, the mean number of false answers in the photos, in the row of a class those of
        this class in any photo.

    Raises:
        ConfigError: the model has no calibration, or one of other weights; the photos are those of the calibration.
        DataError: too few photos were there for the rate, see `onlineml.evaluation.calibration.Calibration`.
    """
    checked_rate(miss_rate)
    opened = opened_model(model, storage_options=storage_options)
    task = _checked(opened, data, split)
    calibration = calibration_for(opened, miss_rate)
    if (calibration.manifest_hash, calibration.split) == (data.hash, split):
        raise ConfigError(f"split={split!r}: expected other photos than those that the calibration was computed from")
    check_slices(data, [by])
    options = _options(task, split, batch_size, num_workers, max_bad)
    with told_if_slow(f"Checking on the images of {split}"):
        rows, evidence = task.load("evidence")(opened, data, options, fit=False)
    groups = data.column(by)[rows]
    return check_evidence(
        evidence, calibration.thresholds(miss_rate), by=by, groups=groups, n_bootstrap=n_bootstrap, seed=seed
    )


def _checked(model: Any, data: Manifest, split: str) -> Task:
    instance("data", data, Manifest, "a Manifest, such as that of Manifest.from_any(folder) or project.freeze()")
    if split == "train":
        raise ConfigError("split='train': expected val or test; a model knows the photos that it was trained on")
    one_of("split", split, _SPLITS)
    return task_for(model, data)


def _options(task: Task, split: str, batch_size: int | None, num_workers: int, max_bad: float) -> EvaluateOptions:
    chosen = task.evaluate_batch_size if batch_size is None else batch_size
    return EvaluateOptions(split, (), chosen, num_workers, n_bootstrap=0, seed=0, max_bad=max_bad)
