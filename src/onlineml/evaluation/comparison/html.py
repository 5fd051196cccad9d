"""Rendering of a comparison as a page, and in a notebook cell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.evaluation.classification.html import (
    data_uri,
    esc,
    notebook_gallery,
    notebook_table,
    notebook_thumbnail,
    scale,
    table,
)
from onlineml.evaluation.comparison import text as words
from onlineml.evaluation.detection.gallery import boxes_svg
from onlineml.evaluation.render import sections
from onlineml.evaluation.render import text as say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.comparison.result import ChangedImage, Comparison, PartChange

__all__ = ["comparison_html", "summary_html"]

_THUMBNAIL_BYTES = 500_000  # each for the broken and the fixed images: with them the page stays under 2 MB
_N_IMAGES = 48
_N_IMAGES_SHOWN = 12
_N_PARTS = 12  # shown at first; the others can be expanded
_NOTEBOOK_IMAGES = 8


def comparison_html(comparison: Comparison, *, title: str = "Comparison") -> str:
    """Render the comparison as one HTML page.

    Args:
        comparison: the comparison to report.
        title: title of the page; any text.
    """
    body = "".join(
        (
            _header(comparison, title),
            _images(comparison, "broken", "What was broken"),
            _images(comparison, "fixed", "What was fixed"),
            _parts(comparison.by_class, "Which classes changed", comparison),
            _parts(comparison.by_slice, "Where it changed", comparison),
            _new_classes(comparison),
            _numbers(comparison),
        )
    )
    return sections.page(title, body)


def _header(comparison: Comparison, title: str) -> str:
    change = comparison.score(comparison.main)
    refs = [f"{which}: {scores.model_ref}" for which, scores in (("first", comparison.a), ("second", comparison.b))
            if scores.model_ref]  # fmt: skip
    facts = " · ".join([words.subject(comparison), *refs])
    colour = "good" if change.low > 0 else "bad" if change.high < 0 else "muted"
    points = say.DASH if math.isnan(change.difference) else words.signed(100 * change.difference, digits=1)
    cells = "".join(
        f"<div><span>{name}</span><b>{value}</b><span>{note}</span></div>"
        for name, value, note in (
            ("first", say.decimal(change.a), say.label(change.name)),
            ("second", say.decimal(change.b), say.label(change.name)),
            ("fixed", f"{comparison.n_fixed:,}", "right now, wrong before"),
            ("broken", f"{comparison.n_broken:,}", "wrong now, right before"),
            ("negative flips", say.percent(comparison.negative_flip_rate), "share that is broken"),
            ("McNemar's p", esc(words.p_text(comparison.mcnemar.p_mid)), "of each item for itself"),
        )
    )
    return (
        f'<header><h1>{esc(title)}</h1><p class="muted small">{esc(facts)}</p><div class="hero">'
        f'<div><div class="big {colour}">{points}</div><div class="muted">points of {say.label(change.name)}</div>'
        f'</div><div class="say"><p>{esc(words.verdict_sentence(comparison))}</p>'
        f"{_span(change.difference, change.low, change.high)}"
        '<p class="muted small">Band: 95 % interval of the difference, over groups. Thin line: no difference.</p>'
        f'</div></div><div class="cards">{cells}</div></header>'
    )


def _span(difference: float, low: float, high: float, *, reach: float = 0.0) -> str:
    """Return a bar around zero with the interval and the difference."""
    known = [abs(x) for x in (difference, low, high) if not math.isnan(x)]
    reach = reach or max(known, default=0.0) * 1.1 or 1.0

    def place(value: float) -> float:
        return min(max(0.5 + value / (2 * reach), 0.0), 1.0) if not math.isnan(value) else math.nan

    return scale(place(difference), (place(low), place(high)), reference=0.5)


def _images(comparison: Comparison, change: str, title: str) -> str:
    images = [image for image in comparison.changed if image.change == change]
    cells: list[str] = []
    spent = 0
    for image in images[:_N_IMAGES]:
        data = comparison.thumbnails.get(image.image_id)
        drawn = image.boxes_a is not None
        source = ""
        if data is not None and spent < _THUMBNAIL_BYTES:
            source = data_uri(data, side=320, max_bytes=40_000) if drawn else data_uri(data)
        spent += len(source) * (2 if drawn else 1)
        cells.append(_image(image, source))
    size = " large" if images and images[0].boxes_a is not None else ""
    some = f"{say.count(len(images), 'image')}{'; those that changed most first' if size else ', the surest first'}."
    if not images:
        some = "None."
    first, rest = "".join(cells[:_N_IMAGES_SHOWN]), "".join(cells[_N_IMAGES_SHOWN:])
    more = f'<details><summary>more</summary><div class="gallery{size}">{rest}</div></details>' if rest else ""
    return (
        f'<section><h2>{title}</h2><p class="muted small">{some}</p>'
        f'<div class="gallery{size}">{first}</div>{more}</section>'
    )


def _image(image: ChangedImage, source: str) -> str:
    where = esc(image.uri or image.image_id)
    styles = ("good", "bad") if image.change == "broken" else ("bad", "good")
    prediction_a, prediction_b = (
        f'{which} <b class="{style}">{esc(words.said_shortly(said, 48))}</b>'
        for which, style, said in zip(("was", "now"), styles, (image.prediction_a, image.prediction_b), strict=True)
    )
    if image.boxes_a is not None and image.boxes_b is not None:
        shots = [f'<div class="shot">{boxes_svg(boxes, source)}</div>' for boxes in (image.boxes_a, image.boxes_b)]
        text = f'{esc(image.truth)}<br><span class="muted small">{where}</span>'
        return (
            f"<figure>{shots[0]}<figcaption>{prediction_a}</figcaption>{shots[1]}<figcaption>{prediction_b}<br>{text}</figcaption>"
            "</figure>"
        )
    picture = f'<img src="{source}" alt="" loading="lazy">' if source else f'<div class="none">{where}</div>'
    return (
        f'<figure title="{where}">{picture}<figcaption>{prediction_a}<br>{prediction_b}<br>is '
        f"<b>{esc(say.shorten(image.truth, 40))}</b></figcaption></figure>"
    )


def _parts(parts: Sequence[PartChange], title: str, comparison: Comparison) -> str:
    if not parts:
        return ""
    reach = max((abs(x) for p in parts for x in (p.difference, p.low, p.high) if not math.isnan(x)), default=1.0) or 1.0
    of_class = parts[0].column == "class"
    rows = []
    for part in words.most_changed(parts):
        value = esc(say.shorten(part.value, 60))
        name = f'<span class="bad">{value}</span>' if part.high < 0 else value
        rows.append(
            (
                *(() if of_class else (esc(say.shorten(part.column, 40)),)),
                name,
                f"{part.n:,}",
                f"{part.fixed:,}",
                f"{part.broken:,}",
                f"{part.unchanged:,}",
                f"{say.decimal(part.a)} \N{RIGHTWARDS ARROW} {say.decimal(part.b)}",
                _span(part.difference, part.low, part.high, reach=reach),
                words.signed(part.difference),
                words.between(part.low, part.high),
            )
        )
    what = "objects" if comparison.of_objects else "images"
    score = comparison.class_score if of_class or comparison.of_objects else "accuracy"
    left = ("class",) if of_class else ("column", "value")
    header = (*left, what, "fixed", "broken", "unchanged", score, "", "change", "95 % interval")
    rest = rows[_N_PARTS:]
    more = f"<details><summary>{len(rest):,} more</summary>{table(header, rest, left=len(left))}</details>"
    return (
        f'<section><h2>{title}</h2><p class="muted small">Largest drop first. Red: surely worse. Thin line: no '
        f'difference.</p><div class="scroll">'
        f"{table(header, rows[:_N_PARTS], left=len(left))}{more if rest else ''}</div></section>"
    )


def _new_classes(comparison: Comparison) -> str:
    if not comparison.new_classes:
        return ""
    lines = "".join(f"<p>{esc(line)}</p>" for line in words.new_class_lines(comparison))
    note = "The second model knows them and the first does not; they are no part of the numbers above."
    return f'<section><h2>New classes</h2><p class="muted small">{note}</p>{lines}</section>'


def _numbers(comparison: Comparison) -> str:
    rows = [
        (
            f'{say.label(c.name)}<br><span class="muted small">{comparison.b.explanation(c.name)}</span>',
            *(say.decimal(x, digits=4) for x in (c.a, c.b)),
            words.signed(c.difference, digits=4),
            words.between(c.low, c.high, digits=4),
        )
        for c in comparison.scores
    ]
    how = (
        "Intervals are of the difference, both models on the same resamples of the groups: random halves for the "
        "accuracy and for average precision, bootstrap percentiles for other scores. A dash is a number that is not "
        "defined."
    )
    listing = table(("score", "first", "second", "change", "95 % interval"), rows)
    return (
        f'<section><h2>All numbers</h2><div class="scroll">{listing}</div><p class="muted small">'
        f"{esc(words.flips_sentence(comparison))}. {how}</p></section>"
    )


def summary_html(comparison: Comparison) -> str:
    """Render for a notebook cell: the difference as a sentence, scores, most changed classes, broken images.

    All styles are inline and none sets a text colour, so that it is readable in light and dark notebooks.
    """
    change = comparison.score(comparison.main)
    head = (
        f'<div style="font-size:2em;font-weight:700">{words.signed(change.difference)} '
        f'<span style="font-size:.5em;font-weight:400">{say.label(change.name)} (95&nbsp;%: '
        f"{words.between(change.low, change.high)}) on {esc(words.subject(comparison))}</span></div>"
        f"<div>{esc(words.verdict_sentence(comparison))}</div><div>{esc(words.flips_sentence(comparison))}</div>"
    )
    rows = [
        (say.label(c.name), say.decimal(c.a), say.decimal(c.b), words.signed(c.difference),
         words.between(c.low, c.high))
        for c in comparison.scores
    ]  # fmt: skip
    parts = [
        (esc(say.shorten(p.value if p.column == "class" else f"{p.column} {p.value}", 40)), f"{p.n:,}",
         f"{p.fixed:,}", f"{p.broken:,}", words.signed(p.difference), words.between(p.low, p.high))
        for p in (*words.most_changed(comparison.by_class)[:8], *words.most_changed(comparison.by_slice)[:4])
    ]  # fmt: skip
    left = notebook_table(("score", "first", "second", "change", "95 % interval"), rows)
    header = ("classes and slices, largest drop first", "n", "fixed", "broken", "change", "95 % interval")
    right = notebook_table(header, parts) if parts else ""
    layout = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:2em;margin-top:.8em"
    new = "".join(f"<div>New class {esc(line)}</div>" for line in words.new_class_lines(comparison))
    body = f'<div style="{layout}">{left}{right}</div>{new}{_notebook_images(comparison)}'
    return f'<div style="font-family:system-ui,sans-serif">{head}{body}</div>'


def _notebook_images(comparison: Comparison) -> str:
    broken = [i for i in comparison.changed if i.change == "broken" and i.image_id in comparison.thumbnails]
    cells = ""
    for image in broken[:_NOTEBOOK_IMAGES]:
        source = data_uri(comparison.thumbnails[image.image_id], side=110, max_bytes=6_000)
        if not source:
            continue
        was, now = (esc(words.said_shortly(said, 24)) for said in (image.prediction_a, image.prediction_b))
        cells += notebook_thumbnail(source, image.uri, f"was {was}<br>now {now}")
    return notebook_gallery(f"{say.count(len(comparison.broken_ids), 'image')} broken", cells)
