"""What every task's LightningModule does: parameter groups, learning rates, frozen parts, randomness by step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn

from onlineml.data.loading.lightning import pl
from onlineml.errors import ConfigError, TrainingError
from onlineml.tasks.schedule import Schedule, lr_factor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

__all__ = ["Optimizer", "VisionModule", "checked_names"]

Optimizer = Literal["adamw", "sgd"]
_DEPTHS = 4  # groups into which a pretrained backbone is cut; each further from the head learns more slowly


class VisionModule(pl.LightningModule):
    """Base of the task modules: a network whose head may warm up first, and a learning rate that follows progress.

    The rate, what is frozen and the random state are set before each step from (seed, step, progress) alone, so that a
    run that is interrupted goes on to the same weights. Progress comes from `schedule` where `onlineml.fit` set one,
    else from the trainer's own length.

    Normalisation is part of the module, so that it cannot be done wrongly.

    Args:
        class_names: what the outputs mean, in order.
        optimizer: ``"adamw"`` or ``"sgd"`` (Nesterov, momentum 0.9).
        lr: of the head, and from scratch of everything; > 0.
        weight_decay: of weights, never of biases and norms.
        lr_decay: a pretrained backbone's groups get ``lr * lr_decay ** k``, k = 1 at the head to 4 at the input.
        warmup_steps: optimizer steps until the full rate.
        head_warmup: share of the run, 0..1, in which only the head learns.
        frozen_share: share of the backbone's layers, 0..1 from the input, that never learns.
        freeze_bn: keep batch-norm statistics as they are.
        seed: of dropout and mixing.
    """

    task: ClassVar[str]
    metric_names: ClassVar[tuple[str, ...]]  # what `validate` tells

    network: nn.Module
    pretrained: bool  # whether it starts from weights
    scale: Tensor
    shift: Tensor

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
        if optimizer not in {"adamw", "sgd"}:
            raise ConfigError(f"optimizer={optimizer!r}: expected 'adamw' or 'sgd'")
        if not lr > 0:
            raise ConfigError(f"lr={lr}: expected more than 0")
        if not 0 <= head_warmup < 1:
            raise ConfigError(f"head_warmup={head_warmup}: expected a share of the run, 0 <= share < 1")
        if not 0 <= frozen_share <= 1:
            raise ConfigError(f"frozen_share={frozen_share}: expected a share of the backbone, 0..1")
        self.class_names = class_names
        self.optimizer_name, self.lr, self.weight_decay = optimizer, lr, weight_decay
        self.lr_decay, self.warmup_steps, self.head_warmup = lr_decay, warmup_steps, head_warmup
        self.frozen_share, self.freeze_bn, self.seed = frozen_share, freeze_bn, seed
        self.head_is_warm = False  # fit() warms a linear head up by itself, see onlineml.training.probe
        self.schedule: Schedule | None = None
        self.gradient_clip: float | None = None  # largest norm; clipping costs a ResNet-18's step 3 % on a CPU
        self.size_hw: tuple[int, int] | None = None
        self.manifest_hash = ""
        self.reference = ""  # where it was loaded from
        self.head_only = False
        self.register_buffer("scale", torch.empty(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.empty(1, 3, 1, 1), persistent=False)

    def set_normalization(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set the mean and deviation, of RGB in 0..1, that the network expects its input to have been freed of."""
        self.mean, self.std = tuple(mean), tuple(std)
        self.scale.copy_(1.0 / torch.tensor(self.std).view(1, 3, 1, 1))
        self.shift.copy_((torch.tensor(self.mean) / torch.tensor(self.std)).view(1, 3, 1, 1))

    def normalize(self, image: Tensor) -> Tensor:
        """RGB, uint8 in 0..255 or float in 0..1, (B, 3, H, W) -> what the network was made for, same shape."""
        scale = self.scale / 255.0 if image.dtype == torch.uint8 else self.scale
        x = image.to(self.scale.dtype).contiguous(memory_format=torch.channels_last)
        # in memory a row of pixels is W times RGB: with a factor for each, one pass runs on long vectors (4x faster)
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[3] * 3)
        scale, shift = (v.flatten().repeat(x.shape[3]) for v in (scale, self.shift))
        # in place, where these numbers are ours: memory that is new to the process costs more than the arithmetic
        rows = (rows * scale if image.is_floating_point() else rows.mul_(scale)).sub_(shift)
        return rows.view(x.shape[0], x.shape[2], x.shape[3], 3).permute(0, 3, 1, 2)

    def loss_of(self, batch: Any) -> Tensor:
        """(B,) training loss of each image of a batch."""
        raise NotImplementedError

    def validate(self, batches: Iterable[Any]) -> dict[str, float]:
        """The module's `metric_names` over all images of ``batches``; nan where there are none."""
        raise NotImplementedError

    def selection_score(self, row: Mapping[str, float]) -> float:
        """How good the figures of a validation are; higher is better, nan where there was none."""
        return -row.get("val_loss", math.nan)

    def run_config(self) -> dict[str, str]:
        """What it is, for the record of a run."""
        raise NotImplementedError

    def after_training(self, batches: Iterable[Any]) -> None:
        """After training, choose what is chosen on validation images for the weights that are kept."""

    def prefers_bf16_on_cpu(self) -> bool:
        """Whether training in bfloat16 is quicker on a CPU that has it."""
        return False

    def export_files(self, scores: Any = None, *, parent: str | None = None) -> dict[str, bytes]:
        """The files of a published model, see `onlineml.tasks.loading.model_files`."""
        from onlineml.tasks.loading import model_files  # noqa: PLC0415

        return model_files(self, scores, parent=parent)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        del batch_idx
        if not len(batch["image"]):  # all of its images were bad: nothing to learn, and no mean to take
            return None
        per_image = self.loss_of(batch)
        self.check_loss(per_image, batch["image_id"].tolist())
        loss = per_image.mean()
        if self.schedule is None:  # onlineml.fit keeps its own mean: this costs half a millisecond
            self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(per_image))
        return loss

    def setup(self, stage: str) -> None:
        """Remember what the model is trained on, whoever's trainer it is."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and datamodule is not None and hasattr(datamodule, "manifest"):
            self.size_hw = datamodule.size_hw
            self.manifest_hash = datamodule.manifest.hash

    def input_size_hw(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels.

        Raises:
            ConfigError: it is not known: the model was not trained, and `size_hw` is not set.
        """
        if self.size_hw is None:
            raise ConfigError(
                "the model has no input size: train it with fit(), or set model.size_hw = (height, width)"
            )
        return self.size_hw

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters that start fresh; the others may come from elsewhere."""
        return list(self.parameters())

    def progress(self) -> float:
        """Share of the training that is done, 0..1; 0 where nobody knows its end, see `has_end`."""
        if self.schedule is not None:
            return self.schedule.progress(self.global_step)
        return min(1.0, self.global_step / self.trainer.estimated_stepping_batches) if self.has_end() else 0.0

    def has_end(self) -> bool:
        """Whether the training's length is known; a `Trainer` of yours may run until it is stopped."""
        return self.schedule is not None or 0 < self.trainer.estimated_stepping_batches < math.inf

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = self._parameter_groups()
        if self.optimizer_name == "sgd":
            return torch.optim.SGD(groups, lr=self.lr, momentum=0.9, nesterov=True, fused=self._can_fuse())
        return torch.optim.AdamW(groups, lr=self.lr, fused=self._can_fuse())

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip here: Lightning refuses to with a fused optimizer in mixed precision, for the sake of float16 alone."""
        if gradient_clip_val is None:
            return
        if gradient_clip_algorithm not in {None, "norm"}:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        held = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        nn.utils.clip_grad_norm_(held, gradient_clip_val)

    def _can_fuse(self) -> bool:
        if self._trainer is not None and self._trainer.precision == "16-mixed":  # its gradients are unscaled too late
            return False
        return all(p.device.type in {"cpu", "cuda"} and p.is_floating_point() for p in self.parameters())

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Head, then the backbone from the head to the input; each with and without weight decay."""
        head = {id(p) for p in self.head_parameters()}
        backbone = [p for p in self.parameters() if id(p) not in head]
        parts = [[p for p in self.parameters() if id(p) in head]]
        size = -(-len(backbone) // _DEPTHS) or 1
        parts += [backbone[i : i + size] for i in range(0, len(backbone), size)][::-1]
        groups = []
        for depth, part in enumerate(parts):
            for decay, chosen in ((True, [p for p in part if p.ndim > 1]), (False, [p for p in part if p.ndim <= 1])):
                if chosen:
                    factor = self.lr_decay**depth
                    groups.append(
                        {
                            "params": chosen,
                            "lr": self.lr * factor,
                            "lr_scale": factor,
                            "weight_decay": self.weight_decay if decay else 0.0,
                        }
                    )
        return groups

    def on_train_start(self) -> None:
        self._freeze(self._in_head_warmup())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        del batch, batch_idx
        head_only = self._in_head_warmup()
        if head_only != self.head_only or self._batch_norm_moved():
            self._freeze(head_only)
        factor = lr_factor(self.progress(), step=self.global_step, warmup_steps=self.warmup_steps)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * group["lr_scale"] * factor
        _seed(self.seed * 1_000_003 + self.global_step)

    def _in_head_warmup(self) -> bool:
        return not self.head_is_warm and self.head_warmup > 0 and self.progress() < self.head_warmup

    def _freeze(self, head_only: bool) -> None:
        self.head_only = head_only
        head = {id(p) for p in self.head_parameters()}
        backbone = [p for p in self.parameters() if id(p) not in head]
        n_frozen = len(backbone) if head_only else round(self.frozen_share * len(backbone))
        for i, parameter in enumerate(backbone):
            parameter.requires_grad_(i >= n_frozen)
        if self.freeze_bn:
            for module in self._batch_norms():
                module.eval()

    def _batch_norms(self) -> Iterable[nn.Module]:
        return (m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))  # noqa: SLF001

    def _batch_norm_moved(self) -> bool:
        return self.freeze_bn and any(m.training for m in self._batch_norms())

    def check_loss(self, per_image: Tensor, image_ids: Sequence[str]) -> None:
        """Stop on a loss that is not finite.

        Args:
            per_image: (B,) loss of each image.
            image_ids: names of the images.

        Raises:
            TrainingError: names the images, and the likely cause.
        """
        finite = torch.isfinite(per_image.detach())
        if bool(finite.all()):
            return
        bad = [image_ids[i] for i in torch.nonzero(~finite).flatten().tolist()]
        cause = (
            f"every image of the batch, so the weights have diverged: lower lr (now {self.lr:g}), or see suggest_lr()"
            if len(bad) == len(image_ids)
            else "some images only: look at them"
        )
        raise TrainingError(f"the loss at step {self.global_step} is not finite for {cause}; image_id: {bad[:8]}")


def _seed(seed: int) -> None:
    """Seed the devices in use: `torch.manual_seed` notes each call, with its stack, for a GPU that is not there."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


def checked_names(class_names: Sequence[str], *, least: int) -> tuple[str, ...]:
    """Class names as a tuple.

    Raises:
        ConfigError: fewer than ``least``, or empty or repeated ones.
    """
    names = tuple(class_names)
    twice = sorted({n for n in names if names.count(n) > 1})
    if isinstance(class_names, str) or len(names) < least or twice or not all(isinstance(n, str) and n for n in names):
        problem = f"{twice[:5]} stand twice" if twice else repr(class_names)[:100]
        number = {1: "one", 2: "two"}[least]
        raise ConfigError(f"class_names: expected at least {number} different, non-empty names; found {problem}")
    return names
