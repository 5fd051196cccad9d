"""Rendering of a comparison as a page, and in a notebook cell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.evaluation.comparison import text as words
from onlineml.evaluation.detection.gallery import boxes_svg, shot
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.html import (
    Cell,
    Header,
    Meter,
    Section,
    Table,
    bad_if,
    notebook_cell,
    page,
    picture,
    scale,
    small_picture,
    sources,
)
from onlineml.evaluation.render.sections import explained
from onlineml.pages import markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from onlineml.evaluation.comparison.result import ChangedImage, Comparison, PartChange
    from onlineml.evaluation.detection.tables import WorstImage

__all__ = ["comparison_html", "summary_html"]

_THUMBNAIL_BYTES = 500_000  # each for the broken and the fixed images: with them the page stays under 2 MB
_N_IMAGES = 48
_N_NOTEBOOK = 8


def comparison_html(comparison: Comparison, *, title: str = "Comparison", before: object = "") -> str:
    """Render the comparison as one HTML page.

    Args:
        comparison: the comparison to report.
        title: title of the page; any text.
        before: markup at the top of the page.
    """
    sections = [
        _images(comparison, "broken", "What was broken"),
        _images(comparison, "fixed", "What was fixed"),
        *_parts(comparison.by_class, "Which classes changed", comparison),
        *_parts(comparison.by_slice, "Where it changed", comparison),
        *_new_classes(comparison),
        _numbers(comparison),
    ]
    return page(title, _header(comparison), sections, before=before)


def _header(comparison: Comparison) -> Header:
    change = comparison.score(comparison.main)
    refs = [f"{which}: {scores.model_ref}" for which, scores in (("first", comparison.a), ("second", comparison.b))
            if scores.model_ref]  # fmt: skip
    tone = "good" if change.low > 0 else "bad" if change.high < 0 else "muted"
    points = say.DASH if math.isnan(change.difference) else words.signed(100 * change.difference, digits=1)
    label = say.label(change.name)
    return Header(
        facts=" · ".join([words.subject(comparison), *refs]),
        meters=[Meter(points, f"points of {label}", tone=tone)],
        sentence=words.verdict_sentence(comparison),
        note="",
        cards=[
            ("first", say.decimal(change.a), label),
            ("second", say.decimal(change.b), label),
            ("fixed", f"{comparison.n_fixed:,}", "right now, wrong before"),
            ("broken", f"{comparison.n_broken:,}", "wrong now, right before"),
            ("negative flips", say.percent(comparison.negative_flip_rate), "share that is broken"),
            ("McNemar's p", words.p_text(comparison.mcnemar.p_mid), "of each item for itself"),
        ],
        bar=_span(change.difference, change.low, change.high),
        ends=("Band: 95 % interval of the difference, over groups. Thin line: no difference.",),
    )


def _span(difference: float, low: float, high: float, *, reach: float = 0.0) -> object:
    """Return a bar around zero with the interval and the difference."""
    known = [abs(x) for x in (difference, low, high) if not math.isnan(x)]
    reach = reach or max(known, default=0.0) * 1.1 or 1.0

    def place(value: float) -> float:
        return min(max(0.5 + value / (2 * reach), 0.0), 1.0) if not math.isnan(value) else math.nan

    return scale(place(difference), (place(low), place(high)), reference=0.5)


def _images(comparison: Comparison, change: str, title: str) -> Section:
    images = [image for image in comparison.changed if image.change == change]
    large = bool(images) and images[0].boxes_a is not None
    ids, thumbnails = [image.image_id for image in images[:_N_IMAGES]], comparison.thumbnails
    if large:  # each picture is there twice
        uris = sources(ids, thumbnails, side=320, max_bytes=40_000, total=_THUMBNAIL_BYTES / 2)
    else:
        uris = sources(ids, thumbnails, total=_THUMBNAIL_BYTES)
    note = f"{say.count(len(images), 'image')}; {comparison.order}." if images else "None."
    cells = [_cell(image, uri) for image, uri in zip(images, uris, strict=False)]
    return Section(title, note, cells=cells, large=large)


def _cell(image: ChangedImage, source: str) -> Cell:
    where = image.uri or image.image_id
    styles = ("good", "bad") if image.change == "broken" else ("bad", "good")
    line = '{} <b class="{}">{}</b>'
    was = markup(line, "was", styles[0], words.said_shortly(image.prediction_a, 48))
    now = markup(line, "now", styles[1], words.said_shortly(image.prediction_b, 48))
    if image.boxes_a is not None and image.boxes_b is not None:
        text = markup('{}<br>{}<br><span class="muted small">{}</span>', now, image.truth, where)
        return Cell("", [(shot(image.boxes_a, source), was), (shot(image.boxes_b, source), text)])
    text = markup("{}<br>{}<br>is <b>{}</b>", was, now, say.shorten(image.truth, 40))
    return Cell(where, [(picture(source, where), text)])


def _parts(parts: Sequence[PartChange], title: str, comparison: Comparison) -> list[Section]:
    if not parts:
        return []
    reach = max((abs(x) for p in parts for x in (p.difference, p.low, p.high) if not math.isnan(x)), default=1.0) or 1.0
    of_class = parts[0].column == "class"
    rows = [
        (
            *(() if of_class else (say.shorten(part.column, 40),)),
            bad_if(part.high < 0, say.shorten(part.value, 60)),
            f"{part.n:,}",
            f"{part.fixed:,}",
            f"{part.broken:,}",
            f"{part.unchanged:,}",
            f"{say.decimal(part.a)} \N{RIGHTWARDS ARROW} {say.decimal(part.b)}",
            _span(part.difference, part.low, part.high, reach=reach),
            words.signed(part.difference),
            words.between(part.low, part.high),
        )
        for part in words.most_changed(parts)
    ]
    what = "objects" if comparison.of_objects else "images"
    score = comparison.class_score if of_class else comparison.slice_score
    left = ("class",) if of_class else ("column", "value")
    header = (*left, what, "fixed", "broken", "unchanged", score, "", "change", "95 % interval")
    note = "Largest drop first. Red: surely worse. Thin line: no difference."
    more = f"{len(rows) - Section.shown:,} more"
    return [Section(title, note, table=Table(header, rows, left=len(left)), more=more)]


def _new_classes(comparison: Comparison) -> list[Section]:
    note = "The second model knows them and the first does not; they are no part of the numbers above."
    lines = words.new_class_lines(comparison)
    return [Section("New classes", note, lines=lines)] if lines else []


def _numbers(comparison: Comparison) -> Section:
    rows = [
        (
            explained(comparison.b, c.name),
            *(say.decimal(x, digits=4) for x in (c.a, c.b)),
            words.signed(c.difference, digits=4),
            words.between(c.low, c.high, digits=4),
        )
        for c in comparison.scores
    ]
    how = (
        f"{words.flips_sentence(comparison)}. Intervals are of the difference, both models on the same resamples of "
        "the groups: random halves, but for a classifier's scores other than accuracy, bootstrap percentiles. "
        "A dash is a number that is not defined."
    )
    listing = Table(("score", "first", "second", "change", "95 % interval"), rows)
    return Section("All numbers", table=listing, shown=len(rows), foot=how)


def summary_html(comparison: Comparison) -> str:
    """Render for a notebook cell: the difference as a sentence, scores, most changed classes, broken images."""
    change = comparison.score(comparison.main)
    between = words.between(change.low, change.high)
    rows = [
        (say.label(c.name), say.decimal(c.a), say.decimal(c.b), words.signed(c.difference),
         words.between(c.low, c.high))
        for c in comparison.scores
    ]  # fmt: skip
    parts = [
        (say.shorten(p.name, 40), f"{p.n:,}", f"{p.fixed:,}", f"{p.broken:,}", words.signed(p.difference),
         words.between(p.low, p.high))
        for p in (*words.most_changed(comparison.by_class)[:8], *words.most_changed(comparison.by_slice)[:4])
    ]  # fmt: skip
    header = ("classes and slices, largest drop first", "n", "fixed", "broken", "change", "95 % interval")
    new = [f"New class {line}" for line in words.new_class_lines(comparison)]
    return notebook_cell(
        words.signed(change.difference),
        f"{say.label(change.name)} (95 %: {between}) on {words.subject(comparison)}",
        lines=[words.verdict_sentence(comparison), words.flips_sentence(comparison), *new],
        columns=[
            [Table(("score", "first", "second", "change", "95 % interval"), rows)],
            [Table(header, parts)] if parts else [],
        ],
        heading=f"{say.count(len(comparison.broken_ids), 'image')} broken",
        cells=_broken(comparison),
    )


def _broken(comparison: Comparison) -> list[Cell]:
    broken = [i for i in comparison.changed if i.change == "broken" and i.image_id in comparison.thumbnails]
    shown = broken[:_N_NOTEBOOK]
    uris = sources([image.image_id for image in shown], comparison.thumbnails, side=110, max_bytes=6_000)
    cells = []
    for image, uri in zip(shown, uris, strict=True):
        was, now = (words.said_shortly(said, 24) for said in (image.prediction_a, image.prediction_b))
        if image.boxes_a is not None and image.boxes_b is not None:
            captions = markup("was {}", was), markup("now {}", now)
            drawn = [_small_boxes(boxes, uri) for boxes in (image.boxes_a, image.boxes_b)]
            cells.append(Cell(image.uri, list(zip(drawn, captions, strict=True))))
        elif uri:
            cells.append(Cell(image.uri, [(small_picture(uri), markup("was {}<br>now {}", was, now))]))
    return cells


def _small_boxes(image: WorstImage, source: str) -> Markup:
    """Return an image with a model's boxes, for a notebook's gallery."""
    return markup('<div style="width:150px;height:150px">{}</div>', boxes_svg(image, source))
