"""A figure of the classes seen over time in a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.evaluation.render.style import ALARM, INK, new_figure, say_empty, titled
from onlineml.inference.drawing import colour_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from onlineml.inference.video import FrameAnswer, VideoAnswers

__all__ = ["timeline_figure"]

_NAME = 24  # characters of a class
_FAINT = 0.25


def timeline_figure(rows: VideoAnswers, *, limit: int = 20) -> Figure:
    """Draw the predicted classes over time: a line for each class, the most frequent first.

    For a classifier, the most likely class is drawn, darker for a higher probability; for a detector, each detected
    class, darker for more objects. Unusable frames are marked in red at the bottom.

    Args:
        rows: of `onlineml.predict_video`; all are computed.
        limit: maximum number of classes; the figure says how many were left out.
    """
    answers = list(rows[:])
    spans = list(zip([row.time_s for row in answers], rows.until(answers), strict=True))
    found = _found(answers)
    seen = {name: float(sum(spans[i][1] - spans[i][0] for i in places)) for name, places in found.items()}
    names = sorted(seen, key=lambda name: (-seen[name], name))[:limit]
    figure, axes = new_figure(9.0, max(1.6, 1.0 + 0.34 * max(1, len(names))))
    if not names:
        say_empty(axes, "nothing was found in this video" if answers else "no frames")
        return figure
    for line, name in enumerate(names):
        number = rows.class_names.index(name) if name in rows.class_names else 0
        color = tuple(channel / 255 for channel in colour_of(number))  # as in the annotated video
        most = max(found[name].values())
        for begin, end, strength in _runs(spans, found[name]):
            alpha = _FAINT + (1 - _FAINT) * strength / most
            axes.broken_barh([(begin, end - begin)], (line - 0.36, 0.72), facecolors=color, alpha=alpha, linewidth=0)
    bad = [(begin, end - begin) for (begin, end), row in zip(spans, answers, strict=True) if row.answer.error]
    axes.broken_barh(bad, (len(names) - 0.45, 0.12), facecolors=ALARM)
    axes.set_yticks(range(len(names)), [name if len(name) <= _NAME else f"{name[: _NAME - 1]}…" for name in names])
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
        text.set_color(INK)
    axes.set_ylim(len(names) - 0.3, -0.6)
    axes.set_xlim(spans[0][0], spans[-1][1])
    axes.xaxis.set_major_formatter(lambda seconds, _: _clock(seconds))
    axes.grid(visible=False, axis="y")
    left_out = f", {len(seen) - len(names)} more are not shown" if len(seen) > len(names) else ""
    titled(axes, f"What is seen when ({count(len(answers), 'frame')}{left_out})", x="minutes and seconds")
    return figure


def _found(answers: Sequence[FrameAnswer]) -> dict[str, dict[int, float]]:
    """By class, the indices of the rows that contain it, and its strength."""
    found: dict[str, dict[int, float]] = {}
    for place, row in enumerate(answers):
        for label, strength in row.answer.strengths().items():
            found.setdefault(label, {})[place] = strength
    return found


def _runs(spans: Sequence[tuple[float, float]], strengths: Mapping[int, float]) -> list[tuple[float, float, float]]:
    """Merge consecutive spans of similar strength: begin, end, mean strength."""
    runs: list[list[float]] = []
    last = None
    for place, strength in sorted(strengths.items()):
        begin, end = spans[place]
        if runs and last == place - 1 and abs(runs[-1][2] / runs[-1][3] - strength) < 0.05 * max(strengths.values()):
            runs[-1] = [runs[-1][0], end, runs[-1][2] + strength, runs[-1][3] + 1]
        else:
            runs.append([begin, end, strength, 1])
        last = place
    return [(begin, end, total / n) for begin, end, total, n in runs]


def _clock(seconds: float) -> str:
    tenths = round(float(np.round(seconds, 1)) * 10)
    minutes, rest = divmod(tenths, 600)
    text = f"{minutes}:{rest // 10:02}"
    return text if rest % 10 == 0 else f"{text}.{rest % 10}"
