"""Sections of the report that all tasks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.classification.html import esc, scale, table
from onlineml.evaluation.render import plots
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.css import CSS
from onlineml.evaluation.render.style import svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.slices import DrawnSlice

__all__ = ["cards", "confusion", "facts", "numbers", "page", "slices"]

_N_NARROW = 12  # number of classes whose matrix is legible on half of the page


def page(title: str, body: str) -> str:
    """Return a whole page from a title, which is any text, and a body, which is HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)}</title><style>{CSS}</style></head><body><main>{body}</main></body></html>\n"
    )


def facts(scores: BaseScores) -> str:
    """Describe what was evaluated, by which model, on which data: escaped."""
    parts = [scores.subject()]
    parts += [f"model {scores.model_ref}"] if scores.model_ref else []
    parts += [f"data {scores.manifest_hash[:12]}"] if scores.manifest_hash else []
    return esc(" · ".join(parts))


def cards(scores: BaseScores, names: Sequence[str]) -> str:
    """Return one card per score, with its interval."""
    cells = "".join(
        f"<div><span>{say.label(name)}</span><b>{say.decimal(scores.score(name))}</b>"
        f"<span>{say.interval(scores.interval(name))}</span></div>"
        for name in names
    )
    return f'<div class="cards">{cells}</div>'


def confusion(scores: BaseScores, *, note: str, counted: str) -> str:
    """Return the matrix and the most frequent confusions; `counted` is the unit of the counts, such as "images"."""
    drawing = svg(plots.confusion_figure(scores), title="confusion matrix", key="confusion")
    pairs = [
        (esc(say.shorten(p.truth, 40)), esc(say.shorten(p.predicted, 40)), f"{p.n:,}", say.percent(p.share))
        for p in scores.confused_pairs(10)
    ]
    listing = table(("truth", "taken for", counted, "of the truth"), pairs, left=2) if pairs else ""
    layout = "pair" if len(scores.class_names) <= _N_NARROW else "wide"
    return (
        f'<section><h2>What is taken for what</h2><p class="muted small">{note}</p>'
        f'<div class="{layout}"><figure>{drawing}</figure><div class="scroll">{listing}</div></div></section>'
    )


def slices(rows: Sequence[DrawnSlice], *, reference: float, name: str) -> str:
    """Return a score for each slice, compared to that of all images; "" without slices."""
    if not rows:
        return ""
    cells = []
    for row in rows:
        value = esc(say.shorten(row.value, 60))
        low_high = (row.low, row.high)
        cells.append(
            (
                esc(say.shorten(row.column, 40)),
                f'<span class="bad">{value}</span>' if row.high < reference else value,
                f"{row.n:,}",
                scale(row.score, low_high, reference=reference),
                say.decimal(row.score),
                say.interval(low_high),
            )
        )
    header = ("column", "value", "images", "", name, "95 % interval")
    return (
        '<section><h2>Where it is better or worse</h2><p class="muted small">Thin line: all images. Red: surely below '
        f'it.</p><div class="scroll">{table(header, cells, left=2)}</div></section>'
    )


def numbers(scores: BaseScores, *, note: str) -> str:
    """Return every score with its interval, the method, and the data."""
    rows = [
        (
            f'{say.label(name)}<br><span class="muted small">{scores.explanation(name)}</span>',
            say.decimal(scores.score(name), digits=4),
            say.interval(scores.interval(name), digits=4),
        )
        for name in scores.shown_scores()
    ]
    drawn = say.count(scores.n_groups, "group") if scores.n_groups != scores.n_images else "images"
    how = (
        f"Intervals: 95 % percentile bootstrap, {scores.n_bootstrap:,} resamples of the {drawn}, seed {scores.seed}. "
        f"{note} A dash is a number that is not defined."
    )
    origins = [("model", scores.model_ref), ("dataset", scores.manifest_hash), ("split", scores.split)]
    origin = "".join(f"<br>{name}: <code>{esc(value)}</code>" for name, value in origins if value)
    listing = table(("score", "value", "95 % interval"), rows)
    return (
        f'<section><h2>All numbers</h2><div class="scroll">{listing}</div>'
        f'<p class="muted small">{how}{origin}</p></section>'
    )
