"""Common style of all figures: white, and transparent in reports; marks are seen on light and dark, texts are read."""
# ruff: noqa: PLC0415 - matplotlib takes a fifth of a second to import

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from onlineml.pages import markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onlineml.evaluation.types import Floats

__all__ = [
    "ACCENT",
    "ALARM",
    "ALARM_TEXT",
    "CALM",
    "CALM_TEXT",
    "INK",
    "PALETTE",
    "TAG_TEXT",
    "TEXT",
    "WARM",
    "legend",
    "new_figure",
    "new_grid",
    "plain_axes",
    "say_empty",
]
__all__ += ["shades", "svg", "thin", "titled"]

TEXT, INK = "#1d2329", "#5b646e"  # in reports, those of the page: no grey has a contrast of 4.5 on white and on #111
FAINT = "#5b646e40"
ACCENT = "#3d85c6"
ALARM = "#d9604c"
CALM = "#3f9e77"
ALARM_TEXT, CALM_TEXT, TAG_TEXT = "#b3361f", "#1f7350", "#111"  # the last on all these colours
WARM = "#c47a1e"
PALETTE = (ACCENT, WARM, CALM, ALARM, "#9a74c9", "#3c93a3", "#b5739d", "#8a8f3c")
_CURVE_POINTS = 300  # more are not visible at this size, and a curve of 50,000 would take a megabyte


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a white figure, in inches, with one axes; notebooks display it, and no window opens."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """Figure that a notebook displays even if pyplot was never imported."""

        def draw(self, renderer: Any) -> None:
            # a class name in a script that the font lacks is drawn as boxes, without a warning
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
                super().draw(renderer)

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=110)
            return buffer.getvalue()

    figure = NotebookFigure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, plain_axes(figure.add_subplot())


def new_grid(
    n: int, *, columns: int, cell: tuple[float, float], least: float, below: float = 0.0, empty: str
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `n` axes side by side, or one that says why it is `empty`.

    A `cell` has a width and a height in inches, the figure a `least` width, and room `below` the cells.
    """
    columns = max(1, min(columns, n))
    rows = max(1, -(-n // columns))
    drawn, axes = new_figure(max(cell[0] * columns, least), cell[1] * rows + below)
    if not n:
        say_empty(axes, empty)
        return drawn, []
    axes.remove()
    return drawn, [plain_axes(drawn.add_subplot(rows, columns, place + 1)) for place in range(n)]


def plain_axes(axes: Axes) -> Axes:
    """Use neutral colours and no box."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.grid(visible=True, color=INK, alpha=0.18, linewidth=0.8)
    axes.set_axisbelow(True)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_color(INK)
        text.set_fontsize(10)
    return axes


def titled(axes: Axes, title: str, *, x: str = "", y: str = "") -> None:
    """Set title and axis names; a name from the user is never interpreted as math text."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold", pad=10, parse_math=False)
    axes.set_xlabel(x, color=INK, parse_math=False)
    axes.set_ylabel(y, color=INK, parse_math=False)


def legend(figure: Figure, axes: Axes, *, columns: int) -> None:
    """Draw a legend below the axes, where it covers nothing."""
    handles, names = axes.get_legend_handles_labels()
    if not handles:
        return
    box = figure.legend(
        handles,
        names,
        loc="outside lower center",
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        ncols=columns,
        columnspacing=1.4,
        handlelength=1.6,
    )
    for text in box.get_texts():
        text.set_parse_math(False)


def say_empty(axes: Axes, text: str) -> None:
    """Draw a text that explains why the figure is empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", color=INK, transform=axes.transAxes, parse_math=False)
    axes.set_axis_off()


def shades(color: str) -> Any:
    """Return a colour map from transparent to half of `color`: the page's text is read on all of it."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    red, green, blue = to_rgb(color)
    return LinearSegmentedColormap.from_list("shades", [(red, green, blue, 0.04), (red, green, blue, 0.55)])


def thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return at most 300 points of a curve, including its ends."""
    if len(x) <= _CURVE_POINTS:
        return x, y
    kept = np.unique(np.linspace(0, len(x) - 1, _CURVE_POINTS).astype(np.int64))
    return x[kept], y[kept]


def svg(figure: Figure, *, title: str, key: str) -> Markup:
    """Return the figure as an SVG element to embed in a page: text as text, in the page's font and colours.

    Args:
        figure: a figure of this module.
        title: accessible description; plain text.
        key: letters that make its element ids differ from those of the page's other figures.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}):
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([^\"';]*?)([\d.]+px) [^;\"]*", r"font: \1\2 system-ui, sans-serif", text)
    text = text.replace(INK, "var(--ink)").replace(TEXT, "var(--text)")
    head = markup('<svg role="img" aria-label="{}" ', title)
    text = re.sub(r'(\s(?:width|height)="[\d.]+)pt"', r'\1"', text.replace("<svg ", head, 1), count=2)
    return Markup(text)  # noqa: S704 - matplotlib escapes
