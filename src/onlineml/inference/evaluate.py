"""`evaluate`: scores of a model on a split of a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from onlineml.arguments.checks import instance
from onlineml.data.manifest.manifest import Manifest
from onlineml.inference.evaluation import EvaluateOptions, check_slices, task_for
from onlineml.lazy import told_if_slow
from onlineml.tasks.loading import opened_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation import ClassificationScores, MultilabelScores
    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.inference.detecting import DetectionModel
    from onlineml.inference.engines import Engine
    from onlineml.registry.versions import ModelVersion
    from onlineml.storage.location import Options, Url
    from onlineml.tasks.base import VisionModule
    from onlineml.tasks.classification import ImageClassifier
    from onlineml.tasks.multilabel import MultilabelClassifier

__all__ = ["evaluate"]


@overload
def evaluate(
    model: ImageClassifier,
    data: Manifest,
    *,
    split: str = ...,
    slices: Sequence[str] | None = ...,
    batch_size: int | None = ...,
    num_workers: int = ...,
    engine: Engine = ...,
    n_bootstrap: int = ...,
    seed: int = ...,
    max_bad: float = ...,
    storage_options: Options = ...,
) -> ClassificationScores: ...
@overload
def evaluate(
    model: MultilabelClassifier,
    data: Manifest,
    *,
    split: str = ...,
    slices: Sequence[str] | None = ...,
    batch_size: int | None = ...,
    num_workers: int = ...,
    engine: Engine = ...,
    n_bootstrap: int = ...,
    seed: int = ...,
    max_bad: float = ...,
    storage_options: Options = ...,
) -> MultilabelScores: ...
@overload
def evaluate(
    model: DetectionModel,
    data: Manifest,
    *,
    split: str = ...,
    slices: Sequence[str] | None = ...,
    batch_size: int | None = ...,
    num_workers: int = ...,
    engine: Engine = ...,
    n_bootstrap: int = ...,
    seed: int = ...,
    max_bad: float = ...,
    storage_options: Options = ...,
) -> DetectionScores: ...
@overload
def evaluate(
    model: VisionModule | ModelVersion | Url,
    data: Manifest,
    *,
    split: str = ...,
    slices: Sequence[str] | None = ...,
    batch_size: int | None = ...,
    num_workers: int = ...,
    engine: Engine = ...,
    n_bootstrap: int = ...,
    seed: int = ...,
    max_bad: float = ...,
    storage_options: Options = ...,
) -> Any: ...
def evaluate(
    model: VisionModule | DetectionModel | ModelVersion | Url,
    data: Manifest,
    *,
    split: str = "test",
    slices: Sequence[str] | None = None,
    batch_size: int | None = None,
    num_workers: int = 0,
    engine: Engine = "eager",
    n_bootstrap: int = 1000,
    seed: int = 0,
    max_bad: float = 0.01,
    storage_options: Options = None,
) -> Any:
    """Score a model on the labelled images of a split.

    A detector is scored with all its boxes, whatever their score, in pixels of the upright originals; its thresholds
    only apply to precision, recall and the confusion matrix. Bad boxes of the manifest (see `Manifest.check`) are left
    out. The thresholds of a multi-label classifier decide which labels it predicts; average precision is of its
    probabilities.

    Args:
        model: a trained model, a published version, or an argument of `onlineml.load_model`.
        data: its class names may be in another order than the model's; they are matched by name.
        split: "train", "val" or "test".
        slices: columns of the manifest to slice the scores by; None takes all extra columns with at most 50
            different values.
        batch_size: images per batch; None is 64 for a classifier, 8 for a detector.
        num_workers: processes that load; 0 is a thread.
        engine: see `onlineml.predict`. By default torch itself answers, so that scores are the same to the last digit
            however busy the machine is; the others differ from it in the seventh.
        n_bootstrap: resamples of the 95 % intervals, over groups.
        seed: of the resamples.
        max_bad: share of images, and of boxes, 0..1, that may be bad; they are left out of the scores.
        storage_options: open the model's URL.

    Returns:
        Scores with plain attributes (``.accuracy``, ``.map_50_95``), a table, figures and a report.

    Raises:
        UnknownClassError: images carry labels that the model does not know.
        DataError: the split has no annotated images.
        TooManyBadImagesError: more than ``max_bad`` are bad.
        ConfigError: a slice is not a column, the model was never trained, the manifest is for another task, or the
            engine cannot run the model.
        MissingDependencyError: the engine is not installed.
        TrainingError: a detector's boxes are not finite.
    """
    instance("data", data, Manifest, "a Manifest, such as that of Manifest.from_any(folder) or project.freeze()")
    check_slices(data, slices)
    opened = opened_model(model, storage_options=storage_options)
    task = task_for(opened, data)
    size = task.evaluate_batch_size if batch_size is None else batch_size
    options = EvaluateOptions(split, slices, size, num_workers, n_bootstrap, seed, max_bad, engine=engine)
    with told_if_slow(f"Scoring the images of {split}"):
        return task.load("evaluate")(opened, data, options)
