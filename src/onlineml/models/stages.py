"""A classification network whose last layer also sees the stages before the last one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onlineml.models.modes import in_eval_mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

__all__ = ["WithStages", "pooled_stages", "stage_names"]

_SIDE = 64  # pixels of the image by which the stages are found
_LISTS = ("blocks", "features")  # the stages of timm's and of torchvision's networks


class WithStages(nn.Module):
    """A network with a head over its last features and the means and maxima of the three stages before its last one.

    The last features were learned to distinguish the classes of other photos, such as kinds of animals; shapes and
    textures in which classes of one's own differ are found in the stages before, and cost nothing more. See Evci et
    al., Head2Toe, ICML 2022. Of EfficientNet-Lite0's frozen features at 160 px, logistic regressions of 15 % of the
    labels come, on validation photos of sign digits and rubbish, from .83 and .80 to .89 and .85.

    Args:
        network: with linear layer `head`. Its stages are found in ``network.blocks`` or ``network.features``, a list of
            modules one after another; without them the head sees the last features alone.
        head: name of the network's last layer, which is dropped.

    Attributes:
        stages: names of the modules whose outputs are averaged.
        head: the new last layer, with random weights and as many outputs as the old one.

    Shape:
        (B, 3, H, W) -> (B, C); the head's input is (B, F + 2 * the channels of those stages).
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        last: Any = network.get_submodule(head)
        found = _stages(network, (_SIDE, _SIDE))
        network.set_submodule(head, nn.Identity())
        self.network = network
        self.stages = tuple(name for name, _ in found)
        self.head = nn.Linear(last.in_features + 2 * sum(channels for _, channels in found), last.out_features)

    def forward(self, image: Tensor) -> Tensor:
        with pooled_stages(self.network, self.stages) as pooled:
            last = self.network(image)
        logits: Tensor = self.head(torch.cat([last, *pooled], dim=1))
        return logits


@contextmanager
def pooled_stages(network: nn.Module, names: Sequence[str]) -> Iterator[list[Tensor]]:
    """Yield a list that grows by the means and maxima of each of the modules, (B, 2 C), in each pass of a network.

    Args:
        network: with the modules.
        names: of modules whose outputs are (B, C, H, W).
    """
    found: list[Tensor] = []

    def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        found.append(torch.cat([output.mean((2, 3)), output.amax((2, 3))], dim=1))

    hooks = [network.get_submodule(name).register_forward_hook(note) for name in names]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def stage_names(network: nn.Module, size_hw: tuple[int, int] = (_SIDE, _SIDE)) -> tuple[str, ...]:
    """Return the names of the modules at the end of the three stages before a network's last one; see `WithStages`.

    Args:
        network: takes (B, 3, H, W).
        size_hw: of the image by which the stages are found.
    """
    return tuple(name for name, _ in _stages(network, size_hw))


def _stages(network: nn.Module, size_hw: tuple[int, int]) -> list[tuple[str, int]]:
    """The last modules, and channels, of the three runs of equally many channels before the last run."""
    name = next((name for name in _LISTS if isinstance(getattr(network, name, None), nn.Sequential)), None)
    if name is None:
        return []
    outputs: list[tuple[str, int]] = []

    def look(own: str) -> Any:
        def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if output.ndim == 4:  # not the parts of a transformer
                outputs.append((own, output.shape[1]))

        return note

    device = next(network.parameters()).device
    parts = network.get_submodule(name).named_children()
    hooks = [part.register_forward_hook(look(f"{name}.{own}")) for own, part in parts]
    try:
        with in_eval_mode(network):
            network(torch.zeros(1, 3, *size_hw, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    following = [*(channels for _, channels in outputs[1:]), None]
    ends = [one for one, after in zip(outputs, following, strict=False) if one[1] != after]
    return ends[-4:-1]
