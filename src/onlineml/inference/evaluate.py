"""`evaluate`: a model's predictions on a split of a manifest, as scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onlineml.data.datamodules import ClassificationDataModule
from onlineml.data.images import decode
from onlineml.data.transforms import limit_to_scale
from onlineml.errors import BadImageError, ConfigError, UnknownClassError
from onlineml.evaluation import classification_scores
from onlineml.storage.io import read_many
from onlineml.tasks.classification import ImageClassifier
from onlineml.tasks.loading import load_model

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest import Manifest
    from onlineml.evaluation import ClassificationScores
    from onlineml.registry import ModelVersion

__all__ = ["evaluate"]

_OWN_COLUMNS = {"image_id", "uri", "version", "sha256", "width", "height", "split", "group", "label"}
_SLICE_VALUES = 50  # a column with more different values is no slice unless it is asked for
_THUMBNAILS = 24
_THUMBNAIL_PX = 128


def evaluate(
    model: ImageClassifier | ModelVersion | str | os.PathLike[str],
    data: Manifest,
    *,
    split: str = "test",
    slices: Sequence[str] | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    n_bootstrap: int = 1000,
    seed: int = 0,
    max_bad: float = 0.01,
    storage_options: Mapping[str, Any] | None = None,
) -> ClassificationScores:
    """Score a classifier on the labelled images of a split.

    Args:
        model: a trained model, a published version, or what `onlineml.load_model` takes.
        data: its class names may stand in another order than the model's; they are matched by name.
        split: "train", "val" or "test".
        slices: columns of the manifest whose values are scored apart; None takes all further columns with at most 50
            different values.
        batch_size: images at once.
        num_workers: processes that load; 0 is a thread.
        n_bootstrap: resamples of the 95 % intervals, over groups.
        seed: of the resamples.
        max_bad: share of images, 0..1, that may be bad; they are left out of the scores.
        storage_options: open the model's URL.

    Returns:
        Scores with plain attributes (``.accuracy``), a table, figures and a report.

    Raises:
        UnknownClassError: images carry labels that the model does not know.
        DataError: the split has no labelled images.
        TooManyBadImagesError: more than ``max_bad`` are bad.
        ConfigError: a slice is not a column, or the model was never trained.
    """
    if not isinstance(model, ImageClassifier):
        model = load_model(model, storage_options=storage_options)
    dm = ClassificationDataModule(
        data, size_hw=model.input_size_hw(), batch_size=batch_size, num_workers=num_workers, max_bad=max_bad
    )
    rows, probabilities = _probabilities(model, dm, split)
    labels = _labels_for(model, data, rows)
    columns = _slice_columns(data) if slices is None else list(slices)
    scores = classification_scores(
        probabilities,
        labels,
        model.class_names,
        groups=data.column("group")[rows],
        image_ids=data.column("image_id")[rows].tolist(),
        uris=data.column("uri")[rows].tolist(),
        slices={name: _values(data, name)[rows] for name in columns},
        n_bootstrap=n_bootstrap,
        seed=seed,
        split=split,
        manifest_hash=data.hash,
        model_ref=model.reference,
    )
    return scores.with_thumbnails(_thumbnails(scores, data))


def _probabilities(
    model: ImageClassifier, dm: ClassificationDataModule, split: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of the manifest, (n,), and (n, C) probabilities; bad images are left out."""
    rows, found = [], []
    training = model.training
    model.eval()
    with torch.inference_mode():
        for batch in dm.loader(split):
            logits = model(batch["image"].to(model.device)).float()
            found.append(torch.softmax(logits, dim=1).cpu().numpy())
            rows.append(batch["index"].numpy())
    model.train(training)
    return np.concatenate(rows), np.concatenate(found)


def _labels_for(model: ImageClassifier, data: Manifest, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of ``rows`` as the model counts its classes, (n,) int64."""
    own = {name: i for i, name in enumerate(model.class_names)}
    ids = data.label_ids()[rows]
    unknown = sorted({data.class_names[i] for i in np.unique(ids)} - own.keys())
    if unknown:
        raise UnknownClassError(
            f"{len(unknown)} classes of the manifest are unknown to the model: {', '.join(unknown[:20])}; it knows "
            f"{', '.join(model.class_names[:20])}: train a model with them, or leave out their images"
        )
    to_own = np.array([own.get(name, -1) for name in data.class_names], dtype=np.int64)
    mapped: NDArray[np.int64] = to_own[ids]
    return mapped


def _slice_columns(data: Manifest) -> list[str]:
    further = [name for name in data.table.column_names if name not in _OWN_COLUMNS]
    return [name for name in further if len({str(v) for v in data.column(name)}) <= _SLICE_VALUES]


def _values(data: Manifest, name: str) -> NDArray[Any]:
    if name not in data.table.column_names:
        raise ConfigError(f"slices: {name!r} is no column of the manifest; it has {', '.join(data.table.column_names)}")
    return np.asarray(data.column(name))


def _thumbnails(scores: ClassificationScores, data: Manifest) -> dict[str, bytes]:
    """Small JPEGs of the worst mistakes, by image_id; an image that cannot be read now has none."""
    import cv2  # noqa: PLC0415

    wanted = [mistake.image_id for mistake in scores.mistakes[:_THUMBNAILS]]
    urls = data.urls()
    row_of = {str(image_id): i for i, image_id in enumerate(data.column("image_id"))}
    read = read_many([urls[row_of[i]] for i in wanted], storage_options=data.storage_options) if wanted else []
    found = {}
    for image_id, content in zip(wanted, read, strict=True):
        if isinstance(content, OSError):
            continue
        try:
            pixels = limit_to_scale(decode(content, min_side=_THUMBNAIL_PX).pixels, _THUMBNAIL_PX)
        except BadImageError:
            continue
        done, jpeg = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
        if done:
            found[image_id] = jpeg.tobytes()
    return found
