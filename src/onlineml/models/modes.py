"""Networks in evaluation mode for a while, afterwards with every part in the mode in which it was."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

__all__ = ["in_eval_mode"]


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """No dropout, no gradients; batch norms that were frozen stay frozen afterwards. Never around a ``yield``."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training
