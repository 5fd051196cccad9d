"""Frozen datasets of a project: listed, loaded, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.data.annotations.admission import check_addresses
from onlineml.data.annotations.moving import with_present_addresses
from onlineml.data.manifest.changes import changes
from onlineml.data.manifest.manifest import DESCRIPTOR, Manifest
from onlineml.errors import NotFoundError
from onlineml.project.part import ProjectPart
from onlineml.storage.patience import click

if TYPE_CHECKING:
    import pandas as pd

    from onlineml.data.checks.table import CheckTable
    from onlineml.data.manifest.changes import Changes

    HashList = list[str]  # `list` is a method here

__all__ = ["ProjectDatasets"]


class ProjectDatasets(ProjectPart):
    """Frozen datasets of a project, ``project.datasets``."""

    @click
    def list(self) -> HashList:
        """List the hashes of the frozen datasets."""
        return self._project.folders_with("datasets", DESCRIPTOR)

    @click
    def get(self, hash: str) -> Manifest:  # noqa: A002 (it is what a manifest calls it)
        """Load a frozen dataset by its hash or a unique prefix of it, with the addresses that its images have now.

        Raises:
            NotFoundError: there is none, or several.
            DataError: it names files of this machine that nobody allowed, see the page on security.
        """
        project, known = self._project, self.list()
        matches = [name for name in known if name.startswith(hash)]
        if len(matches) != 1:
            listed = ", ".join(name[:12] for name in matches or known) or "none yet"
            raise NotFoundError(f"{project.location} has {len(matches)} datasets {hash!r}; found {listed}")
        loaded = Manifest.load(project.location / "datasets" / matches[0], root=project.url)
        found = with_present_addresses(loaded, project.labels.state().folded)
        check_addresses(found.table["uri"], project=project.location, source=f"the dataset {matches[0][:12]}")
        return found

    @click
    def findings(self, manifest: Manifest) -> CheckTable:
        """Show the findings of freezing this dataset, including those about excluded images."""
        from onlineml.data.annotations import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        return freezing.read_findings(self._project.location / "datasets" / manifest.hash, manifest)

    @click
    def max_bad(self) -> float:
        """Return the share of bad images, 0..1, that was given to `Project.freeze` last, or else a hundredth."""
        from onlineml.data.annotations import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        return freezing.allowed_bad(self._project.labels.state().folded.entries)

    @click
    def provenance(self, manifest: Manifest) -> pd.DataFrame:
        """Show the origin of each label of a frozen dataset: author, time, and the model if it was a suggestion.

        See `onlineml.data.annotations.Annotations.provenance`; it is that of the first freezing of these labels.
        """
        from onlineml.data.annotations import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        folder = self._project.location / "datasets" / manifest.hash
        frame: pd.DataFrame = freezing.read_provenance(folder).to_pandas()
        return frame

    @click
    def changes(self, before: Manifest, after: Manifest | None = None) -> Changes:
        """Show what was added, changed or removed between two datasets, by the present names of classes.

        Args:
            before: the earlier dataset, such as the one that the champion was trained on.
            after: the later one; by default the present state, not yet checked.
        """
        state = self._project.labels.state()
        later = self._project.manifest_of(state) if after is None else after
        return changes(before, later, lineage=state.lineage)
