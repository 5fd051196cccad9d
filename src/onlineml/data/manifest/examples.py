"""Examples of many values, for messages."""

from __future__ import annotations

from typing import Any

__all__ = ["examples"]

_SHOWN = 5  # examples of each problem; the count tells the rest


def examples(values: Any) -> str:
    """The first few of some values, as text."""
    values = list(values)
    more = f", and {len(values) - _SHOWN:,} more" if len(values) > _SHOWN else ""
    return ", ".join(repr(value) for value in values[:_SHOWN]) + more
