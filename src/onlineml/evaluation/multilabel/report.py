"""Sections of a multi-label report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.classification.html import data_uri, esc, scale, table
from onlineml.evaluation.multilabel import plots
from onlineml.evaluation.multilabel import text as words
from onlineml.evaluation.render import sections
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.style import svg

if TYPE_CHECKING:
    from onlineml.evaluation.multilabel.result import MultilabelScores
    from onlineml.evaluation.multilabel.tables import LabelScore, WrongImage

__all__ = ["multilabel_sections"]

_THUMBNAIL_BYTES = 1_000_000  # for all thumbnails: with them the page stays under 2 MB
_N_WORST = 48
_N_WORST_SHOWN = 18
_N_CLASSES = 12  # shown at first; the others can be expanded
_CARDS = ("map", "micro_f1", "macro_f1", "subset_accuracy", "hamming_loss", "micro_ap")


def multilabel_sections(scores: MultilabelScores, title: str) -> str:
    """Return the body of the page."""
    note = (
        "Blue: given and there. Red: images in which the class of the row was missed and that of the column was given "
        "falsely; the last column: missed and nothing false, the last row: false and nothing missed."
    )
    how = (
        "A label is given from its class's threshold on. Means leave out what is not defined: mean average precision "
        "classes without images, macro F1 classes that are neither given nor there."
    )
    return "".join(
        (
            _header(scores, title),
            _classes(scores),
            _worst(scores),
            sections.confusion(scores, note=note, counted="images"),
            _curves(scores),
            sections.slices(scores.by_slice, reference=scores.micro_f1, name="F1"),
            sections.numbers(scores, note=how),
        )
    )


def _meter(scores: MultilabelScores, name: str, what: str) -> str:
    value = scores.score(name)
    bar = scale(value, scores.interval(name))
    return f'<div class="meter"><div class="big">{say.percent(value)}</div><div class="muted">{what}</div>{bar}</div>'


def _header(scores: MultilabelScores, title: str) -> str:
    meters = _meter(scores, "micro_recall", "of the labels are found")
    meters += _meter(scores, "micro_precision", "of the given labels are right")
    return (
        f'<header><h1>{esc(title)}</h1><p class="muted small">{sections.facts(scores)}</p>'
        f'<div class="hero">{meters}<div class="say"><p>{esc(words.expectation(scores))}</p>'
        f'<p class="muted small">{esc(words.subset_sentence(scores))}</p></div></div>'
        f"{sections.cards(scores, _CARDS)}</header>"
    )


def _classes(scores: MultilabelScores) -> str:
    per = scores.per_class
    rows = []
    for i in per.worst_first().tolist():
        low_high = (float(per.f1_interval[i, 0]), float(per.f1_interval[i, 1]))
        name = esc(say.shorten(per.names[i], 60))
        rows.append(
            (
                f'<span class="bad">{name}</span>' if low_high[1] < scores.micro_f1 else name,
                f"{per.support[i]:,}",
                f"{per.predicted[i]:,}",
                scale(float(per.f1[i]), low_high, reference=scores.micro_f1),
                *(say.decimal(float(v[i])) for v in (per.f1, per.precision, per.recall, per.ap, per.threshold)),
            )
        )
    header = ("class", "images", "given", "F1, with 95 % interval", "F1", "precision", "recall", "AP", "threshold")
    rest = rows[_N_CLASSES:]
    more = f"<details><summary>the other {say.count(len(rest), 'class')}</summary>{table(header, rest)}</details>"
    return (
        '<section><h2>Which classes fail</h2><p class="muted small">Lowest F1 first. Recall: the share of the images '
        "of the class that are given it. Precision: the share of those given it that show it. Thin line: F1 of all "
        f'classes together. Red: surely below it.</p><div class="scroll">{table(header, rows[:_N_CLASSES])}'
        f"{more if rest else ''}</div></section>"
    )


def _worst(scores: MultilabelScores) -> str:
    cells: list[str] = []
    spent = 0
    for image in scores.worst[:_N_WORST]:
        data = scores.thumbnails.get(image.image_id)
        source = data_uri(data) if data is not None and spent < _THUMBNAIL_BYTES else ""
        spent += len(source)
        cells.append(_wrong_image(image, source))
    some = f"{say.count(scores.n_wrong, 'image')} with wrong labels; those whose labels surprise the model most first. "
    some += "A sure mistake is often a wrong label."
    if not scores.n_wrong:
        some = "None: every image has its labels and no others." if scores.n_images else "No images were evaluated."
    first, rest = "".join(cells[:_N_WORST_SHOWN]), "".join(cells[_N_WORST_SHOWN:])
    more = f'<details><summary>more images</summary><div class="gallery">{rest}</div></details>' if rest else ""
    return (
        f'<section><h2>Which images are wrong</h2><p class="muted small">{some}</p>'
        f'<div class="gallery">{first}</div>{more}</section>'
    )


def _wrong_image(image: WrongImage, source: str) -> str:
    where = esc(image.uri or image.image_id)
    picture = f'<img src="{source}" alt="" loading="lazy">' if source else f'<div class="none">{where}</div>'
    lines = [f"missed {_labels(image.missed, 'warm')}"] if image.missed else []
    lines += [f"false {_labels(image.false, 'bad')}"] if image.false else []
    truth = esc(say.shorten(words.label_list(image.truth), 80))
    lines.append(f'is <span class="good">{truth}</span>')
    return f'<figure title="{where}">{picture}<figcaption>{"<br>".join(lines)}</figcaption></figure>'


def _labels(labels: tuple[LabelScore, ...], style: str) -> str:
    return ", ".join(
        f'<b class="{style}">{esc(say.shorten(label.name, 30))}</b> {say.percent(label.score)}' for label in labels
    )


def _curves(scores: MultilabelScores) -> str:
    drawings = (
        svg(plots.ap_figure(scores), title="average precision of the classes", key="ap"),
        svg(scores.figure("pr"), title="precision-recall curves", key="pr"),
    )
    figures = "".join(f"<figure>{drawing}</figure>" for drawing in drawings)
    return f'<section><h2>Rankings and thresholds</h2><div class="pair">{figures}</div></section>'
