"""Rendering of multi-label scores in a notebook cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.classification.html import (
    data_uri,
    esc,
    notebook_gallery,
    notebook_table,
    notebook_thumbnail,
)
from onlineml.evaluation.multilabel import text as words
from onlineml.evaluation.render import text as say

if TYPE_CHECKING:
    from onlineml.evaluation.multilabel.result import MultilabelScores

__all__ = ["summary_html"]

_N_CLASSES = 8
_N_IMAGES = 8


def summary_html(scores: MultilabelScores) -> str:
    """Render for a notebook cell: expected results, scores, worst classes, images of highest cross-entropy.

    All styles are inline and none sets a text colour, so that it is readable in light and dark notebooks.
    """
    head = (
        f'<div style="font-size:2em;font-weight:700">{say.decimal(scores.map)} '
        f'<span style="font-size:.5em;font-weight:400">mAP (95&nbsp;%: {say.interval(scores.interval("map"))}) on '
        f"{esc(say.subject(scores))}</span></div><div>{esc(words.expectation(scores))}</div>"
        f"<div>{esc(words.subset_sentence(scores))}</div>"
    )
    rows = [
        (say.label(name), say.decimal(scores.score(name)), say.interval(scores.interval(name)))
        for name in words.shown_scores(scores)[1:]
    ]
    per = scores.per_class
    lowest = [
        (esc(say.shorten(per.names[i], 40)), *(say.decimal(v[i]) for v in (per.f1, per.precision, per.recall, per.ap)),
         f"{per.support[i]:,}")
        for i in per.worst_first() if per.support[i]
    ][:_N_CLASSES]  # fmt: skip
    tables = notebook_table(("score", "value", "95 % interval"), rows)
    if lowest:
        tables += notebook_table(("lowest classes", "F1", "precision", "recall", "AP", "images"), lowest)
    layout = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:2em;margin-top:.8em"
    body = f'<div style="{layout}">{tables}</div>{_images(scores)}'
    return f'<div style="font-family:system-ui,sans-serif">{head}{body}</div>'


def _images(scores: MultilabelScores) -> str:
    cells = ""
    for image in [image for image in scores.worst if image.image_id in scores.thumbnails][:_N_IMAGES]:
        source = data_uri(scores.thumbnails[image.image_id], side=110, max_bytes=6_000)
        if source:
            cells += notebook_thumbnail(source, image.uri, esc(say.shorten(words.caption(image), 60)))
    title = f"{say.count(scores.n_wrong, 'image')} with wrong labels, the most surprising first"
    return notebook_gallery(title, cells)
