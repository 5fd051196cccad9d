"""Sections of a detector's report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.evaluation.classification.html import data_uri, esc, scale, table
from onlineml.evaluation.detection import plots
from onlineml.evaluation.detection import text as words
from onlineml.evaluation.detection.gallery import boxes_svg, caption
from onlineml.evaluation.render import sections
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.style import svg

if TYPE_CHECKING:
    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.evaluation.detection.tables import WorstImage

__all__ = ["detection_sections"]

_THUMBNAIL_BYTES = 1_200_000  # for all thumbnails: with them the page stays under 2 MB
_THUMBNAIL_PX = 320
_N_WORST = 24
_N_WORST_SHOWN = 8
_N_CLASSES = 12  # shown at first; the others can be expanded
_CARDS = ("map_50_95", "map_50", "map_75", "map_small", "map_medium", "map_large")


def detection_sections(scores: DetectionScores, title: str) -> str:
    """Return the body of the page."""
    note = "Blue: right. Red: confused, missed, or nothing there. Boxes at their class's threshold, at an IoU of 0.50."
    how = f"{words.threshold_note(scores)} Average precision and recall are COCO's, over all scores; means are over "
    return "".join(
        (
            _header(scores, title),
            _errors(scores),
            _classes(scores),
            _worst(scores),
            sections.confusion(scores, note=note, counted="objects"),
            _curves(scores),
            sections.slices(scores.by_slice, reference=scores.map_50, name="mAP 50"),
            sections.numbers(scores, note=how + "the classes that have objects."),
        )
    )


def _meter(scores: DetectionScores, name: str, what: str) -> str:
    value = scores.score(name)
    bar = scale(value, scores.interval(name))
    return (
        f'<div class="meter"><div class="big">{say.percent(value)}</div><div class="muted">{what}</div>{bar}'
        f'<div class="muted small">{_percents(scores, name)}</div></div>'
    )


def _percents(scores: DetectionScores, name: str) -> str:
    low, high = scores.interval(name)
    return "" if math.isnan(low) else f"95 %: {100 * low:.1f} to {say.percent(high)}"


def _header(scores: DetectionScores, title: str) -> str:
    meters = _meter(scores, "micro_recall", "of the objects are found")
    meters += _meter(scores, "micro_precision", "of its boxes are right")
    small = " ".join(filter(None, (words.costliest(scores), words.threshold_note(scores))))
    names = [name for name in _CARDS if not math.isnan(scores.score(name))]
    return (
        f'<header><h1>{esc(title)}</h1><p class="muted small">{sections.facts(scores)}</p>'
        f'<div class="hero">{meters}<div class="say"><p>{esc(words.expectation(scores))}</p>'
        f'<p class="muted small">{esc(small)}</p></div></div>{sections.cards(scores, names)}</header>'
    )


def _errors(scores: DetectionScores) -> str:
    drawing = svg(plots.errors_figure(scores), title="what the errors cost", key="errors")
    rows = [
        (
            f'{words.ERROR_WORDS[e.name][0]}<br><span class="muted small">{words.ERROR_WORDS[e.name][1]}</span>',
            f"{e.n:,}",
            f"{e.n_all:,}",
            say.decimal(100 * e.ap_50_cost, digits=1),
        )
        for e in scores.errors
    ]
    listing = table(("error", "number", "at any score", "mAP 50 lost"), rows)
    return (
        '<section><h2>Why it is wrong</h2><p class="muted small">The number of boxes (of missed: objects) at the '
        "thresholds, and the points of mAP 50 that are lost by each type over all scores (TIDE, Bolya et al. 2020).</p>"
        f'<div class="pair"><figure>{drawing}</figure><div class="scroll">{listing}</div></div></section>'
    )


def _classes(scores: DetectionScores) -> str:
    per = scores.per_class
    rows = []
    for i in map(int, per.worst_first()):
        low_high = (float(per.ap_interval[i, 0]), float(per.ap_interval[i, 1]))
        name = esc(say.shorten(per.names[i], 60))
        decimals = (per.ap[i], per.ap_50[i], per.recall[i], per.precision[i], per.f1[i])
        rows.append(
            (
                f'<span class="bad">{name}</span>' if low_high[1] < scores.map_50_95 else name,
                f"{per.support[i]:,}",
                scale(float(per.ap[i]), low_high, reference=scores.map_50_95),
                *(say.decimal(float(value)) for value in decimals),
                say.decimal(float(per.threshold[i]), digits=2),
            )
        )
    header = ("class", "objects", "AP 50–95, with 95 % interval", "AP 50–95", "AP 50", "recall", "precision", "F1")  # noqa: RUF001
    columns = (*header, "threshold")
    rest = rows[_N_CLASSES:]
    more = f"<details><summary>the other {say.count(len(rest), 'class')}</summary>{table(columns, rest)}</details>"
    return (
        '<section><h2>Which classes fail</h2><p class="muted small">Lowest average precision first. Thin line: their '
        "mean. Red: surely below it. Recall, precision and F1 are of the boxes from the threshold on, at an IoU of "
        f'0.50.</p><div class="scroll">{table(columns, rows[:_N_CLASSES])}{more if rest else ""}</div></section>'
    )


def _worst(scores: DetectionScores) -> str:
    cells: list[str] = []
    spent = 0
    for image in scores.worst[:_N_WORST]:
        data = scores.thumbnails.get(image.image_id)
        source = ""
        if data is not None and spent < _THUMBNAIL_BYTES:
            source = data_uri(data, side=_THUMBNAIL_PX, max_bytes=40_000)
        spent += len(source)
        cells.append(_cell(image, source))
    first, rest = "".join(cells[:_N_WORST_SHOWN]), "".join(cells[_N_WORST_SHOWN:])
    more = f'<details><summary>more images</summary><div class="gallery large">{rest}</div></details>' if rest else ""
    some = (
        'The images with most mistakes at the thresholds. <b class="good">Green</b>: found. <b class="bad">Red</b>: '
        'false box. <b class="warm">Orange, dashed</b>: missed object. A sure false box is often an object that '
        "nobody annotated. Point at a box to read what it is."
    )
    if not cells:
        some = "None: every object is found, and every box is right." if scores.n_images else "No images."
    return (
        f'<section><h2>Which images are wrong</h2><p class="muted small">{some}</p>'
        f'<div class="gallery large">{first}</div>{more}</section>'
    )


def _cell(image: WorstImage, source: str) -> str:
    where = esc(image.uri or image.image_id)
    return (
        f'<figure><div class="shot">{boxes_svg(image, source)}</div><figcaption>{esc(caption(image))}<br>'
        f'<span class="muted small">{where}</span></figcaption></figure>'
    )


def _curves(scores: DetectionScores) -> str:
    drawings = (
        svg(plots.pr_figure(scores), title="precision-recall curves", key="pr"),
        svg(plots.thresholds_figure(scores), title="F1 by threshold", key="thresholds"),
    )
    figures = "".join(f"<figure>{drawing}</figure>" for drawing in drawings)
    return (
        '<section><h2>Scores and thresholds</h2><p class="muted small">Each curve runs over all scores, at an IoU of '
        f'0.50; its dot is the threshold that is used.</p><div class="pair">{figures}</div></section>'
    )
