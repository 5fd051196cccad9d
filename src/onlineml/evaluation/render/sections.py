"""Parts of pages and notebook cells that all tasks share."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from onlineml.evaluation.render import plots
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.html import Section, Table, bad_if, notebook_cell, scale
from onlineml.evaluation.render.style import svg
from onlineml.pages import markup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.render.html import Cell
    from onlineml.evaluation.types import Array

__all__ = ["cards", "classes", "confusion", "curves", "explained", "facts", "gallery", "numbers", "slices", "summary"]

_N_NARROW = 12  # number of classes whose matrix is legible on half of the page
_N_LOWEST = 8  # classes in a notebook cell


def facts(scores: BaseScores) -> str:
    """Describe what was evaluated, by which model, on which data."""
    parts = [scores.subject()]
    parts += [f"model {scores.model_ref}"] if scores.model_ref else []
    parts += [f"data {scores.manifest_hash[:12]}"] if scores.manifest_hash else []
    return " · ".join(parts)


def _row(scores: BaseScores, name: str) -> tuple[str, str, str]:
    return say.label(name), say.decimal(scores.score(name)), say.interval(scores.interval(name))


def cards(scores: BaseScores, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return one card per score, with its interval."""
    return [_row(scores, name) for name in names]


def classes(
    scores: BaseScores, *, note: str, bar: str, header: Sequence[str], reference: float, failing: Array
) -> Section:
    """Return the table of all classes, the worst first.

    Args:
        scores: of which task ever.
        note: on the columns.
        bar: name of the column that is drawn, with its interval.
        header: of the class, its counts, and the bar.
        reference: drawn in each bar.
        failing: (C,) bool, the classes in red.
    """
    per, counts = scores.per_class, ("support", "predicted")[: len(header) - 2]
    rows: list[list[object]] = []
    for i in per.worst_first().tolist():
        low, high = getattr(per, f"{bar}_interval")[i].tolist()
        rows.append([bad_if(failing[i], say.shorten(per.names[i], 60)), *(f"{getattr(per, n)[i]:,}" for n in counts)])
        rows[-1].append(scale(float(getattr(per, bar)[i]), (low, high), reference=reference))
        rows[-1] += [say.decimal(float(getattr(per, name)[i])) for name in per.shown.values()]
    more = f"the other {say.count(len(rows) - Section.shown, 'class')}"
    return Section("Which classes fail", note, table=Table((*header, *per.shown), rows), more=more)


def gallery(
    scores: BaseScores, cells: Sequence[Cell], *, note: object, none: str, shown: int, large: bool = False
) -> Section:
    """Return the images with mistakes below a note; `none` is the note where there are no mistakes."""
    if not cells:
        note = none if scores.n_images else "No images were evaluated."
    return Section("Which images are wrong", note, cells=cells, shown=shown, more="more images", large=large)


def confusion(scores: BaseScores, *, note: str, counted: str) -> Section:
    """Return the matrix and the most frequent confusions; `counted` is the unit of the counts, such as "images"."""
    drawing = svg(plots.confusion_figure(scores), title="confusion matrix", key="confusion")
    pairs = [
        (say.shorten(p.truth, 40), say.shorten(p.predicted, 40), f"{p.n:,}", say.percent(p.share))
        for p in scores.confused_pairs(10)
    ]
    listing = Table(("truth", "taken for", counted, "of the truth"), pairs, left=2) if pairs else None
    layout = "pair" if len(scores.class_names) <= _N_NARROW else "wide"
    return Section("What is taken for what", note, figures=[drawing], layout=layout, table=listing)


def curves(scores: BaseScores, title: str, figures: Mapping[str, str], *, note: str = "", layout: str) -> Section:
    """Return figures of the scores, given by name with their titles."""
    drawings = [svg(scores.figure(name), title=what, key=name) for name, what in figures.items()]
    return Section(title, note, figures=drawings, layout=layout)


def slices(scores: BaseScores) -> list[Section]:
    """Return the score of each slice, compared to that of all images; nothing without slices."""
    if not scores.by_slice:
        return []
    reference, score = scores.score(scores.slice_score), attrgetter(scores.slice_score)
    rows = [
        (
            say.shorten(row.column, 40),
            bad_if(row.high < reference, say.shorten(row.value, 60)),
            f"{row.n:,}",
            scale(score(row), (row.low, row.high), reference=reference),
            say.decimal(score(row)),
            say.interval((row.low, row.high)),
        )
        for row in scores.by_slice
    ]
    listing = Table(("column", "value", "images", "", say.label(scores.slice_score), "95 % interval"), rows, left=2)
    note = "Thin line: all images. Red: surely below it."
    return [Section("Where it is better or worse", note, table=listing, shown=len(rows))]


def explained(scores: BaseScores, name: str) -> Markup:
    """Return the display name of a score above what it means."""
    return markup('{}<br><span class="muted small">{}</span>', say.label(name), scores.explanation(name))


def numbers(scores: BaseScores, *, note: str) -> Section:
    """Return every score with its interval, the method, and the data."""
    rows = [
        (
            explained(scores, name),
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
    origin = [markup("<br>{}: <code>{}</code>", name, value) for name, value in origins if value]
    listing = Table(("score", "value", "95 % interval"), rows)
    return Section("All numbers", table=listing, shown=len(rows), foot=markup("{}" * (1 + len(origin)), how, *origin))


def summary(
    scores: BaseScores,
    *,
    big: str,
    what: str,
    lines: Sequence[str],
    heading: str,
    cells: Sequence[Cell],
    tables: Sequence[Table] = (),
) -> str:
    """Render for a notebook cell: `big` in large letters, scores, the lowest classes, further tables, images."""
    per, name = scores.per_class, scores.headline[0]
    scored = Table(("score", "value", "95 % interval"), [_row(scores, name) for name in scores.shown_scores()[1:]])
    lowest = [
        (say.shorten(per.names[i], 40), *(say.decimal(getattr(per, n)[i]) for n in per.lowest.values()),
         f"{per.support[i]:,}")
        for i in per.worst_first() if per.support[i]
    ][:_N_LOWEST]  # fmt: skip
    right = [Table(("lowest classes", *per.lowest, per.counted), lowest)] if lowest else []
    small = f"{what} (95 %: {say.interval(scores.interval(name))}) on {scores.subject()}"
    return notebook_cell(big, small, lines=lines, columns=[[scored], [*right, *tables]], heading=heading, cells=cells)
