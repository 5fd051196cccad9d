"""Custom `albumentations.Compose` for images with boxes."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.augment.detection_geometry import objects_within
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from onlineml.data.augment.detection_geometry import Picture

__all__ = ["UsersCompose"]


class UsersCompose:
    """Adapter that applies an `albumentations.Compose` to an image, its boxes and its ignored regions.

    Args:
        compose: with ``bbox_params=BboxParams("pascal_voc", …)``; its label fields, if any, contain class ids, -1 for
            ignored regions. Boxes that it removes are not used.
        size_hw: maximum height and width of its result.

    Raises:
        ConfigError: ``compose`` is not a Compose, or does not have such bbox_params.
    """

    def __init__(self, compose: Any, size_hw: tuple[int, int]) -> None:
        if not callable(getattr(compose, "set_random_state", None)):
            raise ConfigError(f"augment={compose!r}: expected the name of an augmentation or an albumentations.Compose")
        boxes = getattr(compose, "processors", {}).get("bboxes")
        found = None if boxes is None else boxes.params.format
        if boxes is None or found != "pascal_voc":
            raise ConfigError(
                f"augment= is a Compose with boxes in the format {found!r}; expected 'pascal_voc': create it with "
                'bbox_params=albumentations.BboxParams("pascal_voc")'
            )
        self.compose, self.size_hw = compose, size_hw
        self.label_fields = tuple(boxes.params.label_fields or ())

    def __call__(self, picture: Picture, rng: Generator) -> Picture:
        """Augment an image; the random choices depend only on ``rng``.

        Raises:
            ConfigError: the result is larger than ``size_hw``, or is not a uint8 image.
        """
        # albumentations draws from both; from the second for a few transforms only
        self.compose.set_random_state(rng, random.Random(int(rng.integers(2**63))))  # noqa: S311
        height, width = picture.pixels.shape[:2]
        boxes = np.clip(np.concatenate([picture.boxes_xyxy, picture.ignore_xyxy]), 0, (width, height) * 2)
        boxes_and_row = np.column_stack([boxes, np.arange(len(boxes))])
        labels = np.concatenate([picture.label_ids, np.full(len(picture.ignore_xyxy), -1)])
        fields = dict.fromkeys(self.label_fields, labels)
        # it may work in place, and the pixels may belong to the cache
        result = self.compose(image=picture.pixels.copy(), bboxes=boxes_and_row, **fields)
        pixels = self._checked(result["image"])
        found = np.asarray(result["bboxes"], dtype=np.float64).reshape(-1, 5 if len(result["bboxes"]) else 4)
        rows = found[:, 4:].astype(np.int64).ravel()
        is_object = rows < len(picture.boxes_xyxy)
        return objects_within(
            replace(
                picture,
                pixels=pixels,
                scale=math.nan,
                boxes_xyxy=found[is_object, :4] if len(rows) else np.zeros((0, 4)),
                label_ids=labels[rows[is_object]],
                ignore_xyxy=found[~is_object, :4] if len(rows) else np.zeros((0, 4)),
            ),
            (0, 0, pixels.shape[1], pixels.shape[0]),
        )

    def _checked(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        shape = pixels.shape
        if pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or not _inside(shape[:2], self.size_hw):
            raise ConfigError(
                f"augment= returned an image of shape {shape} and type {pixels.dtype}; expected uint8 of at most "
                f"{(*self.size_hw, 3)}: end the Compose with a crop or a resize to {self.size_hw}, "
                "without Normalize and ToTensorV2 (the model normalises)"
            )
        return pixels


def _inside(shape: tuple[int, ...], size_hw: tuple[int, int]) -> bool:
    return 0 < shape[0] <= size_hw[0] and 0 < shape[1] <= size_hw[1]
