"""Exponential moving average of a module's weights."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from onlineml.data.loading.lightning import pl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["Ema"]


class Ema(pl.Callback):
    """Averages weights and batch-norm statistics over the last part of a training (Polyak & Juditsky 1992).

    The average is validated and becomes the module's final weights. It spans at most ``horizon`` steps, and early in a
    run about its last ninth, so that it forgets the random initialization.

    Args:
        horizon: optimizer steps that the average spans; the decay per step is ``1 - 1 / horizon``.
        every: steps between updates, with the decay of as many: an update costs as much as an optimizer step.
    """

    def __init__(self, *, horizon: int = 500, every: int = 10) -> None:
        self.horizon, self.every = horizon, every
        self._average: list[Tensor] = []
        self._last_step = 0
        self._swapped = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del trainer
        own = _tensors(pl_module)
        if not self._average:
            self._average = [t.detach().clone() for t in own]
        self._average = [a.to(t.device) for a, t in zip(self._average, own, strict=True)]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del outputs, batch, batch_idx
        if trainer.global_step - self._last_step >= self.every:
            self.update(pl_module, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step > self._last_step:  # includes every step of a short run
            self.update(pl_module, step=trainer.global_step)

    def update(self, module: torch.nn.Module, *, step: int) -> None:
        """Move the average towards the module's weights after optimizer step ``step``."""
        span = min(float(self.horizon), (10 + step) / 9)
        decay = max(0.0, 1.0 - 1.0 / span) ** (step - self._last_step)
        self._last_step = step
        with torch.no_grad():
            torch._foreach_lerp_(self._average, [t.detach() for t in _tensors(module)], 1.0 - decay)

    @contextmanager
    def applied(self, module: torch.nn.Module) -> Iterator[None]:
        """Give the module the averaged weights within the block."""
        self._exchange(module)
        try:
            yield
        finally:
            self._exchange(module)

    def keep(self, module: torch.nn.Module) -> None:
        """Give the module the averaged weights permanently."""
        if self._average:
            with torch.no_grad():
                torch._foreach_copy_([t.detach() for t in _tensors(module)], self._average)

    def _exchange(self, module: torch.nn.Module) -> None:
        with torch.no_grad():
            for average, own in zip(self._average, _tensors(module), strict=True):
                kept = own.detach().clone()
                own.detach().copy_(average)
                average.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self._average, "last_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._average, self._last_step = list(state_dict["average"]), int(state_dict["last_step"])


def _tensors(module: torch.nn.Module) -> list[Tensor]:
    """Return the tensors to average: floating-point weights and statistics, in a fixed order."""
    return [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
