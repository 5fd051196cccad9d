"""The HTML view of a project in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.data.manifest.manifest import Manifest
from onlineml.pages import markup, table
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
    models = [markup("<b>{}</b>", name) if champion and name == champion.version else name for name in names]
    splits = list(next(iter(counts.values()), {}))
    said = ", ".join(f"{n:,} {name}" for name, n in state.counts().items())
    head = markup(
        "<b>{}</b> <code>{}</code><br>{}; {}; models: {}",
        project.title, redacted(project.url), said, count(len(state.class_names), "class"),
        markup(", ").join(models) or "none yet",
    )  # fmt: skip
    rows = [(name, *(f"{row[split]:,}" for split in splits)) for name, row in counts.items()]
    return table(head, ("class", *splits), rows)
