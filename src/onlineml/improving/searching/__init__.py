"""The search for good settings within a time budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.improving.searching.candidates import Candidate as Candidate
    from onlineml.improving.searching.candidates import draw_candidates as draw_candidates
    from onlineml.improving.searching.result import SearchResult as SearchResult
    from onlineml.improving.searching.trials import Trial as Trial

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Candidate": "candidates",
        "SearchResult": "result",
        "Trial": "trials",
        "draw_candidates": "candidates",
    },
)
