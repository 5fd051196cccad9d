"""The module that takes a champion's place, before it is trained: other classes, other or the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import ConfigError
from onlineml.improving.challenger.rename import current_names, resize_head
from onlineml.improving.challenger.weight_space import shrink_and_perturb
from onlineml.tasks.classification import ImageClassifier
from onlineml.tasks.detection import ObjectDetector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from onlineml.tasks.base import VisionModule

__all__ = ["from_champion", "from_scratch", "shrink_perturb"]

_SHRINK, _PERTURB = (
    0.4,
    0.1,
)  # of the trained and of the fresh weights; see `onlineml.improving.challenger.weight_space`


def from_champion(
    champion: VisionModule, class_names: Sequence[str], *, lineage: Mapping[str, str], seed: int = 0
) -> Any:
    """A module of the champion's network, grown to other classes, that learns as one that starts from weights.

    Its batch norms keep the champion's statistics, so that weights between the two (WiSE-FT) need no others.

    Args:
        champion: left as it is.
        class_names: the wanted ones, in their order.
        lineage: what classes of the champion are called now.
        seed: of dropout and mixing.

    Raises:
        ConfigError: the classes are others, and the network has no last layer whose rows are classes.
    """
    names = current_names(champion.class_names, lineage, known=class_names)
    return _like(champion, resize_head(champion, names, class_names), class_names, pretrained=True, seed=seed)


def shrink_perturb(
    champion: VisionModule, class_names: Sequence[str], *, lineage: Mapping[str, str], seed: int = 0
) -> Any:
    """As `from_champion`, with the weights shrunk and perturbed: it forgets what it learned by heart, and little else.

    Raises:
        ConfigError: as `from_champion` and `from_scratch`.
    """
    names = current_names(champion.class_names, lineage, known=class_names)
    fresh = from_scratch(champion, class_names, seed=seed)
    network = shrink_and_perturb(
        resize_head(champion, names, class_names), fresh.network, shrink=_SHRINK, perturb=_PERTURB
    )
    return _like(champion, network, class_names, pretrained=False, seed=seed)


def from_scratch(
    champion: VisionModule,
    class_names: Sequence[str],
    *,
    weights: str | None = None,
    seed: int = 0,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """A fresh module of the champion's architecture.

    Args:
        champion: tells the architecture.
        class_names: the wanted ones.
        weights: None starts at random; else as `onlineml.model_for`.
        seed: of the fresh weights.
        storage_options: opens the URL of ``weights``.

    Raises:
        ConfigError: the network is a module of the user's, whose factory nobody knows.
    """
    shared: dict[str, Any] = {
        "class_names": class_names,
        "weights": weights,
        "seed": seed,
        "storage_options": storage_options,
    }
    if isinstance(champion, ImageClassifier):
        if not champion.backbone_name:
            raise _unknown(champion)
        return ImageClassifier(backbone=champion.backbone_name, **shared)
    assert isinstance(champion, ObjectDetector)  # noqa: S101 - there are two tasks
    compact = champion.architecture == "compact"
    if not champion.architecture or (compact and not champion.backbone_name):
        raise _unknown(champion)
    backbone = champion.backbone_name if compact else "auto"
    return ObjectDetector(architecture=champion.architecture, backbone=backbone, config=champion.config, **shared)


def _unknown(champion: VisionModule) -> ConfigError:
    return ConfigError(
        f"the champion's network is a {type(champion.network).__name__} of its author's, which cannot be built anew: "
        "pass backbone= as an import path, 'package.module:factory'"
    )


def _like(
    champion: VisionModule, network: nn.Module, class_names: Sequence[str], *, pretrained: bool, seed: int
) -> Any:
    """A module around a network that is there, with what else the champion's says of it."""
    made: Any
    if isinstance(champion, ImageClassifier):
        options: dict[str, Any] = {"lr": 1.5e-4, "lr_decay": 0.7, "warmup_steps": 5, "freeze_bn": True}
        options |= {"head_warmup": 0.1, "label_smoothing": 0.0}
        made = ImageClassifier(class_names=class_names, backbone=network, seed=seed, **options if pretrained else {})
        made.backbone_name, made.head_name, made.may_freeze = champion.backbone_name, champion.head_name, pretrained
    else:
        assert isinstance(champion, ObjectDetector)  # noqa: S101 - there are two tasks
        options = {"lr": 5e-4, "lr_decay": 0.7, "warmup_steps": 20, "freeze_bn": True} if pretrained else {}
        scale = champion.start_scale
        made = ObjectDetector(class_names=class_names, architecture=network, start_scale=scale, seed=seed, **options)
        made.architecture, made.backbone_name = champion.architecture, champion.backbone_name
        made.config = champion.config
    made.set_normalization(mean=champion.mean, std=champion.std)
    made.size_hw, made.pretrained = champion.size_hw, pretrained
    made.to(memory_format=torch.channels_last)
    return made.train()
