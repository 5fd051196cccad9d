"""MixUp and CutMix on a batch, with a separate random generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Mix", "mix_batch"]

Mix = Literal["none", "mixup", "cutmix"]


def mix_batch(
    images: Tensor, targets: Tensor, *, how: Mix, generator: np.random.Generator, alpha: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Blend each image, and its target, with another of the batch.

    MixUp (Zhang et al. 2018) blends all pixels; CutMix (Yun et al. 2019) pastes one rectangle, with targets weighted by
    the covered area. ``alpha`` is that of the Beta distribution for MixUp; CutMix samples uniformly.

    Args:
        images: (B, 3, H, W) float.
        targets: (B, C) float, each row a distribution.
        how: ``"none"`` returns both unchanged.
        generator: samples the partners and the share.
        alpha: concentration of MixUp's shares, > 0.

    Returns:
        Images and targets of the same shapes.
    """
    if how == "none" or len(images) < 2:
        return images, targets
    partner = torch.from_numpy(generator.permutation(len(images))).to(images.device)
    if how == "mixup":
        share = float(generator.beta(alpha, alpha))
        return torch.lerp(images[partner], images, share), torch.lerp(targets[partner], targets, share)
    height, width = images.shape[-2:]
    side = float(np.sqrt(1.0 - generator.uniform()))
    cut_h, cut_w = round(height * side), round(width * side)
    top, left = int(generator.integers(height - cut_h + 1)), int(generator.integers(width - cut_w + 1))
    images = images.clone()
    images[..., top : top + cut_h, left : left + cut_w] = images[partner][..., top : top + cut_h, left : left + cut_w]
    share = 1.0 - cut_h * cut_w / (height * width)
    return images, torch.lerp(targets[partner], targets, share)
