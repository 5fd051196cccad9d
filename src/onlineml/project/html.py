"""The HTML view of a project in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from onlineml.data.manifest.manifest import Manifest
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from onlineml.project.project import Project

__all__ = ["project_html"]


def project_html(project: Project) -> str:
    """Title, URL, models and counts by class."""
    state = project.labels.state()
    counts = Manifest(state.table, state.class_names, root=project.url, task=project.task).counts()
    champion = project.champion()
    names = [version.version for version in project.models.list()]
    shown = [f"<b>{name}</b>" if champion and name == champion.version else name for name in names]
    splits = list(next(iter(counts.values()), {}))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("class", *splits))
    said = ", ".join(f"{n:,} {name}" for name, n in state.counts().items())
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{row[split]:,}</td>" for split in splits) + "</tr>"
        for name, row in counts.items()
    )
    return (
        f"<div><b>{html.escape(project.title)}</b> <code>{html.escape(redacted(project.url))}</code>"
        f"<br>{said}; {len(state.class_names)} classes; models: {', '.join(shown) or 'none yet'}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
