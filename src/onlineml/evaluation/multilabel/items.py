"""Gallery of multi-label scores: each image with its labels, those that are missed and those that are false."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.multilabel.text import NO_LABEL, label_list
from onlineml.evaluation.render.gallery import (
    CONFUSION,
    MISSED,
    GalleryItem,
    GalleryItems,
    facet_of,
    facet_of_rows,
    pair_text,
    slice_facets,
    title_of,
)
from onlineml.evaluation.render.orders import DISAGREEMENT, Order

if TYPE_CHECKING:
    from onlineml.evaluation.multilabel.result import MultilabelScores
    from onlineml.evaluation.render.gallery import (
        Facet,
    )
    from onlineml.evaluation.types import Array

__all__ = ["gallery_items"]


def gallery_items(scores: MultilabelScores) -> GalleryItems:
    """The images with most wrong labels first."""
    n_wrong = (scores.truth != scores.predictions).sum(axis=1)
    order = np.argsort(-n_wrong, kind="stable")
    truth, given = scores.truth[order], scores.predictions[order]
    ids, uris = ([values[i] for i in order] for values in (scores.image_ids, scores.uris))
    right = (n_wrong[order] == 0).tolist()

    def listed(marked: Array) -> str:
        return label_list(scores.class_names[k] for k in np.flatnonzero(marked))

    def item(row: int) -> GalleryItem:
        said = listed(given[row])
        return GalleryItem(said, "", "good") if right[row] else GalleryItem(said, f"is {listed(truth[row])}", "bad")

    return GalleryItems(
        title=title_of(scores),
        ids=ids,
        urls=uris,
        versions=[""] * len(ids),
        items=lambda rows: [item(row) for row in rows],
        facts=lambda row: [("uri", uris[row]), ("truth", listed(truth[row])), ("prediction", listed(given[row]))],
        facets=(
            facet_of("outcome", ["right" if one else "wrong" for one in right], order=("wrong", "right")),
            _labels("truth", truth, scores.class_names),
            _labels("prediction", given, scores.class_names),
            _confusion(truth, given, scores),
            *slice_facets(scores, order),
        ),
        orders=(
            Order(DISAGREEMENT, n_wrong[order].astype(np.float64)),
            Order("number of labels", truth.sum(axis=1).astype(np.float64)),
        ),
    )


def _labels(name: str, marked: Array, class_names: tuple[str, ...]) -> Facet:
    """The labels of each image, or that it has none; of (N, K) bool."""
    with_empty = np.column_stack([marked, ~marked.any(axis=1)])
    rows, codes = np.nonzero(with_empty)
    names = (*class_names, NO_LABEL)
    return facet_of_rows(name, [names[k] for k in codes], rows, order=names)


def _confusion(truth: Array, given: Array, scores: MultilabelScores) -> Facet:
    """The cells of `MultilabelScores.confusion` in which each image is."""
    class_names = scores.class_names
    missed, false = truth & ~given, given & ~truth
    missed = np.column_stack([missed, ~missed.any(axis=1) & false.any(axis=1)])
    false = np.column_stack([false, ~false.any(axis=1) & missed.any(axis=1)])
    truths, said = (*class_names, scores.words.absent), (*class_names, MISSED)
    texts, rows = [], []
    for row, k in zip(*np.nonzero(truth & given), strict=True):
        texts.append(pair_text(class_names[k], class_names[k]))
        rows.append(row)
    for row in np.flatnonzero(missed.any(axis=1)):
        for i in np.flatnonzero(missed[row]):
            for j in np.flatnonzero(false[row]):
                texts.append(pair_text(truths[i], said[j]))
                rows.append(row)
    return facet_of_rows(CONFUSION, texts, rows)
