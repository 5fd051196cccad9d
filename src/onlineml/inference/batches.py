"""The input of a network: one batch of a datamodule, with its labels or boxes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.evaluation.render.image_grid import image_grid
from onlineml.inference.drawing import draw_boxes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from onlineml.data.loading.datamodules import ImageDataModule

__all__ = ["batch_figure", "samples_png"]

_COLUMNS, _INCHES = 4, 2.5  # for images with boxes, so that labels are legible
_LEGIBLE = 360  # pixels per side; a smaller image is enlarged before text is drawn
_IGNORED = (128, 128, 128)


def batch_figure(batch: Mapping[str, Any], class_names: Sequence[str], *, limit: int = 16) -> Figure:
    """The augmented images of a batch, each with its labels or boxes; ignored regions are hatched in grey.

    Args:
        batch: of any of our datamodules.
        class_names: of its manifest.
        limit: maximum number of images.
    """
    if "targets" not in batch:
        titles = [_title(np.asarray(label), class_names) for label in batch["label"]]
        return image_grid(batch["image"], titles, limit=limit)
    shown = list(zip(batch["image"], batch["targets"], strict=True))[:limit]
    pictures = [_drawn(np.moveaxis(np.asarray(image), 0, -1), target, class_names) for image, target in shown]
    counts = [len(target["boxes"]) for _, target in shown]
    titles = ["no objects" if not n else f"{n} object{'s' * (n > 1)}" for n in counts]
    return image_grid(pictures, titles, columns=_COLUMNS, limit=limit, inches=_INCHES)


def samples_png(datamodule: ImageDataModule, *, limit: int = 8) -> bytes:
    """Training samples of the first epoch, with their labels or boxes, as a PNG file; loaders are not affected."""
    dataset = datamodule.loader("train", train=True).dataset
    rows = datamodule.rows_of("train")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, limit).astype(np.int64))]  # sources are sorted by class
    batch = dataset.__getitems__([(0, int(row)) for row in chosen])
    buffer = io.BytesIO()
    batch_figure(batch, datamodule.manifest.class_names, limit=limit).savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def _title(label: NDArray[Any], class_names: Sequence[str]) -> str:
    """The class name of an index, or the names of a multi-hot row."""
    numbers = np.flatnonzero(label == 1) if label.ndim else label[None]
    return ", ".join(class_names[number] for number in numbers.tolist()) or "no labels"


def _drawn(pixels: NDArray[np.uint8], target: Mapping[str, Any], class_names: Sequence[str]) -> NDArray[np.uint8]:
    scale = -(-_LEGIBLE // max(pixels.shape[:2]))
    large = np.ascontiguousarray(pixels.repeat(scale, 0).repeat(scale, 1))
    for x1, y1, x2, y2 in np.rint(np.asarray(target["ignore"]) * scale).astype(int).reshape(-1, 4):
        large[max(y1, 0) : y2 : 6, max(x1, 0) : x2] = _IGNORED
    labels = np.asarray(target["labels"])
    return draw_boxes(large, np.asarray(target["boxes"]) * scale, [class_names[label] for label in labels], labels)
