"""The optimizer, its groups of parameters, and the random state of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.tasks.base import VisionModule

__all__ = [
    "Optimizer",
    "ProgressLR",
    "WithOptimizer",
    "decays",
    "make_optimizer",
    "parameter_groups",
    "seed_devices",
]

Optimizer = Literal["adamw", "sgd"]
_RANK_SEED = 2**40  # more than seeds and steps differ by
_DEPTHS = 4  # groups of a pretrained backbone, with lower rates further from the head
# parts of names, in torchvision, timm and transformers: what no input is multiplied by, or a scale that starts small
_NO_DECAY = ("pos_emb", "position_emb", "relative_position", "_token", "layer_scale")


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Return whether a parameter is a weight to decay: no bias, norm, embedding of positions, token or layer's scale.

    Args:
        name: in its module.
        parameter: of that name.
    """
    return parameter.ndim > 1 and not any(part in name for part in _NO_DECAY)


def parameter_groups(
    head: Sequence[nn.Parameter],
    backbone: Sequence[nn.Parameter],
    *,
    lr: float,
    lr_decay: float,
    weight_decay: float,
    is_trainable: Callable[[nn.Parameter], bool],
    is_decayed: Callable[[nn.Parameter], bool],
) -> list[dict[str, Any]]:
    """Parameter groups: the head, then the backbone from the head to the input; each with and without weight decay.

    Args:
        head: trained at the full rate.
        backbone: from the input to the head; divided into four groups, of which the k-th from the head has
            ``lr * lr_decay ** k``.
        lr: of the head.
        lr_decay: factor from group to group.
        weight_decay: of those that `is_decayed` names.
        is_decayed: see `decays`.
        is_trainable: other parameters are left out, without changing the rates of the rest.
    """
    size = -(-len(backbone) // _DEPTHS) or 1
    quarters = [list(backbone[i : i + size]) for i in range(0, len(backbone), size)]
    parts = [list(head), *quarters[::-1]]
    groups = []
    for depth, part in enumerate([p for p in part if is_trainable(p)] for part in parts):
        for decay in (True, False):
            if chosen := [p for p in part if is_decayed(p) == decay]:
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


class ProgressLR(torch.optim.lr_scheduler.LRScheduler):
    """Learning rates that a module sets before each step, in the form in which Lightning's callbacks see them.

    Groups that others add to the optimizer, such as `BaseFinetuning`, keep the rate that they are given.
    """

    def set_rates(self, lr: float) -> None:
        """Give each group of `parameter_groups` its share of ``lr``."""
        for group in self.optimizer.param_groups:
            if "lr_scale" in group:
                group["lr"] = lr * group["lr_scale"]

    def step(self, epoch: int | None = None) -> None:
        """Do nothing: `set_rates` is called before the next step."""
        del epoch
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class WithOptimizer:
    """The part of `onlineml.tasks.base.VisionModule` that makes the optimizer and clips gradients."""

    def configure_optimizers(self) -> Any:
        """Return the optimizer of all parameters that the user did not freeze, and the schedule of its rates."""
        optimizer = self.make_optimizer()
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": ProgressLR(optimizer), "interval": "step"}}

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return a new optimizer.

        Raises:
            ConfigError: every parameter is frozen.
        """
        module = cast("VisionModule", self)
        decayed = {id(p) for name, p in module.named_parameters() if decays(name, p)}
        groups = parameter_groups(
            module.head_parameters(),
            module.backbone_parameters(),
            lr=module.lr,
            lr_decay=module.lr_decay,
            weight_decay=module.weight_decay,
            is_trainable=module.is_trainable,
            is_decayed=lambda p: id(p) in decayed,
        )
        if not groups:
            raise ConfigError("every parameter of the model is frozen: set requires_grad of those to be trained")
        return make_optimizer(module.optimizer_name, groups, fused=_can_fuse(module))

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip here, since Lightning refuses to with a fused optimizer in any mixed precision."""
        if gradient_clip_algorithm not in {None, "norm"}:
            cast("VisionModule", self).clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val is not None:
            held = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            nn.utils.clip_grad_norm_(held, gradient_clip_val)


def _can_fuse(module: VisionModule) -> bool:
    trainer = module._trainer  # noqa: SLF001 (its property is an error without a trainer)
    if trainer is not None and trainer.precision == "16-mixed":  # its gradients are not unscaled yet
        return False
    return all(p.device.type in {"cpu", "cuda"} and p.is_floating_point() for p in module.parameters())


def seed_devices(seed: int, *, rank: int = 0) -> None:
    """Seed the devices in use: `torch.manual_seed` queues each call, with its stack, for an uninitialized GPU.

    Args:
        seed: of a step.
        rank: of this process among those that train together, whose random states differ.
    """
    seed += rank * _RANK_SEED
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
