"""Gallery of a classifier's scores: each image with its class, truth and confusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.render.gallery import (
    CONFUSION,
    GalleryItem,
    GalleryItems,
    facet_of,
    pair_text,
    slice_facets,
    title_of,
)
from onlineml.evaluation.render.orders import DISAGREEMENT, SCORE, Order

if TYPE_CHECKING:
    from onlineml.evaluation.classification.result import ClassificationScores

__all__ = ["gallery_items"]


def gallery_items(scores: ClassificationScores) -> GalleryItems:
    """The wrong images first, the surest of them first."""
    wrong = scores.labels != scores.predictions
    order = np.lexsort((-scores.confidences, ~wrong))
    names = scores.class_names
    ids, uris = ([values[i] for i in order] for values in (scores.image_ids, scores.uris))
    truths = [names[i] for i in scores.labels[order]]
    said = [names[i] for i in scores.predictions[order]]
    sure, right = scores.confidences[order].tolist(), (~wrong[order]).tolist()

    def item(row: int) -> GalleryItem:
        tone = "good" if right[row] else "bad"
        return GalleryItem(f"{said[row]} {sure[row]:.2f}", "" if right[row] else f"is {truths[row]}", tone)

    return GalleryItems(
        title=title_of(scores),
        ids=ids,
        urls=uris,
        versions=[""] * len(ids),
        items=lambda rows: [item(row) for row in rows],
        facts=lambda row: [("uri", uris[row]), ("truth", truths[row]), ("prediction", f"{said[row]} {sure[row]:.3f}")],
        facets=(
            facet_of("outcome", ["right" if one else "wrong" for one in right], order=("wrong", "right")),
            facet_of("truth", truths, order=names),
            facet_of("prediction", said, order=names),
            facet_of(CONFUSION, [pair_text(a, b) for a, b in zip(truths, said, strict=True)]),
            *slice_facets(scores, order),
        ),
        orders=(
            Order(SCORE, np.asarray(scores.confidences[order], np.float64)),
            Order(DISAGREEMENT, np.where(wrong, scores.confidences, np.nan)[order]),
        ),
    )
