"""Models under the present class names, after classes were renamed, merged or removed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["current_names", "distinct", "remap_probabilities", "remap_thresholds"]


def current_names(
    class_names: Sequence[str], lineage: Mapping[str, str], *, known: Collection[str]
) -> list[str | None]:
    """Return the present name of each class; None for one that does not exist any more.

    Args:
        class_names: of a model.
        lineage: present names by former name, see `onlineml.data.annotations.Annotations`.
        known: the existing classes.
    """
    present = set(known)
    now = (lineage.get(name, name) for name in class_names)
    return [name if name in present else None for name in now]


def distinct(names: Sequence[str | None]) -> tuple[str, ...]:
    """The existing classes, each once, in order."""
    return tuple(dict.fromkeys(name for name in names if name is not None))


def remap_probabilities(probabilities: NDArray[Any], names: Sequence[str | None]) -> NDArray[Any]:
    """Probabilities of the existing classes, in the order of `distinct`; those of merged classes add up.

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


def remap_thresholds(model: Any, names: Sequence[str | None]) -> dict[str, float] | None:
    """The model's thresholds by present name, of merged classes the lowest that was chosen; None where it has none.

    Args:
        model: has ``class_names`` and ``thresholds``.
        names: what its classes are called now, see `current_names`.
    """
    if model.thresholds is None:
        return None
    found: dict[str, float] = {}
    for was, now in zip(model.class_names, names, strict=True):
        score = model.thresholds.get(was, math.nan)
        if now is not None and not (now in found and math.isnan(score)):
            found[now] = score if now not in found or math.isnan(found[now]) else min(found[now], score)
    return found
