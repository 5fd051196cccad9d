"""`predict`: say what is in images, wherever they are, as a stream of rows in the order of the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from onlineml.errors import ConfigError
from onlineml.inference.device import move_to
from onlineml.tasks import task_of
from onlineml.tasks.loading import opened_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from onlineml.inference.detecting import DetectionModel
    from onlineml.inference.detections import DetectionRows
    from onlineml.inference.label_rows import LabelRows
    from onlineml.inference.predictions import Predictions
    from onlineml.registry.versions import ModelVersion
    from onlineml.storage.location import Options, Url
    from onlineml.tasks.base import VisionModule
    from onlineml.tasks.classification import ImageClassifier
    from onlineml.tasks.multilabel import MultilabelClassifier

__all__ = ["PredictOptions", "predict"]


@dataclass(frozen=True)
class PredictOptions:
    """The arguments of `onlineml.predict`, whatever the task; see there."""

    top_k: int | None
    threshold: float | Mapping[str, float] | None
    batch_size: int
    storage_options: Options


@overload
def predict(
    model: ImageClassifier,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    batch_size: int | None = ...,
    device: str | torch.device | None = ...,
    storage_options: Options = ...,
) -> Predictions: ...
@overload
def predict(
    model: MultilabelClassifier,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    batch_size: int | None = ...,
    device: str | torch.device | None = ...,
    storage_options: Mapping[str, Any] | None = ...,
) -> LabelRows: ...
@overload
def predict(
    model: DetectionModel,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    batch_size: int | None = ...,
    device: str | torch.device | None = ...,
    storage_options: Options = ...,
) -> DetectionRows: ...
@overload
def predict(
    model: VisionModule | ModelVersion | Url,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    batch_size: int | None = ...,
    device: str | torch.device | None = ...,
    storage_options: Options = ...,
) -> Any: ...
def predict(
    model: VisionModule | DetectionModel | ModelVersion | Url,
    images: Any,
    *,
    top_k: int | None = None,
    threshold: float | Mapping[str, float] | None = None,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    storage_options: Options = None,
) -> Any:
    """Say what is in images: their class, all their labels, or the objects in them, as the model was made for.

    Args:
        model: a trained model, a published version, or what `onlineml.load_model` takes.
        images: one image or any iterable of them, even an endless one (a generator can be gone through once): paths
            and URLs of files, of folders (all images below) and with wildcards (``*``, ``**``, ``?``); the bytes of a
            file; an (H, W, 3) or (H, W) uint8 array in RGB; a PIL image.
        top_k: classes, or objects, in each row, best first; None is 5 classes, all of a multi-label classifier, and
            every object above its threshold.
        threshold: of a detector or multi-label classifier: the score, 0..1, from which on an object or a label counts:
            one for all classes, or one by name. None takes the thresholds that were chosen when the model was trained,
            else 0.25 for objects and 0.5 for labels; 0 takes all.
        batch_size: images at once; of a stream, no more than four batches are held. None is the task's: 32 for a
            classifier, 8 for a detector.
        device: where the network runs, such as ``"cuda"`` or ``"cpu"``, or ``"auto"``: a GPU where there is one. A
            model that is given as an object is moved there, and stays there. None leaves it where it is; a model that
            is loaded here is on the CPU.
        storage_options: open the URLs of images, and of the model.

    Returns:
        Rows in the order of the images: iterate over them, or take ``.to_frame()`` or ``.save(url)``. An image that
        cannot be used is a row that says why in ``error``, never an exception.

    Raises:
        ConfigError: an argument is outside its range, the model was never trained, or ``images`` holds something that
            is no image at all.
        NotFoundError: there is no such model, or a folder or pattern that holds no image.
        UnknownClassError: a threshold is given for a class that the model does not have.
        StorageError: the store failed.
    """
    if (top_k is not None and top_k < 1) or (batch_size is not None and batch_size < 1):
        raise ConfigError(f"top_k={top_k}, batch_size={batch_size}: expected at least 1")
    opened = opened_model(model, storage_options=storage_options)
    task = task_of(opened)
    move_to(opened, device)
    options = PredictOptions(
        top_k=top_k,
        threshold=threshold,
        batch_size=task.predict_batch_size if batch_size is None else batch_size,
        storage_options=storage_options,
    )
    return task.load("predict")(opened, images, options)
