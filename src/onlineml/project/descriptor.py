"""The file that makes a folder a project: its title, its task, and its first classes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from onlineml.arguments.checks import instance
from onlineml.arguments.checks import names as names_
from onlineml.data.annotations.edits import checked_class_name
from onlineml.data.kinds import KINDS, kind_of, tasks
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError, StorageError
from onlineml.storage import io
from onlineml.storage.causes import missing_folder
from onlineml.storage.documents import checked, read_json
from onlineml.storage.patience import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.storage.location import Location


__all__ = ["exists", "new_facts", "read", "write"]

_FILE = "project.json"
_SCHEMA_VERSION = 1


class _Version(msgspec.Struct):
    schema_version: int
    task: str | None = None


class _Facts(msgspec.Struct):
    title: str
    class_names: tuple[Annotated[str, Meta(min_length=1)], ...]


def new_facts(*, title: str, task: str, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the content of the file of a new project.

    Raises:
        ConfigError: the task is unknown, or class names are blank or repeated.
    """
    kind_of(task)
    instance("title", title, str, "text")
    names = [checked_class_name(name) for name in names_("class_names", class_names)]
    if len(set(names)) < len(names):
        raise ConfigError(f"class_names must be unique; found {names}")
    return {
        "schema_version": _SCHEMA_VERSION,
        "title": title,
        "task": task,
        "class_names": names,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def exists(folder: Location) -> bool:
    """Return True if a folder is a project."""
    return io.exists(folder / _FILE)


def write(folder: Location, facts: Mapping[str, Any]) -> bool:
    """Make a folder a project; return False if it already is one, which stays unchanged."""
    data = json.dumps(facts, indent=2, ensure_ascii=False).encode(errors="replace")  # a folder's name may be no text
    try:
        io.create_bytes(folder / _FILE, data)
    except AlreadyExistsError:
        return False
    return True


@click
def read(folder: Location) -> dict[str, Any]:
    """The facts of the project in a folder.

    Raises:
        NotFoundError: the folder contains no project.
        StorageError: a later version of onlineml created it, or the file is damaged.
    """
    file = folder / _FILE
    try:
        facts = read_json(file, _Version)
    except NotFoundError as err:
        missing = missing_folder(file)
        found = f"there is no folder {missing}" if missing else f"{folder} contains no project"
        raise NotFoundError(f"{found}; check the path, or create a project with Project.create") from err
    version, task = facts["schema_version"], facts.get("task")
    if version <= _SCHEMA_VERSION and (any(kind.task == task for kind in KINDS) or task in tasks()):
        known = checked(facts, _Facts, file)
        return {"task": task, "title": known.title, "class_names": known.class_names}
    raise StorageError(
        f"{folder} has schema {version} and the task {task!r}; this version of onlineml supports "
        f"schema {_SCHEMA_VERSION} and the tasks {', '.join(tasks())}: update onlineml"
    )
