"""Deletion of published versions, so that readers see a version completely or not at all.

A file ``deleted.json`` in its folder makes a version disappear in one step; the other files are deleted after it. It
remains, so that the number is not used again, and a reference such as ``<project>@7`` never means another model.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onlineml.errors import AlreadyExistsError, ConflictError
from onlineml.registry import versions
from onlineml.registry.promotions import aliases, default_author
from onlineml.storage import io
from onlineml.storage import local as local_files
from onlineml.storage.location import Location, Url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.registry.versions import ModelVersion

__all__ = ["delete_files", "delete_version"]


def delete_version(project: Url, version: ModelVersion, *, reason: str = "", author: str | None = None) -> None:
    """Delete a published version of a project that no alias refers to.

    Args:
        project: its folder.
        version: see `onlineml.registry.resolve`.
        reason: as free text, kept in place of the version.
        author: kept, too; by default the user of the hub or the machine.

    Raises:
        ConflictError: aliases refer to it.
        DataError: its folder, or one in it, is a link to another folder.
        NotFoundError: another process has deleted it.
    """
    at, folder = Location.of(project), f"models/{version.version}"
    files = [f"{folder}/{info.path}" for info in io.list_files(at / folder)]
    if at.local is not None:
        local_files.require_no_links(at.local, files)
    _refuse_aliased(at, version)
    _write_note(at / folder, reason=reason, author=author)
    try:
        _refuse_aliased(at, version)  # promoted at the same moment: it is there again
    except ConflictError:
        io.delete_below(at, [f"{folder}/{versions.DELETED}"])
        raise
    delete_files(at, folder, files, reason=reason, author=author)


def delete_files(
    project: Location, folder: str, files: Sequence[str], *, reason: str, author: str | None = None
) -> None:
    """Delete files of a version, or of what a killed publisher left of one, and note there that it is deleted.

    Args:
        project: its folder.
        folder: of the version, relative to the project's.
        files: relative to the project's folder.
        reason: see `delete_version`.
        author: see `delete_version`.
    """
    _write_note(project / folder, reason=reason, author=author)
    note, descriptor = f"{folder}/{versions.DELETED}", f"{folder}/{versions.DESCRIPTOR}"
    io.delete_below(project, sorted({*files} - {note}, key=lambda path: (path != descriptor, path)))


def _write_note(folder: Location, *, reason: str, author: str | None) -> None:
    facts = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "author": default_author(author),
        "reason": reason,
    }
    try:
        io.create_bytes(folder / versions.DELETED, json.dumps(facts, ensure_ascii=False).encode())
    except AlreadyExistsError:
        return


def _refuse_aliased(project: Location, version: ModelVersion) -> None:
    names = [alias for alias, name in aliases(project).items() if name == version.version]
    if names:
        listed = " and ".join(repr(name) for name in names)
        raise ConflictError(
            f"{version.version} is not deleted: it is {listed} of {project}; promote another version first"
        )
