"""Examples of many values, for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["examples"]

_SHOWN = 5  # examples of each problem; the count tells the rest


def examples(values: Any, *, shown: int = _SHOWN, text: Callable[[Any], str] = repr) -> str:
    """The first few of some values, as text, and the number of the others."""
    values = list(values)
    more = f", and {len(values) - shown:,} more" if len(values) > shown else ""
    return ", ".join(map(text, values[:shown])) + more
