"""The optimizer, its groups of parameters, and the random state of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

__all__ = ["Optimizer", "make_optimizer", "parameter_groups", "seed_devices"]

Optimizer = Literal["adamw", "sgd"]
_DEPTHS = 4  # groups of a pretrained backbone, with lower rates further from the head


def parameter_groups(
    head: Sequence[nn.Parameter], backbone: Sequence[nn.Parameter], *, lr: float, lr_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Parameter groups: the head, then the backbone from the head to the input; each with and without weight decay.

    Args:
        head: trained at the full rate.
        backbone: from the input to the head; divided into four groups, of which the k-th from the head has
            ``lr * lr_decay ** k``.
        lr: of the head.
        lr_decay: factor from group to group.
        weight_decay: of weights, never of biases and norms.
    """
    size = -(-len(backbone) // _DEPTHS) or 1
    quarters = [list(backbone[i : i + size]) for i in range(0, len(backbone), size)]
    parts = [list(head), *quarters[::-1]]
    groups = []
    for depth, part in enumerate(parts):
        for decay, chosen in ((True, [p for p in part if p.ndim > 1]), (False, [p for p in part if p.ndim <= 1])):
            if chosen:
                factor = lr_decay**depth
                groups.append(
                    {
                        "params": chosen,
                        "lr": lr * factor,
                        "lr_scale": factor,
                        "weight_decay": weight_decay if decay else 0.0,
                    }
                )
    return groups


def make_optimizer(name: Optimizer, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
    """SGD with Nesterov's momentum of 0.9, or AdamW.

    Args:
        name: ``"adamw"`` or ``"sgd"``.
        groups: see `parameter_groups`.
        fused: one kernel for all parameters, if the devices support it.
    """
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, fused=fused)


def seed_devices(seed: int) -> None:
    """Seed the devices in use: `torch.manual_seed` queues each call, with its stack, for an uninitialized GPU."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
