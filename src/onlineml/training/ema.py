"""Exponential moving average of a module's weights."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from onlineml.data.loading.lightning import pl
from onlineml.models.processes import share_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["Ema"]

_TRAINED = "trained_state_dict"  # in a checkpoint


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

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the average."""
        if trainer.sanity_checking or not self._average:
            return
        self.on_train_epoch_end(trainer, pl_module)
        self._exchange(pl_module)
        self._swapped = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del trainer
        if self._swapped:
            self._exchange(pl_module)
            self._swapped = False

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        del exception
        self.on_validation_end(trainer, pl_module)

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
        share_statistics(module)
        with torch.inference_mode(mode=False), torch.no_grad():  # a trainer validates in inference mode
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
        with torch.inference_mode(mode=False), torch.no_grad():
            for average, own in zip(self._average, _tensors(module), strict=True):
                kept = own.detach().clone()
                own.detach().copy_(average)
                average.copy_(kept)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Make the average the checkpoint's weights, since they are what was validated; keep the trained ones apart."""
        del trainer
        if not self._average:
            return
        averages = {id(own): average for own, average in zip(_tensors(pl_module), self._average, strict=True)}
        named = dict(pl_module.named_parameters(remove_duplicate=False)) | dict(pl_module.named_buffers())
        trained = checkpoint["state_dict"]
        checkpoint[_TRAINED] = trained
        checkpoint["state_dict"] = {name: averages.get(id(named.get(name)), t) for name, t in trained.items()}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Continue with the trained weights; the module has been given the average."""
        del trainer
        if _TRAINED in checkpoint:
            self._average = [t.detach().clone() for t in _tensors(pl_module)]
            pl_module.load_state_dict(checkpoint[_TRAINED])

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last_step = int(state_dict["last_step"])
        if "average" in state_dict:  # checkpoints had the trained weights as their own
            self._average = list(state_dict["average"])


def _tensors(module: torch.nn.Module) -> list[Tensor]:
    """Return the tensors to average: floating-point weights and statistics, in a fixed order."""
    return [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
