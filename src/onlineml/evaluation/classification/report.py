"""Page and notebook cell of a classifier's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.classification import text as words
from onlineml.evaluation.render import sections
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.html import Cell, Header, Meter, Section, picture, scale, small_picture, sources
from onlineml.pages import markup

if TYPE_CHECKING:
    from markupsafe import Markup

    from onlineml.evaluation.classification.result import ClassificationScores
    from onlineml.evaluation.classification.tables import Mistake

__all__ = ["report_parts", "summary_html"]

_THUMBNAIL_BYTES = 1_000_000  # for all thumbnails: with them the page stays under 2 MB
_N_MISTAKES = 48
_N_NOTEBOOK = 8
_CARDS = ("balanced_accuracy", "macro_f1", "top_5", "map", "log_loss", "ece")
_CLASSES = (
    "Lowest F1 first. Recall: the share of the images of the class that is found. Precision: the share of the images "
    "called so that are. Thin line: mean recall. Red: surely below the accuracy."
)


def report_parts(scores: ClassificationScores) -> tuple[Header, list[Section]]:
    """Return the parts of the page."""
    per = scores.per_class
    return _header(scores), [
        sections.classes(
            scores,
            note=_CLASSES,
            bar="recall",
            header=("class", "images", "found, with 95 % interval"),
            reference=scores.balanced_accuracy,
            failing=(per.f1 < scores.macro_f1) & (per.recall_interval[:, 1] < scores.accuracy),
        ),
        sections.gallery(
            scores,
            _mistakes(scores),
            note=f"{_mistakes_heading(scores)}. A confident mistake is often a wrong label.",
            none="None: every image is classified as labelled.",
            shown=18,
        ),
        sections.confusion(scores, note="Blue: right. Red: confused.", counted="images"),
        sections.curves(
            scores,
            "Confidence and thresholds",
            {"reliability": "reliability curve", "pr": "precision-recall curves", "roc": "ROC curves"},
            layout="three",
        ),
        *sections.slices(scores),
        sections.numbers(scores, note="Macro scores are means over the classes that have images."),
    ]


def _header(scores: ClassificationScores) -> Header:
    guess = words.majority_share(scores)
    band = f"band: 95 % interval · thin line: always answering the most common class ({say.percent(guess)})"
    return Header(
        facts=sections.facts(scores),
        meters=[Meter(say.percent(scores.accuracy), "accuracy")],
        sentence=words.expectation(scores),
        note=words.calibration_sentence(scores),
        cards=sections.cards(scores, [name for name in _CARDS if name in words.shown_scores(scores)]),
        bar=scale(scores.accuracy, scores.interval("accuracy"), reference=guess),
        ends=("0 %", band, "100 %"),
    )


def _mistakes_heading(scores: ClassificationScores) -> str:
    return f"{say.count(scores.n_mistakes, 'mistake')}, the most confident first"


def _mistakes(scores: ClassificationScores) -> list[Cell]:
    shown = scores.mistakes[:_N_MISTAKES]
    uris = sources([m.image_id for m in shown], scores.thumbnails, total=_THUMBNAIL_BYTES)
    line = 'said <b class="bad">{}</b> {}<br>is <b class="good">{}</b> <span class="muted">{}</span>'
    cells = []
    for m, uri in zip(shown, uris, strict=True):
        said, was = (say.shorten(name, 40) for name in (m.predicted, m.truth))
        caption = markup(line, said, say.percent(m.score), was, say.percent(m.truth_score))
        cells.append(Cell(m.uri or m.image_id, [(picture(uri, m.uri or m.image_id), caption)]))
    return cells


def summary_html(scores: ClassificationScores) -> str:
    """Render for a notebook cell: the accuracy as a sentence, scores, worst classes, first misclassified images."""
    shown = [m for m in scores.mistakes if m.image_id in scores.thumbnails][:_N_NOTEBOOK]
    uris = sources([m.image_id for m in shown], scores.thumbnails, side=110, max_bytes=6_000)
    return sections.summary(
        scores,
        big=say.percent(scores.accuracy),
        what="accurate",
        lines=[words.expectation(scores)],
        heading=_mistakes_heading(scores),
        cells=[
            Cell(mistake.uri, [(small_picture(uri), _short_caption(mistake))])
            for mistake, uri in zip(shown, uris, strict=True)
            if uri
        ],
    )


def _short_caption(mistake: Mistake) -> Markup:
    said, was = (say.shorten(name, 18) for name in (mistake.predicted, mistake.truth))
    return markup("said <b>{}</b><br>{} sure<br>is <b>{}</b>", said, say.percent(mistake.score), was)
