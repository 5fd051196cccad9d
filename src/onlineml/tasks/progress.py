"""How a run shows itself while it goes on: one line an epoch, or one panel that is redrawn."""

from __future__ import annotations

import html
import math
import sys
from typing import TYPE_CHECKING, Any, Literal, get_args

from onlineml.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Progress", "check_progress", "epoch_line", "make_reporter"]

Progress = Literal["lines", "live", "none"]
_SHOWN = ("train_loss", "val_loss", "val_accuracy", "val_map_50", "val_map_50_95")


def epoch_line(row: Mapping[str, Any]) -> str:
    """One readable line of an epoch's figures, for a log."""
    parts = [f"epoch {row['epoch']:>3}", f"{100 * row['progress']:3.0f} %"]
    parts += [f"{name} {row[name]:.4f}" for name in _SHOWN if not math.isnan(row.get(name, math.nan))]
    parts += [f"lr {row['lr']:.1e}", f"{row['images_per_s']:.0f} images/s", f"{row['seconds']:.0f} s"]
    return "  ".join(parts)


def check_progress(progress: Progress) -> None:
    """Refuse what `make_reporter` does not know, before anything is done.

    Raises:
        ConfigError: it is not one of the choices.
    """
    if progress not in get_args(Progress):
        raise ConfigError(f"progress={progress!r}: expected one of {', '.join(get_args(Progress))}")


def make_reporter(progress: Progress) -> Callable[[Sequence[Mapping[str, Any]]], None]:
    """A function that shows the rows so far.

    Args:
        progress: ``"lines"`` prints a line each epoch (for papermill and logs), ``"live"`` redraws one panel in a
            notebook, ``"none"`` shows nothing.

    Raises:
        ConfigError: it is none of these.
        MissingDependencyError: ``"live"`` without IPython.
    """
    check_progress(progress)
    if progress == "live":
        return _live_panel()
    if progress == "lines":
        return _print_last
    return _show_nothing


def _print_last(rows: Sequence[Mapping[str, Any]]) -> None:
    sys.stdout.write(epoch_line(rows[-1]) + "\n")
    sys.stdout.flush()


def _live_panel() -> Callable[[Sequence[Mapping[str, Any]]], None]:
    try:
        from IPython.display import HTML, display  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("progress='live' needs a notebook: pip install ipython, or 'lines'") from error
    handle = display(HTML("<p>starting …</p>"), display_id=True)  # type: ignore[no-untyped-call]

    def show(rows: Sequence[Mapping[str, Any]]) -> None:
        if handle is not None:
            handle.update(HTML(panel_html(rows)))  # type: ignore[no-untyped-call]

    return show


def panel_html(rows: Sequence[Mapping[str, Any]]) -> str:
    """The panel: how far, the last figures, and a curve of each."""
    last = rows[-1]
    curves = "".join(_curve(name, [row.get(name, math.nan) for row in rows]) for name in _SHOWN)
    return (
        '<div style="font-family:sans-serif;max-width:46em">'
        f'<progress value="{last["progress"]:.3f}" max="1" style="width:100%"></progress>'
        f"<div>{html.escape(epoch_line(last))}</div>"
        f'<div style="display:flex;gap:1.5em;margin-top:.5em">{curves}</div></div>'
    )


def _curve(name: str, values: Sequence[float]) -> str:
    points = [(i, v) for i, v in enumerate(values) if math.isfinite(v)]
    if not points:
        return ""
    low, high = min(v for _, v in points), max(v for _, v in points)
    span, width = (high - low) or 1.0, max(1, len(values) - 1)
    path = " ".join(f"{200 * i / width:.1f},{58 - 56 * (v - low) / span:.1f}" for i, v in points)
    return (
        f'<figure style="margin:0"><figcaption>{html.escape(name)} {points[-1][1]:.4f}</figcaption>'
        '<svg width="200" height="60" viewBox="0 0 200 60"><polyline fill="none" stroke="#3b82c4" '
        f'stroke-width="2" points="{path}"/></svg></figure>'
    )


def _show_nothing(rows: Sequence[Mapping[str, Any]]) -> None:
    del rows
