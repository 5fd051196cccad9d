"""`predict`: predictions for images from any source, as a stream of rows in the order of the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from onlineml.arguments.checks import whole
from onlineml.inference.device import move_to
from onlineml.inference.sources import is_live
from onlineml.lazy import told_if_slow
from onlineml.tasks import task_of
from onlineml.tasks.loading import opened_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from onlineml.inference.detecting import DetectionModel
    from onlineml.inference.detections import DetectionRows
    from onlineml.inference.engines import Engine
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
    miss_rate: float | None = None
    engine: str = "auto"
    is_live: bool = False


@overload
def predict(
    model: ImageClassifier,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    miss_rate: float | None = ...,
    batch_size: int | None = ...,
    device: str | torch.device | None = ...,
    engine: Engine = ...,
    storage_options: Options = ...,
) -> Predictions: ...
@overload
def predict(
    model: MultilabelClassifier,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    miss_rate: float | None = ...,
    batch_size: int | None = ...,
    device: str | torch.device | None = ...,
    engine: Engine = ...,
    storage_options: Options = ...,
) -> LabelRows: ...
@overload
def predict(
    model: DetectionModel,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    miss_rate: float | None = ...,
    batch_size: int | None = ...,
    device: str | torch.device | None = ...,
    engine: Engine = ...,
    storage_options: Options = ...,
) -> DetectionRows: ...
@overload
def predict(
    model: VisionModule | ModelVersion | Url,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    miss_rate: float | None = ...,
    batch_size: int | None = ...,
    device: str | torch.device | None = ...,
    engine: Engine = ...,
    storage_options: Options = ...,
) -> Any: ...
def predict(
    model: VisionModule | DetectionModel | ModelVersion | Url,
    images: Any,
    *,
    top_k: int | None = None,
    threshold: float | Mapping[str, float] | None = None,
    miss_rate: float | None = None,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    engine: Engine = "auto",
    storage_options: Options = None,
) -> Any:
    """Predict the class, the labels or the objects of images, depending on the model's task.

    Args:
        model: a trained model, a published version, or an argument of `onlineml.load_model`.
        images: one image or an iterable of images, even an endless one (a generator can be iterated once): paths
            and URLs of files, of folders (all images below) and with wildcards (``*``, ``**``, ``?``); the bytes of a
            file, or a file open for reading; a PIL image; an array or tensor in RGB, of one image or a batch, see
            `onlineml.inference.arrays.images_in`. Or a `Manifest`; a DataFrame with a column of paths; a camera's
            number, or the URL of a live stream, see `onlineml.inference.camera.Camera`.
        top_k: maximum number of classes or objects in each row, best first; None is 5 classes, all of a multi-label
            classifier, and all objects above their thresholds.
        threshold: score threshold of a detector or multi-label classifier, 0..1, for all classes or by name. None takes
            the model's, else 0.25 for objects and 0.5 for labels; 0 takes all.
        miss_rate: share of the truth of each class, above 0 to 0.5, that a calibrated model may miss, see
            `onlineml.calibrate`: a classifier's rows have a ``label_set``, else it gives thresholds where you do not.
        batch_size: images per batch; at most four batches, or 64 images, are in memory. None is the task's: 32 for a
            classifier, 8 for a detector; 1 for a camera.
        device: of the network, such as ``"cuda"`` or ``"cpu"``, or ``"auto"`` for a GPU if there is one; the model is
            moved there. None leaves it where it is; a loaded model is on the CPU.
        engine: runs the network on a CPU: ``"eager"`` (torch itself), ``"onnxruntime"`` or ``"openvino"``. ``"auto"``
            begins with torch and, where more is ahead than finding out takes, goes on in the fastest whose answers are
            equal, see `onlineml.inference.network.Network`; rows tell it as ``.engine``.
        storage_options: of the filesystem, for images and model.

    Returns:
        Rows in the order of the images: iterate over them, or call ``.to_frame()`` or ``.save(url)``. An unusable image
        is a row with an ``error``, never an exception.

    Raises:
        ConfigError: an argument is outside its range, the model was never trained, or calibrated with other weights or
            not at all, the engine cannot run it, or ``images`` contains something that is not an image.
        MissingDependencyError: the engine is not installed.
        DataError: the calibration had too few photos for ``miss_rate``; it says how many are needed.
        NotFoundError: the model does not exist, or a folder or pattern contains no image.
        UnknownClassError: a threshold is given for a class that the model does not have.
        StorageError: the store failed.
    """
    top_k = whole("top_k", top_k, least=1, optional=True)
    batch_size = whole("batch_size", batch_size, least=1, optional=True)
    live = is_live(images, storage_options)
    opened = opened_model(model, storage_options=storage_options)
    task = task_of(opened)
    move_to(opened, device)
    usual = 1 if live else task.predict_batch_size  # no frame of a camera waits for others
    size = usual if batch_size is None else batch_size
    options = PredictOptions(top_k, threshold, size, storage_options, miss_rate, engine=engine, is_live=live)
    with told_if_slow("Predicting"):
        return task.load("predict")(opened, images, options)
