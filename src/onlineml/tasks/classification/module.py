"""`ImageClassifier`: a LightningModule for image classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from onlineml.tasks.classifier import ClassifierModule

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ImageClassifier"]


class ImageClassifier(ClassifierModule):
    """Single-label image classification; normalisation is part of the module.

    Trains in `onlineml.fit` and in any Lightning `Trainer`.

    Args:
        class_names: of the outputs, in order; at least two, all different.
        backbone: see `onlineml.models.classifiers.build_classifier`: ``"auto"``, a torchvision name, ``"timm:NAME"``,
            your own module or ``"package.module:factory"``.
        weights: ``"auto"``, those that can be had, see `onlineml.model_for`; ``"random"``; ``"DEFAULT"`` or another
            published name, or the path or URL of a file; the head is always initialized randomly.
        optimizer: ``"adamw"`` or ``"sgd"``.
        lr: of the head (from scratch: of all layers); None for a measured default, see also `onlineml.suggest_lr`.
        weight_decay: of weights, not of biases and norms; None is 0.05 for AdamW and 5e-4 for SGD.
        lr_decay: factor of the learning rate from each quarter of a pretrained backbone to the one before it.
        warmup_steps: optimizer steps of linear warm-up; None is 20 from scratch and 5 with weights.
        head_warmup: share of the run in which only the head is trained; None is 0.1 with weights, else 0. `fit` warms
            up a linear head in one pass instead, see `onlineml.training.probe`.
        frozen_share: share of the backbone's layers, from the input, that is frozen, 0..1; None lets `fit` choose:
            0.25 with weights and a budget below some ten epochs, else 0.
        freeze_bn: freeze batch-norm statistics; None is True with weights, else False.
        label_smoothing: 0..1 (Szegedy et al. 2016); None is 0.1 from scratch and 0 with weights.
        mix: ``"none"``, ``"mixup"`` or ``"cutmix"``.
        class_weights: weight of each class in the loss, by name or in order; None for equal weights.
        seed: of random weights, dropout and mixing.
        storage_options: of the filesystem, for ``weights``; not kept.

    Shape:
        (B, 3, H, W) RGB, uint8 in 0..255 or float in 0..1 -> (B, C) float logits.

    Raises:
        ConfigError, WeightsError, MissingDependencyError: as `build_classifier`.
    """

    task = "classification"
    metric_names = ("val_loss", "val_accuracy")
    input_fit = "scale to cover, cut evenly around the centre"
    least_classes = 2
    smoothing_from_scratch = 0.1

    def table_of(self, labels: Tensor) -> Tensor:
        """See `ClassifierModule.table_of`; one 1 a row."""
        return functional.one_hot(labels, len(self.class_names)).float()

    def shown_classes(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """See `ClassifierModule.shown_classes`; each image shows one."""
        return torch.arange(len(labels)), labels

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See `ClassifierModule.losses`; cross-entropy."""
        return functional.cross_entropy(
            logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing, reduction="none"
        )

    def head_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `ClassifierModule.head_loss`."""
        return functional.cross_entropy(logits, labels, weight=self.class_weights.to(logits))

    def probabilities(self, logits: Tensor) -> Tensor:
        """See `ClassifierModule.probabilities`; rows sum to 1, at the temperature of the calibration."""
        temperature = self.temperature
        return torch.softmax(logits if temperature == 1.0 else logits / temperature, dim=1)

    def metrics(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """Cross-entropy and accuracy."""
        loss = functional.cross_entropy(logits, labels)
        return {"val_loss": float(loss), "val_accuracy": float((logits.argmax(1) == labels).double().mean())}
