"""The head's warm-up at the start of a training, within its budget."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import StoppedError
from onlineml.models.stages import pooled_stages, stage_names
from onlineml.tasks.choosing.costs import STEP_FORWARDS
from onlineml.training.callbacks import WeightsSnapshot
from onlineml.training.flips import StagedHead, flips_line, lost_by_mirrors
from onlineml.training.probe import collect_features, probe_head
from onlineml.training.progress import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.loading.loaders import Loader
    from onlineml.runs.run import Run
    from onlineml.tasks.base import VisionModule
    from onlineml.training.budget import Clock
    from onlineml.training.progress import Progress

__all__ = ["NO_TIME", "follow_flips", "last_layer_row", "warm_up_head"]

NO_TIME = "Only the last layer is trained: there is no time for half an epoch of all layers, raise budget_s for that."
_PROBE_SHARE = 0.9  # maximum share of a budget for the features of the head's warm-up, a third of a training step each
_VAL_SHARE = 0.15  # maximum share of a budget for those of the validation images
_PROBE_IMAGES = 20_000  # more do not change a linear head
_SHORT_EPOCHS = 10.0  # a run of fewer is a short one
_WORTH_EPOCHS = 0.5  # of fewer, the network learns nothing, and the last layer is left as it is


def warm_up_head(
    model: VisionModule,
    head: nn.Linear,
    datamodule: ImageDataModule,
    *,
    load: Callable[..., Loader],
    run: Run,
    clock: Clock,
    budget_s: float | None,
) -> tuple[dict[str, Any], WeightsSnapshot | None]:
    """Fit the linear head of a pretrained network to cached features, and estimate the number of epochs.

    Args:
        model: with the head.
        head: receives the weights.
        datamodule: with the images.
        load: as `ImageDataModule.loader`.
        run: whose stop is obeyed.
        clock: of the run.
        budget_s: seconds of the whole training; None without a limit.

    Returns:
        The plan for the run's spec, and the model with its validation metrics, if it was validated.

    Raises:
        StoppedError: a stop was requested.
    """
    begin = time.monotonic()
    n_val = len(datamodule.rows_of("val"))

    def enough(n: int) -> bool:
        if run.stop_requested:
            raise StoppedError("stopped on request before the first step; call fit() again to start over")
        if budget_s is None:
            return n >= _PROBE_IMAGES
        return n >= _PROBE_IMAGES or clock.spent() > _share_s(budget_s, val_s=(time.monotonic() - begin) / n * n_val)

    chooses = getattr(datamodule, "chooses_flips", False)
    names = stage_names(model.network, model.input_size_hw()) if chooses else ()
    with pooled_stages(model.network, names) as pooled:
        train = collect_features(model, head, load("train", train=True, augmented=False), enough=enough)
    forward_s = (time.monotonic() - begin) / len(train[1])
    affordable = budget_s is None or n_val * forward_s < _VAL_SHARE * budget_s
    val = collect_features(model, head, load("val")) if n_val and affordable else None
    probe = probe_head(model, head, train, val)
    before = None if val is None else WeightsSnapshot.of(model, probe.metrics)

    def epochs_left() -> float:
        left_s = math.inf if budget_s is None else budget_s - clock.spent()
        return left_s / (STEP_FORWARDS * forward_s) / len(datamodule.rows_of("train"))

    lost, trains = None, epochs_left() >= _WORTH_EPOCHS
    if val is not None and chooses and trains:
        answer = StagedHead(model, head, names, train, pooled)
        lost = lost_by_mirrors(model, answer, datamodule, forward_s=forward_s, budget_s=budget_s)
    penalty = None if math.isnan(probe.penalty) else probe.penalty
    plan = {"probe_images": len(train[1]), "probe_penalty": penalty, "trains": trains}
    plan["probe_loss"] = _head_loss(model, head, train)
    return {**plan, "short": epochs_left() < _SHORT_EPOCHS, "flips_lose": lost}, before


def _share_s(budget_s: float, *, val_s: float) -> float:
    """Seconds for the features: the rest is for those of validation, fitting the head and writing the model."""
    return max(0.5 * budget_s, min(_PROBE_SHARE * budget_s, budget_s - val_s - 0.07 * budget_s))


@torch.no_grad()
def _head_loss(model: Any, head: nn.Linear, train: tuple[torch.Tensor, torch.Tensor]) -> float:
    return float(model.head_loss(head(train[0].to(head.weight)), train[1].to(head.weight.device)))


def last_layer_row(plan: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    """Return the row, without scores, of a run whose time was only enough for the warm-up, as that of an epoch."""
    spent = clock.spent()
    speed = {"images_per_s": plan["probe_images"] / spent, "epoch_s": spent, "seconds": spent}
    return {"epoch": 0, "step": 0, "train_loss": plan["probe_loss"], "lr": 0.0, "progress": 1.0, **speed}


def follow_flips(
    plan: Mapping[str, Any], model: VisionModule, datamodule: ImageDataModule, *, run: Run, progress: Progress
) -> ImageDataModule:
    """Return the datamodule without flips where the plan says that they do harm; people and successors are told."""
    if (lost := plan.get("flips_lose")) is None:
        return datamodule
    tell([flips_line(lost)], run, progress)
    labels: Any = datamodule  # only those of labels choose
    made: ImageDataModule = labels.with_flips("none")
    model.keep_images(made)
    return made
