"""`ImageClassifier`: a LightningModule that names what is in a photo."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from onlineml.errors import ConfigError
from onlineml.models.classifiers import build_classifier
from onlineml.tasks.base import VisionModule
from onlineml.tasks.class_names import checked_names
from onlineml.tasks.mixing import Mix, mix_batch
from onlineml.tasks.own_network import known_network, unknown_network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from onlineml.data.loading.datasets import ImageBatch
    from onlineml.tasks.optimization import Optimizer

__all__ = ["ImageClassifier"]

# Defaults measured on sign digits at 64 px (from scratch) and 128-224 px (MobileNetV2, SqueezeNet fine-tuned)
_LR = {("adamw", False): 2e-3, ("adamw", True): 1.5e-4, ("sgd", False): 0.1, ("sgd", True): 0.02}


class ImageClassifier(VisionModule):
    """Single-label image classification; normalisation is part of the module, so it cannot be done wrongly.

    Trains in `onlineml.fit` and in any Lightning `Trainer`.

    Args:
        class_names: what the outputs mean, in order; at least two, all different.
        backbone: see `onlineml.models.classifiers.build_classifier`: ``"auto"``, a torchvision name, ``"timm:NAME"``,
            a module of yours or ``"package.module:factory"``.
        weights: None starts at random; ``"DEFAULT"`` or another published name, or the path or URL of a file, starts
            from there, with a fresh head.
        optimizer: ``"adamw"`` or ``"sgd"``.
        lr: of the head (from scratch: of everything); None is a default that was measured, see also
            `onlineml.suggest_lr`.
        weight_decay: of weights, not of biases and norms; None is 0.05 for AdamW and 5e-4 for SGD.
        lr_decay: factor by which each quarter of a pretrained backbone learns more slowly than the one after it.
        warmup_steps: optimizer steps of linear warm-up; None is 20 from scratch and 5 with weights.
        head_warmup: share of the run in which only the head learns; None is 0.1 with weights, else 0. `fit` warms a
            linear head up in one pass instead, see `onlineml.training.probe`.
        frozen_share: share of the backbone's layers, from the input, that never learns, 0..1; None lets `fit` choose:
            0.25 where weights are given and too little time for three epochs, else 0.
        freeze_bn: keep batch-norm statistics; None is True with weights, else False.
        label_smoothing: 0..1 (Szegedy et al. 2016); None is 0.1 from scratch and 0 with weights.
        mix: ``"none"``, ``"mixup"`` or ``"cutmix"``.
        class_weights: weight of each class in the loss, by name or in order; None weighs all alike.
        seed: of the fresh weights, dropout and mixing.
        storage_options: opens the URL of ``weights``; not kept.

    Shape:
        (B, 3, H, W) RGB, uint8 in 0..255 or float in 0..1 -> (B, C) float logits.

    Raises:
        ConfigError, WeightsError, MissingDependencyError: as `build_classifier`.
    """

    task = "classification"
    metric_names = ("val_loss", "val_accuracy")
    input_fit = "scale to cover, cut evenly around the centre"

    class_weights: Tensor

    def __init__(
        self,
        *,
        class_names: Sequence[str],
        backbone: str | nn.Module = "auto",
        weights: str | None = None,
        optimizer: Optimizer = "adamw",
        lr: float | None = None,
        weight_decay: float | None = None,
        lr_decay: float | None = None,
        warmup_steps: int | None = None,
        head_warmup: float | None = None,
        frozen_share: float | None = None,
        freeze_bn: bool | None = None,
        label_smoothing: float | None = None,
        mix: Mix = "none",
        class_weights: Mapping[str, float] | Sequence[float] | None = None,
        seed: int = 0,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        names = checked_names(class_names, least=2)
        if mix not in {"none", "mixup", "cutmix"}:
            raise ConfigError(f"mix={mix!r}: expected 'none', 'mixup' or 'cutmix'")
        if label_smoothing is not None and not 0 <= label_smoothing <= 1:
            raise ConfigError(f"label_smoothing={label_smoothing}: expected a share between 0 and 1")
        pretrained = weights is not None
        super().__init__(
            class_names=names,
            optimizer=optimizer,
            lr=_LR.get((optimizer, pretrained), 1e-3) if lr is None else lr,
            weight_decay=(0.05 if optimizer == "adamw" else 5e-4) if weight_decay is None else weight_decay,
            lr_decay=(0.7 if pretrained else 1.0) if lr_decay is None else lr_decay,
            warmup_steps=(5 if pretrained else 20) if warmup_steps is None else warmup_steps,
            head_warmup=(0.1 if pretrained else 0.0) if head_warmup is None else head_warmup,
            frozen_share=frozen_share or 0.0,
            freeze_bn=pretrained if freeze_bn is None else freeze_bn,
            seed=seed,
        )
        self.mix = mix
        self.label_smoothing = (0.0 if pretrained else 0.1) if label_smoothing is None else label_smoothing
        self.pretrained = pretrained
        self.may_freeze = pretrained and frozen_share is None
        with torch.random.fork_rng(devices=[]):  # the same fresh weights, whatever was drawn before
            torch.manual_seed(seed)
            built = build_classifier(backbone, num_classes=len(names), weights=weights, storage_options=storage_options)
        self.network = built.network
        self.backbone_name, self.head_name = built.name, built.head
        self.set_normalization(mean=built.mean, std=built.std)
        self.register_buffer("class_weights", _class_weights(class_weights, names), persistent=False)
        self.to(memory_format=torch.channels_last)  # 1.45x on depthwise networks on a CPU, never slower

    def run_config(self) -> dict[str, str]:
        """Return the module's configuration, for the record of a run."""
        return {"backbone": self.backbone_name or type(self.network).__name__}

    def descriptor(self) -> dict[str, Any]:
        """See `VisionModule.descriptor`."""
        return {"backbone": self.backbone_name, "architecture": type(self.network).__name__}

    @classmethod
    def from_descriptor(
        cls, descriptor: Mapping[str, Any], *, network: str | nn.Module | None, source: str
    ) -> ImageClassifier:
        """See `VisionModule.from_descriptor`."""
        called = str(descriptor["architecture"])
        backbone = known_network(str(descriptor["backbone"]), given=network, called=called, source=source)
        return cls(class_names=descriptor["class_names"], backbone=backbone, seed=descriptor["seed"])

    def rebuild(
        self,
        class_names: Sequence[str],
        *,
        weights: str | None = None,
        seed: int = 0,
        storage_options: Mapping[str, Any] | None = None,
    ) -> ImageClassifier:
        """See `VisionModule.rebuild`."""
        if not self.backbone_name:
            raise unknown_network(self.network)
        return ImageClassifier(
            class_names=class_names,
            backbone=self.backbone_name,
            weights=weights,
            seed=seed,
            storage_options=storage_options,
        )

    def around(
        self, network: nn.Module, class_names: Sequence[str], *, pretrained: bool, seed: int = 0
    ) -> ImageClassifier:
        """See `VisionModule.around`."""
        made = ImageClassifier(
            class_names=class_names,
            backbone=network,
            lr=_LR["adamw", pretrained],
            lr_decay=0.7 if pretrained else None,
            warmup_steps=5 if pretrained else None,
            head_warmup=0.1 if pretrained else None,
            freeze_bn=pretrained,
            label_smoothing=0.0 if pretrained else None,
            seed=seed,
        )
        made.backbone_name, made.head_name, made.may_freeze = self.backbone_name, self.head_name, pretrained
        return made._taking_after(self, pretrained=pretrained)

    @property
    def class_head_name(self) -> str:
        """See `VisionModule.class_head_name`."""
        return self.head_name

    def linear_head(self) -> nn.Linear | None:
        """See `VisionModule.linear_head`."""
        head = self.class_head()
        return head if isinstance(head, nn.Linear) else None

    @property
    def head(self) -> nn.Module:
        """The last layer; the whole network where there is none of the usual kind."""
        return self.network.get_submodule(self.head_name)

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalize(image))
        return logits

    def loss_of(self, batch: ImageBatch) -> Tensor:
        """(B,) training loss of each image: cross-entropy, smoothed, mixed and weighted as the module was told."""
        image, targets = self.normalize(batch["image"]), batch["label"]
        if self.mix != "none":
            generator = np.random.default_rng([self.seed, self.global_step])
            targets = functional.one_hot(targets, len(self.class_names)).to(image.dtype)
            image, targets = mix_batch(image, targets, how=self.mix, generator=generator)
        return functional.cross_entropy(
            self.network(image),
            targets,
            weight=self.class_weights,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )

    def validate(self, batches: Iterable[ImageBatch]) -> dict[str, float]:
        """Loss and accuracy over all images of ``batches``; nan where there are none. Modes are left as they were."""
        modes = [(m, m.training) for m in self.modules()]
        self.eval()
        loss, right, n = 0.0, 0, 0
        with torch.inference_mode():
            for batch in batches:
                logits = self(batch["image"].to(self.device, non_blocking=True)).float()
                labels = batch["label"].to(self.device)
                loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
                right += int((logits.argmax(1) == labels).sum())
                n += len(labels)
        for module, training in modes:
            module.training = training
        return {"val_loss": loss / n if n else math.nan, "val_accuracy": right / n if n else math.nan}

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self._score(batch, batch_idx, prefix="val")

    def test_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self._score(batch, batch_idx, prefix="test")

    def _score(self, batch: ImageBatch, batch_idx: int, *, prefix: Literal["val", "test"]) -> None:
        del batch_idx
        logits = self(batch["image"])
        loss = functional.cross_entropy(logits, batch["label"])
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        self.log_dict({f"{prefix}_loss": loss, f"{prefix}_accuracy": accuracy}, prog_bar=True, batch_size=len(logits))

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """(B, C) probabilities of the batch's images."""
        del batch_idx
        return torch.softmax(self(batch["image"]), dim=1)


def _class_weights(weights: Mapping[str, float] | Sequence[float] | None, names: tuple[str, ...]) -> Tensor:
    if weights is None:
        return torch.ones(len(names))
    if isinstance(weights, Mapping):
        unknown = sorted(map(str, weights.keys() - set(names)))
        if unknown:
            raise ConfigError(f"class_weights: {', '.join(unknown[:5])} is none of the classes {', '.join(names[:20])}")
        values = [weights[n] for n in names if n in weights]
    else:
        values = list(weights)
    if len(values) != len(names) or not all(v >= 0 for v in values):
        raise ConfigError(f"class_weights: expected one weight of at least 0 for each of {', '.join(names[:20])}")
    return torch.tensor(values, dtype=torch.float32)
