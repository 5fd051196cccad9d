"""Published models of a project: versions, aliases, promotions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.project.part import ProjectPart
from onlineml.registry import promotions, versions
from onlineml.registry.deletion import delete_version
from onlineml.registry.versions import ModelVersion
from onlineml.storage.patience import click

if TYPE_CHECKING:
    import pandas as pd

    VersionList = list[ModelVersion]  # `list` is a method here

__all__ = ["ProjectModels"]


class ProjectModels(ProjectPart):
    """Published models of a project, ``project.models``."""

    @click
    def list(self) -> VersionList:
        """List the published versions, the oldest first."""
        return versions.list_versions(self._project.location)

    @click
    def get(self, name: str | int) -> ModelVersion:
        """Find a version by its name or number, or by an alias such as ``"champion"``.

        Raises:
            NotFoundError: the version does not exist.
        """
        return versions.resolve(self._project.location.to(f"{self._project.url}@{name}"))

    @click
    def exports(self, name: str | int) -> dict[str, str]:
        """Map the format of each export of a version to its folder, see `onlineml.export` and `onlineml.load_export`.

        Args:
            name: as in `get`.
        """
        return versions.list_exports(self.get(name))

    @click
    def aliases(self) -> dict[str, str]:
        """Map each alias, such as ``"champion"``, to the version that it stands for."""
        return dict(versions.aliases(self._project.location))

    @click
    def rollback(self, *, alias: str = "champion", reason: str = "", author: str | None = None) -> ModelVersion:
        """Undo the last promotion of the champion or another alias.

        Args:
            alias: the alias.
            reason: for the log.
            author: of the entry; by default the user of the hub or the machine.

        Raises:
            NotFoundError: there was no earlier version.
        """
        return versions.rollback(self._project.location, alias=alias, reason=reason, author=author)

    @click
    def delete(self, version: str | int | ModelVersion, *, reason: str = "", author: str | None = None) -> None:
        """Delete a version for good. Its number is not used again, and the log of its promotions remains.

        Args:
            version: its name or number.
            reason: as free text, kept in place of the version.
            author: kept, too; by default the user of the hub or the machine.

        Raises:
            ConflictError: it is the champion, or another alias refers to it; the message says which.
            NotFoundError: the version does not exist.
        """
        found = self.get(version.version if isinstance(version, ModelVersion) else version)
        delete_version(self._project.location, found, reason=reason, author=author)

    @click
    def promotions(self) -> pd.DataFrame:
        """Show the promotions with version, alias, time, author and reason, the oldest first."""
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame(promotions.promotion_history(self._project.location))
