"""Stopping the training on a loss that is not finite, with its likely cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import DivergedError, TrainingError
from onlineml.tasks.batches import ids_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["check_loss"]


def check_loss(per_image: Tensor, batch: Mapping[str, Any], *, step: int, lr: float) -> None:
    """Stop on a loss that is not finite.

    Args:
        per_image: (B,) loss of each image.
        batch: whose images they are.
        step: of the optimizer, for the message.
        lr: learning rate, for the message.

    Raises:
        TrainingError: names the images, and the likely cause.
        DivergedError: it is that of every image, so that the weights are the cause.
    """
    finite = torch.isfinite(per_image.detach())
    if bool(finite.all()):
        return
    image_ids = ids_of(batch)
    bad = [image_ids[i] for i in torch.nonzero(~finite).flatten().tolist()]
    if len(bad) < len(image_ids):
        raise TrainingError(
            f"the loss at step {step} is not finite for some images only: look at them; image_id: {bad[:8]}"
        )
    raise DivergedError(
        f"the loss at step {step} is not finite for every image of the batch, so the weights have diverged: lower lr "
        f"(now {lr:g}), or see suggest_lr(), and go on with the same run; image_id: {bad[:8]}"
    )
