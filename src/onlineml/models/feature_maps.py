"""Classification network as a detector's backbone, which returns feature maps at strides 8, 16 and 32."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["STRIDES", "FeatureMaps"]

STRIDES = (8, 16, 32)
_PROBE_HW = (128, 160)  # size of the image by which the maps are found; not square, to distinguish height from width


class FeatureMaps(nn.Module):
    """Part of a classification network that computes the last map of each of `STRIDES`; later layers are dropped.

    Args:
        network: a convolutional network, from any package, whose maps halve in size and that `torch.fx` can trace.

    Attributes:
        channels: number of channels of each map.

    Shape:
        (B, 3, H, W), H and W multiples of 32 -> a list of (B, C, H / stride, W / stride), from fine to coarse.

    Raises:
        ConfigError: the network has no such maps, or cannot be traced.
    """

    channels: tuple[int, ...]

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        from torchvision.models.feature_extraction import create_feature_extractor  # noqa: PLC0415

        found = _last_maps(network)
        missing = [stride for stride in STRIDES if stride not in found]
        if missing:
            raise ConfigError(
                f"{type(network).__name__} has no feature maps of stride {missing}: expected a convolutional network "
                "with maps of an eighth, a sixteenth and a thirty-second of the image, such as 'resnet18'"
            )
        try:
            with warnings.catch_warnings():  # torchvision warns that training and evaluation differ in dropout
                warnings.simplefilter("ignore", UserWarning)
                nodes = {name: str(stride) for stride, (name, _) in found.items()}
                self.body: Any = create_feature_extractor(network, nodes, tracer_kwargs=_tracer_options(network))
        except Exception as error:  # torch.fx raises any exception that the network's code raises for proxies
            raise ConfigError(
                f"{type(network).__name__} cannot be traced for its feature maps ({error}): use another backbone, or "
                "pass a whole detector as architecture="
            ) from error
        self.channels = tuple(found[stride][1] for stride in STRIDES)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = self.body(image)
        return [maps[str(stride)] for stride in STRIDES]


def _tracer_options(network: nn.Module) -> dict[str, Any]:
    """Return the parts of timm that must not be traced, as declared by timm."""
    if not type(network).__module__.startswith("timm."):
        return {}
    from timm import models  # noqa: PLC0415

    told: Any = models
    return {"leaf_modules": told.get_notrace_modules(), "autowrap_functions": told.get_notrace_functions()}


def _last_maps(network: nn.Module) -> dict[int, tuple[str, int]]:
    """Return, by stride, the name of the last module with a map of that stride, and its number of channels."""
    found: dict[int, tuple[str, int]] = {}
    stride_of = {(_PROBE_HW[0] // stride, _PROBE_HW[1] // stride): stride for stride in STRIDES}

    def look(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4:
                stride = stride_of.get((output.shape[2], output.shape[3]))
                if stride is not None:
                    found[stride] = (name, output.shape[1])

        return hook

    # outer modules end after the modules within them, so a whole stage is preferred to its last layer
    hooks = [module.register_forward_hook(look(name)) for name, module in network.named_modules() if name]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, *_PROBE_HW))
    except Exception as error:  # any exception of the network's code for an unsupported size
        raise ConfigError(
            f"{type(network).__name__} cannot process images of {_PROBE_HW[0]} x {_PROBE_HW[1]} pixels ({error}): as a "
            "backbone, expected a convolutional network for images of any size, such as 'resnet18'"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return found
