"""The HTML panel of a training in progress, for a notebook that follows it and for one that is saved.

Pictures in it are separate images, because notebooks that are not trusted yet show no SVG element.
"""

from __future__ import annotations

import base64
import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SAMPLES", "PanelFacts", "duration", "panel_html"]

_INK = "#767c85"  # reads on white and on black, as in figures
_COLOURS = ("#3d85c6", "#d98b2b")
_STATES = {"running": "#3d85c6", "starting": "#3d85c6", "finished": "#3f9e77", "stopped": "#d98b2b"}
_ALARM = "#d9604c"
# What belongs together is one chart; only what is there is drawn.
_CHARTS = (
    ("loss", ("train_loss", "val_loss")),
    ("accuracy", ("val_accuracy",)),
    ("average precision", ("val_map_50", "val_map_50_95")),
    ("images a second", ("images_per_s",)),
)
_SIZE = (260, 110)
_POINTS = 400  # more cannot be seen
SAMPLES = "samples.png"  # in a run's folder: images that the network sees


@dataclass(frozen=True)
class PanelFacts:
    """The content of the panel.

    Attributes:
        title: the name of the activity.
        state: such as ``"running"``; see `onlineml.runs.State` and `onlineml.jobs.JobStatus`.
        rows: figures of all epochs so far.
        now: the newest figures, perhaps of an epoch that is not over yet; empty before the first.
        epochs: total number of epochs; None where a budget of time decides.
        budget_s: total time in seconds; None where epochs decide.
        since_s: seconds since `now` was reported.
        notes: further lines, such as an error and its remedy.
        log: the end of the printed output.
        samples: images that the network sees, as a PNG or JPEG file; ``b""``: none.
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
        """The share that is done, 0..1; nan where it is not known."""
        if self.state == "finished":
            return 1.0
        share = _number(self.now, "progress")
        spent = _number(self.now, "seconds")
        if self.state == "running" and self.budget_s and math.isfinite(spent):
            return min(1.0, max(share if math.isfinite(share) else 0.0, (spent + self.since_s) / self.budget_s))
        return share

    @property
    def left_s(self) -> float:
        """Seconds that are left, about; nan where nobody knows."""
        spent, share = _number(self.now, "seconds") + self.since_s, _number(self.now, "progress")
        if self.state != "running" or math.isnan(spent):
            return math.nan
        if self.budget_s:
            return max(0.0, self.budget_s - spent)
        return max(0.0, spent / share - spent) if 0.01 < share <= 1 else math.nan  # before, it would be a guess


def panel_html(facts: PanelFacts) -> str:
    """The panel: how far and how long, a chart of each kind of figures, images, and what there is to say."""
    color = _STATES.get(facts.state, _ALARM)
    share = facts.share
    head = f"<b>{html.escape(facts.title)}</b> <span style='color:{color}'>{html.escape(facts.state)}</span>"
    bar = ""
    if math.isfinite(share):
        head += f" {100 * share:.0f}&nbsp;%"
        done = f"width:{100 * share:.1f}%;height:8px;border-radius:4px;background:{color}"
        ground = "height:8px;border-radius:4px;background:rgba(128,128,128,.25);margin:6px 0"
        bar = f'<div style="{ground}"><div style="{done}"></div></div>'
    charts = "".join(_chart(title, names, facts.rows) for title, names in _CHARTS)
    parts = [f"<div>{head}</div>", bar, f'<div style="font-size:12px">{html.escape(_line(facts))}</div>']
    parts += [f'<div style="margin-top:4px">{html.escape(note)}</div>' for note in facts.notes if note]
    if charts:
        parts.append(f'<div style="display:flex;flex-wrap:wrap;gap:14px;margin-top:8px">{charts}</div>')
    if facts.samples:
        parts.append(f'<div style="margin-top:8px;font-size:12px">what the network sees:</div>{_image(facts.samples)}')
    if facts.log:
        style = "max-height:12em;overflow:auto;font-size:11px;margin:8px 0 0"
        parts.append(f'<pre style="{style}">{html.escape(facts.log)}</pre>')
    return f'<div style="max-width:60em">{"".join(parts)}</div>'


def duration(seconds: float) -> str:
    """Such as ``"1 h 05 min"``, ``"2 min 10 s"``, ``"40 s"``."""
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


def _chart(title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Curves over the epochs, with the newest value of each; ``""`` where there is no number."""
    series = {name: _points([_number(row, name) for row in rows]) for name in names}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    told = ", ".join(
        f'<span style="color:{_COLOURS[place]}">{html.escape(name)}</span> {_short(points[-1][1])}'
        for place, (name, points) in enumerate(series.items())
    )
    picture = _svg(list(series.values()), last=max(1, len(rows) - 1))
    source = f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"
    image = f'<img src="{source}" width="{_SIZE[0]}" height="{_SIZE[1]}" alt="{html.escape(title)} by epoch">'
    caption = f'<figcaption style="font-size:12px">{html.escape(title)}: {told}</figcaption>'
    return f'<figure style="margin:0">{caption}{image}</figure>'


def _points(values: Sequence[float]) -> list[tuple[int, float]]:
    points = [(place, value) for place, value in enumerate(values) if math.isfinite(value)]
    step = -(-len(points) // _POINTS) if points else 1
    return points[::step] + ([points[-1]] if points and (len(points) - 1) % step else [])


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _svg(series: Sequence[Sequence[tuple[int, float]]], *, last: int) -> str:
    width, height = _SIZE
    values = [value for points in series for _, value in points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    left, right, top, bottom = 44, width - 6, 8, height - 18

    def at(place: float, value: float) -> str:
        x = left + (right - left) * place / last
        return f"{x:.1f},{bottom - (bottom - top) * (value - low) / span:.1f}"

    lines = "".join(
        f'<polyline fill="none" stroke="{_COLOURS[place]}" stroke-width="2" stroke-linejoin="round" '
        f'points="{" ".join(at(*point) for point in points)}"/>'
        + (f'<circle r="3" fill="{_COLOURS[place]}" cx="{x}" cy="{y}"/>' if len(points) == 1 else "")
        for place, points in enumerate(series)
        for x, y in [at(*points[-1]).split(",")]
    )
    text = f'fill="{_INK}" font-family="system-ui,sans-serif" font-size="10"'
    grid = "".join(
        f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="{_INK}" stroke-opacity=".25"/>'
        for y in (top, bottom)
    )
    ticks = (
        f'<text {text} x="{left - 5}" y="{top + 4}" text-anchor="end">{_short(high)}</text>'
        f'<text {text} x="{left - 5}" y="{bottom + 3}" text-anchor="end">{_short(low)}</text>'
        f'<text {text} x="{left}" y="{height - 4}">1</text>'
        f'<text {text} x="{right}" y="{height - 4}" text-anchor="end">epoch {last + 1}</text>'
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{grid}{ticks}{lines}</svg>'


def _image(data: bytes) -> str:
    kind = "png" if data[:4] == b"\x89PNG" else "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" alt="" style="max-width:100%">'
