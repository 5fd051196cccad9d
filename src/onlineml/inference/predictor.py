"""`predict`: name what is in images, wherever they are, as a stream of rows in the order of the images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onlineml.data.images import decode
from onlineml.data.loaders import ahead
from onlineml.data.transforms import fit_to_size, limit_to_scale, training_scale
from onlineml.errors import BadImageError, ConfigError
from onlineml.inference.predictions import Prediction, Predictions
from onlineml.inference.sources import Item, items_of
from onlineml.storage.io import read_many
from onlineml.tasks.classification import ImageClassifier
from onlineml.tasks.loading import load_model

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.registry import ModelVersion

__all__ = ["predict"]


def predict(
    model: ImageClassifier | ModelVersion | str | os.PathLike[str],
    images: Any,
    *,
    top_k: int = 5,
    batch_size: int = 32,
    storage_options: Mapping[str, Any] | None = None,
) -> Predictions:
    """Classify images.

    Args:
        model: a trained model, a published version, or what `onlineml.load_model` takes.
        images: one image or any iterable of them, even an endless one (a generator can be gone through once): paths
            and URLs of files, of folders (all images below) and with wildcards (``*``, ``**``, ``?``); the bytes of a
            file; an (H, W, 3) or (H, W) uint8 array in RGB; a PIL image.
        top_k: classes in each row, best first.
        batch_size: images at once; of a stream, no more than four batches are held.
        storage_options: open the URLs of images, and of the model.

    Returns:
        Rows in the order of the images: iterate over them, or take ``.to_frame()`` or ``.save(url)``. An image that
        cannot be used is a row that says why in ``error``, never an exception.

    Raises:
        ConfigError: the model was never trained, or ``images`` holds something that is no image at all.
        NotFoundError: there is no such model, or a folder or pattern that holds no image.
        StorageError: the store failed.
    """
    if top_k < 1 or batch_size < 1:
        raise ConfigError(f"top_k={top_k}, batch_size={batch_size}: expected at least 1")
    if not isinstance(model, ImageClassifier):
        model = load_model(model, storage_options=storage_options)
    classifier, size_hw = model, model.input_size_hw()
    used = False

    def rows() -> Iterator[Prediction]:
        nonlocal used
        if used and isinstance(images, Iterator):
            raise ConfigError(
                "the images came from a generator, which can be gone through only once: give a list, or keep the rows, "
                "as in rows = list(predict(...))"
            )
        used = True
        items = items_of(images, storage_options=storage_options)
        batches = ahead(_prepared(items, size_hw, batch_size, storage_options))
        for names, pixels, errors in batches:
            yield from _classify(classifier, names, pixels, errors, top_k)

    return Predictions(rows, model=model.reference or model.backbone_name)


def _prepared(
    items: Iterator[Item],
    size_hw: tuple[int, int],
    batch_size: int,
    storage_options: Mapping[str, Any] | None,
) -> Iterator[tuple[list[str], list[NDArray[np.uint8] | None], list[str]]]:
    """Batches of names, pixels at the network's size (None where bad) and what is wrong ("" where nothing is)."""
    # what is here already is made small as it comes: a batch of large photos would take gigabytes, and who hands out
    # frames may write the next one into the same array
    made = ((i.name, None if i.content is None else _fitted(i.content, size_hw)) for i in items)
    while chunk := list(itertools.islice(made, batch_size)):
        urls = [name for name, image in chunk if image is None]
        fetched = iter(read_many(urls, storage_options=storage_options) if urls else [])
        images = [_fitted(next(fetched), size_hw) if image is None else image for _, image in chunk]
        pixels = [None if isinstance(image, str) else image for image in images]
        yield [name for name, _ in chunk], pixels, [image if isinstance(image, str) else "" for image in images]


def _fitted(content: bytes | Exception | NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8] | str:
    """An image just as evaluation sees it, ``size_hw`` + (3,) uint8, or what is wrong with it."""
    if isinstance(content, Exception):
        return str(content)
    short_side = training_scale(size_hw)
    try:
        pixels = decode(content, min_side=short_side).pixels if isinstance(content, bytes) else content
    except BadImageError as error:
        return str(error)
    return np.array(fit_to_size(limit_to_scale(pixels, short_side), size_hw))


def _classify(
    model: ImageClassifier,
    names: Sequence[str],
    pixels: Sequence[NDArray[np.uint8] | None],
    errors: Sequence[str],
    top_k: int,
) -> Iterator[Prediction]:
    good = [p for p in pixels if p is not None]
    scores: Iterator[NDArray[np.float32]] = iter(())
    if good:
        batch = torch.from_numpy(np.stack(good)).permute(0, 3, 1, 2).to(model.device)
        training = model.training
        model.eval()
        with torch.inference_mode():
            scores = iter(torch.softmax(model(batch).float(), dim=1).cpu().numpy())
        model.train(training)
    for name, image, error in zip(names, pixels, errors, strict=True):
        if image is None:
            yield Prediction(uri=name, label=None, score=float("nan"), top=(), error=error)
            continue
        row = next(scores)
        if not np.isfinite(row).all():
            wrong = "the model's probabilities are not finite numbers"
            yield Prediction(uri=name, label=None, score=float("nan"), top=(), error=wrong)
            continue
        best = np.argsort(-row, kind="stable")[:top_k]
        top = tuple((model.class_names[i], float(row[i])) for i in best)
        yield Prediction(uri=name, label=top[0][0], score=top[0][1], top=top, error=None)
