"""HTML fragments that the report and the notebook share. User-provided text is escaped with `esc`."""

from __future__ import annotations

import base64
import html
import math
from typing import TYPE_CHECKING

from onlineml.evaluation.classification import text as words
from onlineml.evaluation.classification.gallery import small_image
from onlineml.evaluation.render import text as say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.classification.result import ClassificationScores
    from onlineml.evaluation.types import Interval

__all__ = ["data_uri", "esc", "notebook_gallery", "notebook_table", "notebook_thumbnail", "scale", "summary_html"]
__all__ += ["table"]

_NOTEBOOK_THUMBNAILS = 8
_LINE = "1px solid rgba(128, 128, 128, .3)"  # visible on white and on black


def esc(text: object) -> str:
    """Escape text for an element or a quoted attribute; control characters are made visible."""
    shown = "".join(
        c if c.isprintable() or c in "\n\t\N{NO-BREAK SPACE}" else "\N{REPLACEMENT CHARACTER}" for c in str(text)
    )
    return html.escape(shown, quote=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a table of cells that are HTML already; the first `left` columns are text."""
    classes = ['class="left"' if i < left else "" for i in range(len(header))]
    head = "".join(f"<th {c}>{h}</th>" for c, h in zip(classes, header, strict=True))
    body = ["".join(f"<td {c}>{v}</td>" for c, v in zip(classes, row, strict=True)) for row in rows]
    lines = "".join(f"<tr>{cells}</tr>" for cells in body)
    text = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>".replace("<td >", "<td>")
    return text.replace("<th >", "<th>")


def scale(value: float, bounds: Interval, *, reference: float = math.nan) -> str:
    """Return a bar from 0 to 1 with the interval, the value and, as a thin line, a reference."""
    if math.isnan(value):
        return ""
    parts = ""
    if not math.isnan(bounds[0]):
        width = max(100 * (bounds[1] - bounds[0]), 0.5)
        parts += f'<i style="left:{100 * bounds[0]:.1f}%;width:{width:.1f}%"></i>'
    if not math.isnan(reference):
        parts += f'<u style="left:{100 * reference:.1f}%"></u>'
    return f'<div class="scale">{parts}<b style="left:{100 * value:.1f}%"></b></div>'


def data_uri(data: bytes, *, side: int = 160, max_bytes: int = 12_000) -> str:
    """Return a thumbnail as a data URI, reduced if it is large; "" if the data is not a PNG, JPEG, WebP or GIF."""
    small = small_image(data, side=side, max_bytes=max_bytes)
    return "" if small is None else f"data:{small[0]};base64,{base64.b64encode(small[1]).decode()}"


def summary_html(scores: ClassificationScores) -> str:
    """Render for a notebook cell: the accuracy as a sentence, scores, worst classes, first misclassified images.

    All styles are inline and none sets a text colour, so that it is readable in light and dark notebooks.
    """
    bounds = scores.intervals.get("accuracy", (math.nan, math.nan))
    head = (
        f'<div style="font-size:2em;font-weight:700">{say.percent(scores.accuracy)} '
        f'<span style="font-size:.5em;font-weight:400">accurate (95&nbsp;%: {say.interval(bounds)}) on '
        f"{esc(say.subject(scores))}</span></div><div>{esc(words.expectation(scores))}</div>"
    )
    rows = []
    for name in words.shown_scores(scores)[1:]:
        interval = say.interval(scores.intervals.get(name, (math.nan, math.nan)))
        rows.append((say.label(name), say.decimal(scores.score(name)), interval))
    per = scores.per_class
    worst = [i for i in per.worst_first() if per.support[i]][:8]
    failing = [
        (esc(say.shorten(per.names[i], 40)), *(say.decimal(v[i]) for v in (per.f1, per.precision, per.recall)),
         f"{per.support[i]:,}")
        for i in worst
    ]  # fmt: skip
    left = notebook_table(("score", "value", "95 % interval"), rows)
    right = "" if not failing else notebook_table(("lowest classes", "F1", "precision", "recall", "images"), failing)
    layout = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:2em;margin-top:.8em"
    body = f'<div style="{layout}">{left}{right}</div>'
    return f'<div style="font-family:system-ui,sans-serif">{head}{body}{_notebook_mistakes(scores)}</div>'


def notebook_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already, with inline styles; the first column is text."""

    def cell(tag: str, text: str, place: int) -> str:
        align = "left" if place == 0 else "right"
        style = f"text-align:{align};padding:.2em .7em;border-bottom:{_LINE};background:transparent"
        return f'<{tag} style="{style}">{text}</{tag}>'

    lines = ["".join(cell("th", text, i) for i, text in enumerate(header))]
    lines += ["".join(cell("td", text, i) for i, text in enumerate(row)) for row in rows]
    marked = "".join(f'<tr style="background:transparent">{line}</tr>' for line in lines)
    return f'<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">{marked}</table>'


def _notebook_mistakes(scores: ClassificationScores) -> str:
    shown = [m for m in scores.mistakes if m.image_id in scores.thumbnails][:_NOTEBOOK_THUMBNAILS]
    cells = ""
    for mistake in shown:
        source = data_uri(scores.thumbnails[mistake.image_id], side=110, max_bytes=6_000)
        if not source:
            continue
        said, was = (esc(say.shorten(name, 18)) for name in (mistake.predicted, mistake.truth))
        lines = f"said <b>{said}</b><br>{say.percent(mistake.score)} sure<br>is <b>{was}</b>"
        cells += notebook_thumbnail(source, mistake.uri, lines)
    return notebook_gallery(f"{say.count(scores.n_mistakes, 'mistake')}, the most confident first", cells)


def notebook_thumbnail(source: str, uri: str, lines: str) -> str:
    """Return a small picture (a data URI) with its `uri` as a tooltip, above lines that are HTML already."""
    return (
        f'<div style="width:110px;font-size:.8em;overflow-wrap:anywhere" title="{esc(uri)}">'
        f'<img src="{source}" alt="" style="width:110px;height:110px;object-fit:cover;border-radius:6px">'
        f"<br>{lines}</div>"
    )


def notebook_gallery(title: str, cells: str) -> str:
    """Return cells of `notebook_thumbnail` side by side below a title; empty without cells."""
    if not cells:
        return ""
    return (
        f'<div style="margin:.8em 0 .3em">{title}</div><div style="display:flex;flex-wrap:wrap;gap:.8em">{cells}</div>'
    )
