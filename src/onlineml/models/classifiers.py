"""Classification networks by name: our own, torchvision's, timm's, or the user's."""

from __future__ import annotations

import importlib
import pickle
from dataclasses import dataclass
from difflib import get_close_matches
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import torch
from torch import nn

from onlineml.errors import ConfigError, MissingDependencyError, WeightsError
from onlineml.models.slim_resnet import SlimResNet
from onlineml.models.weights import load_into, read_state_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Classifier", "build_classifier", "import_factory", "is_published_name", "published_weights"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB in 0..1, of ImageNet's training set; torchvision's and most of timm's
IMAGENET_STD = (0.229, 0.224, 0.225)
_NAMED_WEIGHTS = ("DEFAULT", "IMAGENET1K_", "COCO_V", "COCO_WITH_")


@dataclass(frozen=True)
class Classifier:
    """A network that maps (B, 3, H, W) normalised floats to (B, num_classes) logits.

    Attributes:
        network: the module.
        name: what `build_classifier` rebuilds it by; "" for a module of the user's.
        head: name of the last layer within ``network``, "" where there is none of the usual kind.
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
    weights: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Classifier:
    """Build a network with a fresh head.

    Args:
        backbone: ``"auto"`` (our slim ResNet, or torchvision's mobilenet_v3_large where ``weights`` is a name), any
            name of torchvision's classification networks, ``"timm:NAME"``, a module of yours, or the import path
            ``"package.module:factory"`` of a function that takes ``num_classes`` and returns one.
        num_classes: length of the output, at least 2.
        weights: None (random), ``"DEFAULT"`` or another name of torchvision's or timm's published weights (fetched
            once into torch's hub cache), or the path or URL of a file. The head always starts fresh.
        storage_options: opens the URL of ``weights``.

    Raises:
        ConfigError: no such network, or ``num_classes`` is below 2.
        WeightsError: the weights cannot be had or do not fit; never replaced by random ones.
        MissingDependencyError: timm is not installed.
    """
    if num_classes < 2:
        raise ConfigError(f"num_classes={num_classes}: expected at least 2")
    if isinstance(backbone, nn.Module):
        built = Classifier(backbone, "", _head_of(backbone, num_classes))
    elif backbone.startswith("timm:"):
        return _timm(backbone, num_classes, weights, storage_options)
    elif ":" in backbone:
        network = import_factory(backbone, num_classes, argument="backbone")
        built = Classifier(network, backbone, _head_of(network, num_classes))
    else:
        name = backbone
        if name == "auto":
            name = "mobilenet_v3_large" if weights is not None and is_published_name(weights) else "slim_resnet18"
        built = _named(name, num_classes)
    if weights is not None:
        state = (
            published_weights(built.name, weights)
            if is_published_name(weights)
            else read_state_dict(weights, storage_options=storage_options)
        )
        load_into(built.network, state, head=built.head, source=weights)
    return built


def is_published_name(weights: str) -> bool:
    """Whether ``weights`` names weights that a package publishes, rather than a file."""
    return weights.startswith(_NAMED_WEIGHTS)


def _named(name: str, num_classes: int) -> Classifier:
    if name == "slim_resnet18":
        return Classifier(SlimResNet(num_classes), name, "head")
    from torchvision import models  # noqa: PLC0415

    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(
            f"backbone={name!r}: expected 'auto', 'slim_resnet18', a torchvision network ({', '.join(known)}), "
            "'timm:NAME', an nn.Module or 'package.module:factory'"
        )
    options: dict[str, Any] = {}
    if name in {"googlenet", "inception_v3"}:
        # init_weights: their default warns that it will change. transform_input: their published weights, ported from
        # TensorFlow, expect another normalisation than ImageNet's; this makes it of that
        options = {"aux_logits": False, "init_weights": True, "transform_input": True}
    network = models.get_model(name, weights=None, num_classes=num_classes, **options)
    if name.startswith("squeezenet"):
        # its own classifier ends in a ReLU, which holds logits above 0; average, then a linear layer, learns better
        network.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(512, num_classes)
        )
    return Classifier(network, name, _head_of(network, num_classes))


def import_factory(path: str, num_classes: int, *, argument: str) -> nn.Module:
    """What the user's ``package.module:factory`` makes of ``num_classes``.

    Args:
        path: of a function in a package that is installed here.
        num_classes: passed to it.
        argument: named in errors.

    Raises:
        ConfigError: there is no such function, or it returns no module.
    """
    module, _, attribute = path.partition(":")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:  # the last two: no name, or a relative one
        raise ConfigError(
            f"{argument}={path!r}: {error}; expected 'package.module:factory' of a package installed here"
        ) from error
    if not callable(factory):
        raise ConfigError(
            f"{argument}={path!r} is a {type(factory).__name__}; expected a function that returns a network"
        )
    network = factory(num_classes=num_classes)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{argument}={path!r} returned a {type(network).__name__}; expected a torch.nn.Module")
    return network


def _timm(
    backbone: str, num_classes: int, weights: str | None, storage_options: Mapping[str, Any] | None
) -> Classifier:
    try:
        import timm  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(f"backbone={backbone!r} needs timm: pip install 'onlineml[timm]'") from error
    name = backbone.removeprefix("timm:")
    named = weights is not None and is_published_name(weights)
    if named and weights != "DEFAULT":
        raise WeightsError(
            f"weights={weights!r}: timm's are named in the backbone, as 'timm:resnet18.a1_in1k', with weights='DEFAULT'"
        )
    try:
        network = timm.create_model(name, pretrained=named, num_classes=num_classes)
    except RuntimeError as error:
        if "retrained" in str(error):  # no pretrained weights, or no such tag
            raise WeightsError(
                f"backbone={backbone!r}, weights={weights!r}: {error} timm has weights for, among others, "
                f"{_similar(name, timm.list_pretrained())}"
            ) from error
        if "Unknown model" not in str(error):
            raise
        similar = _similar(name, timm.list_models())
        raise ConfigError(f"backbone={backbone!r}: timm has no such network; similar: {similar}") from error
    except OSError as error:  # huggingface_hub's and requests' errors are of this kind
        raise _unavailable(backbone, "its model hub", error) from error
    config = getattr(network, "pretrained_cfg", {}) or {}
    head = str(config.get("classifier") or "") if isinstance(config.get("classifier"), str) else ""
    if weights is not None and not named:
        load_into(network, read_state_dict(weights, storage_options=storage_options), head=head, source=weights)
    mean, std = (tuple(config.get(k, d)) for k, d in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)))
    return Classifier(network, backbone, head or _head_of(network, num_classes), mean, std)


def _similar(name: str, known: list[str]) -> str:
    return ", ".join(get_close_matches(name, known, n=10, cutoff=0.0))


def published_weights(name: str, weights: str) -> dict[str, torch.Tensor]:
    """Torchvision's published weights of one of its networks, fetched once into torch's hub cache.

    Args:
        name: of a classification or detection network.
        weights: such as ``"DEFAULT"``.

    Raises:
        WeightsError: there are none of this name, or they cannot be had.
    """
    from torchvision import models  # noqa: PLC0415

    if name not in models.list_models():
        raise WeightsError(f"weights={weights!r}: none are published for {name!r}; pass the path or URL of a file")
    choices = models.get_model_weights(name)
    try:
        chosen = choices[weights]
    except KeyError:
        names = ", ".join(w.name for w in choices)
        raise WeightsError(f"weights={weights!r}: {name} has {names}, 'DEFAULT' among them") from None
    try:
        state: dict[str, torch.Tensor] = chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, HTTPException, OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        # RuntimeError: the file's hash is wrong; the last two: what lies in the cache is damaged
        raise _unavailable(name, str(chosen.url), error) from error
    return state


def _unavailable(name: str, url: str, error: Exception) -> WeightsError:
    folder = torch.hub.get_dir()
    return WeightsError(
        f"the weights of {name} cannot be fetched from {url} ({error}); on a machine without that network, fetch the "
        f"file elsewhere and pass weights='path or URL of the file' (or put it in {folder}/checkpoints), "
        "or pass weights=None to start from random weights on purpose"
    )


def _head_of(network: nn.Module, num_classes: int) -> str:
    """Name of the last layer that gives ``num_classes`` outputs, "" if there is none."""
    found = ""
    for name, module in network.named_modules():
        outputs = getattr(module, "out_features", None) or getattr(module, "out_channels", None)
        if isinstance(module, (nn.Linear, nn.Conv2d)) and outputs == num_classes:
            found = name
    return found
