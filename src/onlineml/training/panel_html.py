"""The HTML panel of a training in progress, for live and saved notebooks.

Charts are separate images, because untrusted notebooks do not show SVG elements.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onlineml.pages import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SAMPLES", "STATE_COLOURS", "PanelFacts", "duration", "panel_html"]

_INK = "#767c85"  # of lines; texts are of the page, whose ink is legible in its theme
_COLOURS = ("#3d85c6", "#c47a1e")
STATE_COLOURS = {  # of bars and dots; a text is mixed with the page's
    "starting": "#767c85",
    "running": "#3d85c6",
    "finished": "#3f9e77",
    "failed": "#d9604c",
    "stopped": "#c47a1e",
    "lost": "#d9604c",
}
# One chart each; missing metrics are not drawn.
_CHARTS = (
    ("loss", ("train_loss", "val_loss")),
    ("accuracy", ("val_accuracy",)),
    ("average precision", ("val_map", "val_map_50", "val_map_50_95")),
    ("images per second", ("images_per_s",)),
)
_SIZE = (212, 92)
_POINTS = 400  # the resolution of a chart
SAMPLES = "samples.png"  # in a run's folder: training samples


@dataclass(frozen=True)
class PanelFacts:
    """The content of the panel.

    Attributes:
        title: the name of the activity.
        state: such as ``"running"``; see `onlineml.runs.State` and `onlineml.jobs.JobStatus`.
        rows: metrics of all epochs so far.
        now: the latest metrics, possibly of an unfinished epoch; empty before the first.
        epochs: total number of epochs; None with a time budget.
        budget_s: total time in seconds; None with a number of epochs.
        since_s: seconds since `now` was reported.
        notes: further lines, such as an error and its remedy.
        log: the end of the printed output.
        samples: training samples as a PNG or JPEG file; ``b""`` for none.
    """

    title: str = "training"
    state: str = "running"
    rows: Sequence[Mapping[str, Any]] = ()
    now: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    budget_s: float | None = None
    since_s: float = 0.0
    notes: tuple[str, ...] = ()
    log: str = ""
    samples: bytes = b""

    @property
    def share(self) -> float:
        """The completed share, 0..1; nan if unknown."""
        if self.state == "finished":
            return 1.0
        share = _number(self.now, "progress")
        spent = _number(self.now, "seconds")
        if self.state == "running" and self.budget_s and math.isfinite(spent):
            return min(1.0, max(share if math.isfinite(share) else 0.0, (spent + self.since_s) / self.budget_s))
        return share

    @property
    def left_s(self) -> float:
        """Estimated remaining seconds; nan if unknown."""
        spent, share = _number(self.now, "seconds") + self.since_s, _number(self.now, "progress")
        if self.state != "running" or math.isnan(spent):
            return math.nan
        if self.budget_s:
            return max(0.0, self.budget_s - spent)
        return max(0.0, spent / share - spent) if 0.01 < share <= 1 else math.nan  # earlier estimates are too uncertain


def panel_html(facts: PanelFacts) -> str:
    """Return the panel: progress, charts, samples, notes and log."""
    charts = [_chart(title, names, facts.rows) for title, names in _CHARTS]
    kind = "png" if facts.samples[:4] == b"\x89PNG" else "jpeg"
    values = {
        "facts": facts,
        "color": STATE_COLOURS.get(facts.state, STATE_COLOURS["failed"]),
        "percent": 100 * facts.share if math.isfinite(facts.share) else None,
        "line": _line(facts),
        "charts": [chart for chart in charts if chart["newest"]],
        "width": _SIZE[0],
        "height": _SIZE[1],
        "last": max(1, len(facts.rows) - 1) + 1,
        "samples": _data_uri(facts.samples, kind) if facts.samples else "",
    }
    return render("training/panel.html", values)


def duration(seconds: float) -> str:
    """Format seconds as ``"1 h 05 min"``, ``"2 min 10 s"`` or ``"40 s"``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name, math.nan)
    return float(value) if isinstance(value, int | float) else math.nan


def _line(facts: PanelFacts) -> str:
    now, parts = facts.now, []
    if math.isfinite(epoch := _number(now, "epoch")):
        parts.append(f"epoch {epoch + 1:.0f}" + (f" of {facts.epochs}" if facts.epochs else ""))
    if math.isfinite(spent := _number(now, "seconds")):
        ending = f", about {duration(facts.left_s)} left" if math.isfinite(facts.left_s) else ""
        parts.append(duration(spent + (facts.since_s if facts.state == "running" else 0)) + ending)
    if math.isfinite(rate := _number(now, "images_per_s")):
        parts.append(f"{rate:,.0f} images/s")
    if math.isfinite(lr := _number(now, "lr")):
        parts.append(f"learning rate {lr:.1e}")
    if math.isfinite(loss := _number(now, "train_loss")):
        parts.append(f"loss {loss:.4f}")
    return " · ".join(parts)


def _chart(title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Curves over the epochs, with the newest value of each."""
    points = {name: found for name in names if (found := _points([_number(row, name) for row in rows]))}
    colored = [(name, color, found) for (name, found), color in zip(points.items(), _COLOURS, strict=False)]
    newest = [(name, color, _short(found[-1][1])) for name, color, found in colored]
    values = [value for _, _, found in colored for _, value in found] or [0.0]
    low, high = min(values), max(values)
    picture = _svg([found[1:] for found in colored], last=max(1, len(rows) - 1), low=low, high=high) if colored else ""
    facts = {"title": title, "newest": newest, "low": _short(low), "high": _short(high) if high > low else ""}
    return facts | {"source": _data_uri(picture.encode(), "svg+xml")}


def _points(values: Sequence[float]) -> list[tuple[int, float]]:
    points = [(place, value) for place, value in enumerate(values) if math.isfinite(value)]
    step = -(-len(points) // _POINTS) if points else 1
    return points[::step] + ([points[-1]] if points and (len(points) - 1) % step else [])


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _svg(series: Sequence[tuple[str, Sequence[tuple[int, float]]]], *, last: int, low: float, high: float) -> str:
    width, height = _SIZE
    span = (high - low) or 1.0
    left, right, top, bottom = 4, width - 6, 8, height - 6

    def at(place: float, value: float) -> tuple[str, str]:
        x = left + (right - left) * place / last
        return f"{x:.1f}", f"{bottom - (bottom - top) * (value - low) / span:.1f}"

    box = {"left": left, "right": right, "top": top, "bottom": bottom, "width": width, "height": height, "ink": _INK}
    return render("training/chart.html", box | {"series": [(c, [at(*p) for p in points]) for c, points in series]})


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
