"""Gallery of a detector's scores: each image with its hits, false boxes and missed objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.evaluation.detection.gallery import caption
from onlineml.evaluation.detection.inspection import Inspection
from onlineml.evaluation.detection.text import box_words
from onlineml.evaluation.render.gallery import (
    CONFUSION,
    MISSED,
    GalleryItem,
    GalleryItems,
    ShownBox,
    facet_of_rows,
    pair_text,
    slice_facets,
    title_of,
)
from onlineml.evaluation.render.orders import DISAGREEMENT, SCORE, Order
from onlineml.evaluation.render.style import ALARM, CALM, WARM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.evaluation.detection.tables import SeenBox, WorstImage
    from onlineml.evaluation.types import Ints

__all__ = ["gallery_items", "shown_boxes"]

_KINDS = {"hit": CALM, "missed": WARM}  # as reports draw them; anything else is a false box


def gallery_items(scores: DetectionScores) -> GalleryItems:
    """The images with most mistakes first."""
    inspection = Inspection(scores)
    order = np.array(inspection.worst_first(), dtype=np.int64)
    place_of = np.empty(len(order), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    ids, uris = ([values[i] for i in order] for values in (scores.image_ids, scores.uris))
    cells = inspection.cells
    rows = place_of[cells.image]
    names = scores.class_names
    pairs = [
        pair_text(a, b)
        for a, b in zip(
            _named(names, cells.truth, scores.words.absent), _named(names, cells.predicted, MISSED), strict=True
        )
    ]
    kinds = [
        "right" if a == b else "wrong" for a, b in zip(cells.truth.tolist(), cells.predicted.tolist(), strict=True)
    ]
    return GalleryItems(
        title=title_of(scores),
        ids=ids,
        urls=uris,
        versions=[""] * len(ids),
        items=lambda wanted: [_item(inspection.image(int(order[row]))) for row in wanted],
        facts=lambda row: [("uri", uris[row]), *_facts(inspection.image(int(order[row])))],
        facets=(
            facet_of_rows("boxes", kinds, rows, order=("wrong", "right")),
            facet_of_rows(CONFUSION, pairs, rows),
            *slice_facets(scores, order),
        ),
        orders=_orders(scores, inspection, order),
    )


def _orders(scores: DetectionScores, inspection: Inspection, order: Ints) -> tuple[Order, ...]:
    """The surest box of each image, its number of mistakes, and of annotated objects."""
    found, truth = scores.found, scores.truth
    assert found is not None  # noqa: S101 - the inspection has refused scores without
    assert truth is not None  # noqa: S101
    best = np.full(scores.n_images, -np.inf)
    np.maximum.at(best, found.image_index, found.scores)
    best[np.isinf(best)] = np.nan
    mistakes = inspection.mistakes()
    n_boxes = np.diff(truth.offsets).astype(np.float64)
    return (
        Order(SCORE, best[order]),
        Order(DISAGREEMENT, mistakes[order].astype(np.float64)),
        Order("number of boxes", n_boxes[order]),
    )


def _named(names: Sequence[str], ids: Ints, beyond: str) -> list[str]:
    return [names[i] if i < len(names) else beyond for i in ids.tolist()]


def _item(image: WorstImage) -> GalleryItem:
    wrong = image.n_missed + image.n_false
    n = len(image.boxes)
    title = caption(image).partition(";")[0] if wrong else "all right" if n else "no objects"
    return GalleryItem(title, count(image.n_objects, "object"), "bad" if wrong else "good", shown_boxes(image))


def shown_boxes(image: WorstImage) -> tuple[ShownBox, ...]:
    """The boxes of an image, as a gallery draws them."""
    return tuple(
        ShownBox(box.box_xyxy, _text(box), _KINDS.get(box.kind, ALARM), dashed=box.kind == "missed")
        for box in image.boxes
    )


def _text(box: SeenBox) -> str:
    return box.label if np.isnan(box.score) else f"{box.label} {box.score:.2f}"


def _facts(image: WorstImage) -> list[tuple[str, str]]:
    return [(f"box {number}", box_words(box)) for number, box in enumerate(image.boxes, 1)]
