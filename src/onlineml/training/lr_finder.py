"""The learning-rate range test."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import torch

from onlineml.arguments.checks import number, whole
from onlineml.errors import ConfigError
from onlineml.tasks.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.tasks.base import VisionModule

__all__ = ["LrSuggestion", "steepest", "suggest_lr"]

_SMOOTHING = 0.9  # of the running mean of the loss
_DIVERGED = 3.0  # times the lowest loss, at which the test ends


@dataclass(frozen=True)
class LrSuggestion:
    """The result of a range test.

    Attributes:
        lr: the suggestion; nan if the loss never fell.
        lrs: the tested rates, ascending.
        losses: the smoothed loss at each.
    """

    lr: float
    lrs: tuple[float, ...]
    losses: tuple[float, ...]

    def __str__(self) -> str:
        return f"lr {self.lr:.1e}, from {len(self.lrs)} steps between {self.lrs[0]:.0e} and {self.lrs[-1]:.0e}"

    def figure(self) -> Figure:
        """The loss over the rate, with the suggestion marked."""
        from matplotlib.figure import Figure  # noqa: PLC0415

        figure = Figure(figsize=(6, 3.2), layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.subplots()
        axes.patch.set_alpha(0.0)
        axes.semilogx(self.lrs, self.losses, color="#3b82c4")
        if not math.isnan(self.lr):
            axes.axvline(self.lr, color="#e07b39", linestyle="--", label=f"lr {self.lr:.1e}")
            axes.legend(frameon=False, labelcolor="#808080")
        axes.set_xlabel("learning rate", color="#808080")
        axes.set_ylabel("loss", color="#808080")
        axes.tick_params(colors="#808080", which="both")
        axes.spines[["top", "right"]].set_visible(False)
        return figure


def suggest_lr(
    model: VisionModule,
    datamodule: ImageDataModule,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 80,
) -> LrSuggestion:
    """Train a copy for a few steps with a rising rate, and return the rate at which the loss falls fastest.

    The range test of Smith (2017, "Cyclical Learning Rates"). The model itself is not changed.

    Args:
        model: its optimizer, frozen layers and random state are used.
        datamodule: of the training batches.
        lowest: first rate, > 0.
        highest: last rate, > ``lowest``.
        steps: maximum number; fewer if the loss diverges.

    Raises:
        ConfigError: the range is empty, or fewer than 10 steps.
    """
    lowest, highest = (
        number(name, rate, "a rate above 0") for name, rate in (("lowest", lowest), ("highest", highest))
    )
    if not 0 < lowest < highest or whole("steps", steps) < 10:
        raise ConfigError(
            f"lowest={lowest}, highest={highest}, steps={steps}: expected 0 < lowest < highest and steps >= 10"
        )
    trial = copy.deepcopy(model).train()
    trial.schedule = Schedule.of_length(steps)
    optimizer = trial.make_optimizer()
    lrs: list[float] = []
    losses: list[float] = []
    mean = 0.0
    for step, batch in zip(range(steps), _endless(datamodule), strict=False):
        lr = lowest * (highest / lowest) ** (step / (steps - 1))
        for group in optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        loss = trial.loss_of(batch).mean()
        value = float(loss.detach())
        mean = _SMOOTHING * mean + (1.0 - _SMOOTHING) * value
        smooth = mean / (1.0 - _SMOOTHING ** (step + 1))
        if not math.isfinite(value) or (losses and smooth > _DIVERGED * min(losses)):
            break
        lrs.append(lr)
        losses.append(smooth)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return LrSuggestion(steepest(lrs, losses), tuple(lrs), tuple(losses))


def _endless(datamodule: ImageDataModule) -> Iterator[Any]:
    return chain.from_iterable(repeat(datamodule.train_dataloader()))


def steepest(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls fastest per decade, before its minimum; nan if it never falls.

    Args:
        lrs: rising.
        losses: smoothed, one for each rate.
    """
    end = min(range(len(losses)), key=losses.__getitem__, default=0)
    slopes = [(losses[i + 1] - losses[i - 1]) / math.log10(lrs[i + 1] / lrs[i - 1]) for i in range(1, end)]
    if not slopes or min(slopes) >= 0:
        return math.nan
    return lrs[1 + slopes.index(min(slopes))]
