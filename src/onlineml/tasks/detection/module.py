"""`ObjectDetector`: a LightningModule for object detection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onlineml.arguments.checks import number, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.models.detector import MAX_OBJECTS
from onlineml.models.detectors import build_detector, takes_backbone
from onlineml.models.modes import in_eval_mode
from onlineml.tasks.base import VisionModule
from onlineml.tasks.batches import check_batch, image_of, targets_of
from onlineml.tasks.class_names import checked_names
from onlineml.tasks.detection.shrinking import shrink_batch
from onlineml.tasks.detection.tiling import WithTiles
from onlineml.tasks.detection.validation import DetectionMetric, check_answer
from onlineml.tasks.own_network import known_network, placed, unknown_network

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from onlineml.data.loading.detection_datasets import DetectionBatch
    from onlineml.models.detector import Detector
    from onlineml.storage.location import Options, Url
    from onlineml.tasks.optimization import Optimizer

__all__ = ["ObjectDetector"]

_GROWN_AT = 0.6  # share of the run after which images have their full size
_TRUST_AT = 0.15  # share of the run after which only the network's own boxes decide the assignment


class ObjectDetector(WithTiles, VisionModule):
    """Detection of objects with classes and boxes; normalisation is part of the module.

    Trains in `onlineml.fit` and in any Lightning `Trainer`.

    Args:
        class_names: of the objects, in order; at least one, all different.
        architecture: see `onlineml.models.detectors.build_detector`: ``"auto"`` (our compact one-stage detector), a
            torchvision name, ``"transformers:NAME"``, your own module, or ``"package.module:factory"``.
        backbone: of the compact detector, any classification network: ``"auto"``, a torchvision name, ``"timm:NAME"``.
        weights: as `onlineml.model_for`, of the whole detector or of its backbone; tensors for another number of
            classes are initialized randomly, see `reinitialized`.
        optimizer: ``"adamw"`` or ``"sgd"``.
        lr: of the head (from scratch: of all layers); None for a measured default.
        weight_decay: of weights, not of biases and norms; None is 0.05 for AdamW and 5e-4 for SGD.
        lr_decay: factor of the learning rate from each quarter of a pretrained backbone to the one before it.
        warmup_steps: optimizer steps of linear warm-up.
        head_warmup: share of the run in which only the head is trained.
        frozen_share: share of the backbone's first layers that is frozen, 0..1; None: 0.25 in "compact" with weights.
        freeze_bn: freeze statistics of batch norms that start with weights; None: only in "compact" with weights.
        start_scale: share of the image size at the start of training, 0.1..1, which grows to 1; None is the network's
            own: 0.6 for the compact detector, 1 for others.
        max_objects: maximum number of objects in an image, also later; rows of `onlineml.predict` tell who reaches it.
        seed: of random weights and dropout.
        storage_options: of the filesystem, for ``weights``; not kept.

    Attributes:
        thresholds: score threshold of each class, chosen on the validation images; None before.
        reinitialized: names of the network's tensors that are random although ``weights`` were given: those for another
            number of classes or, with weights of a backbone, all others.

    Raises:
        ConfigError, WeightsError, MissingDependencyError: as `build_detector`.
    """

    task = "detection"
    metric_names = ("val_map_50", "val_map_50_95")
    pads_to_multiples = True
    batch_keys = ("boxes", "labels")
    input_fit = "scale to fit inside, upper left, padded with grey 114 to multiples of 32"

    network: Detector

    def __init__(
        self,
        *,
        class_names: Sequence[str],
        architecture: str | nn.Module = "auto",
        backbone: str | nn.Module = "auto",
        weights: Url | None = "auto",
        optimizer: Optimizer = "adamw",
        lr: float | None = None,
        weight_decay: float | None = None,
        lr_decay: float | None = None,
        warmup_steps: int = 100,
        head_warmup: float = 0.0,
        frozen_share: float | None = None,
        freeze_bn: bool | None = None,
        start_scale: float | None = None,
        max_objects: int = MAX_OBJECTS,
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
        storage_options: Options = None,
    ) -> None:
        names = checked_names(class_names, least=1)
        of_size = "a share of the images' size, 0.1..1"
        start_scale = number("start_scale", start_scale, of_size, least=0.1, most=1.0, optional=True)
        with torch.random.fork_rng(devices=[]):  # the same random weights, whatever the random state
            torch.manual_seed(seed_("seed", seed))
            built = build_detector(
                architecture,
                num_classes=len(names),
                backbone=backbone,
                weights=placed(weights, storage_options),
                config=config,
            )
        pretrained = built.origin.pretrained
        on_backbone = pretrained and takes_backbone(built.architecture)
        super().__init__(
            class_names=names,
            optimizer=optimizer,
            lr=built.network.default_lr(optimizer, pretrained=pretrained) if lr is None else lr,
            weight_decay=(0.05 if optimizer == "adamw" else 5e-4) if weight_decay is None else weight_decay,
            lr_decay=(0.2 if on_backbone else 0.7 if pretrained else 1.0) if lr_decay is None else lr_decay,
            warmup_steps=warmup_steps,
            head_warmup=head_warmup,
            frozen_share=(0.25 if on_backbone else 0.0) if frozen_share is None else frozen_share,
            freeze_bn=on_backbone if freeze_bn is None else freeze_bn,
            seed=seed,
        )
        self.pretrained = pretrained
        self.gradient_clip = 5.0  # a first batch of many objects has gradients of hundreds
        self.network, self.origin = built.network, built.origin
        self.max_objects = max_objects
        self.architecture, self.backbone_name, self.config = built.architecture, built.backbone, built.config
        self.reinitialized = built.reinitialized
        self.set_normalization(mean=built.mean, std=built.std)
        self.start_scale = built.network.start_scale if start_scale is None else start_scale
        self._seen = DetectionMetric()
        self.begin_keeping()
        self.to(memory_format=torch.channels_last)

    def run_config(self) -> dict[str, str]:
        name = self.architecture or type(self.network).__name__
        return {"architecture": name, "backbone": self.backbone_name}

    def descriptor(self) -> dict[str, Any]:
        own = {"own": not self.architecture, "config": self.config, "max_objects": self.max_objects}
        return {**self.run_config(), **own, **self.stored_tiles()}

    @property
    def max_objects(self) -> int:
        """Maximum number of objects in an image."""
        return self.network.max_objects

    @max_objects.setter
    def max_objects(self, number: int) -> None:
        self.network.max_objects = whole("max_objects", number, least=1)

    def settings(self) -> dict[str, Any]:
        below = {"backbone": self.backbone_name} if takes_backbone(self.architecture) else {}
        own = {name: getattr(self, name) for name in ("architecture", "config", "start_scale", "max_objects")}
        return super().settings() | own | below

    def usual_rates(self, optimizer: Optimizer, *, pretrained: bool) -> tuple[float, float]:
        return self.network.default_lr(optimizer, pretrained=pretrained), 0.05 if optimizer == "adamw" else 5e-4

    @classmethod
    def from_descriptor(
        cls, descriptor: Mapping[str, Any], *, network: str | nn.Module | None, source: str
    ) -> ObjectDetector:
        """See `VisionModule.from_descriptor`."""
        name, backbone = str(descriptor["architecture"]), str(descriptor["backbone"])
        architecture: str | nn.Module = name
        below: str | nn.Module = backbone or "auto"
        if takes_backbone(name):  # the user's own network is the backbone of our detector
            below = known_network(backbone, given=network, called="its backbone", source=source)
        else:
            named = "" if descriptor.get("own") else name
            architecture = known_network(named, given=network, called=name, source=source)
        made = cls(
            class_names=descriptor["class_names"],
            architecture=architecture,
            backbone=below,
            weights="random",
            config=descriptor.get("config"),
            max_objects=descriptor.get("max_objects", 100),  # of models that were stored without it
            seed=descriptor["seed"],
        )
        made.take_tiles(descriptor)
        return made

    def rebuild(self, class_names: Sequence[str], *, weights: Url | None = "random", seed: int = 0) -> ObjectDetector:
        """See `VisionModule.rebuild`."""
        if not self.architecture or (takes_backbone(self.architecture) and not self.backbone_name):
            raise unknown_network(self.network)
        return ObjectDetector(
            class_names=class_names,
            architecture=self.architecture,
            backbone=self.backbone_name or "auto",
            weights=weights,
            config=self.config,
            max_objects=self.max_objects,
            seed=seed,
        )

    def around(
        self, network: nn.Module, class_names: Sequence[str], *, pretrained: bool, seed: int = 0
    ) -> ObjectDetector:
        """See `VisionModule.around`."""
        made = ObjectDetector(
            class_names=class_names,
            architecture=network,
            lr=5e-4 if pretrained else None,
            lr_decay=0.7 if pretrained else None,
            warmup_steps=20 if pretrained else 100,
            freeze_bn=pretrained,
            start_scale=self.start_scale,
            max_objects=self.max_objects,
            seed=seed,
        )
        made.architecture, made.backbone_name, made.config = self.architecture, self.backbone_name, self.config
        return made.take_after(self, pretrained=pretrained)

    @property
    def class_head_name(self) -> str:
        return self.network.class_head_name

    def fresh_class_head(self, num_classes: int) -> nn.Conv2d | None:
        return self.network.fresh_class_head(num_classes)

    def head_parameters(self) -> list[nn.Parameter]:
        return self.network.head_parameters()

    def prefers_bf16_on_cpu(self) -> bool:
        return self.network.prefers_bf16_on_cpu()

    def forward(self, image: Tensor) -> list[dict[str, Tensor]]:
        """`detect`."""
        return self.detect(image)

    try_out = check_answer

    def loss_of(self, batch: DetectionBatch) -> Tensor:
        """(B,) training loss of each image."""
        progress = self.progress() if self.has_end() else 1.0
        scale = min(1.0, self.start_scale + (1.0 - self.start_scale) * progress / _GROWN_AT)
        image, targets = shrink_batch(batch["image"], targets_of(batch), scale)
        trust = min(1.0, progress / _TRUST_AT)
        return self.network.losses(self.normalize(image), targets, trust=trust)

    def selection_score(self, row: Mapping[str, float]) -> float:
        return row.get("val_map_50_95", math.nan)

    def validate(self, batches: Iterable[DetectionBatch]) -> dict[str, float]:
        """AP50 and COCO's AP over all images of ``batches``; also chooses `thresholds`. Modes are kept."""
        seen = DetectionMetric()
        with in_eval_mode(self):
            for batch in batches:
                seen.add(batch, self.detect(batch["image"].to(self.device, non_blocking=True)))
        if not len(seen):
            return dict.fromkeys(self.metric_names, math.nan)
        self.thresholds = seen.thresholds(self.class_names)
        return dict(zip(self.metric_names, seen.average_precision(self.class_names), strict=True))

    def after_training(self, batches: Iterable[DetectionBatch]) -> None:
        self.validate(batches)

    def validation_step(self, batch: DetectionBatch, batch_idx: int) -> None:
        if batch_idx == 0:
            check_batch(self, batch)
            self._seen = DetectionMetric()  # not of a validation that was broken off
        if not len(batch["image"]):
            return
        with torch.autocast(self.device.type, enabled=False):  # as it will predict
            self._seen.add(batch, self.detect(batch["image"]))

    test_step = validation_step

    def _log_seen(self, prefix: str) -> None:
        seen, self._seen = self._seen.of_all_processes(), DetectionMetric()
        if len(seen):
            found = seen.average_precision(self.class_names)
            self.log_scores(dict(zip(self.metric_names, found, strict=True)), prefix)
            if prefix == "val":
                self.thresholds = seen.thresholds(self.class_names)

    def predict_step(self, batch: DetectionBatch, batch_idx: int) -> list[dict[str, Tensor]]:
        """The objects in the batch's images, in pixels of the batch."""
        del batch_idx
        return self.detect(image_of(batch))
