"""The loss of a step, and stopping the training on one that is not finite, with its likely cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import DivergedError, TrainingError
from onlineml.models.processes import mean_over_processes, n_processes
from onlineml.tasks.batches import blank_batch, ids_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from onlineml.tasks.base import VisionModule

__all__ = ["check_loss", "step_loss"]


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


def step_loss(module: VisionModule, batch: Any) -> Tensor | None:
    """Return the mean loss of a batch's images; None for a batch without any, as all of its images were bad.

    With several processes, which wait for each other's gradients, it is never None, and the mean of their losses is the
    mean over all images of the step, however many each of them has.

    Raises:
        TrainingError, DivergedError: see `check_loss`.
    """
    n = len(batch["image"])
    if n_processes() == 1:
        if not n:
            return None
        per_image = module.loss_of(batch)
        check_loss(per_image, batch, step=module.global_step, lr=module.lr)
        return per_image.mean()
    per_image = module.loss_of(batch if n else blank_batch(module, batch))
    mean_n = mean_over_processes(per_image.new_tensor(float(n), dtype=torch.float32))
    if not n:
        return per_image.sum() * 0.0
    check_loss(per_image, batch, step=module.global_step, lr=module.lr)
    return per_image.sum() / mean_n
