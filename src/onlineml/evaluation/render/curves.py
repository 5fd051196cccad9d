"""Plots of curves: precision over recall, ROC, and training over time."""
# ruff: noqa: PLC0415 - matplotlib takes a fifth of a second to import

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from onlineml.evaluation.render.style import (  # fmt: skip
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
)
from onlineml.evaluation.render.text import decimal, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onlineml.evaluation.classification.result import ClassificationScores
    from onlineml.evaluation.metrics import PrecisionRecallCurve
    from onlineml.evaluation.types import Floats

__all__ = ["draw_curves", "pr_figure", "roc_figure", "training_figure"]

_SCORES = {"val_accuracy": "accuracy", "val_map": "average precision", "val_map_50_95": "average precision"}

Curve: TypeAlias = "tuple[str, Floats, Floats, tuple[float, float] | None]"

N_NAMED = 5  # curves with a colour and a name; there are too few colours for more
_N_FAINT = 40


class Ranked(Protocol):
    """Scores of a model that gives every image a probability of every class."""

    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def probabilities(self) -> Floats | None: ...
    @property
    def ap(self) -> Floats: ...
    @property
    def map(self) -> float: ...
    def pr(self, class_name: str | int) -> PrecisionRecallCurve: ...


def _drawable(scores: Ranked, values: Floats) -> list[int]:
    """Return classes with a defined value, lowest first; none if there are no probabilities."""
    if scores.probabilities is None:
        return []
    return [int(i) for i in np.argsort(values, kind="stable") if not math.isnan(values[i])]


def draw_curves(
    curves: Sequence[Curve], title: str, *, x: str, y: str, diagonal: bool = False, empty: str = "no curve"
) -> Figure:
    """Draw curves in the unit square: the first ones in colour and named, up to 40 others faint.

    Args:
        curves: (name, x, y, point) each; the point is marked if it is not None.
        title: title of the figure.
        x: name of the axis.
        y: name of the axis.
        diagonal: whether to draw the diagonal, dashed.
        empty: text to show if there are no curves.
    """
    drawn, axes = new_figure(4.6, 4.5)
    if not curves:
        say_empty(axes, empty)
        return drawn
    if diagonal:
        axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
    for place, (name, along, up, point) in enumerate(curves[: N_NAMED + _N_FAINT]):
        across, height = thin(along, up)
        named = place < N_NAMED
        color = PALETTE[place] if named else INK
        if named:
            axes.plot(across, height, color=color, linewidth=1.8, label=name, zorder=3)
        else:
            others = "the other classes" if place == N_NAMED else None
            axes.plot(across, height, color=INK, alpha=0.3, linewidth=0.8, label=others)
        if point is not None and named:
            axes.plot(*point, "o", color=color, markersize=7, zorder=4)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(0, 1.02)
    titled(axes, title, x=x, y=y)
    legend(drawn, axes, columns=2)
    return drawn


def pr_figure(scores: Ranked) -> Figure:
    """Draw precision over recall: classes of lowest average precision named, up to 40 others faint."""
    curves: list[Curve] = []
    for i in _drawable(scores, scores.ap)[: N_NAMED + _N_FAINT]:
        curve = scores.pr(i)
        name = f"{shorten(scores.class_names[i], 16)}  {decimal(scores.ap[i])}"
        curves.append((name, curve.recall, curve.precision, None))
    return draw_curves(
        curves,
        f"Precision over recall (mean AP {decimal(scores.map)})",
        x="recall: share of the class that is found",
        y="precision",
        empty="no curve: no probabilities, or no class with images",
    )


def roc_figure(scores: ClassificationScores) -> Figure:
    """Draw ROC curves: classes of lowest AUROC named, up to 40 others faint."""
    curves: list[Curve] = []
    for i in _drawable(scores, scores.auroc)[: N_NAMED + _N_FAINT]:
        curve = scores.roc(i)
        name = f"{shorten(scores.class_names[i], 16)}  {decimal(scores.auroc[i])}"
        curves.append((name, curve.false_positive_rate, curve.true_positive_rate, None))
    return draw_curves(
        curves,
        f"ROC (mean AUROC {decimal(scores.auroc_macro)})",
        x="false alarms: share of the others",
        y="found: share of the class",
        diagonal=True,
        empty="no curve: no probabilities, or no two classes with images",
    )


def training_figure(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a training run: losses, the score on validation images and the learning rate over its epochs or steps.

    Args:
        metrics: rows of `Run.metrics()`, with any of the keys ``epoch``, ``step``, ``train_loss``, ``val_loss``,
            ``val_accuracy``, ``val_map``, ``val_map_50_95``, ``lr``, ``seconds``. Rows may be incomplete; a value that
            is missing, None or nan is omitted from its line.

    Returns:
        Two panels, losses and the first score that there is, with the best epoch marked and the learning rate below.
    """
    from matplotlib.ticker import MaxNLocator

    drawn, axes = new_figure(9.0, 3.5)
    if not metrics:
        say_empty(axes, "nothing logged yet")
        return drawn
    axes.remove()
    key = next((k for k in ("epoch", "step", "seconds") if len(set(_values(metrics, k)[1])) > 1), "")
    upper = drawn.add_gridspec(2, 2, height_ratios=(5, 1))
    loss, score, rate = (plain_axes(drawn.add_subplot(place)) for place in (upper[:, 0], upper[0, 1], upper[1, 1]))
    for name, color, text in (("train_loss", INK, "training"), ("val_loss", ACCENT, "validation")):
        _line(loss, metrics, name, key=key, color=color, label=text)
    titled(loss, "Loss", x=key or "row")
    if loss.lines:
        loss.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)
    name = next((name for name in _SCORES if _values(metrics, name)[0]), "val_accuracy")
    _line(score, metrics, name, key=key, color=CALM, label="")
    titled(score, f"Validation {_SCORES[name]}")
    _mark_best(score, metrics, name, key=key)
    _line(rate, metrics, "lr", key=key, color=WARM, label="")
    titled(rate, "", x=key or "row", y="lr")
    rate.set_yticks([])
    if not rate.lines:
        rate.set_axis_off()
    if key in {"epoch", "step"}:
        for axes in (loss, score, rate):
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    return drawn


def _values(metrics: Sequence[Mapping[str, Any]], name: str, *, key: str = "") -> tuple[list[float], list[float]]:
    """Return x positions and values of a key where it is a finite number; positions are row numbers without `key`."""
    rows = [(row.get(key, i) if key else i, row.get(name)) for i, row in enumerate(metrics)]
    kept = [(float(x), float(y)) for x, y in rows if isinstance(x, (int, float)) and isinstance(y, (int, float))]
    kept = [(x, y) for x, y in kept if math.isfinite(x) and math.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]


def _line(axes: Axes, metrics: Sequence[Mapping[str, Any]], name: str, *, key: str, color: str, label: str) -> None:
    x, y = _values(metrics, name, key=key)
    if x:
        axes.plot(x, y, "o-" if len(x) < 40 else "-", color=color, markersize=3, linewidth=1.8, label=label)


def _mark_best(axes: Axes, metrics: Sequence[Mapping[str, Any]], name: str, *, key: str) -> None:
    x, y = _values(metrics, name, key=key)
    if not x:
        say_empty(axes, "no validation")
        return
    best = int(np.argmax(y))
    axes.plot(x[best], y[best], "o", color=CALM, markersize=9, fillstyle="none", markeredgewidth=1.6)
    where = f" at {key} {x[best]:g}" if key else ""
    axes.set_title(f"best {decimal(y[best])}{where}", loc="right", fontsize=9, color=INK, pad=10)
