"""Average precision under many weightings of the groups: each class is ranked once, and a weighting is a product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.evaluation.metrics import ratio

if TYPE_CHECKING:
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["Ranking", "count_table", "rank"]


def count_table(rows: Ints, groups: Ints, *, n_rows: int, n_groups: int) -> Any:
    """Count pairs: a sparse (R, G) float64 matrix from (n,) rows and groups, most of which do not occur together."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - a tenth of a second, needed for multi-label scores only

    return csr_array((np.ones(len(rows)), (rows, groups)), shape=(n_rows, n_groups))


@dataclass(frozen=True, eq=False)
class Ranking:
    """One class's images by score, divided at the T distinct scores of its own images, the highest first.

    Attributes:
        own: (T, G) sparse counts of the images of the class with each of these scores, by group.
        everyone: (T, G) sparse counts of all images from each of these scores up to the next higher one.
    """

    own: Any
    everyone: Any

    @property
    def work(self) -> int:
        """Number of products of one resample."""
        return int(self.everyone.nnz + self.own.nnz + 4 * self.own.shape[0])

    def average_precision(self, weights: Floats) -> Floats:
        """Return average precision under (G, b) weights of the groups: (b,) float64, nan without positive images."""
        own = self.own @ weights
        if not len(own):
            return np.full(weights.shape[1], np.nan)
        through = np.cumsum(self.everyone @ weights, axis=0)
        hits = np.cumsum(own, axis=0)
        found = hits[-1].copy()
        np.divide(hits, through, out=hits, where=through > 0)  # precision; 0 if nothing is drawn yet
        return ratio(np.einsum("tb,tb->b", own, hits), found)


def rank(scores: Floats, positive: Array, groups: Ints, *, n_groups: int) -> Ranking:
    """Rank the images of one class.

    Tied scores are not separated, as in scikit-learn's ``average_precision_score``: the mean, over the images of the
    class, of the precision among all images that score at least as high.

    Args:
        scores: (n,) scores of the class.
        positive: (n,) bool, shows the class.
        groups: (n,) int64 in [0, G).
        n_groups: G.
    """
    levels = np.unique(scores[positive])
    # T for scores below the lowest, which are dropped
    place = len(levels) - np.searchsorted(levels, scores, side="right")
    counted = place < len(levels)
    own, everyone = (
        count_table(place[rows], groups[rows], n_rows=len(levels), n_groups=n_groups) for rows in (positive, counted)
    )
    return Ranking(own, everyone)
