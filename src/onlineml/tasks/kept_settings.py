"""Settings of a training that its successors keep: those that were chosen, and differ from the usual ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.tasks.base import VisionModule
    from onlineml.tasks.optimization import Optimizer

__all__ = ["OWN_AUGMENTATION", "ImageSettings", "KeptSettings", "WithKeptSettings"]

_Chance = Annotated[float, Meta(ge=0, le=1)]
_Zoom = Annotated[float, Meta(gt=0, le=100)]
OWN_AUGMENTATION = "user's own"


class ImageSettings(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=False):
    """Settings of a datamodule, by the names of its arguments; ``augment="user's own"`` was a Compose."""

    augment: Literal["auto", "none", "light", "standard", "strong", "user's own"] = "auto"
    balance: bool = False
    batch_size: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    flips: Literal["auto", "horizontal", "all", "none"] = "auto"
    multi_scale: tuple[_Zoom, _Zoom] | None = None
    mosaic: _Chance = 0.0
    copy_paste: _Chance = 0.0
    tile_size: Annotated[int, Meta(ge=8, le=1_000_000)] | None = None

    @property
    def augment_again(self) -> str:
        """Augmentation of a successor: the user's own is code, and not stored."""
        return "auto" if self.augment == OWN_AUGMENTATION else self.augment


class KeptSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings of a module that were chosen; None for the usual ones. `lr_factor` is relative to the usual rate."""

    optimizer: Literal["adamw", "sgd"] | None = None
    lr_factor: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    weight_decay: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    label_smoothing: _Chance | None = None
    mix: Literal["none", "mixup", "cutmix"] | None = None
    class_weights: dict[str, Annotated[float, Meta(ge=0, le=1e9)]] | None = None
    images: ImageSettings = ImageSettings()

    def renamed(self, names: Mapping[str, str | None]) -> KeptSettings:
        """Return the settings under present names; the weight of merged classes is the mean."""
        if self.class_weights is None:
            return self
        weights: dict[str, list[float]] = {}
        for former, weight in self.class_weights.items():
            if (now := names.get(former, former)) is not None:
                weights.setdefault(now, []).append(weight)
        return msgspec.structs.replace(self, class_weights={name: sum(w) / len(w) for name, w in weights.items()})


class WithKeptSettings:
    """The part of `onlineml.tasks.base.VisionModule` for the settings that its successors keep.

    Attributes:
        kept: settings that were chosen for this module's ancestors or for itself, see `chosen_settings`.
        usual: values of `settings` that nobody chose.
    """

    kept: KeptSettings
    usual: dict[str, Any]

    def usual_rates(self, optimizer: Optimizer, *, pretrained: bool) -> tuple[float, float]:
        """Return the usual learning rate and weight decay of an optimizer."""
        raise NotImplementedError

    def begin_keeping(self) -> None:
        """Take the present settings for the usual ones, and those of `usual_rates` of the optimizer."""
        module = cast("VisionModule", self)
        lr, weight_decay = self.usual_rates(module.optimizer_name, pretrained=module.pretrained)
        self.kept = KeptSettings()
        self.usual = module.settings() | {"optimizer": "adamw", "lr": lr, "weight_decay": weight_decay, "mix": "none"}

    def chosen_settings(self) -> KeptSettings:
        """Return the settings that differ from the usual ones, and those kept from ancestors."""
        module = cast("VisionModule", self)
        now, usual = module.settings(), self.usual
        changed: dict[str, Any] = {
            name: now[name]
            for name in ("optimizer", "weight_decay", "label_smoothing", "mix")
            if name in now and now[name] != usual[name]
        }
        if now["lr"] != usual["lr"]:
            changed["lr_factor"] = now["lr"] / usual["lr"]
        if now.get("class_weights") is not None:
            changed["class_weights"] = dict(zip(module.class_names, now["class_weights"], strict=True))
        return msgspec.structs.replace(self.kept, **changed)

    def keep_images(self, images: ImageDataModule) -> None:
        """Note the settings of a datamodule, for the training of successors."""
        if hasattr(images, "settings"):
            self.kept = msgspec.structs.replace(self.kept, images=msgspec.convert(images.settings(), ImageSettings))

    def keep(self, kept: KeptSettings) -> None:
        """Train with the settings of another module, of which those that the task does not have are ignored.

        Args:
            kept: under the names of this module's classes; classes without a weight get the mean.
        """
        module = cast("VisionModule", self)
        self.kept = kept
        if kept.optimizer is not None and kept.optimizer != module.optimizer_name:
            module.optimizer_name = kept.optimizer
            module.lr, module.weight_decay = self.usual_rates(kept.optimizer, pretrained=module.pretrained)
        self.usual = self.usual | {"optimizer": module.optimizer_name, "lr": module.lr}
        module.lr *= 1.0 if kept.lr_factor is None else kept.lr_factor
        for name in ("weight_decay", "label_smoothing", "mix"):
            if (value := getattr(kept, name)) is not None and hasattr(self, name):
                setattr(self, name, value)
        weights: Any = getattr(self, "class_weights", None)
        if kept.class_weights and weights is not None:
            mean = sum(kept.class_weights.values()) / len(kept.class_weights)
            values = [kept.class_weights.get(name, mean) for name in module.class_names]
            weights.copy_(weights.new_tensor(values))
            self.weighs_by_data = False
