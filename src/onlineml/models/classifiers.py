"""Classification networks by name: built-in, from torchvision or timm, or custom."""

from __future__ import annotations

import importlib
import pickle
from dataclasses import dataclass
from http.client import HTTPException
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from onlineml.arguments.checks import instance, whole
from onlineml.arguments.similar import did_you_mean, similar
from onlineml.errors import ConfigError, MissingDependencyError, WeightsError
from onlineml.models.slim_resnet import SlimResNet
from onlineml.models.weights import load_into, read_state_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from onlineml.storage.location import Url


__all__ = [
    "Classifier",
    "build_classifier",
    "check_finished",
    "import_factory",
    "is_published_name",
    "published_weights",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB in 0..1 of ImageNet's training set; used by torchvision and most of timm
IMAGENET_STD = (0.229, 0.224, 0.225)
_NAMED_WEIGHTS = ("DEFAULT", "IMAGENET1K_", "COCO_V", "COCO_WITH_")


@dataclass(frozen=True)
class Classifier:
    """A network that maps (B, 3, H, W) normalised floats to (B, num_classes) logits.

    Attributes:
        network: the module.
        name: the name from which `build_classifier` rebuilds it; "" for a custom module.
        head: name of the last layer within ``network``; "" if it has no head of the usual kind.
        mean, std: normalisation of RGB in 0..1.
    """

    network: nn.Module
    name: str
    head: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def build_classifier(
    backbone: str | nn.Module,
    *,
    num_classes: int,
    weights: Url | None = None,
) -> Classifier:
    """Build a network with a randomly initialised head.

    Args:
        backbone: ``"auto"`` (the built-in slim ResNet, or torchvision's mobilenet_v3_large if ``weights`` is a name),
            any name of torchvision's classification networks, ``"timm:NAME"``, a custom module, or the import path
            ``"package.module:factory"`` of a function that takes ``num_classes`` and returns one.
        num_classes: length of the output, at least 1.
        weights: None (random), ``"DEFAULT"`` or another name of torchvision's or timm's published weights (downloaded
            once into torch's hub cache), or the path, URL or location of a file. The head is always initialised
            randomly.

    Raises:
        ConfigError: the network does not exist, or ``num_classes`` is less than 1.
        WeightsError: the weights cannot be obtained or do not fit; they are never replaced by random ones.
        MissingDependencyError: timm is not installed.
    """
    num_classes = whole("num_classes", num_classes, least=1)
    instance("backbone", backbone, (str, nn.Module), "the name of a network, an nn.Module or 'package.module:factory'")
    if isinstance(backbone, nn.Module):
        built = Classifier(backbone, "", _head_of(backbone, num_classes))
    elif backbone.startswith("timm:"):
        return _timm(backbone, num_classes, weights)
    elif ":" in backbone:
        network = import_factory(backbone, num_classes, argument="backbone")
        built = Classifier(network, backbone, _head_of(network, num_classes))
    else:
        name = backbone
        if name == "auto":
            name = "mobilenet_v3_large" if weights is not None and is_published_name(weights) else "slim_resnet18"
        built = _named(name, num_classes)
    check_finished(built.network, argument="backbone")
    if weights is not None:
        state = published_weights(built.name, str(weights)) if is_published_name(weights) else read_state_dict(weights)
        load_into(built.network, state, head=built.head, source=str(weights))
    return built


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


def is_published_name(weights: Url) -> bool:
    """Return whether ``weights`` is the name of weights published by a package, rather than a file."""
    return str(weights).startswith(_NAMED_WEIGHTS)


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


def _timm(backbone: str, num_classes: int, weights: Url | None) -> Classifier:
    try:
        import timm  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(f"backbone={backbone!r} needs timm: pip install timm") from error
    name = backbone.removeprefix("timm:")
    named = weights is not None and is_published_name(weights)
    if named and str(weights) != "DEFAULT":
        raise WeightsError(
            f"weights='{weights}': name timm's weights in the backbone, 'timm:resnet18.a1_in1k', with weights='DEFAULT'"
        )
    try:
        network = timm.create_model(name, pretrained=named, num_classes=num_classes)
    except RuntimeError as error:
        if "retrained" in str(error):  # no pretrained weights, or unknown tag
            raise WeightsError(
                f"backbone={backbone!r}, weights='{weights}': {error} timm has weights for, among others, "
                f"{_similar(name, timm.list_pretrained())}"
            ) from error
        if "Unknown model" not in str(error):
            raise
        similar = _similar(name, timm.list_models())
        raise ConfigError(f"backbone={backbone!r}: timm has no such network; similar: {similar}") from error
    except OSError as error:  # exceptions of huggingface_hub and requests are subclasses
        raise _unavailable(backbone, "its model hub", error) from error
    config = getattr(network, "pretrained_cfg", {}) or {}
    head = str(config.get("classifier") or "") if isinstance(config.get("classifier"), str) else ""
    if weights is not None and not named:
        load_into(network, read_state_dict(weights), head=head, source=str(weights))
    mean, std = (tuple(config.get(k, d)) for k, d in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)))
    return Classifier(network, backbone, head or _head_of(network, num_classes), mean, std)


def _similar(name: str, known: list[str]) -> str:
    return ", ".join(similar(name, known, n=10, cutoff=0.0))


def published_weights(name: str, weights: str) -> dict[str, torch.Tensor]:
    """Return torchvision's published weights of one of its networks, downloaded once into torch's hub cache.

    Args:
        name: name of a classification or detection network.
        weights: such as ``"DEFAULT"``.

    Raises:
        WeightsError: there are no weights of this name, or they cannot be obtained.
    """
    from torchvision import models  # noqa: PLC0415

    if name not in models.list_models():
        raise WeightsError(
            f"weights={weights!r}: no weights are published for {name!r}; pass the path or URL of a file"
        )
    choices = models.get_model_weights(name)
    try:
        chosen = choices[weights]
    except KeyError:
        names = ", ".join(w.name for w in choices)
        raise WeightsError(f"weights={weights!r}: {name} has 'DEFAULT' and {names}") from None
    try:
        state: dict[str, torch.Tensor] = chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, HTTPException, OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        # RuntimeError: the file's hash is wrong; the last two: the file in the cache is damaged
        raise _unavailable(name, str(chosen.url), error) from error
    return state


def _unavailable(name: str, url: str, error: Exception) -> WeightsError:
    folder = torch.hub.get_dir()
    return WeightsError(
        f"the weights of {name} cannot be downloaded from {url} ({error}); without access to it, download the "
        f"file elsewhere and pass weights='path or URL of the file' (or put it in {folder}/checkpoints), "
        "or pass weights=None to start from random weights"
    )


def _head_of(network: nn.Module, num_classes: int) -> str:
    """Return the name of the last layer with ``num_classes`` outputs, "" if there is none."""
    found = ""
    for name, module in network.named_modules():
        outputs = getattr(module, "out_features", None) or getattr(module, "out_channels", None)
        if isinstance(module, (nn.Linear, nn.Conv2d)) and outputs == num_classes:
            found = name
    return found
