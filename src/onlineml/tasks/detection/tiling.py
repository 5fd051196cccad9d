"""Detection in tiles of a picture that is larger than the network's input, and in the whole picture beside them."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self, cast

import msgspec
import numpy as np
import torch
from msgspec import Meta
from torch.nn import functional

from onlineml.data.augment.detection_geometry import GREY, padded_side
from onlineml.data.augment.tiles import BORDER_PX, Tiles, tile_starts
from onlineml.models.merged_objects import merged_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.tasks.base import VisionModule
    from onlineml.tasks.detection.module import ObjectDetector

__all__ = ["WithTiles"]

_TOGETHER = 8  # tiles in a batch of the network, whatever the size of the picture
_KEY = "tiles"


class _Stored(msgspec.Struct):
    size: Annotated[int, Meta(ge=8, le=1_000_000)]
    overlap: Annotated[int, Meta(ge=0, le=1_000_000)]
    whole: bool = False


class WithTiles:
    """The part of `onlineml.ObjectDetector` that looks at large pictures tile by tile.

    Attributes:
        tiles: as the photos were cut in training; None if whole photos were fitted into the input.
    """

    tiles: Tiles | None = None

    def before_training(self, images: ImageDataModule) -> None:
        """See `VisionModule.before_training`."""
        cast("Any", super()).before_training(images)
        self.tiles = getattr(images, "tiles", None)

    def take_after(self, other: VisionModule, *, pretrained: bool) -> Self:
        """See `VisionModule.take_after`."""
        self.tiles = getattr(other, "tiles", None)
        return cast("Self", cast("Any", super()).take_after(other, pretrained=pretrained))

    def stored_tiles(self) -> dict[str, Any]:
        """Return its part of ``model.json`` and of checkpoints."""
        return {} if self.tiles is None else {_KEY: asdict(self.tiles)}

    def take_tiles(self, stored: Mapping[str, Any]) -> None:
        """Take over what `stored_tiles` returned for another module."""
        found = stored.get(_KEY)
        self.tiles = None if found is None else Tiles(**msgspec.structs.asdict(msgspec.convert(found, _Stored)))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        cast("Any", super()).on_save_checkpoint(checkpoint)
        checkpoint[_KEY] = self.stored_tiles()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        cast("Any", super()).on_load_checkpoint(checkpoint)
        self.take_tiles(checkpoint.get(_KEY) or {})

    @torch.no_grad()
    def detect(self, image: Tensor) -> list[dict[str, Tensor]]:
        """All objects in each image, up to `max_objects`, by descending score; in evaluation mode.

        Args:
            image: (B, 3, H, W) RGB, uint8 in 0..255 or float in 0..1; H and W multiples of 32. With `tiles`, an
                image at their scale that is larger than the network's input is looked at tile by tile, some at a time.

        Returns:
            For each image ``boxes`` (n, 4) float32 x1, y1, x2, y2 in pixels of ``image``, ``labels`` (n,) int64 and
            ``scores`` (n,) float32 in 0..1.
        """
        module = cast("ObjectDetector", self)
        if not len(image):  # all images of a batch were bad; some networks require at least one
            return []
        if self.tiles is not None and module.size_hw is not None:
            height, width = map(padded_side, module.size_hw)
            if image.shape[2] > height or image.shape[3] > width:
                return [self._in_one(one, self.tiles, (height, width)) for one in image]
        return module.network.detect(module.normalize(image))

    def _in_one(self, one: Tensor, tiles: Tiles, tile_hw: tuple[int, int]) -> dict[str, Tensor]:
        """The objects of a (3, H, W) picture."""
        module = cast("ObjectDetector", self)
        picture_hw = one.shape[1], one.shape[2]
        overlap = tiles.overlap_in(module.input_size_hw())
        rows, columns = (tile_starts(n, side, overlap) for n, side in zip(picture_hw, tile_hw, strict=True))
        places = list(itertools.product(rows, columns))
        views = self._in_tiles(one, places, tile_hw)
        cut = [_cut(view.boxes_xyxy, at, tile_hw, picture_hw) for at, view in zip(places, views, strict=True)]
        if tiles.whole:
            views.append(self._in_whole(one, tile_hw, longer_than=overlap))
            cut.append(np.zeros(len(views[-1].scores), dtype=bool))
        found = _View(*(np.concatenate(parts) for parts in zip(*views, strict=True)))
        numbers = np.repeat(np.arange(len(views)), [len(view.scores) for view in views])
        kept = merged_objects(*found, numbers, np.concatenate(cut), max_objects=module.max_objects)
        return {
            "boxes": torch.from_numpy(found.boxes_xyxy[kept]).float().to(one.device),
            "labels": torch.from_numpy(found.labels[kept]).to(one.device),
            "scores": torch.from_numpy(found.scores[kept]).float().to(one.device),
        }

    def _in_tiles(self, one: Tensor, places: Sequence[tuple[int, int]], tile_hw: tuple[int, int]) -> list[_View]:
        """The objects in each tile."""
        module, (height, width) = cast("ObjectDetector", self), tile_hw
        views: list[_View] = []
        for start in range(0, len(places), _TOGETHER):
            some = places[start : start + _TOGETHER]
            parts = torch.stack([one[:, y : y + height, x : x + width] for y, x in some])
            found = module.network.detect(module.normalize(parts.contiguous(memory_format=torch.channels_last)))
            views += [_view(objects, at_yx=at) for objects, at in zip(found, some, strict=True)]
        return views

    def _in_whole(self, one: Tensor, tile_hw: tuple[int, int], *, longer_than: float) -> _View:
        """The objects that are longer than the tiles' overlap, in a small copy of the whole picture."""
        module = cast("ObjectDetector", self)
        factor = min(side / n for side, n in zip(tile_hw, one.shape[1:], strict=True))
        size = [max(1, round(n * factor)) for n in one.shape[1:]]
        image = one[None] if one.device.type == "cpu" else one[None].float()  # uint8 is only interpolated there
        small = functional.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
        down, right = (padded_side(side) - side for side in size)
        grey = GREY / 255.0 if one.is_floating_point() else float(GREY)
        small = functional.pad(small, (0, right, 0, down), value=grey).to(one.dtype)
        view = _view(module.network.detect(module.normalize(small))[0], scale=factor)
        large = (view.boxes_xyxy[:, 2:] - view.boxes_xyxy[:, :2]).max(1) > longer_than
        return _View(*(values[large] for values in view))


class _View(NamedTuple):
    """The objects that were found in a view of a picture, in pixels of the picture."""

    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]


def _view(objects: Mapping[str, Tensor], *, at_yx: tuple[int, int] = (0, 0), scale: float = 1.0) -> _View:
    boxes, scores = (objects[name].detach().cpu().double().numpy() for name in ("boxes", "scores"))
    labels = objects["labels"].detach().cpu().numpy().astype(np.int64)
    return _View(boxes.reshape(-1, 4) / scale + np.array([*at_yx[::-1]] * 2), labels, scores)


def _cut(
    boxes_xyxy: NDArray[np.float64], at_yx: tuple[int, int], tile_hw: tuple[int, int], picture_hw: tuple[int, int]
) -> NDArray[np.bool_]:
    """(n,) bool: boxes that end at a border of their tile where the picture goes on."""
    low = np.array(at_yx[::-1])
    high = low + tile_hw[::-1]
    begins = (boxes_xyxy[:, :2] <= low + BORDER_PX) & (low > 0)
    ends = (boxes_xyxy[:, 2:] >= high - BORDER_PX) & (high < picture_hw[::-1])
    found: NDArray[np.bool_] = (begins | ends).any(1)
    return found
