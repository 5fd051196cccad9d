"""Classification networks by name: built-in, from torchvision or timm, or custom."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.parameter import is_lazy

from onlineml.arguments.checks import instance, whole
from onlineml.arguments.similar import did_you_mean, similar
from onlineml.errors import ConfigError, MissingDependencyError, WeightsError
from onlineml.models.slim_resnet import SlimResNet
from onlineml.models.start.origin import OWN, RANDOM, Origin
from onlineml.models.start.published import from_package, published_of
from onlineml.models.start.sources import (
    best_start,
    candidates,
    is_published_name,
    obtained,
    published_weights,
    unavailable,
)
from onlineml.models.weights import load_into, read_state_dict
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from onlineml.storage.location import Url


__all__ = [
    "Classifier",
    "build_classifier",
    "check_finished",
    "import_factory",
    "is_unspecified",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB in 0..1 of ImageNet's training set; used by torchvision and most of timm
IMAGENET_STD = (0.229, 0.224, 0.225)
_TIMM = "timm:"


@dataclass(frozen=True)
class Classifier:
    """A network that maps (B, 3, H, W) normalised floats to (B, num_classes) logits.

    Attributes:
        network: the module.
        name: the name from which `build_classifier` rebuilds it; "" for a custom module.
        head: name of the last layer within ``network``; "" if it has no head of the usual kind.
        mean, std: normalisation of RGB in 0..1.
        origin: of the weights.
    """

    network: nn.Module
    name: str
    head: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    origin: Origin = RANDOM


def build_classifier(
    backbone: str | nn.Module,
    *,
    num_classes: int,
    weights: Url | None = "auto",
) -> Classifier:
    """Build a network with a randomly initialised head.

    Args:
        backbone: ``"auto"`` (see `onlineml.models.start`), any name of torchvision's classification networks,
            ``"timm:NAME"``, a custom module, or the import path ``"package.module:factory"`` of a function that takes
            ``num_classes`` and returns one.
        num_classes: length of the output, at least 1.
        weights: ``"auto"``: published weights from a cache, a mirror, a package or the network's hub, else random ones,
            which `Classifier.origin` tells; ``"random"`` or None; ``"DEFAULT"`` or another name of torchvision's or
            timm's published weights; or the path, URL or location of a file. The head is always random. A custom
            module keeps its own with ``"auto"`` and ``"random"``.

    Raises:
        ConfigError: the network does not exist, or ``num_classes`` is less than 1.
        WeightsError: the weights that were asked for cannot be obtained or do not fit.
        MissingDependencyError: timm is not installed.
    """
    num_classes = whole("num_classes", num_classes, least=1)
    instance("backbone", backbone, (str, nn.Module), "the name of a network, an nn.Module or 'package.module:factory'")
    if isinstance(backbone, str) and (":" not in backbone or backbone.startswith(_TIMM)):
        if str(weights) == "auto" and not _is_of_hub(backbone):
            return _automatic(backbone, num_classes)
        return _asked_for(backbone, num_classes, weights)
    if isinstance(backbone, nn.Module):
        built = Classifier(backbone, "", _head_of(backbone, num_classes), origin=OWN)
    else:
        network = import_factory(backbone, num_classes, argument="backbone")
        built = Classifier(network, backbone, _head_of(network, num_classes), origin=OWN)
    check_finished(built.network, argument="backbone")
    return built if is_unspecified(weights) else _loaded(built, weights)


def is_unspecified(weights: Url | None) -> bool:
    """Return whether no particular weights are asked for: None, ``"random"`` or ``"auto"``."""
    return weights is None or str(weights) in {"random", "auto"}


def _is_of_hub(name: str) -> bool:
    """Return whether a name of timm's is that of a model of a hub or a folder, such as ``timm:hf-hub:…``."""
    return bool(set(name.removeprefix(_TIMM)) & set(":/\\"))


def _automatic(name: str, num_classes: int) -> Classifier:
    """Build a network with the weights that can be had: from this machine, else from its hub, else at random."""
    start = best_start(candidates() if name == "auto" else [name])
    built = _random(start.name or ("slim_resnet18" if name == "auto" else name), num_classes)
    if start.of_package and start.file is not None:
        state = from_package(start.file, built.network.state_dict())
        load_into(built.network, state, head=built.head, source=str(start.file))
    elif start.file is not None:
        built = _filled(built, start.file, num_classes)
    return replace(built, origin=start.origin)


def _asked_for(name: str, num_classes: int, weights: Url | None) -> Classifier:
    """Build a network of a package with certain weights, or random ones."""
    if _is_of_hub(name):
        return _timm(name, num_classes, pretrained=weights is not None and str(weights) in {"auto", "DEFAULT"})
    named = weights is not None and is_published_name(weights)
    if name == "auto":
        name = "mobilenet_v3_large" if named else "slim_resnet18"
    built = _random(name, num_classes)
    if is_unspecified(weights):
        return built
    if not named or not name.startswith(_TIMM):
        return _loaded(built, weights)
    if str(weights) != "DEFAULT":
        raise WeightsError(
            f"weights='{weights}': name timm's weights in the backbone, 'timm:resnet18.a1_in1k', with weights='DEFAULT'"
        )
    published = published_of(name)
    if published is None:
        return _timm(name, num_classes, pretrained=True)  # from elsewhere than Hugging Face's hub, or an error
    return replace(_filled(built, obtained(name, published), num_classes), origin=published.origin)


def _random(name: str, num_classes: int) -> Classifier:
    return _timm(name, num_classes, pretrained=False) if name.startswith(_TIMM) else _named(name, num_classes)


