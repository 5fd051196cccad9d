"""The one version that a run publishes, whenever it was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml import registry

if TYPE_CHECKING:
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion
    from onlineml.runs.run import Run

__all__ = ["publish_once"]


def publish_once(run: Run, project: Project, model: Any, scores: Any, *, parent: str | None = None) -> ModelVersion:
    """Publish a run's model; an attempt that goes on after one that had published gives back that one's version.

    What will be published is noted before it is, so that there is no moment at which a kill makes a second version.

    Args:
        run: whose model it is.
        project: where to.
        model: has ``export_files``.
        scores: of the model, or None.
        parent: the model that it was trained from.
    """
    digits = run.spec.get("publishes")
    for version in project.versions() if digits else ():
        if version.version.endswith(f"-{digits}"):
            return version
    model.reference = ""  # it was made here, not from the files in its own run
    files = model.export_files(scores, parent=parent)
    run.update_spec({"publishes": registry.content_digits(files)})
    return registry.publish_version(project.url, files, storage_options=project.storage_options)
