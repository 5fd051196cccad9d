"""The input of a network: a batch of a datamodule with its labels or boxes, and photos as augmentations change them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from onlineml.arguments.checks import whole
from onlineml.data.augment.classification import Augment
from onlineml.evaluation.render.image_grid import image_grid
from onlineml.inference.drawing import draw_boxes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from onlineml.data.loading.datamodules import ImageDataModule

__all__ = ["NAMED", "augmentation_figure", "batch_figure", "samples_png"]

NAMED = tuple(name for name in get_args(Augment) if name != "auto")

_COLUMNS = 4  # eight would be shrunk in a narrow window until no label is legible
_INCHES = 2.5  # for images with boxes, so that labels are legible
_AUGMENTED_INCHES = 2.0
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
        return image_grid(batch["image"], titles, columns=_COLUMNS, limit=limit)
    counts = [len(target["boxes"]) for target in batch["targets"][:limit]]
    titles = ["no objects" if not n else f"{n} object{'s' * (n > 1)}" for n in counts]
    pictures = _pictures(batch, class_names, limit=limit)
    return image_grid(pictures, titles, columns=_COLUMNS, limit=limit, inches=_INCHES)


def augmentation_figure(
    datamodule: ImageDataModule, augments: Sequence[Any] = NAMED, *, n_images: int = 3, n_draws: int = 2
) -> Figure:
    """Training images as each augmentation changes them: a column for each, with the boxes that are left.

    Args:
        datamodule: of any task, with the split "train"; its own augmentation does not matter.
        augments: names, or `albumentations.Compose` of your own, see the datamodule's ``augment``.
        n_images: images, spread over the classes.
        n_draws: rows for each image: what it looks like in that many epochs.

    Raises:
        ConfigError: an augmentation is unknown, or a number is not positive.
        DataError: there are no training images.
    """
    n_images, n_draws = whole("n_images", n_images, least=1), whole("n_draws", n_draws, least=1)
    keys = [(epoch, row) for row in _spread(datamodule, n_images) for epoch in range(n_draws)]
    shown = [datamodule.with_augment(augment) for augment in augments]
    columns = [_by_key(one, keys) for one in shown]
    pictures = [column.get(key) for key in keys for column in columns]
    titles = [one.augment_name for _ in keys for one in shown]
    return image_grid(pictures, titles, columns=len(columns), limit=len(pictures), inches=_AUGMENTED_INCHES)


def samples_png(datamodule: ImageDataModule, *, limit: int = 8) -> bytes:
    """Training samples of the first epoch, with their labels or boxes, as a PNG file; loaders are not affected."""
    dataset = datamodule.loader("train", train=True).dataset
    batch = dataset.__getitems__([(0, row) for row in _spread(datamodule, limit)])
    buffer = io.BytesIO()
    batch_figure(batch, datamodule.manifest.class_names, limit=limit).savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def _spread(datamodule: ImageDataModule, n: int) -> list[int]:
    """At most ``n`` training rows, evenly spread: sources are sorted by class."""
    rows = datamodule.required_rows("train")
    chosen: list[int] = rows[np.unique(np.linspace(0, len(rows) - 1, n).astype(np.int64))].tolist()
    return chosen


def _by_key(datamodule: ImageDataModule, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], NDArray[np.uint8]]:
    """The pictures of usable images, by (epoch, row)."""
    dataset = datamodule.loader("train", train=True).dataset
    found: dict[tuple[int, int], NDArray[np.uint8]] = {}
    for epoch in sorted({epoch for epoch, _ in keys}):
        batch: Mapping[str, Any] = dataset.__getitems__([key for key in keys if key[0] == epoch])
        pictures = _pictures(batch, datamodule.manifest.class_names, limit=len(keys))
        found |= {(epoch, row): picture for row, picture in zip(batch["index"].tolist(), pictures, strict=True)}
    return found


def _pictures(batch: Mapping[str, Any], class_names: Sequence[str], *, limit: int) -> list[NDArray[np.uint8]]:
    """The images of a batch, (H, W, 3) each, with their boxes if there are any."""
    images = [np.moveaxis(np.asarray(image), 0, -1) for image in batch["image"][:limit]]
    if "targets" not in batch:
        return images
    return [_drawn(image, target, class_names) for image, target in zip(images, batch["targets"][:limit], strict=True)]


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
