"""Candidate images of a pool for one reason, and pools of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError, DataError
from onlineml.improving.review.result import RANDOM, Why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.evaluation.types import Array
    from onlineml.improving.review.duplicates import Chosen

__all__ = ["CandidatePool", "Candidates", "candidates_by_score"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Images of the pool for one reason, in order of priority.

    Attributes:
        reason: such as ``"label error"``, ``"uncertain"``, ``"disagreement"``, ``"rare class"``, ``"conflict"``.
        whys: (k) image of the pool, score and details; an image may occur several times.
        share: its part of the queue, relative to the shares of others.
        urgent: whether all of it comes before candidates that are not urgent.

    Raises:
        ConfigError: the reason is empty or ``"random"``, or the share is not above 0.
    """

    reason: str
    whys: tuple[Why, ...]
    share: float = 1.0
    urgent: bool = False

    def __post_init__(self) -> None:
        if not self.reason or self.reason == RANDOM:
            msg = f"reason={self.reason!r}: expected a name; {RANDOM!r} is reserved"
            raise ConfigError(msg)
        if not (self.share > 0 and math.isfinite(self.share)):
            msg = f"share={self.share} of {self.reason!r}: expected a number above 0, such as 1.0"
            raise ConfigError(msg)


def candidates_by_score(
    reason: str,
    scores: Array,
    *,
    share: float = 1.0,
    urgent: bool = False,
    above: float = 0.0,
    suggestions: Sequence[str] = (),
    confidences: Array | None = None,
) -> Candidates:
    """Images by falling score, such as `onlineml.improving.review.uncertainty.entropy`.

    Args:
        reason: as in `Candidates`.
        scores: (N,) of all images of the pool; nan excludes an image.
        share: as in `Candidates`.
        urgent: as in `Candidates`.
        above: images with this score or less are excluded.
        suggestions: N predicted classes; none by default.
        confidences: (N,) probabilities of the suggestions, in [0, 1]; None: unknown.

    Raises:
        DataError: not (N,), or another number of suggestions.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        msg = f"scores for {reason!r} has shape {values.shape}; expected (N,): one number per image of the pool"
        raise DataError(msg)
    if suggestions and len(suggestions) != len(values):
        msg = (
            f"{count(len(suggestions), 'suggestion')} for {count(len(values), 'image')} of the pool; "
            "expected one per image"
        )
        raise DataError(msg)
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    kept = order[values[order] > above].tolist()
    whys = tuple(
        Why(
            reason,
            i,
            float(values[i]),
            suggestion=suggestions[i] if suggestions else "",
            confidence=math.nan if confidences is None else float(confidences[i]),
        )
        for i in kept
    )
    return Candidates(reason, whys, share, urgent)


class CandidatePool(NamedTuple):
    """The predictions of models for a pool of images.

    Attributes:
        rows: (N,) int64 of the manifest: the usable images.
        candidates: rankings of the pool.
        chosen: detects near-duplicates; None if unknown.
        drawn: (k,) images of the pool that random ones are drawn from; None for all.
        remark: a sentence for people; empty if there is nothing to say.
    """

    rows: NDArray[np.int64]
    candidates: tuple[Candidates, ...]
    chosen: Chosen | None
    drawn: NDArray[np.int64] | None = None
    remark: str = ""
