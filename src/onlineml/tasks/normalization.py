"""Normalisation of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

__all__ = ["WithNormalization", "normalized"]


class WithNormalization:
    """The part of `onlineml.tasks.base.VisionModule` that normalises pixels.

    Attributes:
        alter: applied to images before, to see what small changes of them do; None except in such a trial.
    """

    alter: Callable[[Tensor], Tensor] | None = None
    scale: Tensor
    shift: Tensor

    def set_normalization(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set the mean and standard deviation of RGB in 0..1 for normalisation."""
        self.mean, self.std = tuple(mean), tuple(std)
        self.scale.copy_(1.0 / torch.tensor(self.std).view(1, 3, 1, 1))
        self.shift.copy_((torch.tensor(self.mean) / torch.tensor(self.std)).view(1, 3, 1, 1))

    def normalize(self, image: Tensor) -> Tensor:
        """Normalise RGB, (B, 3, H, W) uint8 in 0..255 or float in 0..1; same shape."""
        if self.alter is not None:
            image = self.alter(image)
        return normalized(image, scale=self.scale, shift=self.shift)


def normalized(image: Tensor, *, scale: Tensor, shift: Tensor) -> Tensor:
    """Images in 0..1 times ``scale``, less ``shift``.

    Args:
        image: (B, 3, H, W) uint8 in 0..255, or float in 0..1.
        scale: (1, 3, 1, 1) float.
        shift: (1, 3, 1, 1) float.

    Returns:
        (B, 3, H, W) in the dtype of ``scale``, channels last in memory.
    """
    factor = scale / 255.0 if image.dtype == torch.uint8 else scale
    x = image.to(scale.dtype).contiguous(memory_format=torch.channels_last)
    # factors repeated for a row of pixels, W times RGB, run on long vectors (4x faster)
    rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[3] * 3)
    factors, shifts = (v.flatten().repeat(x.shape[3]) for v in (factor, shift))
    # in place if possible, since allocating memory takes longer than the arithmetic
    rows = (rows * factors if image.is_floating_point() else rows.mul_(factors)).sub_(shifts)
    return rows.view(x.shape[0], x.shape[2], x.shape[3], 3).permute(0, 3, 1, 2)
