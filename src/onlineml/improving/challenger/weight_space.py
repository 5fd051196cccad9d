"""Interpolation of weights: between two fine-tunings, or trained and fresh weights. Arguments are not changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError, WeightsError
from onlineml.models.class_heads import copied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["interpolate", "shrink_and_perturb"]

Network = TypeVar("Network", bound=nn.Module)


def interpolate(state: Mapping[str, Tensor], other: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Interpolate the weights of two fine-tunings of one network (Wortsman et al., WiSE-FT, CVPR 2022).

    Recompute batch norms' statistics on training images before evaluating the result, unless both have the same.
    Integers (counters, indices) are those of the nearer network.

    Args:
        state: of the first network.
        other: of the second: the same names and shapes.
        share: of the second, in [0, 1]; 0 gives exactly the first and 1 exactly the second.

    Raises:
        WeightsError: names or shapes differ; the message lists them.
        ConfigError: `share` is outside [0, 1].
    """
    if not 0 <= share <= 1:
        msg = f"share={share}: expected the share of the second network, in [0, 1]"
        raise ConfigError(msg)
    apart = sorted(state.keys() ^ other.keys())
    apart += [key for key in state if key in other and state[key].shape != other[key].shape]
    if apart:
        msg = (
            f"the state dicts differ in {count(len(apart), 'tensor')}: {', '.join(apart[:6])}; expected "
            "two of one network"
        )
        raise WeightsError(msg)
    mixed: dict[str, Tensor] = {}
    for key, first in state.items():
        second = other[key].to(first.device)
        if first.is_floating_point() or first.is_complex():
            mixed[key] = torch.lerp(first, second.to(first.dtype), share)
        else:
            mixed[key] = (second if share >= 0.5 else first).clone()
    return mixed


def shrink_and_perturb(network: Network, fresh: nn.Module, *, shrink: float, perturb: float) -> Network:
    """Shrink and perturb a network, for a warm start that generalizes like training from scratch.

    Ash and Adams, On Warm-Starting Neural Network Training, NeurIPS 2020: every parameter is shrunk towards 0, and
    noise is added: a freshly initialised network's parameters, which have the right scale in each layer.

    Args:
        network: the trained network; buffers, such as batch norms' statistics, are kept.
        fresh: the same network with random weights.
        shrink: factor of the trained parameters, in [0, 1].
        perturb: factor of the fresh parameters, 0 or more.

    Returns:
        A new network.

    Raises:
        WeightsError: `fresh` has other parameters.
        ConfigError: a factor is outside its range.
    """
    if not 0 <= shrink <= 1 or not perturb >= 0:
        msg = f"shrink={shrink}, perturb={perturb}: expected shrink in [0, 1] and perturb >= 0"
        raise ConfigError(msg)
    noise = dict(fresh.named_parameters())
    made = copied(network)
    own = dict(made.named_parameters())
    apart = sorted(own.keys() ^ noise.keys()) + [k for k in own if k in noise and own[k].shape != noise[k].shape]
    if apart:
        msg = f"network and fresh differ in {count(len(apart), 'parameter')}: {', '.join(apart[:6])}; build them alike"
        raise WeightsError(msg)
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.mul_(shrink).add_(noise[name].to(parameter), alpha=perturb)
    return made