def _filled(built: Classifier, file: Path, num_classes: int) -> Classifier:
    """Return the network with the weights of a published file."""
    if built.name.startswith(_TIMM):  # which renames tensors of older files
        return _timm(built.name, num_classes, pretrained=True, overlay={"file": str(file)})
    load_into(built.network, read_state_dict(str(file)), head=built.head, source=str(file))
    return built


def _loaded(built: Classifier, weights: Url | None) -> Classifier:
    """Load weights of torchvision's by their name, or those of a file."""
    assert weights is not None  # noqa: S101 - see is_unspecified
    if is_published_name(weights):
        state, origin = published_weights(built.name, str(weights))
    else:
        state, origin = read_state_dict(weights), Origin(storable(str(weights)))
    load_into(built.network, state, head=built.head, source=str(weights))
    return replace(built, origin=origin)


def check_finished(network: nn.Module, *, argument: str) -> None:
    """Refuse a network with lazy layers, whose weights have no shape before its first call.

    Args:
        network: the user's.
        argument: name of the argument, for the message.

    Raises:
        ConfigError: it has one.
    """
    tensors = chain(network.named_parameters(), network.named_buffers())
    lazy = next((name.rpartition(".")[0] for name, tensor in tensors if is_lazy(tensor)), None)
    if lazy is not None:
        raise ConfigError(
            f"{argument}: the layer {lazy!r} of {type(network).__name__} is lazy, its weights have no shape yet: call "
            "the network once before, as in network(torch.zeros(1, 3, 64, 64))"
        )


def _named(name: str, num_classes: int) -> Classifier:
    if name == "slim_resnet18":
        return Classifier(SlimResNet(num_classes), name, "head")
    from torchvision import models  # noqa: PLC0415

    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(
            f"backbone={name!r}: expected 'auto', 'slim_resnet18', a torchvision network ({', '.join(known)}), "
            f"'timm:NAME', an nn.Module or 'package.module:factory'{did_you_mean(name, ['slim_resnet18', *known])}"
        )
    options: dict[str, Any] = {}
    if name in {"googlenet", "inception_v3"}:
        # init_weights: a warning announces that its default will change. transform_input: their published weights,
        # ported from TensorFlow, expect a different normalisation from ImageNet's; this option converts it
        options = {"aux_logits": False, "init_weights": True, "transform_input": True}
    network = models.get_model(name, weights=None, num_classes=num_classes, **options)
    if name.startswith("squeezenet"):
        # its original classifier ends in a ReLU, which keeps logits above 0; pooling followed by a linear layer learns
        # better
        network.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(512, num_classes)
        )
    return Classifier(network, name, _head_of(network, num_classes))


def import_factory(path: str, num_classes: int, *, argument: str) -> nn.Module:
    """Call the user's ``package.module:factory`` with ``num_classes``.

    Args:
        path: import path of a function in an installed package.
        num_classes: passed to it.
        argument: name of the argument, for error messages.

    Raises:
        ConfigError: the function does not exist, or it returns no module.
    """
    module, _, attribute = path.partition(":")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:  # the last two: an empty or relative name
        raise ConfigError(
            f"{argument}={path!r}: {error}; expected 'package.module:factory' of an installed package"
        ) from error
    if not callable(factory):
        raise ConfigError(
            f"{argument}={path!r} is a {type(factory).__name__}; expected a function that returns a network"
        )
    network = factory(num_classes=num_classes)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{argument}={path!r} returned a {type(network).__name__}; expected a torch.nn.Module")
    return network


def _timm(backbone: str, num_classes: int, *, pretrained: bool, overlay: Mapping[str, str] | None = None) -> Classifier:
    try:
        import timm  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(f"backbone={backbone!r} needs timm: pip install timm") from error
    name = backbone.removeprefix(_TIMM)
    options: dict[str, Any] = {"pretrained_cfg_overlay": dict(overlay)} if overlay else {}
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **options)
    except RuntimeError as error:
        if "retrained" in str(error):  # no pretrained weights, or unknown tag
            raise WeightsError(
                f"backbone={backbone!r}: {error} timm has weights for, among others, "
                f"{_similar(name, timm.list_pretrained())}"
            ) from error
        if "Unknown model" not in str(error):
            raise
        similar = _similar(name, timm.list_models())
        raise ConfigError(f"backbone={backbone!r}: timm has no such network; similar: {similar}") from error
    except OSError as error:  # exceptions of huggingface_hub and requests are subclasses
        raise unavailable(backbone, f"{backbone} cannot be downloaded from its model hub ({error})") from error
    config = getattr(network, "pretrained_cfg", {}) or {}
    head = str(config.get("classifier") or "") if isinstance(config.get("classifier"), str) else ""
    mean, std = (tuple(config.get(k, d)) for k, d in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)))
    origin = Origin(backbone, str(config.get("license") or "")) if pretrained else RANDOM
    return Classifier(network, backbone, head or _head_of(network, num_classes), mean, std, origin)


def _similar(name: str, known: list[str]) -> str:
    return ", ".join(similar(name, known, n=10, cutoff=0.0))


def _head_of(network: nn.Module, num_classes: int) -> str:
    """Return the name of the last layer with ``num_classes`` outputs, "" if there is none."""
    found = ""
    for name, module in network.named_modules():
        outputs = getattr(module, "out_features", None) or getattr(module, "out_channels", None)
        if isinstance(module, (nn.Linear, nn.Conv2d)) and outputs == num_classes:
            found = name
    return found
