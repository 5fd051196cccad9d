"""The HTML view of jobs in a notebook: colours legible on white and on black, and text for the colour-blind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.pages import markup, table
from onlineml.training.panel_html import STATE_COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from onlineml.jobs.status import JobStatus

__all__ = ["jobs_html", "status_html"]


def status_html(status: JobStatus, *, log: str = "") -> Markup:
    """One job: its function, state, remedy and the end of its log."""
    lines: list[str] = [markup("<b>{}</b> <code>{}</code> {}", status.function, status.id, _state(status))]
    if not math.isnan(status.progress) and status.state != "finished":
        lines.append(markup('<progress value="{:.3f}" max="1" style="width:20em"></progress>', status.progress))
    lines += [text for text in (_where(status), status.error, status.remedy) if text]
    shown = markup('<pre style="max-height:16em;overflow:auto">{}</pre>', log) if log else ""
    return markup("<div>{}{}</div>", markup("<br>").join(lines), shown)


def jobs_html(statuses: Sequence[JobStatus]) -> str:
    """A table of jobs, the newest first."""
    rows = [
        (
            markup("<code>{}</code>", s.id),
            s.function,
            _state(s),
            f"{s.since:%Y-%m-%d %H:%M}",
            s.host,
            s.error or s.remedy,
        )
        for s in reversed(statuses)
    ]
    return table("" if rows else "no jobs yet", ("job", "what", "state", "since (UTC)", "host", ""), rows)


def _state(status: JobStatus) -> Markup:
    known = status.state == "running" and not math.isnan(status.progress)
    share = f" {100 * status.progress:.0f} %" if known else ""
    mixed = markup("color-mix(in srgb, {} 55%, currentcolor)", STATE_COLOURS[status.state])  # read in every theme
    return markup('<span style="color:{}">{}{}</span>', mixed, status.state, share)


def _where(status: JobStatus) -> str:
    running = status.state == "running" and status.silent_s is not None
    heartbeat = f", last heartbeat {status.silent_s:.0f} s ago" if running else ""
    pid = f", process {status.pid}" if status.pid else ""
    return f"{status.host}{pid}, since {status.since:%Y-%m-%d %H:%M} UTC, attempt {status.attempt}{heartbeat}"
