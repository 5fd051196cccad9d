"""Figures of a detector's scores. Each function returns a matplotlib `Figure` and shows nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.evaluation.detection.gallery import worst_figure
from onlineml.evaluation.detection.text import ERROR_WORDS
from onlineml.evaluation.metrics import ratio
from onlineml.evaluation.render import plots
from onlineml.evaluation.render.curves import draw_curves
from onlineml.evaluation.render.style import ACCENT, ALARM, INK, new_figure, say_empty, titled
from onlineml.evaluation.render.text import decimal, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from onlineml.evaluation.detection.result import DetectionScores

__all__ = ["DRAWERS", "errors_figure", "pr_figure", "thresholds_figure", "worst_figure"]


def pr_figure(scores: DetectionScores) -> Figure:
    """Draw precision over recall at an IoU of 0.5: classes of lowest AP named, others faint; dots: thresholds."""
    per = scores.per_class
    order = [int(i) for i in np.argsort(per.ap_50, kind="stable") if not math.isnan(per.ap_50[i])]
    curves = []
    for i in order if scores.found is not None else []:
        curve = scores.pr(i)
        name = f"{shorten(scores.class_names[i], 16)}  {decimal(per.ap_50[i])}"
        # the curve's last point, precision 1 at recall 0, is a convention, not a measurement
        point = (float(per.recall[i]), float(per.precision[i]))
        curves.append((name, curve.recall[:-1], curve.precision[:-1], point))
    title = f"Precision over recall (mAP 50: {decimal(scores.map_50)})"
    nothing = "no curve: no detections, or no class with objects"
    return draw_curves(curves, title, x="recall: share of the objects that are found", y="precision", empty=nothing)


def thresholds_figure(scores: DetectionScores) -> Figure:
    """Draw F1 over the threshold at an IoU of 0.5: classes of lowest F1 named, others faint; dots: thresholds."""
    per = scores.per_class
    order = [int(i) for i in np.argsort(per.f1, kind="stable") if per.support[i] and not math.isnan(per.f1[i])]
    curves = []
    for i in order if scores.found is not None else []:
        curve = scores.pr(i)
        recall, precision = curve.recall[:-1], curve.precision[:-1]
        f1 = ratio(2 * precision * recall, precision + recall)
        name = f"{shorten(scores.class_names[i], 16)}  {decimal(per.f1[i])}"
        curves.append((name, curve.thresholds, np.nan_to_num(f1), (float(per.threshold[i]), float(per.f1[i]))))
    nothing = "no curve: no detections, or no class with objects"
    title = f"F1 over the threshold (mean {decimal(scores.macro_f1)})"
    return draw_curves(curves, title, x="threshold: boxes of a lower score are left out", y="F1", empty=nothing)


def errors_figure(scores: DetectionScores) -> Figure:
    """Draw the cost of each type of error in AP50, and the number of errors."""
    drawn, axes = new_figure(5.6, 3.2)
    known = [error for error in scores.errors if not math.isnan(error.ap_50_cost)]
    if not known:
        say_empty(axes, "no objects, so no error can be weighed")
        return drawn
    rows = np.arange(len(known))
    costs = np.array([100 * error.ap_50_cost for error in known])
    worst = costs.max()
    colors = [ALARM if cost == worst and cost > 0 else ACCENT for cost in costs]
    axes.barh(rows, costs, color=colors, height=0.62)
    span = max(costs.max() - min(costs.min(), 0.0), 1.0)
    for y, cost, error in zip(rows.tolist(), costs.tolist(), known, strict=True):
        text = f"{cost:.1f}  ({count(error.n, 'object' if error.name == 'missed' else 'box')})"
        axes.text(max(cost, 0) + 0.02 * span, y, text, va="center", fontsize=9, color=INK)
    axes.set_yticks(rows, [ERROR_WORDS[error.name][0] for error in known])
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_xlim(min(costs.min() * 1.05, 0.0), max(costs.max(), 1.0) + 0.4 * span)
    axes.grid(visible=False, axis="y")
    titled(axes, "What the errors cost", x="points of mAP 50 that would be won without them")
    return drawn


DRAWERS: dict[str, Callable[..., Figure]] = {
    **plots.DRAWERS,
    "pr": pr_figure,
    "worst": worst_figure,
    "errors": errors_figure,
    "thresholds": thresholds_figure,
}
