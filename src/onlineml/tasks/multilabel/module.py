"""`MultilabelClassifier`: a LightningModule for multi-label classification."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from onlineml.evaluation.multilabel.score import multilabel_scores
from onlineml.evaluation.multilabel.thresholds import best_multilabel_thresholds
from onlineml.tasks.classifier import ClassifierModule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.loading.datasets import ImageBatch

__all__ = ["MultilabelClassifier"]

# Weight of a label's presence, at most. With the square root of the ratio, heads on SqueezeNet's features of 800 photos
# of sign digits, of which some are in 1 to 3 % of them, reach a macro F1 at 0.5 of .65 (without weights .53, with the
# ratio itself .68), a mean average precision of .74 (.74, .75) and a log loss of .109 (.106, .116)
_HEAVIEST = 10.0


class MultilabelClassifier(ClassifierModule):
    """Multi-label image classification; normalisation is part of the module.

    Trains in `onlineml.fit` and in any Lightning `Trainer`. The loss is the mean binary cross-entropy over the classes,
    without unknown labels.

    Args:
        class_names: of the outputs, in order; at least one, all different.
        backbone: see `onlineml.ImageClassifier`, also for all arguments up to ``freeze_bn``.
        weights: ``"auto"``, ``"random"``, a name, or the path or URL of a file; the head is always random.
        optimizer: ``"adamw"`` or ``"sgd"``.
        lr: of the head (from scratch: of all layers).
        weight_decay: of weights, not of biases and norms.
        lr_decay: factor of the learning rate from each quarter of a pretrained backbone to the one before it.
        warmup_steps: optimizer steps of linear warm-up.
        head_warmup: share of the run in which only the head is trained.
        frozen_share: share of the backbone's layers, from the input, that is frozen, 0..1.
        freeze_bn: freeze batch-norm statistics.
        label_smoothing: 0..1, towards targets of 0.5; None is 0.
        mix: ``"none"``, ``"mixup"`` or ``"cutmix"``.
        class_weights: weight of positive relative to negative labels, by name or in order. None takes the square root
            of the ratio of negatives to positives among the training images, between 1 and 10: rare labels are learned,
            and the odds of probabilities are too high by at most that factor, for which the thresholds compensate.
        seed: of random weights, dropout and mixing.
        storage_options: of the filesystem, for ``weights``; not kept.

    Shape:
        (B, 3, H, W) RGB, uint8 in 0..255 or float in 0..1 -> (B, C) float logits.

    Attributes:
        thresholds: probability threshold of each class with the highest F1 on the validation images; None before,
            which means 0.5.

    Raises:
        ConfigError, WeightsError, MissingDependencyError: as `onlineml.models.classifiers.build_classifier`.
    """

    task = "multilabel"
    metric_names = ("val_loss", "val_map")
    input_fit = "stretch to height and width"
    whole = True
    least_classes = 1
    smoothing_from_scratch = 0.0

    def table_of(self, labels: Tensor) -> Tensor:
        """See `ClassifierModule.table_of`; labels are such a table, with nan for unknown."""
        return labels

    def shown_classes(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """See `ClassifierModule.shown_classes`."""
        images, classes = (labels == 1).nonzero(as_tuple=True)
        return images, classes

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See `ClassifierModule.losses`."""
        smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        return _pair_losses(logits.float(), smooth, self.class_weights).mean(1)

    def head_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `ClassifierModule.head_loss`."""
        return _pair_losses(logits, labels, self.class_weights.to(logits)).mean()

    def probabilities(self, logits: Tensor) -> Tensor:
        """See `ClassifierModule.probabilities`; independent classes."""
        return torch.sigmoid(logits)

    def metrics(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """Unweighted binary cross-entropy, and the mean average precision over classes with positive images."""
        scores = multilabel_scores(
            torch.sigmoid(logits).numpy(), labels.float().numpy(), self.class_names, n_worst=0, n_bootstrap=0
        )
        loss = functional.binary_cross_entropy_with_logits(logits, labels.float())
        return {"val_loss": float(loss), "val_map": scores.map}

    def choose(self, logits: Tensor, labels: Tensor) -> None:
        """Choose `thresholds`."""
        chosen = best_multilabel_thresholds(torch.sigmoid(logits).numpy(), labels.float().numpy())
        self.thresholds = dict(zip(self.class_names, chosen.tolist(), strict=True))

    def selection_score(self, row: Mapping[str, float]) -> float:
        return row.get("val_map", math.nan)

    def before_training(self, images: ImageDataModule) -> None:
        """See `VisionModule.before_training`; also weighs the classes, see ``class_weights``."""
        super().before_training(images)
        if self.weighs_by_data and hasattr(images, "labels"):
            labels = torch.from_numpy(images.labels[images.rows_of("train")])
            present, absent = (labels == 1).sum(0), (labels == 0).sum(0)
            self.class_weights.copy_((absent / present.clamp_min(1)).sqrt().clamp(1.0, _HEAVIEST))

    def after_training(self, batches: Iterable[ImageBatch]) -> None:
        self.validate(batches)


def _pair_losses(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """(B, C) binary cross-entropy, 0 where the target is nan."""
    known = ~targets.isnan()
    losses = functional.binary_cross_entropy_with_logits(
        logits, targets.nan_to_num(0.0), pos_weight=weights, reduction="none"
    )
    return torch.where(known, losses, 0.0)
