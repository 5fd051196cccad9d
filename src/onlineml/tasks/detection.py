"""`ObjectDetector`: a LightningModule that finds things in a photo and says where they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from onlineml.errors import ConfigError
from onlineml.models.detectors import build_detector
from onlineml.tasks.base import Optimizer, VisionModule, checked_names
from onlineml.tasks.detection_validation import DetectionMetric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from onlineml.data.loading.detection_datasets import DetectionBatch
    from onlineml.models.detection_boxes import Objects

__all__ = ["ObjectDetector"]

# Defaults measured on blood cells (BCCD) at 320 px on one core
_LR = {("adamw", False): 1.5e-3, ("adamw", True): 5e-4, ("sgd", False): 0.02, ("sgd", True): 0.01}
_COMPACT_LR = 5e-3  # of the compact detector from scratch, with AdamW: mAP50 .05 above 1.5e-3 after the same few epochs
_START_SCALE = 0.6  # small images first: 1.6x the epochs in the same time (Tan & Le 2021, EfficientNetV2)
_GROWN_AT = 0.6  # of the run, from which on images have their full size
_TRUST_AT = 0.15  # of the run, from which on the network's own boxes alone decide what is learned where
_STEP = 32  # pixels; sides of a batch are multiples of it


class ObjectDetector(VisionModule):
    """Objects with their classes and boxes; normalisation is part of the module, so it cannot be done wrongly.

    Trains in `onlineml.fit` and in any Lightning `Trainer`.

    Args:
        class_names: what can be found, in order; at least one, all different.
        architecture: see `onlineml.models.detectors.build_detector`: ``"auto"`` (our compact one-stage detector), a
            torchvision name, ``"transformers:NAME"``, a module of yours that follows torchvision's contract, or
            ``"package.module:factory"``.
        backbone: of the compact detector, any classification network: ``"auto"``, a torchvision name, ``"timm:NAME"``.
        weights: None starts at random; a published name, or the path or URL of a file, of the whole detector or of its
            backbone, starts from there; what depends on another number of classes starts fresh, see `reinitialized`.
        optimizer: ``"adamw"`` or ``"sgd"``.
        lr: of the head (from scratch: of everything); None is a default that was measured.
        weight_decay: of weights, not of biases and norms; None is 0.05 for AdamW and 5e-4 for SGD.
        lr_decay: factor by which each quarter of a pretrained backbone learns more slowly than the one after it.
        warmup_steps: optimizer steps of linear warm-up.
        head_warmup: share of the run in which only the head learns.
        frozen_share: share of the backbone's layers, from the input, that never learns, 0..1.
        freeze_bn: keep batch-norm statistics.
        start_scale: training begins with images of this share of their size, 0..1, and they grow; None is 0.6 for the
            compact detector and 1 (their full size) for others.
        seed: of the fresh weights and dropout.
        storage_options: opens the URL of ``weights``; not kept.

    Attributes:
        thresholds: the score of each class from which an object counts, chosen on the validation images; None before.
        reinitialized: names of the network's tensors that start at random although ``weights`` were given: those that
            depend on another number of classes or, with weights of a backbone, all others.

    Raises:
        ConfigError, WeightsError, MissingDependencyError: as `build_detector`.
    """

    task = "detection"
    metric_names = ("val_map_50", "val_map_50_95")

    def __init__(
        self,
        *,
        class_names: Sequence[str],
        architecture: str | nn.Module = "auto",
        backbone: str | nn.Module = "auto",
        weights: str | None = None,
        optimizer: Optimizer = "adamw",
        lr: float | None = None,
        weight_decay: float | None = None,
        lr_decay: float | None = None,
        warmup_steps: int = 100,
        head_warmup: float = 0.0,
        frozen_share: float = 0.0,
        freeze_bn: bool = False,
        start_scale: float | None = None,
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        names = checked_names(class_names, least=1)
        if start_scale is not None and not 0.1 <= start_scale <= 1:
            raise ConfigError(f"start_scale={start_scale}: expected a share of the images' size, 0.1..1")
        pretrained = weights is not None
        super().__init__(
            class_names=names,
            optimizer=optimizer,
            lr=_default_lr(architecture, optimizer, pretrained=pretrained) if lr is None else lr,
            weight_decay=(0.05 if optimizer == "adamw" else 5e-4) if weight_decay is None else weight_decay,
            lr_decay=(0.7 if pretrained else 1.0) if lr_decay is None else lr_decay,
            warmup_steps=warmup_steps,
            head_warmup=head_warmup,
            frozen_share=frozen_share,
            freeze_bn=freeze_bn,
            seed=seed,
        )
        self.pretrained = pretrained
        self.gradient_clip = 5.0  # a first batch of many objects gives gradients of hundreds
        with torch.random.fork_rng(devices=[]):  # the same fresh weights, whatever was drawn before
            torch.manual_seed(seed)
            built = build_detector(
                architecture,
                num_classes=len(names),
                backbone=backbone,
                weights=weights,
                config=config,
                storage_options=storage_options,
            )
        self.network = built.network
        self.architecture, self.backbone_name, self.config = built.architecture, built.backbone, built.config
        self.reinitialized = built.reinitialized
        self.set_normalization(mean=built.mean, std=built.std)
        if start_scale is None:
            start_scale = _START_SCALE if built.architecture == "compact" else 1.0
        self.start_scale = start_scale
        self.thresholds: dict[str, float] | None = None
        self._seen = DetectionMetric()
        self.to(memory_format=torch.channels_last)

    def run_config(self) -> dict[str, str]:
        name = self.architecture or type(self.network).__name__
        return {"architecture": name, "backbone": self.backbone_name}

    def head_parameters(self) -> list[nn.Parameter]:
        found: list[nn.Parameter] = self.network.head_parameters()  # type: ignore[operator]
        return found

    def prefers_bf16_on_cpu(self) -> bool:
        # measured: 1.7x with full convolutions; with depthwise ones 1.3 to 2 times slower; of others' networks not all
        # parts exist in bfloat16 on a CPU
        convolutions = (m for m in self.network.modules() if isinstance(m, nn.Conv2d))
        return self.architecture == "compact" and all(m.groups == 1 for m in convolutions)

    def forward(self, image: Tensor) -> list[Objects]:
        """`detect`."""
        return self.detect(image)

    @torch.no_grad()
    def detect(self, image: Tensor) -> list[Objects]:
        """The objects in each image, up to 100, however unsure, the surest first; in evaluation mode.

        Args:
            image: (B, 3, H, W) RGB, uint8 in 0..255 or float in 0..1; H and W multiples of 32.

        Returns:
            For each image ``boxes`` (n, 4) float32 x1, y1, x2, y2 in pixels of ``image``, ``labels`` (n,) int64 and
            ``scores`` (n,) float32 in 0..1.
        """
        if not len(image):  # all images of a batch were bad: not every network takes none
            return []
        found: list[Objects] = self.network.detect(self.normalize(image))  # type: ignore[operator]
        return found

    def loss_of(self, batch: DetectionBatch) -> Tensor:
        """(B,) training loss of each image."""
        progress = self.progress() if self.has_end() else 1.0
        scale = min(1.0, self.start_scale + (1.0 - self.start_scale) * progress / _GROWN_AT)
        image, targets = _shrunk(batch["image"], batch["targets"], scale)
        trust = min(1.0, progress / _TRUST_AT)
        losses: Tensor = self.network.losses(self.normalize(image), targets, trust=trust)  # type: ignore[operator]
        # `losses` add up to the batch's, and training takes their mean
        return losses * len(losses) if self.architecture == "compact" else losses

    def selection_score(self, row: Mapping[str, float]) -> float:
        return row.get("val_map_50_95", math.nan)

    def validate(self, batches: Iterable[DetectionBatch]) -> dict[str, float]:
        """AP50 and COCO's AP over all images of ``batches``; also chooses `thresholds`. Modes are left as they were."""
        modes = [(m, m.training) for m in self.modules()]
        self.eval()
        seen = DetectionMetric()
        for batch in batches:
            seen.add(batch, self.detect(batch["image"].to(self.device, non_blocking=True)))
        for module, training in modes:
            module.training = training
        if not len(seen):
            return dict.fromkeys(self.metric_names, math.nan)
        self.thresholds = seen.thresholds(self.class_names)
        return dict(zip(self.metric_names, seen.average_precision(self.class_names), strict=True))

    def after_training(self, batches: Iterable[DetectionBatch]) -> None:
        self.validate(batches)

    def validation_step(self, batch: DetectionBatch, batch_idx: int) -> None:
        del batch_idx
        self._seen.add(batch, self.detect(batch["image"]))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._log_seen("val")

    def on_test_epoch_end(self) -> None:
        self._log_seen("test")

    def _log_seen(self, prefix: str) -> None:
        seen, self._seen = self._seen, DetectionMetric()
        if len(seen):
            map_50, map_50_95 = seen.average_precision(self.class_names)
            self.log_dict({f"{prefix}_map_50": map_50, f"{prefix}_map_50_95": map_50_95}, prog_bar=True)
            if prefix == "val":
                self.thresholds = seen.thresholds(self.class_names)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["thresholds"] = self.thresholds

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.thresholds = checkpoint.get("thresholds")

    def predict_step(self, batch: DetectionBatch, batch_idx: int) -> list[Objects]:
        """The objects in the batch's images, in pixels of the batch."""
        del batch_idx
        return self.detect(batch["image"])


def _default_lr(architecture: str | nn.Module, optimizer: str, *, pretrained: bool) -> float:
    if architecture in {"auto", "compact"} and optimizer == "adamw" and not pretrained:
        return _COMPACT_LR
    return _LR.get((optimizer, pretrained), 1e-3)


def _shrunk(
    image: Tensor, targets: Sequence[Mapping[str, Any]], scale: float
) -> tuple[Tensor, Sequence[Mapping[str, Any]]]:
    """A batch at about ``scale`` of its size, sides in multiples of 32 pixels."""
    height, width = image.shape[2:]
    size = [max(_STEP, round(side * scale / _STEP) * _STEP) for side in (height, width)]
    if size == [height, width]:
        return image, targets
    if image.device.type != "cpu":  # only there are uint8 images interpolated
        image = image.float() / 255.0
    small = functional.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    factor = torch.tensor([size[1] / width, size[0] / height] * 2)
    places = ("boxes", "ignore")
    scaled = [{k: v * factor.to(v.device) if k in places else v for k, v in target.items()} for target in targets]
    return small, scaled
