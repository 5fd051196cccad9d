"""The base of the classifiers: a network with an output for each class, its last layer, its loss, its validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import numpy as np
import torch
from torch import nn

from onlineml.arguments.checks import one_of, share
from onlineml.arguments.checks import seed as seed_
from onlineml.arguments.counted import count
from onlineml.arguments.similar import valid_names
from onlineml.errors import ConfigError
from onlineml.models.classifiers import build_classifier
from onlineml.models.modes import in_eval_mode
from onlineml.models.processes import dealt_parts
from onlineml.tasks.base import VisionModule
from onlineml.tasks.batches import check_batch, image_of
from onlineml.tasks.class_names import checked_names
from onlineml.tasks.mixing import Mix, mix_batch
from onlineml.tasks.own_network import known_network, placed, unknown_network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from onlineml.data.loading.datasets import ImageBatch
    from onlineml.storage.location import Options, Url
    from onlineml.tasks.optimization import Optimizer

__all__ = ["ClassifierModule"]

# Defaults measured on sign digits at 64 px (from scratch), and on those and rubbish at 128 px (EfficientNet-Lite0)
_LR = {("adamw", False): 2e-3, ("adamw", True): 4e-4, ("sgd", False): 0.1, ("sgd", True): 0.02}
_SUCCESSOR_LR = 1.5e-4  # of a model that knows the classes, with AdamW


class ClassifierModule(VisionModule):
    """A network with one logit per class and image; subclasses define the loss and the probabilities.

    The arguments are those of `onlineml.ImageClassifier`.

    Attributes:
        whole: whether images are stretched, or else cropped, to the input's shape, as the task's datamodule has it.
        least_classes: minimum number of classes.
        smoothing_from_scratch: default label smoothing for random weights.
    """

    whole: ClassVar[bool] = False
    least_classes: ClassVar[int]
    smoothing_from_scratch: ClassVar[float]

    class_weights: Tensor

    def __init__(
        self,
        *,
        class_names: Sequence[str],
        backbone: str | nn.Module = "auto",
        weights: Url | None = "auto",
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
        storage_options: Options = None,
    ) -> None:
        names = checked_names(class_names, least=self.least_classes)
        one_of("mix", mix, get_args(Mix))
        label_smoothing = share("label_smoothing", label_smoothing, optional=True)
        with torch.random.fork_rng(devices=[]):  # the same random weights, whatever the random state
            torch.manual_seed(seed_("seed", seed))
            place = placed(weights, storage_options)
            built = build_classifier(backbone, num_classes=len(names), weights=place)
        pretrained = built.origin.pretrained
        usual = self.usual_rates(optimizer, pretrained=pretrained)
        super().__init__(
            class_names=names,
            optimizer=optimizer,
            lr=usual[0] if lr is None else lr,
            weight_decay=usual[1] if weight_decay is None else weight_decay,
            lr_decay=(0.7 if pretrained else 1.0) if lr_decay is None else lr_decay,
            warmup_steps=(5 if pretrained else 20) if warmup_steps is None else warmup_steps,
            head_warmup=(0.1 if pretrained else 0.0) if head_warmup is None else head_warmup,
            frozen_share=0.0 if frozen_share is None else frozen_share,
            freeze_bn=pretrained if freeze_bn is None else freeze_bn,
            seed=seed,
        )
        self.gradient_clip = 5.0 if pretrained else None  # one odd batch must not undo what was learned before
        self.mix = mix
        smoothing = 0.0 if pretrained else self.smoothing_from_scratch
        self.label_smoothing = smoothing if label_smoothing is None else label_smoothing
        self.pretrained = pretrained
        self.may_freeze = pretrained and frozen_share is None
        self.network, self.origin = built.network, built.origin
        self.backbone_name, self.head_name = built.name, built.head
        self.set_normalization(mean=built.mean, std=built.std)
        self.weighs_by_data = class_weights is None  # where the task does
        self.register_buffer("class_weights", _class_weights(class_weights, names), persistent=False)
        self._seen: list[tuple[Tensor, Tensor]] = []
        self.begin_keeping()
        self.usual["label_smoothing"] = smoothing
        self.to(memory_format=torch.channels_last)  # 1.45x faster for depthwise networks on a CPU, never slower

    def run_config(self) -> dict[str, str]:
        """Return the module's configuration, for the record of a run."""
        return {"backbone": self.backbone_name or type(self.network).__name__}

    def descriptor(self) -> dict[str, Any]:
        """See `VisionModule.descriptor`."""
        return {"backbone": self.backbone_name, "architecture": type(self.network).__name__}

    def settings(self) -> dict[str, Any]:
        """See `VisionModule.settings`."""
        weights = None if self.weighs_by_data else self.class_weights.tolist()
        own = {"backbone": self.backbone_name, "label_smoothing": self.label_smoothing, "mix": self.mix}
        return super().settings() | own | {"class_weights": weights}

    @classmethod
    def from_descriptor(cls, descriptor: Mapping[str, Any], *, network: str | nn.Module | None, source: str) -> Self:
        """See `VisionModule.from_descriptor`."""
        called = str(descriptor["architecture"])
        backbone = known_network(str(descriptor["backbone"]), given=network, called=called, source=source)
        names, seed = descriptor["class_names"], descriptor["seed"]
        return cls(class_names=names, backbone=backbone, weights="random", seed=seed)

    def rebuild(
        self,
        class_names: Sequence[str],
        *,
        weights: Url | None = "random",
        seed: int = 0,
    ) -> Self:
        """See `VisionModule.rebuild`."""
        if not self.backbone_name:
            raise unknown_network(self.network)
        return type(self)(class_names=class_names, backbone=self.backbone_name, weights=weights, seed=seed)

    def around(self, network: nn.Module, class_names: Sequence[str], *, pretrained: bool, seed: int = 0) -> Self:
        """See `VisionModule.around`."""
        made = type(self)(
            class_names=class_names,
            backbone=network,
            lr=_SUCCESSOR_LR if pretrained else None,
            lr_decay=0.7 if pretrained else None,
            warmup_steps=5 if pretrained else None,
            head_warmup=0.1 if pretrained else None,
            freeze_bn=pretrained,
            label_smoothing=0.0 if pretrained else None,
            seed=seed,
        )
        made.backbone_name, made.head_name, made.may_freeze = self.backbone_name, self.head_name, pretrained
        return made.take_after(self, pretrained=pretrained)

    def usual_rates(self, optimizer: Optimizer, *, pretrained: bool) -> tuple[float, float]:
        """See `VisionModule.usual_rates`."""
        return _LR.get((optimizer, pretrained), 1e-3), 0.05 if optimizer == "adamw" else 5e-4

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
        """The last layer; the whole network if there is none of the usual kind."""
        return self.network.get_submodule(self.head_name)

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalize(image))
        return logits

    def try_out(self, image: Tensor) -> None:
        """See `VisionModule.try_out`."""
        found: Any = self(image)
        name, n = type(self.network).__name__, len(self.class_names)
        if not isinstance(found, torch.Tensor):
            raise ConfigError(
                f"the network {name} returned a {type(found).__name__}: expected a tensor of (B, {n}) logits; return "
                "the logits alone"
            )
        if found.shape != (len(image), n):
            raise ConfigError(
                f"the network {name} returned outputs of shape {tuple(found.shape)} for "
                f"{count(len(image), 'image')}: expected {(len(image), n)}, one for each of the {n} classes; build "
                f"it with num_classes={n}"
            )

    # ---- loss and probabilities ----

    def table_of(self, labels: Tensor) -> Tensor:
        """(B, C) float targets from labels in the format of batches."""
        raise NotImplementedError

    def shown_classes(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) indices of images and (M,) their classes, from labels in the format of batches."""
        raise NotImplementedError

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(B,) training loss of (B, C) logits; targets are labels in the format of batches, or `table_of` them."""
        raise NotImplementedError

    def head_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of (N, C) logits, weighted but not smoothed, for fitting the last layer alone."""
        raise NotImplementedError

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, C) probabilities of (N, C) logits."""
        raise NotImplementedError

    def metrics(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """The module's `metric_names` of N images."""
        raise NotImplementedError

    def choose(self, logits: Tensor, labels: Tensor) -> None:
        """Choose thresholds and the like on validation images."""

    # ---- training and validation ----

    def loss_of(self, batch: ImageBatch) -> Tensor:
        """(B,) training loss of each image, with the module's smoothing, mixing and weights."""
        image, targets = self.normalize(batch["image"]), batch["label"]
        if self.mix != "none":
            generator = np.random.default_rng([self.seed, self.global_step])
            image, targets = mix_batch(image, self.table_of(targets).to(image.dtype), how=self.mix, generator=generator)
        return self.losses(self.network(image), targets)

    def validate(self, batches: Iterable[ImageBatch]) -> dict[str, float]:
        """The `metrics` of all images of ``batches``, nan without images; see `choose`. Modes are kept."""
        seen: list[tuple[Tensor, Tensor]] = []
        with in_eval_mode(self):
            for batch in batches:
                logits = self(batch["image"].to(self.device, non_blocking=True))
                seen.append((logits.float().cpu(), batch["label"]))
        return self._metrics_of(seen, chooses=True)

    def _metrics_of(self, seen: list[tuple[Tensor, Tensor]], *, chooses: bool) -> dict[str, float]:
        if not sum(len(labels) for _, labels in seen):
            return dict.fromkeys(self.metric_names, math.nan)
        logits, labels = (torch.cat(parts) for parts in zip(*seen, strict=True))
        if chooses:
            self.choose(logits, labels)
        return self.metrics(logits, labels)

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        if batch_idx == 0:
            check_batch(self, batch)
            self._seen = []  # of a validation that was broken off
        if not len(batch["image"]):
            return
        with torch.autocast(self.device.type, enabled=False):  # as it will predict
            logits = self(batch["image"])
        self._seen.append((logits.float().cpu(), batch["label"].cpu()))

    test_step = validation_step

    def _log_seen(self, prefix: str) -> None:
        seen, self._seen = dealt_parts(self._seen), []
        found = self._metrics_of(seen, chooses=prefix == "val")
        self.log_scores(found, prefix)

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """(B, C) probabilities of the batch's images."""
        del batch_idx
        return self.probabilities(self(image_of(batch)))


def _class_weights(weights: Mapping[str, float] | Sequence[float] | None, names: tuple[str, ...]) -> Tensor:
    if weights is None:
        return torch.ones(len(names))
    if isinstance(weights, Mapping):
        unknown = sorted(map(str, weights.keys() - set(names)))
        if unknown:
            raise ConfigError(f"class_weights: {unknown[0]} is not among {valid_names(unknown[0], names)}")
        values = [weights[n] for n in names if n in weights]
    else:
        values = list(weights)
    if len(values) != len(names) or not all(v >= 0 for v in values):
        raise ConfigError(f"class_weights: expected one weight of at least 0 for each of {', '.join(names[:20])}")
    return torch.tensor(values, dtype=torch.float32)
