"""Exchange between processes that train one model together; without others, values are returned as they are.

Every process has to call these functions, in the same order.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["dealt_parts", "gathered", "mean_over_processes", "n_processes", "share_statistics"]

T = TypeVar("T")


def n_processes() -> int:
    """Number of processes that train together; 1 without `torch.distributed`."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def mean_over_processes(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of each element of a float tensor over the processes; no gradient passes."""
    n = n_processes()
    if n == 1:
        return value
    value = value.detach().clone()
    distributed.all_reduce(value)
    return value / n


def gathered(value: T) -> list[T]:
    """Return the value of each process, in the order of their ranks; they are pickled."""
    n = n_processes()
    if n == 1:
        return [value]
    found: list[T | None] = [None] * n
    distributed.all_gather_object(found, value)
    return found  # type: ignore[return-value]


def dealt_parts(parts: Sequence[T]) -> list[T]:
    """Return the parts of all processes, to which they were dealt out in turn, in their order as one process has them.

    Args:
        parts: those of this process; their number may differ by one between processes.
    """
    nothing = object()
    turns = zip_longest(*gathered(list(parts)), fillvalue=nothing)
    return [part for part in chain.from_iterable(turns) if part is not nothing]  # type: ignore[misc]


def share_statistics(module: nn.Module) -> None:
    """Give the batch norms of all processes the running statistics of the first process."""
    if n_processes() == 1:
        return
    norms = (m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))  # noqa: SLF001
    with torch.no_grad(), torch.inference_mode(mode=False):
        for norm in norms:
            for statistics in (norm.running_mean, norm.running_var):
                if statistics is not None:
                    distributed.broadcast(statistics, src=0)
