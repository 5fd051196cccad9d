"""The base of every task's LightningModule: parameter groups, learning rates, frozen layers, randomness by step."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import torch
from torch import nn

from onlineml.arguments.checks import ABOVE_ZERO, BELOW_ONE, flag, number, one_of, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.data.loading.lightning import BothLightningModule
from onlineml.errors import ConfigError
from onlineml.models.processes import n_processes, share_statistics
from onlineml.models.start.origin import Origin
from onlineml.tasks.batches import check_batch
from onlineml.tasks.calibrated import WithCalibration
from onlineml.tasks.checkpoint import WithCheckpoint
from onlineml.tasks.class_head import WithClassHead
from onlineml.tasks.files import WithFiles
from onlineml.tasks.finite_loss import step_loss
from onlineml.tasks.freezing import WithFreezing
from onlineml.tasks.kept_settings import WithKeptSettings
from onlineml.tasks.normalization import WithNormalization
from onlineml.tasks.optimization import Optimizer, ProgressLR, WithOptimizer, seed_devices
from onlineml.tasks.schedule import Schedule, lr_factor, planned_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.storage.location import Url

__all__ = ["VisionModule"]


class VisionModule(  # its parts, each in a module of its own
    WithFreezing,
    WithOptimizer,
    WithKeptSettings,
    WithCalibration,
    WithClassHead,
    WithNormalization,
    WithCheckpoint,
    WithFiles,
    BothLightningModule,
):
    """Base of the task modules: a network with an optional head warm-up, and a learning rate that follows progress.

    Learning rate, frozen layers and random state are set before each step from (seed, step, progress) only, so that a
    resumed run reaches the same weights. Progress comes from `schedule` if `onlineml.fit` set one, else from the
    trainer's length. Normalisation is part of the module.

    Args:
        class_names: of the outputs, in order.
        optimizer: ``"adamw"`` or ``"sgd"`` (Nesterov, momentum 0.9).
        lr: of the head, and from scratch of all layers; > 0.
        weight_decay: of weights, not of biases and norms.
        lr_decay: a pretrained backbone's groups get ``lr * lr_decay ** k``, k = 1 at the head to 4 at the input.
        warmup_steps: optimizer steps until the full rate.
        head_warmup: share of the run, 0..1, in which only the head is trained.
        frozen_share: share of the backbone's layers, 0..1 from the input, that is frozen.
        freeze_bn: freeze batch-norm statistics.
        seed: of dropout and mixing.
    """

    task: ClassVar[str]
    metric_names: ClassVar[tuple[str, ...]]  # what `validate` tells
    batch_keys: ClassVar[tuple[str, ...]] = ("label",)  # of a batch, besides "image"
    input_fit: ClassVar[str]  # how an image is resized to the network's input, for model.json

    network: nn.Module
    backbone_name: str  # of the network, or of its backbone; empty for the user's own module
    pretrained: bool  # whether to train it as one that started from weights
    origin = Origin()  # of the weights that it, or the model that it was trained from, started with
    pads_to_multiples: ClassVar[bool] = False  # whether batches are padded to multiples of 32 pixels
    may_freeze = False  # whether `fit` may freeze the first layers of the backbone in a short run

    def __init__(
        self,
        *,
        class_names: tuple[str, ...],
        optimizer: Optimizer,
        lr: float,
        weight_decay: float,
        lr_decay: float,
        warmup_steps: int,
        head_warmup: float,
        frozen_share: float,
        freeze_bn: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.class_names = class_names
        self.optimizer_name = one_of("optimizer", optimizer, get_args(Optimizer))
        self.lr = number("lr", lr, "more than 0", least=ABOVE_ZERO)
        self.weight_decay = number("weight_decay", weight_decay, "at least 0", least=0.0)
        self.lr_decay = number("lr_decay", lr_decay, "a factor, 0 < factor <= 1", least=ABOVE_ZERO, most=1.0)
        self.warmup_steps = whole("warmup_steps", warmup_steps)
        below_one = "a share of the run, 0 <= share < 1"
        self.head_warmup = number("head_warmup", head_warmup, below_one, least=0.0, most=BELOW_ONE)
        self.frozen_share = number("frozen_share", frozen_share, "a share of the backbone, 0..1", least=0.0, most=1.0)
        self.freeze_bn, self.seed = flag("freeze_bn", freeze_bn), seed_("seed", seed)
        self.head_is_warm = False  # fit() warms up a linear head, see onlineml.training.probe
        self.schedule: Schedule | None = None
        self.gradient_clip: float | None = None  # maximum norm; clipping takes 3 % of a ResNet-18's step on a CPU
        self.size_hw: tuple[int, int] | None = None
        self.manifest_hash = ""
        self.validated: dict[str, float] = {}  # the metrics of the latest validation
        self.reference = ""  # the URL that it was loaded from, without credentials
        self.begin_freezing()
        self.register_buffer("scale", torch.empty(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.empty(1, 3, 1, 1), persistent=False)

    def loss_of(self, batch: Any) -> Tensor:
        """(B,) training loss of each image of a batch."""
        raise NotImplementedError

    def validate(self, batches: Iterable[Any]) -> dict[str, float]:
        """The module's `metric_names` over all images of ``batches``; nan without images."""
        raise NotImplementedError

    def try_out(self, image: Tensor) -> None:
        """Run the network on images in its present mode, without gradients, and check its answer.

        Args:
            image: (B, 3, H, W) uint8 RGB; H and W as in batches of the datamodule.

        Raises:
            ConfigError: the answer is not as the task needs it.
        """

    def selection_score(self, row: Mapping[str, float]) -> float:
        """Return a score of validation metrics; higher is better, nan without validation."""
        return -row.get("val_loss", math.nan)

    def after_training(self, batches: Iterable[Any]) -> None:
        """Choose thresholds and the like on validation images, for the final weights."""

    def prefers_bf16_on_cpu(self) -> bool:
        """Return whether bfloat16 training is faster on a CPU that supports it."""
        return False

    def run_config(self) -> dict[str, str]:
        """Return the module's configuration, for the record of a run."""
        raise NotImplementedError

    def descriptor(self) -> dict[str, Any]:
        """Its part of ``model.json``, for `from_descriptor`: JSON values."""
        raise NotImplementedError

    @classmethod
    def from_descriptor(
        cls, descriptor: Mapping[str, Any], *, network: str | nn.Module | None, source: str
    ) -> VisionModule:
        """Build a module from ``model.json``, the descriptor, with random weights.

        Args:
            descriptor: its content.
            network: the user's own network, if the model has one: the module, or the import path of its factory.
            source: of the descriptor, for errors.

        Raises:
            ConfigError: ``network`` is needed and not given.
        """
        raise NotImplementedError

    def rebuild(
        self,
        class_names: Sequence[str],
        *,
        weights: Url | None = "random",
        seed: int = 0,
    ) -> VisionModule:
        """Build a new module of the same architecture.

        Args:
            class_names: the wanted ones.
            weights: as `onlineml.model_for`.
            seed: of the fresh weights.

        Raises:
            ConfigError: the network is a module of the user's, whose factory nobody knows.
        """
        raise NotImplementedError

    def around(self, network: nn.Module, class_names: Sequence[str], *, pretrained: bool, seed: int = 0) -> Self:
        """Build a module around an existing network, with this one's settings, in training mode.

        Args:
            network: of the same kind as this one's, with an output for each of ``class_names``; not copied.
            class_names: of the outputs.
            pretrained: whether to train it like a pretrained network.
            seed: of dropout and mixing.
        """
        raise NotImplementedError

    def take_after(self, other: VisionModule, *, pretrained: bool) -> Self:
        """Return itself, in training mode, with the input size and normalisation of another module."""
        self.set_normalization(mean=other.mean, std=other.std)
        self.size_hw, self.pretrained, self.origin = other.size_hw, pretrained, replace(other.origin, remark="")
        self.usual = self.settings()
        self.to(memory_format=torch.channels_last)
        return self.train()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        if batch_idx == 0:
            check_batch(self, batch)
        loss = step_loss(self, batch)
        # onlineml.fit computes its own mean; logging takes half a millisecond
        if loss is not None and self.schedule is None:
            options: dict[str, Any] = {"batch_size": max(1, len(batch["image"])), "sync_dist": n_processes() > 1}
            self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, **options)
        return loss

    def log_scores(self, found: dict[str, float], prefix: str) -> None:
        """Log the `metric_names` of a validation ("val") or test ("test"); `onlineml.fit` tells the loggers itself."""
        self.validated = found
        logged = {prefix + name.removeprefix("val"): value for name, value in found.items()}
        logger = None if self.schedule is None else False
        self.log_dict(logged, prog_bar=True, logger=logger, sync_dist=n_processes() > 1)  # all know the same

    on_validation_start = share_statistics

    def on_validation_epoch_end(self) -> None:
        self._log_seen("val")

    def on_test_epoch_end(self) -> None:
        self._log_seen("test")

    def _log_seen(self, prefix: str) -> None:
        """Log the metrics of a validation ("val") or test ("test"), see `log_scores`."""

    def setup(self, stage: str) -> None:
        """Record the dataset and input size, with any trainer, which would train a loaded model in evaluation mode."""
        if stage == "fit" and not self.training:
            self.train()
        if stage == "fit" and n_processes() > 1:  # these take no gradients of what is frozen now
            self.freeze_layers(head_only=False)
        datamodule = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and datamodule is not None and hasattr(datamodule, "manifest"):
            self.before_training(datamodule)

    def before_training(self, images: ImageDataModule) -> None:
        """Take settings from the training images; also called before resuming."""
        self.size_hw, self.manifest_hash = images.size_hw, images.manifest.hash
        self.keep_images(images)

    def input_size_hw(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels.

        Raises:
            ConfigError: it is unknown: the model was not trained, and `size_hw` is not set.
        """
        if self.size_hw is None:
            raise ConfigError(
                "the model has no input size: train it with fit(), or set model.size_hw = (height, width)"
            )
        return self.size_hw

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def progress(self) -> float:
        """Completed share of the training, 0..1; 0 if its length is unknown, see `has_end`."""
        if self.schedule is not None:
            return self.schedule.progress(self.global_step)
        return min(1.0, self.global_step / planned_steps(self.trainer)) if self.has_end() else 0.0

    def has_end(self) -> bool:
        """Return whether the training's length is known; a user's `Trainer` may run until it is stopped."""
        return self.schedule is not None or 0 < planned_steps(self.trainer) < math.inf

    def on_train_start(self) -> None:
        self.calibration = None  # its weights change
        self.freeze_layers(head_only=self._in_head_warmup())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        del batch, batch_idx
        head_only = self._in_head_warmup()
        if head_only != self.head_only:
            self.freeze_layers(head_only=head_only)
        self.still_batch_norms()
        factor = lr_factor(self.progress(), step=self.global_step, warmup_steps=self.warmup_steps)
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ProgressLR):  # not one of the user's, nor that of a search for a rate
                config.scheduler.set_rates(self.lr * factor)
        seed_devices(self.seed * 1_000_003 + self.global_step, rank=self.trainer.global_rank)

    def on_train_end(self) -> None:
        self.end_freezing()

    def _in_head_warmup(self) -> bool:
        if self.head_is_warm or not self.head_warmup > 0 or not self.has_end():
            return False
        return self.progress() < self.head_warmup and any(map(self.is_trainable, self.head_parameters()))
