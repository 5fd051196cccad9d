"""Evaluation mode without gradients, restored afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["eval_mode"]


class _Module(Protocol):
    @property
    def training(self) -> bool: ...

    def train(self, mode: bool = ..., /) -> Any: ...


@contextmanager
def eval_mode(model: _Module) -> Iterator[None]:
    """No dropout, no gradients; do not use it around a ``yield``, whose receiver would have no gradients either."""
    training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)
