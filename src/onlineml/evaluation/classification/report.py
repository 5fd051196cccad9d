"""Sections of a classifier's report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.classification import text as words
from onlineml.evaluation.classification.html import data_uri, esc, scale, table
from onlineml.evaluation.render import plots, sections
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.style import svg

if TYPE_CHECKING:
    from onlineml.evaluation.classification.result import ClassificationScores
    from onlineml.evaluation.classification.tables import Mistake

__all__ = ["classification_sections"]

_THUMBNAIL_BYTES = 1_000_000  # for all thumbnails: with them the page stays under 2 MB
_N_MISTAKES = 48
_N_MISTAKES_SHOWN = 18
_N_CLASSES = 12  # shown at first; the others can be expanded


def classification_sections(scores: ClassificationScores, title: str) -> str:
    """Return the body of the page."""
    return "".join(
        (
            _header(scores, title),
            _classes(scores),
            _mistakes(scores),
            sections.confusion(scores, note="Blue: right. Red: confused.", counted="images"),
            _calibration(scores),
            sections.slices(scores.by_slice, reference=scores.accuracy, name="accuracy"),
            sections.numbers(scores, note="Macro scores are means over the classes that have images."),
        )
    )


def _header(scores: ClassificationScores, title: str) -> str:
    guess = words.majority_share(scores)
    bar = scale(scores.accuracy, scores.interval("accuracy"), reference=guess)
    if bar:
        bar += '<div class="ends"><span>0 %</span><span>band: 95 % interval · thin line: always answering the '
        bar += f"most common class ({say.percent(guess)})</span><span>100 %</span></div>"
    names = [n for n in ("balanced_accuracy", "macro_f1", "top_5", "map", "log_loss", "ece") if _is_shown(scores, n)]
    return (
        f'<header><h1>{esc(title)}</h1><p class="muted small">{sections.facts(scores)}</p>'
        '<div class="hero">'
        f'<div><div class="big">{say.percent(scores.accuracy)}</div><div class="muted">accuracy</div></div>'
        f'<div class="say"><p>{esc(words.expectation(scores))}</p>'
        f'<p class="muted small">{esc(words.calibration_sentence(scores))}</p>{bar}</div></div>'
        f"{sections.cards(scores, names)}</header>"
    )


def _is_shown(scores: ClassificationScores, name: str) -> bool:
    return name in words.shown_scores(scores)


def _classes(scores: ClassificationScores) -> str:
    per = scores.per_class
    order = [int(i) for i in per.worst_first()]
    rows = []
    for i in order:
        low_high = (float(per.recall_interval[i, 0]), float(per.recall_interval[i, 1]))
        failing = per.f1[i] < scores.macro_f1 and low_high[1] < scores.accuracy
        name = esc(say.shorten(per.names[i], 60))
        rows.append(
            (
                f'<span class="bad">{name}</span>' if failing else name,
                f"{per.support[i]:,}",
                scale(float(per.recall[i]), low_high, reference=scores.balanced_accuracy),
                *(say.decimal(float(v[i])) for v in (per.recall, per.precision, per.f1, per.ap)),
            )
        )
    header = ("class", "images", "found, with 95 % interval", "recall", "precision", "F1", "AP")
    rest = rows[_N_CLASSES:]
    more = f"<details><summary>the other {say.count(len(rest), 'class')}</summary>{table(header, rest)}</details>"
    return (
        '<section><h2>Which classes fail</h2><p class="muted small">Lowest F1 first. Recall: the share of the images '
        "of the class that is found. Precision: the share of the images called so that are. Thin line: mean recall. "
        f'Red: surely below the accuracy.</p><div class="scroll">{table(header, rows[:_N_CLASSES])}'
        f"{more if rest else ''}</div></section>"
    )


def _mistakes(scores: ClassificationScores) -> str:
    cells: list[str] = []
    spent = 0
    for mistake in scores.mistakes[:_N_MISTAKES]:
        data = scores.thumbnails.get(mistake.image_id)
        source = data_uri(data) if data is not None and spent < _THUMBNAIL_BYTES else ""
        spent += len(source)
        cells.append(_mistake(mistake, source))
    total = scores.n_mistakes
    some = f"{say.count(total, 'mistake')}, the most confident first. A confident mistake is often a wrong label."
    if not total:
        some = "None: every image is classified as labelled." if scores.n_images else "No images were evaluated."
    first, rest = "".join(cells[:_N_MISTAKES_SHOWN]), "".join(cells[_N_MISTAKES_SHOWN:])
    more = f'<details><summary>more mistakes</summary><div class="gallery">{rest}</div></details>' if rest else ""
    return (
        f'<section><h2>Which images are wrong</h2><p class="muted small">{some}</p>'
        f'<div class="gallery">{first}</div>{more}</section>'
    )


def _mistake(mistake: Mistake, source: str) -> str:
    where = esc(mistake.uri or mistake.image_id)
    picture = f'<img src="{source}" alt="" loading="lazy">' if source else f'<div class="none">{where}</div>'
    return (
        f'<figure title="{where}">{picture}<figcaption>said <b class="bad">{esc(say.shorten(mistake.predicted, 40))}'
        f'</b> {say.percent(mistake.score)}<br>is <b class="good">{esc(say.shorten(mistake.truth, 40))}</b> '
        f'<span class="muted">{say.percent(mistake.truth_score)}</span></figcaption></figure>'
    )


def _calibration(scores: ClassificationScores) -> str:
    drawings = (
        svg(plots.reliability_figure(scores), title="reliability curve", key="reliability"),
        svg(plots.pr_figure(scores), title="precision-recall curves", key="pr"),
        svg(plots.roc_figure(scores), title="ROC curves", key="roc"),
    )
    figures = "".join(f"<figure>{drawing}</figure>" for drawing in drawings)
    return f'<section><h2>Confidence and thresholds</h2><div class="three">{figures}</div></section>'
