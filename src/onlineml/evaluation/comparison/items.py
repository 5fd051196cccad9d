"""Gallery of a comparison: the images that one of two models handles better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.detection.items import shown_boxes
from onlineml.evaluation.render.gallery import (
    GalleryItem,
    GalleryItems,
    facet_of,
)
from onlineml.evaluation.render.orders import DISAGREEMENT, order_of

if TYPE_CHECKING:
    from onlineml.evaluation.comparison.result import Comparison

__all__ = ["gallery_items"]


def gallery_items(comparison: Comparison) -> GalleryItems:
    """The images that one of the two handles better, the worst first."""
    changed = comparison.changed
    ids, uris = [one.image_id for one in changed], [one.uri for one in changed]

    def item(row: int) -> GalleryItem:
        one = changed[row]
        tone = "good" if one.change == "fixed" else "bad"
        if one.boxes_a is None or one.boxes_b is None:
            return GalleryItem(f"{one.change}: {one.prediction_b}", f"before: {one.prediction_a}; is {one.truth}", tone)
        drawn = (("first model", shown_boxes(one.boxes_a)), ("second model", shown_boxes(one.boxes_b)))
        return GalleryItem(f"{one.change}: {one.prediction_b}", f"before: {one.prediction_a}", tone, drawn[1][1], drawn)

    def facts(row: int) -> list[tuple[str, str]]:
        one = changed[row]
        told = (
            ("uri", one.uri),
            ("truth", one.truth),
            ("first model", one.prediction_a),
            ("second model", one.prediction_b),
        )
        return [(name, text) for name, text in told if text]

    apart = dict(zip(comparison.image_ids, np.abs(comparison.mistakes_b - comparison.mistakes_a).tolist(), strict=True))
    facets = [facet_of("change", [one.change for one in changed], order=("broken", "fixed"))]
    if not comparison.of_objects:
        facets.append(facet_of("truth", [one.truth for one in changed], order=comparison.class_names))
    return GalleryItems(
        title=f"{len(changed):,} of {comparison.n_images:,} images changed: {comparison.main} "
        f"{comparison.difference:+.3f}",
        ids=ids,
        urls=uris,
        versions=[""] * len(ids),
        items=lambda rows: [item(row) for row in rows],
        facts=facts,
        facets=tuple(facets),
        orders=(order_of(DISAGREEMENT, [apart[one.image_id] for one in changed]),),
    )
