"""Results of models by image: predictions, scores with their confusion matrix, the comparison of two models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import ConfigError
from onlineml.evaluation.base import BaseScores
from onlineml.evaluation.comparison.result import Comparison
from onlineml.evaluation.render.gallery import CONFUSION, MISSED, HasGallery, pair_text
from onlineml.evaluation.render.html import Table, notebook_cell
from onlineml.evaluation.render.plots import OTHERS, picked_confusion
from onlineml.widgets._mending import Mending
from onlineml.widgets.gallery import GalleryView

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.render.gallery import GalleryItems
    from onlineml.project.project import Project
    from onlineml.storage.location import Options

__all__ = ["Results"]

_MOST_CLASSES = 20  # of the matrix; more are illegible


class Results(GalleryView):
    """The results of one or two models, by image.

    For predictions: each image with its class and score, or its boxes. For scores: wrong images first, and the
    confusion matrix, whose cells filter the images. For a comparison: fixed and broken images.

    Args:
        answers: the result of `onlineml.predict`, `onlineml.evaluate` or `onlineml.compare`.
        data: the evaluated manifest, with the URLs of its images; not needed for predictions.
        project: of the images, to relabel them, leave them out or open them in the editor; None to look only.
        author: of these changes; by default the user of the hub or the machine.
        where: initial filters, such as ``{"outcome": "wrong"}``.
        page_size: images per page.
        thumbnail_px: the longer side of a thumbnail.
        storage_options: of the filesystem, without a manifest.

    Raises:
        ConfigError: ``answers`` cannot be shown, or a filter or value does not exist.
        DataError: a detector's scores were saved without detections.
    """

    def __init__(
        self,
        answers: Any,
        data: Manifest | None = None,
        *,
        project: Project | None = None,
        author: str | None = None,
        where: Mapping[str, str] | None = None,
        page_size: int = 48,
        thumbnail_px: int = 160,
        storage_options: Options = None,
    ) -> None:
        self._answers = answers
        super().__init__(
            lambda: _items(answers, data, storage_options=storage_options),
            where=where,
            page_size=page_size,
            thumbnail_px=thumbnail_px,
            mending=None if project is None else Mending(project, author),
        )

    def _extra(self) -> dict[str, Any]:
        return {"matrix": _matrix(self._answers, self.gallery.facet(CONFUSION).values)} if self._has_matrix else {}

    @property
    def _has_matrix(self) -> bool:
        return isinstance(self._answers, BaseScores) and len(self.gallery) > 0

    def static_html(self) -> str:
        """Return the matrix or the summary, and the first images."""
        head = self._answers._repr_html_() if isinstance(self._answers, Comparison) else ""
        if self._has_matrix:
            matrix = _matrix(self._answers, self.gallery.facet(CONFUSION).values)
            rows = [
                [name, *(f"{cell['n']:,}" if cell["n"] else "·" for cell in cells)]
                for name, cells in zip(matrix["rows"], matrix["cells"], strict=True)
            ]
            head = notebook_cell(columns=[[Table(["truth ↓ predicted →", *matrix["columns"]], rows)]])
        return f"{head}{super().static_html()}"


def _items(answers: Any, data: Manifest | None, *, storage_options: Options) -> GalleryItems:
    """Return the gallery of results; images are read from the evaluated manifest, else by their uris.

    Raises:
        ConfigError: ``answers`` cannot be shown.
    """
    if not isinstance(answers, HasGallery):
        raise ConfigError(
            f"expected the result of onlineml.predict, evaluate or compare; found a {type(answers).__name__}"
        )
    gallery = answers.gallery()
    if data is None:
        return replace(gallery, storage_options=storage_options)
    places = zip(data.urls(), data.versions(), strict=True)
    known = dict(zip(data.table["image_id"].to_pylist(), places, strict=True))
    found = [known.get(one, (url, "")) for one, url in zip(gallery.ids, gallery.urls, strict=True)]
    return replace(
        gallery,
        urls=[url for url, _ in found],
        versions=[version for _, version in found],
        storage_options=data.storage_options,
    )


def _matrix(scores: Any, pairs: tuple[str, ...]) -> dict[str, Any]:
    """The confusion matrix for the front end; with many classes, only the most confused ones."""
    _, names, n_picked = picked_confusion(scores, max_classes=_MOST_CLASSES)
    kept = [name for name in names if name != OTHERS or not n_picked]
    places = [scores.class_names.index(name) for name in kept]
    beyond = [len(scores.class_names)] if len(scores.confusion) > len(scores.class_names) else []
    counts = scores.confusion[np.ix_([*places, *beyond], [*places, *beyond])]
    shares = counts / np.maximum(scores.confusion[[*places, *beyond]].sum(axis=1, keepdims=True), 1)
    rows, columns = [*kept, *(scores.words.absent for _ in beyond)], [*kept, *(MISSED for _ in beyond)]
    known = set(pairs)
    cells = [
        [
            {
                "n": int(counts[i, j]),
                "share": float(shares[i, j]),
                "value": text if (text := pair_text(truth, predicted)) in known else None,
                "right": truth == predicted,
            }
            for j, predicted in enumerate(columns)
        ]
        for i, truth in enumerate(rows)
    ]
    note = f"the {n_picked} most confused of {len(scores.class_names):,} classes" if n_picked else ""
    return {"facet": CONFUSION, "rows": rows, "columns": columns, "cells": cells, "note": note}
