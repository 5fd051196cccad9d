"""`predict`: say what is in images, wherever they are, as a stream of rows in the order of the images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from onlineml.data.augment.classification import fit_to_size, limit_to_scale, training_scale
from onlineml.data.images.decode import decode
from onlineml.errors import ConfigError
from onlineml.inference.detecting import Detector, cutoffs, detect_in, fitted_image
from onlineml.inference.detections import DetectedObjects, Detections
from onlineml.inference.predictions import Prediction, Predictions
from onlineml.inference.stream import Stream
from onlineml.tasks.classification import ImageClassifier
from onlineml.tasks.eval_mode import eval_mode
from onlineml.tasks.loading import load_model

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from onlineml.inference.detecting import Fitted
    from onlineml.registry.versions import ModelVersion

__all__ = ["predict"]

_TOP_K = 5
_BATCH_SIZE = {"classification": 32, "detection": 8}  # a detector's images are several times as large


@overload
def predict(
    model: ImageClassifier,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    batch_size: int | None = ...,
    storage_options: Mapping[str, Any] | None = ...,
) -> Predictions: ...
@overload
def predict(
    model: Detector,
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    batch_size: int | None = ...,
    storage_options: Mapping[str, Any] | None = ...,
) -> Detections: ...
@overload
def predict(
    model: ModelVersion | str | os.PathLike[str],
    images: Any,
    *,
    top_k: int | None = ...,
    threshold: float | Mapping[str, float] | None = ...,
    batch_size: int | None = ...,
    storage_options: Mapping[str, Any] | None = ...,
) -> Any: ...
def predict(
    model: ImageClassifier | Detector | ModelVersion | str | os.PathLike[str],
    images: Any,
    *,
    top_k: int | None = None,
    threshold: float | Mapping[str, float] | None = None,
    batch_size: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Predictions | Detections:
    """Say what is in images: their class, or the objects in them, as the model was made for.

    Args:
        model: a trained model, a published version, or what `onlineml.load_model` takes.
        images: one image or any iterable of them, even an endless one (a generator can be gone through once): paths
            and URLs of files, of folders (all images below) and with wildcards (``*``, ``**``, ``?``); the bytes of a
            file; an (H, W, 3) or (H, W) uint8 array in RGB; a PIL image.
        top_k: classes, or objects, in each row, best first; None is 5 classes, and every object above its threshold.
        threshold: of a detector: the score, 0..1, from which on an object counts: one for all classes, or one by name.
            None takes the thresholds that were chosen when the model was trained, else 0.25; 0 takes all.
        batch_size: images at once; of a stream, no more than four batches are held. None is 32 for a classifier, 8
            for a detector.
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
    if not isinstance(model, ImageClassifier | Detector):
        model = load_model(model, storage_options=storage_options)
    size_hw = model.input_size_hw()
    if isinstance(model, Detector):
        n = batch_size or _BATCH_SIZE["detection"]
        fitted = Stream(images, partial(fitted_image, size_hw=size_hw), batch_size=n, storage_options=storage_options)
        least = cutoffs(model, threshold)
        return Detections(partial(_detections, model, fitted, least, top_k), model=model.reference)
    if threshold is not None:
        raise ConfigError(f"threshold={threshold}: expected None, for the model is a classifier, which takes top_k")
    n = batch_size or _BATCH_SIZE["classification"]
    covering = Stream(images, partial(_covering, size_hw=size_hw), batch_size=n, storage_options=storage_options)
    rows = partial(_predictions, model, covering, top_k or _TOP_K)
    return Predictions(rows, model=model.reference or model.backbone_name)


def _detections(
    model: Detector, images: Stream[Fitted], least: NDArray[np.float64], top_k: int | None
) -> Iterator[DetectedObjects]:
    for batch in images:
        found = iter(detect_in(model, [image for _, image in batch if not isinstance(image, Exception)]))
        for name, image in batch:
            if isinstance(image, Exception):
                yield DetectedObjects.unusable(name, str(image))
                continue
            objects = next(found)
            if objects is None:
                yield DetectedObjects.unusable(name, "the model's boxes or scores are not finite numbers")
                continue
            boxes, label_ids, scores = objects.take(objects.scores >= least[objects.label_ids]).take(slice(top_k))
            labels = tuple(model.class_names[i] for i in label_ids)
            yield DetectedObjects(name, image.size_hw, boxes, label_ids, labels, scores, None)


def _covering(content: bytes | NDArray[np.uint8], *, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """An image just as evaluation sees it, ``size_hw`` + (3,) uint8."""
    short_side = training_scale(size_hw)
    pixels = decode(content, min_side=short_side).pixels if isinstance(content, bytes) else content
    return np.array(fit_to_size(limit_to_scale(pixels, short_side), size_hw))


def _predictions(model: ImageClassifier, images: Stream[NDArray[np.uint8]], top_k: int) -> Iterator[Prediction]:
    for batch in images:
        good = [image for _, image in batch if not isinstance(image, Exception)]
        scores: Iterator[NDArray[np.float32]] = iter(())
        if good:
            together = torch.from_numpy(np.stack(good)).permute(0, 3, 1, 2).to(model.device)
            with eval_mode(model):
                scores = iter(torch.softmax(model(together).float(), dim=1).cpu().numpy())
        for name, image in batch:
            if isinstance(image, Exception):
                yield _unusable(name, str(image))
                continue
            row = next(scores)
            if not np.isfinite(row).all():
                yield _unusable(name, "the model's probabilities are not finite numbers")
                continue
            best = np.argsort(-row, kind="stable")[:top_k]
            top = tuple((model.class_names[i], float(row[i])) for i in best)
            yield Prediction(uri=name, label=top[0][0], score=top[0][1], top=top, error=None)


def _unusable(name: str, error: str) -> Prediction:
    return Prediction(uri=name, label=None, score=float("nan"), top=(), error=error)
