"""Features of any photos, or of the boxes in them, by a published network that was not trained on them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from onlineml.data.images.decode import decode
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.schema import COLUMNS
from onlineml.errors import BadImageError
from onlineml.models.stages import WithStages
from onlineml.storage.location import Location
from onlineml.storage.reading import read_many
from onlineml.tasks import task_of
from onlineml.tasks.classifier import ClassifierModule
from onlineml.training.features import contents_of, linear_head
from onlineml.training.probe import collect_features

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from onlineml.tasks.base import VisionModule
    from onlineml.training.features import FeatureStore

__all__ = ["box_features", "embedder", "inside", "pixels_features", "unannotated"]

_SIDE = 160  # 224 px cost twice as much
_BATCH = 32
_AROUND = 0.1  # of a box's sides, to each side of it: a little of where it lies


def embedder() -> VisionModule:
    """Return a network with published weights that sees whole photos, of any task; its last layer says nothing.

    The features are those of several stages, see `WithStages`. Its `origin` says where the weights come from; without
    any on this machine or its hub they are random.
    """
    model: VisionModule = task_of("multilabel").load("module")(class_names=("anything",))  # stretches, never crops
    assert isinstance(model, ClassifierModule)  # noqa: S101 - for the type checker
    model.network, model.head_name = WithStages(model.network, model.head_name), "head"
    model.size_hw = (_SIDE, _SIDE)
    return model.to(memory_format=torch.channels_last).eval()


def unannotated(data: Manifest) -> Manifest:
    """The images of a manifest of any task, in its order, as those of `embedder`, without annotations."""
    kept = data.table.select([name for name in COLUMNS if name != "label"])
    return Manifest(kept, root=data.root, task="multilabel", storage_options=data.storage_options)


def pixels_features(model: VisionModule, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(n, F) features of (H, W, 3) uint8 RGB images of any sizes."""
    values, _ = collect_features(model, linear_head(model), _batches(images, model.input_size_hw()))
    return np.asarray(values.numpy(), np.float32)


def _batches(images: Sequence[NDArray[np.uint8]], size_hw: tuple[int, int]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(images), _BATCH):
        some = [
            cv2.resize(pixels, size_hw[::-1], interpolation=_interpolation(pixels, size_hw))
            for pixels in images[start : start + _BATCH]
        ]
        stacked = torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2)
        yield {"image": stacked, "label": torch.zeros(len(some), dtype=torch.int64)}


def _interpolation(pixels: NDArray[np.uint8], size_hw: tuple[int, int]) -> int:
    return cv2.INTER_AREA if min(pixels.shape[:2]) > max(size_hw) else cv2.INTER_LINEAR


def box_features(
    model: VisionModule,
    data: Manifest,
    rows: NDArray[np.int64],
    boxes_xyxy: NDArray[np.float64],
    *,
    store: FeatureStore | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Features of the insides of boxes, from the store if possible, else computed and stored.

    Args:
        model: as `embedder` makes.
        data: the images.
        rows: (M,) int64, the image of each box.
        boxes_xyxy: (M, 4) in pixels of the upright images.
        store: the feature store; None for none.

    Returns:
        (M,) whether the box can be used: its image can be read, and it covers some of it; and (M, F) float32, zeros
        for those that cannot.
    """
    images = contents_of(data, rows)
    keys = [
        hashlib.sha256(image + np.asarray(box, "<f8").tobytes()).digest()
        for image, box in zip(images, boxes_xyxy, strict=True)
    ]
    known = {} if store is None else store.read(keys)
    missing = np.array([i for i, key in enumerate(keys) if key not in known], np.int64)
    for places, crops in _crops(data, rows[missing], boxes_xyxy[missing]):
        values = pixels_features(model, crops)
        own = [keys[missing[place]] for place in places]
        if store is not None and own:
            store.write(own, values)
        known.update(zip(own, values, strict=True))
    usable = np.array([key in known for key in keys], bool)
    nothing = np.zeros(linear_head(model).in_features, np.float32)
    return usable, np.stack([known.get(key, nothing) for key in keys]) if keys else np.zeros(
        (0, len(nothing)), np.float32
    )


def _crops(
    data: Manifest, rows: NDArray[np.int64], boxes_xyxy: NDArray[np.float64]
) -> Iterator[tuple[list[int], list[NDArray[np.uint8]]]]:
    """Places in the arguments and what the boxes show, of some images at a time; without what cannot be used."""
    urls, versions = data.urls(), data.versions()
    images = np.unique(rows)
    for start in range(0, len(images), _BATCH):
        some = images[start : start + _BATCH].tolist()
        read = read_many(
            [Location(urls[row], data.storage_options) for row in some], versions=[versions[row] for row in some]
        )
        places: list[int] = []
        crops: list[NDArray[np.uint8]] = []
        for row, content in zip(some, read, strict=True):
            pixels = None if isinstance(content, OSError) else _decoded(content)
            own = [] if pixels is None else np.flatnonzero(rows == row).tolist()
            cut = [(place, inside(pixels, boxes_xyxy[place])) for place in own if pixels is not None]
            places += [place for place, crop in cut if crop.size]
            crops += [crop for _, crop in cut if crop.size]
        if places:
            yield places, crops


def _decoded(content: bytes) -> NDArray[np.uint8] | None:
    try:
        return decode(content).pixels
    except BadImageError:
        return None


def inside(pixels: NDArray[np.uint8], box_xyxy: NDArray[np.float64] | Sequence[float]) -> NDArray[np.uint8]:
    """Return the inside of a box in (H, W, 3) pixels, and a little around it; empty where it covers nothing."""
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    height, width = pixels.shape[:2]
    if not (min(x2, width) > max(x1, 0.0) and min(y2, height) > max(y1, 0.0)):
        return pixels[:0, :0]
    dx, dy = _AROUND * (x2 - x1), _AROUND * (y2 - y1)
    left, top = max(0, int(x1 - dx)), max(0, int(y1 - dy))
    right, bottom = min(width, round(x2 + dx)), min(height, round(y2 + dy))
    return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
