"""Figures of a comparison. Each function returns a matplotlib `Figure` and shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import ConfigError
from onlineml.evaluation.comparison.text import most_changed
from onlineml.evaluation.render.image_grid import image_grid
from onlineml.evaluation.render.style import ALARM, CALM, INK, legend, new_figure, say_empty, titled
from onlineml.evaluation.render.text import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from onlineml.evaluation.comparison.result import Comparison, PartChange

__all__ = ["figure"]

_N_PARTS = 24
_N_IMAGES = 24


def figure(comparison: Comparison, name: str) -> Figure:
    """Draw a figure by name, see `Comparison.figure`."""
    if name == "classes":
        return _parts_figure(comparison.by_class, "Fixed and broken, by class")
    if name == "slices":
        return _parts_figure(comparison.by_slice, "Fixed and broken, by slice")
    if name in {"broken", "fixed"}:
        return _image_grid(comparison, name)
    msg = f"there is no figure {name!r}; choose one of classes, slices, broken, fixed"
    raise ConfigError(msg)


def _parts_figure(parts: Sequence[PartChange], title: str) -> Figure:
    """Draw bars of fixed items to the right and of broken ones to the left, as fractions of the part."""
    shown = most_changed(parts)[:_N_PARTS][::-1]
    drawn, axes = new_figure(7.0, max(2.4, 0.3 * len(shown) + 1.2))
    if not shown:
        say_empty(axes, "nothing to compare")
        return drawn
    places = np.arange(len(shown))
    axes.barh(places, [100 * p.fixed / p.n for p in shown], color=CALM, height=0.62, label="fixed")
    axes.barh(places, [-100 * p.broken / p.n for p in shown], color=ALARM, height=0.62, label="broken")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(places, [shorten(f"{p.name} ({p.n:,})", 36) for p in shown])
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.grid(visible=False, axis="y")
    titled(axes, title, x="% of the class" if shown[0].column == "class" else "% of the slice")
    legend(drawn, axes, columns=2)
    return drawn


def _image_grid(comparison: Comparison, change: str) -> Figure:
    """Draw thumbnails of the images with the predictions of both models; those that have a picture first."""
    shown = [image for image in comparison.changed if image.change == change]
    shown = sorted(shown, key=lambda image: image.image_id not in comparison.thumbnails)[:_N_IMAGES]
    pictures = [comparison.thumbnails.get(image.image_id) for image in shown]
    titles = [f"{image.prediction_a} \N{RIGHTWARDS ARROW} {image.prediction_b}" for image in shown]
    return image_grid(pictures, titles, columns=4, limit=_N_IMAGES, inches=2.2)
