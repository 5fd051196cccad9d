"""Models under the names that classes have now: a class that was renamed, merged or taken back since they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["current_names", "distinct", "remap_probabilities"]


def current_names(
    class_names: Sequence[str], lineage: Mapping[str, str], *, known: Collection[str]
) -> list[str | None]:
    """Return the present name of each class; None for one that does not exist any more.

    Args:
        class_names: as a model was trained on them.
        lineage: the present names of classes, see `onlineml.data.annotations.Annotations`.
        known: the existing classes.
    """
    present = set(known)
    now = (lineage.get(name, name) for name in class_names)
    return [name if name in present else None for name in now]


def distinct(names: Sequence[str | None]) -> tuple[str, ...]:
    """The classes that there are, each once, in their order."""
    return tuple(dict.fromkeys(name for name in names if name is not None))


def remap_probabilities(probabilities: NDArray[Any], names: Sequence[str | None]) -> NDArray[Any]:
    """Probabilities of the classes that there are now, in the order of `distinct`: those of merged classes add up.

    Args:
        probabilities: (N, C).
        names: C, see `current_names`.

    Returns:
        (N, K), rows summing to 1.
    """
    kept = distinct(names)
    if list(kept) == list(names):
        return probabilities
    place = {name: i for i, name in enumerate(kept)}
    table = np.zeros((len(probabilities), len(kept)), probabilities.dtype)
    for column, name in enumerate(names):
        if name is not None:
            table[:, place[name]] += probabilities[:, column]
    sums = table.sum(axis=1, keepdims=True)
    uniform = np.full_like(table, 1 / max(len(kept), 1))
    return np.asarray(np.divide(table, sums, out=uniform, where=sums > 0))
