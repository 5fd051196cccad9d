"""Curves: precision over recall, ROC, and training over time."""
# ruff: noqa: PLC0415 - matplotlib takes a fifth of a second to import

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.evaluation._style import (
    ACCENT,
    CALM,
    INK,
    PALETTE,
    WARM,
    legend,
    new_figure,
    plain_axes,
    say_empty,
    thin,
    titled,
)  # fmt: skip
from onlineml.evaluation._text import decimal, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onlineml.evaluation._types import Floats
    from onlineml.evaluation.scores import ClassificationScores

__all__ = ["pr_figure", "roc_figure", "training_figure"]

N_NAMED = 5  # curves with a colour and a name; a tenth line has no colour of its own
_N_FAINT = 40


def _drawable(scores: ClassificationScores, values: Floats) -> list[int]:
    """Classes with a defined value, lowest first; none where the probabilities are not there."""
    if scores.probabilities is None:
        return []
    return [int(i) for i in np.argsort(values, kind="stable") if not math.isnan(values[i])]


def _finish(figure: Figure, axes: Axes, title: str, *, x: str, y: str) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(0, 1.02)
    titled(axes, title, x=x, y=y)
    legend(figure, axes, columns=2)


def pr_figure(scores: ClassificationScores) -> Figure:
    """Precision over recall: the classes with the lowest average precision named, up to 40 others faint."""
    drawn, axes = new_figure(4.6, 4.5)
    order = _drawable(scores, scores.ap)
    if not order:
        say_empty(axes, "no curve: no probabilities, or no class with images")
        return drawn
    for place, i in enumerate(order[: N_NAMED + _N_FAINT]):
        curve = scores.pr(i)
        recall, precision = thin(curve.recall, curve.precision)
        name = f"{shorten(scores.class_names[i], 16)}  {decimal(scores.ap[i])}"
        _step(axes, recall, precision, place=place, label=name)
    title = f"Precision over recall (mean AP {decimal(scores.map)})"
    _finish(drawn, axes, title, x="recall: share of the class that is found", y="precision")
    return drawn


def roc_figure(scores: ClassificationScores) -> Figure:
    """ROC curves: the classes with the lowest AUROC named, up to 40 others faint."""
    drawn, axes = new_figure(4.6, 4.5)
    order = _drawable(scores, scores.auroc)
    if not order:
        say_empty(axes, "no curve: no probabilities, or no two classes with images")
        return drawn
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
    for place, i in enumerate(order[: N_NAMED + _N_FAINT]):
        curve = scores.roc(i)
        false, true = thin(curve.false_positive_rate, curve.true_positive_rate)
        name = f"{shorten(scores.class_names[i], 16)}  {decimal(scores.auroc[i])}"
        _step(axes, false, true, place=place, label=name)
    title = f"ROC (mean AUROC {decimal(scores.auroc_macro)})"
    _finish(drawn, axes, title, x="false alarms: share of the others", y="found: share of the class")
    return drawn


def _step(axes: Axes, x: Floats, y: Floats, *, place: int, label: str) -> None:
    if place < N_NAMED:
        axes.plot(x, y, color=PALETTE[place], linewidth=1.8, label=label, zorder=3)
    else:
        axes.plot(x, y, color=INK, alpha=0.3, linewidth=0.8, label="the other classes" if place == N_NAMED else None)


def training_figure(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """How a training run went: losses, validation accuracy and learning rate over its epochs or steps.

    Args:
        metrics: rows as `Run.metrics()` gives them, with any of the keys ``epoch``, ``step``, ``train_loss``,
            ``val_loss``, ``val_accuracy``, ``lr``, ``seconds``. A row may have some of them only; a value that is
            missing, None or nan is left out of its line.

    Returns:
        Two panels, losses and accuracy, with the best epoch marked and the learning rate below.
    """
    from matplotlib.ticker import MaxNLocator

    drawn, axes = new_figure(9.0, 3.5)
    if not metrics:
        say_empty(axes, "nothing logged yet")
        return drawn
    axes.remove()
    key = next((k for k in ("epoch", "step", "seconds") if len(set(_values(metrics, k)[1])) > 1), "")
    upper = drawn.add_gridspec(2, 2, height_ratios=(5, 1))
    loss, accuracy, rate = (plain_axes(drawn.add_subplot(place)) for place in (upper[:, 0], upper[0, 1], upper[1, 1]))
    for name, color, text in (("train_loss", INK, "training"), ("val_loss", ACCENT, "validation")):
        _line(loss, metrics, name, key=key, color=color, label=text)
    titled(loss, "Loss", x=key or "row")
    if loss.lines:
        loss.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)
    _line(accuracy, metrics, "val_accuracy", key=key, color=CALM, label="")
    titled(accuracy, "Validation accuracy")
    _mark_best(accuracy, metrics, key=key)
    _line(rate, metrics, "lr", key=key, color=WARM, label="")
    titled(rate, "", x=key or "row", y="lr")
    rate.set_yticks([])
    if not rate.lines:
        rate.set_axis_off()
    if key in {"epoch", "step"}:
        for axes in (loss, accuracy, rate):
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    return drawn


def _values(metrics: Sequence[Mapping[str, Any]], name: str, *, key: str = "") -> tuple[list[float], list[float]]:
    """Places and values of a key where it is a finite number; places are row numbers without `key`."""
    rows = [(row.get(key, i) if key else i, row.get(name)) for i, row in enumerate(metrics)]
    kept = [(float(x), float(y)) for x, y in rows if isinstance(x, (int, float)) and isinstance(y, (int, float))]
    kept = [(x, y) for x, y in kept if math.isfinite(x) and math.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]


def _line(axes: Axes, metrics: Sequence[Mapping[str, Any]], name: str, *, key: str, color: str, label: str) -> None:
    x, y = _values(metrics, name, key=key)
    if x:
        axes.plot(x, y, "o-" if len(x) < 40 else "-", color=color, markersize=3, linewidth=1.8, label=label)


def _mark_best(axes: Axes, metrics: Sequence[Mapping[str, Any]], *, key: str) -> None:
    x, y = _values(metrics, "val_accuracy", key=key)
    if not x:
        say_empty(axes, "no validation")
        return
    best = int(np.argmax(y))
    axes.plot(x[best], y[best], "o", color=CALM, markersize=9, fillstyle="none", markeredgewidth=1.6)
    where = f" at {key} {x[best]:g}" if key else ""
    axes.set_title(f"best {decimal(y[best])}{where}", loc="right", fontsize=9, color=INK, pad=10)
