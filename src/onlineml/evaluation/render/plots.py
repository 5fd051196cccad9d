"""Figures of a classifier's scores. Each function returns a matplotlib `Figure` and shows nothing."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.evaluation.render.curves import pr_figure, roc_figure, training_figure
from onlineml.evaluation.render.gallery import MISSED
from onlineml.evaluation.render.style import (
    ACCENT,
    ALARM,
    INK,
    TEXT,
    WARM,
    legend,
    new_figure,
    say_empty,
    shades,
    titled,
)
from onlineml.evaluation.render.text import decimal, label, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.classification.result import ClassificationScores
    from onlineml.evaluation.types import Ints

__all__ = [
    "DRAWERS",
    "classes_figure",
    "confusion_figure",
    "picked_confusion",
    "pr_figure",
    "reliability_figure",
    "roc_figure",
    "slices_figure",
    "training_figure",
]

OTHERS = "all others"


def confusion_figure(scores: BaseScores, *, max_classes: int = 20) -> Figure:
    """Draw the confusion matrix: rows are truths, columns predictions, shades the fraction of the row.

    For more than `max_classes` classes, those in the most frequent confusions are drawn, with one row and column for
    all others, whose common cell includes confusions among them. Where a prediction can take the place of none, the
    last row counts those, and the last column what was missed.
    """
    matrix, names, picked = picked_confusion(scores, max_classes=max_classes)
    side = min(1.8 + 0.42 * len(matrix), 10.5)
    drawn, axes = new_figure(max(side + 0.8, 4.2), max(side, 3.4))
    if not scores.n_images:
        say_empty(axes, "no images, so nothing to confuse")
        return drawn
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=shades(ACCENT), vmin=0, vmax=1, aspect="equal")
    wrong = np.where(np.eye(len(matrix), dtype=bool), np.nan, np.where(matrix > 0, shares, np.nan))
    # square root: makes rare mistakes visible
    axes.imshow(np.sqrt(wrong), cmap=shades(ALARM), vmin=0, vmax=1, aspect="equal")
    _write_cells(axes, matrix)
    short = [shorten(name, 18) for name in names]
    beyond = len(matrix) > len(names)
    columns, rows = [*short, *([MISSED] * beyond)], [*short, *([scores.words.absent] * beyond)]
    axes.set_xticks(range(len(columns)), columns, rotation=90 if len(columns) > 6 or max(map(len, columns)) > 9 else 0,
                    parse_math=False)  # fmt: skip
    axes.set_yticks(range(len(rows)), rows, parse_math=False)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    which = f"the {picked} most confused of {count(len(scores.class_names), 'class')}" if picked else "all classes"
    titled(axes, f"Truth against prediction ({which})", x="predicted", y="truth")
    return drawn


def picked_confusion(scores: BaseScores, *, max_classes: int) -> tuple[Ints, list[str], int]:
    """Return the matrix to draw, its classes, and the number of selected classes (0: all)."""
    confusion, names = scores.confusion, list(scores.class_names)
    if len(names) <= max_classes:
        return confusion, names, 0
    pairs = [name for pair in scores.confused_pairs(max_classes * max_classes) for name in (pair.truth, pair.predicted)]
    distinct = list(dict.fromkeys([*pairs, *(names[i] for i in scores.per_class.worst_first())]))
    number = {name: i for i, name in enumerate(names)}
    kept = np.sort([number[name] for name in distinct[:max_classes]])
    codes = np.full(len(confusion), max_classes)
    codes[len(names) :] = max_classes + 1
    codes[kept] = np.arange(max_classes)
    pooled = np.zeros((codes.max() + 1, codes.max() + 1), np.int64)
    np.add.at(pooled, (codes[:, None], codes[None, :]), confusion)
    return pooled, [*(names[i] for i in kept), OTHERS], max_classes


def _write_cells(axes: Axes, matrix: Ints) -> None:
    last = len(matrix) - 1
    for row, column in zip(*np.nonzero(matrix), strict=True):
        number = matrix[row, column]
        text = f"{number:,}" if number < 10_000 else f"{number / 1000:.0f}k"
        size = 9 if last < 12 else 7.5
        weight = "normal" if row == column else "bold"
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=TEXT, fontweight=weight)


def classes_figure(scores: BaseScores, *, limit: int = 20) -> Figure:
    """Draw the `limit` worst classes: recall with its 95 % interval, and precision."""
    table = scores.per_class
    order = [i for i in table.worst_first() if table.support[i]][:limit]
    drawn, axes = new_figure(6.6, max(1.9, 1.2 + 0.3 * len(order)))
    if not order:
        say_empty(axes, "no class has images")
        return drawn
    rows = np.arange(len(order))
    low, high = table.recall_interval[order].T
    axes.hlines(rows, low, high, color=ACCENT, alpha=0.35, linewidth=6)
    axes.plot(table.recall[order], rows, "o", color=ACCENT, markersize=7, label="found (recall)")
    axes.plot(table.precision[order], rows, "D", color=ALARM, markersize=5, label="right when said (precision)")
    if table.ranking == "AP":
        axes.plot(table.ap[order], rows, "s", color=WARM, markersize=5, label="average precision (AP 50\u201395)")
    names = [f"{shorten(table.names[i], 26)}  ({table.support[i]:,})" for i in order]
    axes.set_yticks(rows, names, parse_math=False)
    axes.set_ylim(len(order) - 0.5, -0.6)
    axes.set_xlim(-0.02, 1.02)
    some = f"lowest {table.ranking} first"
    if len(order) < len(table):
        some = f"the {len(order)} lowest of {len(table)} classes"
    titled(axes, f"Which classes fail ({some})", x="share; the bar is the 95 % interval of what is found")
    legend(drawn, axes, columns=2)
    return drawn


def reliability_figure(scores: ClassificationScores) -> Figure:
    """Draw accuracy against confidence in 15 bins, with the fraction of the images in each below."""
    drawn, axes = new_figure(4.6, 4.5)
    bins = scores.reliability
    if not scores.n_images:
        say_empty(axes, "no images, so no calibration")
        return drawn
    full = bins.n > 0
    width = 1 / len(bins.n)
    share = bins.n / bins.n.sum()
    axes.bar(bins.lower, share, width=width, align="edge", color=INK, alpha=0.22, label="share of the images")
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1, label="honest")
    axes.vlines(bins.confidence[full], bins.confidence[full], bins.accuracy[full], color=ALARM, alpha=0.6, linewidth=3)
    axes.plot(bins.confidence[full], bins.accuracy[full], "o-", color=ACCENT, markersize=5, label="this model")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    titled(axes, f"Is its confidence honest? (ECE {decimal(scores.ece)})", x="confidence", y="share that is right")
    legend(drawn, axes, columns=3)
    return drawn


def slices_figure(scores: BaseScores, *, limit: int = 30) -> Figure:
    """Draw the score of the slices with its 95 % interval for each value of each column; at most the `limit` lowest."""
    name, reference = label(scores.slice_score), scores.score(scores.slice_score)
    score = attrgetter(scores.slice_score)
    rows = [row for row in scores.by_slice if row.n]
    if len(rows) > limit:
        lowest = {id(row) for row in sorted(rows, key=score)[:limit]}
        rows = [row for row in rows if id(row) in lowest]
    drawn, axes = new_figure(6.6, max(1.7, 1.0 + 0.3 * len(rows)))
    if not rows:
        say_empty(axes, "no slices; give columns with slices=")
        return drawn
    at = np.arange(len(rows))
    axes.axvline(reference, color=INK, linestyle="--", linewidth=1)
    for y, row in zip(at, rows, strict=True):
        color = ALARM if row.high < reference else ACCENT
        axes.hlines(y, row.low, row.high, color=color, alpha=0.35, linewidth=6)
        axes.plot(score(row), y, "o", color=color, markersize=7)
    names = [f"{shorten(row.column, 14)}: {shorten(row.value, 22)}  ({row.n:,})" for row in rows]
    axes.set_yticks(at, names, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    titled(
        axes,
        f"{name.capitalize() if name.islower() else name} by slice",
        x=f"{name} and its 95 % interval (dashed: all images)",
    )
    return drawn


DRAWERS: dict[str, Callable[..., Figure]] = {
    "confusion": confusion_figure,
    "classes": classes_figure,
    "pr": pr_figure,
    "slices": slices_figure,
}
