"""Publishing of exactly one version per run, even if the run is killed and resumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError
from onlineml.registry import versions

if TYPE_CHECKING:
    from onlineml.registry.versions import ModelVersion
    from onlineml.runs.run import Run
    from onlineml.storage.location import Location

__all__ = ["publish_once"]


def publish_once(run: Run, project: Location, model: Any, scores: Any, *, parent: str | None = None) -> ModelVersion:
    """Publish a run's model; if an earlier attempt of the run has already published, return that version.

    The name of the version is stored in the run before publishing, so that a kill at any moment cannot cause a second
    version.

    Args:
        run: the run that trained the model.
        project: the project's folder.
        model: has ``export_files``.
        scores: scores of the model, or None.
        parent: the model that it was trained from.

    Raises:
        ConfigError: the run has published another model.
    """
    model.reference = ""  # this model was trained in this process, not loaded from the run's files
    files = model.export_files(scores, parent=parent)
    digits = run.spec.get("publishes")
    for version in versions.list_versions(project) if digits else ():
        if version.version.endswith(f"-{digits}"):
            if version.descriptor().get("weights_sha256") != json.loads(files["model.json"]).get("weights_sha256"):
                raise ConfigError(
                    f"the run {run.url} has published another model, version {version.version}: resume it with the "
                    "same model, or use a new run"
                )
            return version
    run.update_spec({"publishes": versions.content_digits(files)})
    return versions.publish_version(project, files)
