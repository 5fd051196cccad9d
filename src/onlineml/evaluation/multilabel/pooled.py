"""The scores of a multi-label classifier on all images, from those on parts of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.pooling import joined_arrays, mean_thresholds, pooled_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.multilabel.result import MultilabelScores

__all__ = ["pooled_multilabel"]


def pooled_multilabel(
    first: MultilabelScores, others: Sequence[MultilabelScores], /, *, n_bootstrap: int = 1000
) -> MultilabelScores:
    """Score the predictions for all images; see `BaseScores.pooled_with`."""
    from onlineml.evaluation.multilabel.score import multilabel_scores  # noqa: PLC0415 - it makes them

    parts = [first, *others]
    columns = pooled_columns(parts)
    return multilabel_scores(
        joined_arrays(parts, "probabilities"),
        joined_arrays(parts, "truth"),
        first.class_names,
        thresholds=mean_thresholds([part.thresholds for part in parts]),
        groups=columns.groups,
        image_ids=columns.image_ids,
        uris=columns.uris,
        slices=columns.slices,
        thumbnails=columns.thumbnails,
        n_bootstrap=n_bootstrap,
        seed=first.seed,
        manifest_hash=first.manifest_hash,
    )
