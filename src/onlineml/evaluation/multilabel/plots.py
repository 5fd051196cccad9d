"""Figures of multi-label scores. Each function returns a matplotlib `Figure` and shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.multilabel.text import caption
from onlineml.evaluation.render import plots
from onlineml.evaluation.render.image_grid import image_grid
from onlineml.evaluation.render.style import ACCENT, INK, WARM, legend, new_figure, say_empty, titled
from onlineml.evaluation.render.text import decimal, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from onlineml.evaluation.multilabel.result import MultilabelScores

__all__ = ["DRAWERS", "ap_figure", "worst_figure"]

_N_IMAGES = 24


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


DRAWERS: dict[str, Callable[..., Figure]] = {**plots.DRAWERS, "worst": worst_figure, "ap": ap_figure}
