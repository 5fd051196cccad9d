"""Object detectors by name: built-in, from torchvision or transformers, or custom."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from onlineml.arguments.checks import instance, whole
from onlineml.arguments.similar import did_you_mean
from onlineml.errors import ConfigError, WeightsError
from onlineml.models.classifiers import (
    build_classifier,
    check_finished,
    import_factory,
    is_unspecified,
)
from onlineml.models.compact_detector import CompactDetector
from onlineml.models.detector import Detector
from onlineml.models.feature_maps import STRIDES, FeatureMaps
from onlineml.models.list_detector import ListDetector
from onlineml.models.start.hub import ENVIRONMENT
from onlineml.models.start.origin import OWN, RANDOM, Origin
from onlineml.models.start.sources import best_start, is_published_name, published_weights
from onlineml.models.weights import load_same_shapes, read_state_dict
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.storage.location import Url


__all__ = ["BuiltDetector", "build_detector", "takes_backbone"]

_OWN = ("auto", "compact")


@dataclass(frozen=True)
class BuiltDetector:
    """A detector, and the arguments from which it was built.

    Attributes:
        network: the module.
        architecture, backbone: the names from which `build_detector` rebuilds it; architecture is "" for a custom
            module.
        mean, std: normalisation of RGB in 0..1 that it expects.
        config: the configuration from which transformers rebuilds the network; None for all others.
        reinitialized: names of the tensors that are random although weights were given, because their number of classes
            differs, or the weights are only the backbone's.
        origin: of the weights.
    """

    network: Detector
    architecture: str
    backbone: str = ""
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    config: Mapping[str, Any] | None = None
    reinitialized: tuple[str, ...] = ()
    origin: Origin = RANDOM


def build_detector(
    architecture: str | nn.Module,
    *,
    num_classes: int,
    backbone: str | nn.Module = "auto",
    weights: Url | None = "auto",
    config: Mapping[str, Any] | None = None,
) -> BuiltDetector:
    """Build a detector with a randomly initialised head.

    Args:
        architecture: ``"auto"`` or ``"compact"`` (`CompactDetector`), a name of torchvision's detectors,
            ``"transformers:NAME"`` (a model type such as ``"rt_detr_v2"`` or ``"d_fine"``, or the name or folder of a
            model on Hugging Face's hub), a custom module that derives from `onlineml.models.detector.Detector` or has
            torchvision's interface, or the import path ``"package.module:factory"`` of a function that takes
            ``num_classes`` (including the background) and returns a module with torchvision's interface.
        num_classes: number of object classes, at least 1.
        backbone: backbone of the compact detector, as in `onlineml.models.classifiers.build_classifier`.
        weights: ``"auto"``, ``"random"`` or None, as in `onlineml.models.classifiers.build_classifier`; a published
            name (``"DEFAULT"``, ``"COCO_V1"`` of torchvision's detectors, ``"IMAGENET1K_V1"`` of a backbone); or the
            path or URL of a file, of the whole detector or of its backbone.
        config: configuration of a transformers model to be rebuilt.

    Raises:
        ConfigError: the network does not exist, or ``num_classes`` is less than 1.
        WeightsError: the weights that were asked for cannot be obtained or do not fit.
        MissingDependencyError: timm or transformers is not installed.
    """
    num_classes = whole("num_classes", num_classes, least=1)
    expected = "the name of a detector, an nn.Module or 'package.module:factory'"
    instance("architecture", architecture, (str, nn.Module), expected)
    if isinstance(architecture, str):
        if takes_backbone(architecture):
            return _compact(backbone, num_classes, weights)
        if architecture.startswith("transformers:"):
            return _transformers(architecture, num_classes, weights, config)
        if ":" not in architecture:
            return _torchvision(architecture, num_classes, weights)
        network, name = import_factory(architecture, num_classes + 1, argument="architecture"), architecture
    else:
        check_finished(architecture, argument="architecture")
        if isinstance(architecture, Detector):
            return _with_file(BuiltDetector(architecture, "", origin=OWN), weights)
        network, name = architecture, ""
    return _with_file(BuiltDetector(ListDetector(network), name, origin=OWN), weights)


def takes_backbone(architecture: str) -> bool:
    """Return whether a detector of this name has a selectable backbone, which is then needed to rebuild it."""
    return architecture in _OWN


def _with_file(built: BuiltDetector, weights: Url | None, *, argument: str = "architecture") -> BuiltDetector:
    """Load the weights of a file, if one is named."""
    if weights is None or is_unspecified(weights):
        return built
    network: nn.Module = built.network
    if isinstance(network, ListDetector):
        network = network.network
    fresh = load_same_shapes(network, read_state_dict(weights), source=str(weights), argument=argument)
    return replace(built, reinitialized=fresh, origin=Origin(storable(str(weights))))


def _transformers(
    architecture: str, num_classes: int, weights: Url | None, config: Mapping[str, Any] | None
) -> BuiltDetector:
    from onlineml.models.transformers_detector import build_transformers, is_model_type  # noqa: PLC0415

    name = architecture.removeprefix("transformers:")
    published = config is None and not is_model_type(name)
    origin = RANDOM if is_unspecified(weights) else Origin(storable(name), f"see the page of {name} on its hub")
    asked = None if is_unspecified(weights) else str(weights)
    if weights is not None and str(weights) == "auto" and published and os.environ.get(ENVIRONMENT) != "random":
        asked, origin = "DEFAULT", Origin(storable(name), f"see the page of {name} on its hub")
    found = build_transformers(architecture, num_classes=num_classes, weights=asked, config=config)
    return BuiltDetector(
        found.network,
        architecture,
        mean=found.mean,
        std=found.std,
        config=found.config,
        reinitialized=found.reinitialized,
        origin=origin,
    )


def _compact(backbone: str | nn.Module, num_classes: int, weights: Url | None) -> BuiltDetector:
    if weights is None or is_unspecified(weights) or is_published_name(weights):
        return _on_backbone(backbone, num_classes, weights)
    state = read_state_dict(weights)
    if not any(key.endswith("to_logits.weight") for key in state):
        return _on_backbone(backbone, num_classes, weights)
    return _with_file(_on_backbone(backbone, num_classes, "random"), weights, argument="backbone")


def _on_backbone(backbone: str | nn.Module, num_classes: int, weights: Url | None) -> BuiltDetector:
    below = build_classifier(backbone, num_classes=2, weights=weights)
    maps = FeatureMaps(below.network)
    network = CompactDetector(maps, channels=maps.channels, strides=STRIDES, num_classes=num_classes)
    built = BuiltDetector(network, "compact", below.name, below.mean, below.std, origin=below.origin)
    if not below.origin.pretrained:
        return built
    return replace(built, reinitialized=tuple(key for key in network.state_dict() if not key.startswith("backbone.")))


def _torchvision(name: str, num_classes: int, weights: Url | None) -> BuiltDetector:
    from torchvision import models  # noqa: PLC0415

    known = models.list_models(module=models.detection)
    if name not in known:
        raise ConfigError(
            f"architecture={name!r}: expected 'auto', 'compact', a torchvision detector ({', '.join(known)}), "
            f"'transformers:NAME', an nn.Module or 'package.module:factory'{did_you_mean(name, ['compact', *known])}"
        )
    network = models.get_model(name, weights=None, weights_backbone=None, num_classes=num_classes + 1)
    built = BuiltDetector(ListDetector(network), name)
    if weights is not None and str(weights) == "auto":
        start = best_start([name])
        built = replace(built, origin=start.origin)
        state = None if start.file is None else read_state_dict(str(start.file))
    elif weights is None or not is_published_name(weights):
        return _with_file(built, weights)
    elif str(weights).startswith("IMAGENET"):
        raise WeightsError(
            f"weights='{weights}': {name} accepts weights of whole detectors ('DEFAULT', 'COCO_V1'); to start from a "
            "backbone's, download its file and pass the path, or use architecture='compact' with backbone="
        )
    else:
        state, origin = published_weights(name, str(weights))
        built = replace(built, origin=origin)
    if state is None:
        return built
    return replace(built, reinitialized=load_same_shapes(network, state, source=built.origin.source))
