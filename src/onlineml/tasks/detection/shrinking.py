"""Resizing of batches with their boxes, to begin training with small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

__all__ = ["shrink_batch"]

_STEP = 32  # pixels; sides of a batch are multiples of it


def shrink_batch(
    image: Tensor, targets: Sequence[Mapping[str, Any]], scale: float
) -> tuple[Tensor, Sequence[Mapping[str, Any]]]:
    """Resize a batch to about ``scale`` of its size, with sides in multiples of 32 pixels."""
    height, width = image.shape[2:]
    size = [max(_STEP, round(side * scale / _STEP) * _STEP) for side in (height, width)]
    if size == [height, width]:
        return image, targets
    if image.device.type != "cpu":  # uint8 images are only interpolated there
        image = image.float() / 255.0
    small = functional.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    factor = torch.tensor([size[1] / width, size[0] / height] * 2)
    places = ("boxes", "ignore")
    scaled = [{k: v * factor.to(v.device) if k in places else v for k, v in target.items()} for target in targets]
    return small, scaled
