"""The scores of a classifier on all images, from those on parts of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.pooling import joined_arrays, pooled_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.classification.result import ClassificationScores

__all__ = ["pooled_classification"]


def pooled_classification(
    first: ClassificationScores, others: Sequence[ClassificationScores], /, *, n_bootstrap: int = 1000
) -> ClassificationScores:
    """Score the predictions for all images; see `BaseScores.pooled_with`."""
    from onlineml.evaluation.classification.score import classification_scores  # noqa: PLC0415 - it makes them

    parts = [first, *others]
    columns = pooled_columns(parts)
    return classification_scores(
        joined_arrays(parts, "probabilities"),
        joined_arrays(parts, "labels"),
        first.class_names,
        groups=columns.groups,
        image_ids=columns.image_ids,
        uris=columns.uris,
        slices=columns.slices,
        thumbnails=columns.thumbnails,
        top_k=tuple(first.top_k),
        n_bootstrap=n_bootstrap,
        seed=first.seed,
        manifest_hash=first.manifest_hash,
    )
