"""The HTML view of jobs in a notebook: colours legible on white and on black, and text for the colour-blind."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.jobs.status import JobStatus

__all__ = ["jobs_html", "status_html"]

_COLOURS = {
    "starting": "#767c85",
    "running": "#3d85c6",
    "finished": "#3f9e77",
    "failed": "#d9604c",
    "stopped": "#d98b2b",
    "lost": "#d9604c",
}


def status_html(status: JobStatus, *, log: str = "") -> str:
    """One job: its function, state, remedy and the end of its log."""
    lines = [f"<b>{html.escape(status.function)}</b> <code>{html.escape(status.id)}</code> {_state(status)}"]
    if not math.isnan(status.progress) and status.state != "finished":
        lines.append(f'<progress value="{status.progress:.3f}" max="1" style="width:20em"></progress>')
    lines += [html.escape(text) for text in (_where(status), status.error, status.remedy) if text]
    shown = f'<pre style="max-height:16em;overflow:auto">{html.escape(log)}</pre>' if log else ""
    return f"<div>{'<br>'.join(lines)}{shown}</div>"


def jobs_html(statuses: Sequence[JobStatus]) -> str:
    """A table of jobs, the newest first."""
    if not statuses:
        return "<p>no jobs yet</p>"
    head = "".join(f"<th>{name}</th>" for name in ("job", "what", "state", "since (UTC)", "host", ""))
    rows = "".join(
        f"<tr><td><code>{html.escape(s.id)}</code></td><td>{html.escape(s.function)}</td><td>{_state(s)}</td>"
        f"<td>{s.since:%Y-%m-%d %H:%M}</td><td>{html.escape(s.host)}</td>"
        f"<td>{html.escape(s.error or s.remedy)}</td></tr>"
        for s in reversed(statuses)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _state(status: JobStatus) -> str:
    known = status.state == "running" and not math.isnan(status.progress)
    share = f" {100 * status.progress:.0f} %" if known else ""
    return f'<span style="color:{_COLOURS[status.state]}">{status.state}{share}</span>'


def _where(status: JobStatus) -> str:
    running = status.state == "running" and status.silent_s is not None
    heartbeat = f", last heartbeat {status.silent_s:.0f} s ago" if running else ""
    pid = f", process {status.pid}" if status.pid else ""
    return f"{status.host}{pid}, since {status.since:%Y-%m-%d %H:%M} UTC, attempt {status.attempt}{heartbeat}"
