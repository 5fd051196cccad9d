"""Page and notebook cell of multi-label scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.multilabel import text as words
from onlineml.evaluation.render import sections
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.html import Cell, Header, Meter, Section, picture, scale, small_picture, sources
from onlineml.pages import markup

if TYPE_CHECKING:
    from markupsafe import Markup

    from onlineml.evaluation.multilabel.result import MultilabelScores
    from onlineml.evaluation.multilabel.tables import LabelScore, WrongImage

__all__ = ["report_parts", "summary_html"]

_THUMBNAIL_BYTES = 1_000_000  # for all thumbnails: with them the page stays under 2 MB
_N_WORST = 48
_N_NOTEBOOK = 8
_CARDS = ("map", "micro_f1", "macro_f1", "subset_accuracy", "hamming_loss", "micro_ap")
_CONFUSION = (
    "Blue: given and there. Red: images in which the class of the row was missed and that of the column was given "
    "falsely; the last column: missed and nothing false, the last row: false and nothing missed."
)
_HOW = (
    "A label is given from its class's threshold on. Means leave out what is not defined: mean average precision "
    "classes without images, macro F1 classes that are neither given nor there."
)
_CLASSES = (
    "Lowest F1 first. Recall: the share of the images of the class that are given it. Precision: the share of those "
    "given it that show it. Thin line: F1 of all classes together. Red: surely below it."
)


def report_parts(scores: MultilabelScores) -> tuple[Header, list[Section]]:
    """Return the parts of the page."""
    note = f"{say.count(scores.n_wrong, 'image')} with wrong labels; those whose labels surprise the model most first. "
    none = "None: every image has its labels and no others."
    figures = {"ap": "average precision of the classes", "pr": "precision-recall curves"}
    return _header(scores), [
        sections.classes(
            scores,
            note=_CLASSES,
            bar="f1",
            header=("class", "images", "given", "F1, with 95 % interval"),
            reference=scores.micro_f1,
            failing=scores.per_class.f1_interval[:, 1] < scores.micro_f1,
        ),
        sections.gallery(
            scores, _worst(scores), note=f"{note}A sure mistake is often a wrong label.", none=none, shown=18
        ),
        sections.confusion(scores, note=_CONFUSION, counted="images"),
        sections.curves(scores, "Rankings and thresholds", figures, layout="pair"),
        *sections.slices(scores),
        sections.numbers(scores, note=_HOW),
    ]


def _meter(scores: MultilabelScores, name: str, what: str) -> Meter:
    return Meter(say.percent(scores.score(name)), what, scale(scores.score(name), scores.interval(name)))


def _header(scores: MultilabelScores) -> Header:
    found = _meter(scores, "micro_recall", "of the labels are found")
    return Header(
        facts=sections.facts(scores),
        meters=[found, _meter(scores, "micro_precision", "of the given labels are right")],
        sentence=words.expectation(scores),
        note=words.subset_sentence(scores),
        cards=sections.cards(scores, _CARDS),
    )


def _worst(scores: MultilabelScores) -> list[Cell]:
    shown = scores.worst[:_N_WORST]
    uris = sources([image.image_id for image in shown], scores.thumbnails, total=_THUMBNAIL_BYTES)
    places = [image.uri or image.image_id for image in shown]
    return [
        Cell(where, [(picture(uri, where), _caption(image))])
        for image, where, uri in zip(shown, places, uris, strict=True)
    ]


def _caption(image: WrongImage) -> Markup:
    missed = markup("missed {}<br>", _labels(image.missed, "warm")) if image.missed else ""
    false = markup("false {}<br>", _labels(image.false, "bad")) if image.false else ""
    truth = say.shorten(words.label_list(image.truth), 80)
    return markup('{}{}is <span class="good">{}</span>', missed, false, truth)


def _labels(labels: tuple[LabelScore, ...], style: str) -> Markup:
    line = '<b class="{}">{}</b> {}'
    return markup(", ").join(markup(line, style, say.shorten(one.name, 30), say.percent(one.score)) for one in labels)


def summary_html(scores: MultilabelScores) -> str:
    """Render for a notebook cell: expected results, scores, worst classes, images of highest cross-entropy."""
    shown = [image for image in scores.worst if image.image_id in scores.thumbnails][:_N_NOTEBOOK]
    uris = sources([image.image_id for image in shown], scores.thumbnails, side=110, max_bytes=6_000)
    return sections.summary(
        scores,
        big=say.decimal(scores.map),
        what="mAP",
        lines=[words.expectation(scores), words.subset_sentence(scores)],
        heading=f"{say.count(scores.n_wrong, 'image')} with wrong labels, the most surprising first",
        cells=[
            Cell(image.uri, [(small_picture(uri), say.shorten(words.caption(image), 60))])
            for image, uri in zip(shown, uris, strict=True)
            if uri
        ],
    )
