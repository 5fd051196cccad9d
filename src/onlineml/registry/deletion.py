"""Deletion of published versions, so that readers see a version completely or not at all.

A file ``deleted.json`` in its folder makes a version disappear in one step; the other files are deleted after it. It
remains, so that the number is not used again, and a reference such as ``<project>@7`` never means another model.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onlineml.errors import AlreadyExistsError, ConflictError, DataError
from onlineml.registry import versions
from onlineml.registry.promotions import aliases, default_author
from onlineml.storage import io
from onlineml.storage import local as local_files
from onlineml.storage.location import Location, Url

if TYPE_CHECKING:
    from onlineml.registry.versions import ModelVersion

__all__ = ["delete_version", "empty_version"]


def delete_version(project: Url, version: ModelVersion, *, reason: str = "", author: str | None = None) -> None:
    """Delete a published version of a project that no alias refers to.

    Args:
        project: its folder.
        version: see `onlineml.registry.resolve`.
        reason: as free text, kept in place of the version.
        author: kept, too; by default the user of the hub or the machine.

    Raises:
        ConflictError: aliases refer to it.
        DataError: its folder is a link to another one.
        NotFoundError: another process has deleted it.
    """
    folder = Location.of(project)
    _refuse_link(folder, f"models/{version.version}")
    _refuse_aliased(folder, version)
    note = folder / "models" / version.version / versions.DELETED
    _write_note(note, reason=reason, author=author)
    try:
        _refuse_aliased(folder, version)  # promoted at the same moment: it is there again
    except ConflictError:
        io.delete(note)
        raise
    empty_version(folder / "models" / version.version, reason=reason, author=author)


def empty_version(folder: Location, *, reason: str, author: str | None = None) -> None:
    """Delete the files of a version, or what a killed publisher left of one, except the note that it is deleted."""
    _write_note(folder / versions.DELETED, reason=reason, author=author)
    names = [info.path for info in io.list_files(folder) if info.path != versions.DELETED]
    for name in sorted(names, key=lambda name: name != versions.DESCRIPTOR):
        io.delete(folder / name)


def _write_note(note: Location, *, reason: str, author: str | None) -> None:
    facts = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "author": default_author(author),
        "reason": reason,
    }
    try:
        io.create_bytes(note, json.dumps(facts, ensure_ascii=False).encode())
    except AlreadyExistsError:
        return


def _refuse_link(project: Location, version: str) -> None:
    """Refuse to delete what is not in the project's folder."""
    if project.local is not None and (links := local_files.links_above(project.local, [f"{version}/any"])):
        raise DataError(
            f"{project} has no files of its own in {version}: {links[0].rstrip('/')} is a link to another folder; "
            "remove the link, and delete what it refers to yourself if nobody needs it"
        )


def _refuse_aliased(project: Location, version: ModelVersion) -> None:
    names = [alias for alias, name in aliases(project).items() if name == version.version]
    if names:
        listed = " and ".join(repr(name) for name in names)
        raise ConflictError(
            f"{version.version} is not deleted: it is {listed} of {project}; promote another version first"
        )
