"""Page and notebook cell of a detector's scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.evaluation.detection import plots
from onlineml.evaluation.detection import text as words
from onlineml.evaluation.detection.gallery import boxes_svg, caption, shot
from onlineml.evaluation.render import sections
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.html import Cell, Header, Meter, Section, Table, scale, sources
from onlineml.evaluation.render.style import svg
from onlineml.pages import markup

if TYPE_CHECKING:
    from onlineml.evaluation.detection.result import DetectionScores

__all__ = ["report_parts", "summary_html"]

_THUMBNAIL_BYTES = 1_200_000  # for all thumbnails: with them the page stays under 2 MB
_N_WORST = 24
_N_NOTEBOOK = 6
_CARDS = ("map_50_95", "map_50", "map_75", "map_small", "map_medium", "map_large")
_CLASSES = (
    "Lowest average precision first. Thin line: their mean. Red: surely below it. Recall, precision and F1 are of the "
    "boxes from the threshold on, at an IoU of 0.50."
)
_WORST = (
    'The images with most mistakes at the thresholds. <b class="good">Green</b>: found. <b class="bad">Red</b>: '
    'false box. <b class="warm">Orange, dashed</b>: missed object. A sure false box is often an object that '
    "nobody annotated. Point at a box to read what it is."
)
_CONFUSION = (
    "Blue: right. Red: confused, missed, or a box without an object. Boxes at their class's threshold, at an IoU of "
    "0.50. {}"
)
_CURVES = "Each curve runs over all scores, at an IoU of 0.50; its dot is the threshold that is used."
_ERRORS = (
    "The number of boxes (of missed: objects) at the thresholds, and the points of mAP 50 that are lost by each type "
    "over all scores (TIDE, Bolya et al. 2020)."
)


def report_parts(scores: DetectionScores) -> tuple[Header, list[Section]]:
    """Return the parts of the page."""
    means = "Average precision and recall are COCO's, over all scores; means are over the classes that have objects."
    none = "None: every object is found, and every box is right."
    figures = {"pr": "precision-recall curves", "thresholds": "F1 by threshold"}
    return _header(scores), [
        _errors(scores),
        sections.classes(
            scores,
            note=_CLASSES,
            bar="ap",
            header=("class", "objects", "AP 50\u201395, with 95 % interval"),
            reference=scores.map_50_95,
            failing=scores.per_class.ap_interval[:, 1] < scores.map_50_95,
        ),
        sections.gallery(scores, _worst(scores), note=markup(_WORST), none=none, shown=8, large=True),
        sections.confusion(scores, note=_CONFUSION.format(words.errors_in_matrix(scores)), counted="objects"),
        sections.curves(scores, "Scores and thresholds", figures, note=_CURVES, layout="pair"),
        *sections.slices(scores),
        sections.numbers(scores, note=f"{words.threshold_note(scores)} {means}"),
    ]


def _meter(scores: DetectionScores, name: str, what: str) -> Meter:
    value, (low, high) = scores.score(name), scores.interval(name)
    note = "" if math.isnan(low) else f"95 %: {100 * low:.1f} to {say.percent(high)}"
    return Meter(say.percent(value), what, scale(value, (low, high)), note)


def _header(scores: DetectionScores) -> Header:
    found = _meter(scores, "micro_recall", "of the objects are found")
    return Header(
        facts=sections.facts(scores),
        meters=[found, _meter(scores, "micro_precision", "of its boxes are right")],
        sentence=words.expectation(scores),
        note=" ".join(filter(None, (words.costliest(scores), words.threshold_note(scores)))),
        cards=sections.cards(scores, [name for name in _CARDS if not math.isnan(scores.score(name))]),
    )


def _errors(scores: DetectionScores) -> Section:
    line = '{}<br><span class="muted small">{}</span>'
    rows = [
        (
            markup(line, *words.ERROR_WORDS[error.name]),
            f"{error.n:,}",
            f"{error.n_all:,}",
            say.decimal(100 * error.ap_50_cost, digits=1),
        )
        for error in scores.errors
    ]
    drawing = svg(plots.errors_figure(scores), title="what the errors cost", key="errors")
    table = Table(("error", "number", "at any score", "mAP 50 lost"), rows)
    return Section("Why it is wrong", _ERRORS, figures=[drawing], layout="pair", table=table)


def _worst(scores: DetectionScores) -> list[Cell]:
    shown = scores.worst[:_N_WORST]
    ids = [image.image_id for image in shown]
    uris = sources(ids, scores.thumbnails, side=320, max_bytes=40_000, total=_THUMBNAIL_BYTES)
    line = '{}<br><span class="muted small">{}</span>'
    return [
        Cell("", [(shot(image, uri), markup(line, caption(image), image.uri or image.image_id))])
        for image, uri in zip(shown, uris, strict=True)
    ]


def summary_html(scores: DetectionScores) -> str:
    """Render for a notebook cell: expected results, scores, classes, errors, and the worst images with their boxes."""
    shown = [image for image in scores.worst if image.image_id in scores.thumbnails][:_N_NOTEBOOK]
    uris = sources([image.image_id for image in shown], scores.thumbnails, side=200, max_bytes=15_000)
    box = '<div style="width:200px;height:150px">{}</div>'
    errors = [(words.ERROR_WORDS[e.name][0], f"{e.n:,}", say.decimal(e.ap_50_cost)) for e in scores.errors]
    return sections.summary(
        scores,
        big=say.decimal(scores.map_50_95),
        what="mAP 50\u201395",
        lines=[words.expectation(scores), "" if scores.thresholds_given else words.threshold_note(scores)],
        tables=[Table(("errors", "number", "AP50 lost"), errors)],
        heading="Most mistakes: green is found, red a false box, orange and dashed a missed object",
        cells=[
            Cell("", [(markup(box, boxes_svg(image, uri)), caption(image))])
            for image, uri in zip(shown, uris, strict=True)
        ],
    )
