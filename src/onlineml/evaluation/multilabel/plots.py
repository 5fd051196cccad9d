"""Figures of multi-label scores. Each function returns a matplotlib `Figure` and shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import ConfigError
from onlineml.evaluation.multilabel.text import caption
from onlineml.evaluation.render import plots
from onlineml.evaluation.render.image_grid import image_grid
from onlineml.evaluation.render.style import ACCENT, INK, WARM, legend, new_figure, say_empty, titled
from onlineml.evaluation.render.text import decimal, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from onlineml.evaluation.multilabel.result import MultilabelScores

__all__ = [
    "ap_figure",
    "classes_figure",
    "confusion_figure",
    "figure",
    "pr_figure",
    "slices_figure",
    "worst_figure",
]

_N_IMAGES = 24


def figure(scores: MultilabelScores, name: str) -> Figure:
    """Draw one of `MultilabelScores.figure_names`.

    Raises:
        ConfigError: the figure does not exist.
    """
    drawers: dict[str, Callable[[MultilabelScores], Figure]] = {
        "confusion": confusion_figure,
        "classes": classes_figure,
        "pr": pr_figure,
        "worst": worst_figure,
        "slices": slices_figure,
        "ap": ap_figure,
    }
    if name not in drawers:
        msg = f"there is no figure {name!r}; choose one of {', '.join(drawers)}"
        raise ConfigError(msg)
    return drawers[name](scores)


def confusion_figure(scores: MultilabelScores, *, max_classes: int = 20) -> Figure:
    """Draw `MultilabelScores.confusion`; shades are the fraction of the row."""
    return plots.confusion_figure(scores, max_classes=max_classes)


def classes_figure(scores: MultilabelScores, *, limit: int = 20) -> Figure:
    """Draw the `limit` worst classes: recall with its 95 % interval, and precision."""
    return plots.classes_figure(scores, limit=limit)


def pr_figure(scores: MultilabelScores) -> Figure:
    """Draw precision over recall: classes of lowest average precision named, up to 40 others faint."""
    return plots.pr_figure(scores)


def slices_figure(scores: MultilabelScores, *, limit: int = 30) -> Figure:
    """Draw F1 of all classes together, with its 95 % interval, for each value of each slice column."""
    return plots.draw_slices(scores.by_slice, reference=scores.micro_f1, name="F1", limit=limit)


def ap_figure(scores: MultilabelScores, *, limit: int = 30) -> Figure:
    """Draw bars of the average precision of the `limit` lowest classes with its 95 % interval, and their F1."""
    table = scores.per_class
    order = [int(i) for i in np.argsort(table.ap, kind="stable") if table.support[i]][:limit]
    drawn, axes = new_figure(6.6, max(1.9, 1.2 + 0.3 * len(order)))
    if not order:
        say_empty(axes, "no class has images")
        return drawn
    rows = np.arange(len(order))
    axes.barh(rows, table.ap[order], color=ACCENT, alpha=0.55, height=0.62, label="average precision")
    axes.hlines(rows, *table.ap_interval[order].T, color=INK, linewidth=1.6)
    axes.plot(table.f1[order], rows, "D", color=WARM, markersize=5, label="F1 at the threshold")
    axes.axvline(scores.map, color=INK, linestyle="--", linewidth=1)
    names = [f"{shorten(table.names[i], 26)}  ({table.support[i]:,})" for i in order]
    axes.set_yticks(rows, names, parse_math=False)
    axes.set_ylim(len(order) - 0.5, -0.6)
    axes.set_xlim(0, 1.02)
    axes.grid(visible=False, axis="y")
    some = f"the {len(order)} lowest of {len(table)} classes" if len(order) < len(table) else "lowest first"
    titled(axes, f"Average precision ({some})", x=f"line: 95 % interval; dashed: mean {decimal(scores.map)}")
    legend(drawn, axes, columns=2)
    return drawn


def worst_figure(scores: MultilabelScores, *, limit: int = _N_IMAGES) -> Figure:
    """Draw thumbnails of the images of highest cross-entropy with their errors; those that have a picture first."""
    shown = sorted(scores.worst, key=lambda image: image.image_id not in scores.thumbnails)[:limit]
    pictures = [scores.thumbnails.get(image.image_id) for image in shown]
    return image_grid(pictures, [caption(image) for image in shown], columns=4, limit=limit, inches=2.2)
