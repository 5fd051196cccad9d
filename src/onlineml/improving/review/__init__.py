"""The images that a person should check next, and the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.improving.review.box_errors import box_error_candidates as box_error_candidates
    from onlineml.improving.review.candidates import Candidates as Candidates
    from onlineml.improving.review.candidates import candidates_by_score as candidates_by_score
    from onlineml.improving.review.label_errors import label_error_candidates as label_error_candidates
    from onlineml.improving.review.ranking import rank as rank
    from onlineml.improving.review.result import ReviewItem as ReviewItem
    from onlineml.improving.review.result import ReviewQueue as ReviewQueue
    from onlineml.improving.review.result import Why as Why

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Candidates": "candidates",
        "ReviewItem": "result",
        "ReviewQueue": "result",
        "Why": "result",
        "box_error_candidates": "box_errors",
        "candidates_by_score": "candidates",
        "label_error_candidates": "label_errors",
        "rank": "ranking",
    },
)
