"""Checking the names of a model's classes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["checked_names"]


def checked_names(class_names: Sequence[str], *, least: int) -> tuple[str, ...]:
    """Class names as a tuple.

    Raises:
        ConfigError: fewer than ``least``, or empty or repeated ones.
    """
    names = tuple(class_names)
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if isinstance(class_names, str) or len(names) < least or twice or not all(isinstance(n, str) and n for n in names):
        problem = f"{twice[:5]} stand twice" if twice else repr(class_names)[:100]
        number = {1: "one", 2: "two"}[least]
        raise ConfigError(f"class_names: expected at least {number} different, non-empty names; found {problem}")
    return names
