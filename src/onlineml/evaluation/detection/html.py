"""Rendering of a detector's scores in a notebook cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.classification.html import data_uri, esc, notebook_table
from onlineml.evaluation.detection import text as words
from onlineml.evaluation.detection.gallery import boxes_svg, caption
from onlineml.evaluation.render import text as say

if TYPE_CHECKING:
    from onlineml.evaluation.detection.result import DetectionScores

__all__ = ["summary_html"]

_N_IMAGES = 6
_SIDE = 200


def summary_html(scores: DetectionScores) -> str:
    """Render for a notebook cell: expected results, scores, classes, errors, and the worst images with their boxes.

    All styles are inline and none sets a text colour, so that it is readable in light and dark notebooks.
    """
    head = (
        f'<div style="font-size:2em;font-weight:700">{say.decimal(scores.map_50_95)} '
        f'<span style="font-size:.5em;font-weight:400">mAP 50\u201395 (95&nbsp;%: '
        f"{say.interval(scores.interval('map_50_95'))}) on {esc(words.subject(scores))}</span></div>"
        f"<div>{esc(words.expectation(scores))}</div>"
    )
    rows = [
        (say.label(name), say.decimal(scores.score(name)), say.interval(scores.interval(name)))
        for name in scores.score_names()[1:]
        if not name.startswith("macro")
    ]
    per = scores.per_class
    lowest = [
        (esc(say.shorten(per.names[i], 40)), *(say.decimal(v[i]) for v in (per.ap, per.ap_50, per.precision,
                                                                            per.recall)), f"{per.support[i]:,}")
        for i in [i for i in per.worst_first() if per.support[i]][:8]
    ]  # fmt: skip
    errors = [(words.ERROR_WORDS[e.name][0], f"{e.n:,}", say.decimal(e.ap_50_cost)) for e in scores.errors]
    tables = [notebook_table(("score", "value", "95 % interval"), rows)]
    right = (
        notebook_table(("lowest classes", "AP", "AP 50", "precision", "recall", "objects"), lowest) if lowest else ""
    )
    right += f'<div style="height:1em"></div>{notebook_table(("errors", "number", "AP50 lost"), errors)}'
    tables.append(f"<div>{right}</div>")
    layout = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:2em;margin-top:.8em"
    body = f'<div style="{layout}">{"".join(tables)}</div>'
    note = "" if scores.thresholds_given else f'<div style="margin-top:.6em">{esc(words.threshold_note(scores))}</div>'
    return f'<div style="font-family:system-ui,sans-serif">{head}{body}{note}{_images(scores)}</div>'


def _images(scores: DetectionScores) -> str:
    shown = [image for image in scores.worst if image.image_id in scores.thumbnails][:_N_IMAGES]
    cells = ""
    for image in shown:
        source = data_uri(scores.thumbnails[image.image_id], side=_SIDE, max_bytes=15_000)
        cells += (
            f'<div style="width:{_SIDE}px;font-size:.8em;overflow-wrap:anywhere">'
            f'<div style="height:{_SIDE * 3 // 4}px">'
            f"{boxes_svg(image, source)}</div>{esc(caption(image))}</div>"
        )
    if not cells:
        return ""
    title = "Most mistakes: green is found, red a false box, orange and dashed a missed object"
    return (
        f'<div style="margin:.8em 0 .3em">{title}</div><div style="display:flex;flex-wrap:wrap;gap:.8em">{cells}</div>'
    )
