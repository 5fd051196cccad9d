"""The names nearest to a misspelt one."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["did_you_mean", "similar", "valid_names"]

_LISTED = 20  # names; more are counted


def similar(name: object, known: Collection[str], *, n: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names that are spelt like ``name``, the most similar first; upper and lower case are the same.

    Args:
        name: as the user wrote it.
        known: all valid names.
        n: maximum number.
        cutoff: minimum similarity, 0..1.
    """
    folded = {one.casefold(): one for one in known}
    return [folded[one] for one in get_close_matches(str(name).casefold(), folded, n=n, cutoff=cutoff)]


def did_you_mean(name: object, known: Collection[str]) -> str:
    """A question in brackets, such as ``" (did you mean 'train'?)"``; empty if no name is near.

    Args:
        name: as the user wrote it.
        known: all valid names.
    """
    near = similar(name, known)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def valid_names(name: object, known: Collection[str]) -> str:
    """The first twenty valid names, and those that are nearest to ``name``, for messages about an unknown name."""
    listed = ", ".join(list(known)[:_LISTED]) or "none yet"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return listed + more + did_you_mean(name, known)
