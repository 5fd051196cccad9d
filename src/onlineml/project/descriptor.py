"""The file that makes a folder a project: its title, its task, and the classes it began with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from onlineml.data.annotations.edits import checked_class_name
from onlineml.data.kinds import kind_of, tasks
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError, StorageError
from onlineml.storage import io
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["exists", "new_facts", "read", "write"]

_FILE = "project.json"
_SCHEMA_VERSION = 1


def new_facts(*, title: str, task: str, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the content of the file of a new project.

    Raises:
        ConfigError: an unknown task, or class names that are blank or repeated.
    """
    kind_of(task)
    names = [checked_class_name(name) for name in class_names]
    if len(set(names)) < len(names):
        raise ConfigError(f"class_names must differ; they are {names}")
    return {
        "schema_version": _SCHEMA_VERSION,
        "title": title,
        "task": task,
        "class_names": names,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def exists(folder: str, *, storage_options: Mapping[str, Any] | None) -> bool:
    """Return True if a folder is a project."""
    return io.exists(io.join(folder, _FILE), storage_options=storage_options)


def write(folder: str, facts: Mapping[str, Any], *, storage_options: Mapping[str, Any] | None) -> bool:
    """Make a folder a project; False where it is one already, which stays as it is."""
    data = json.dumps(facts, indent=2, ensure_ascii=False).encode()
    try:
        io.create_bytes(io.join(folder, _FILE), data, storage_options=storage_options)
    except AlreadyExistsError:
        return False
    return True


def read(folder: str, *, storage_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The facts of the project in a folder.

    Raises:
        NotFoundError: it holds no project.
        StorageError: a later version of onlineml made it, or the file is damaged.
    """
    url = io.join(folder, _FILE)
    try:
        facts: dict[str, Any] = json.loads(io.read_bytes(url, storage_options=storage_options))
        version, task = facts["schema_version"], facts.get("task")
        if version <= _SCHEMA_VERSION and task in tasks():
            return {"task": task, "title": str(facts["title"]), "class_names": tuple(facts["class_names"])}
    except NotFoundError as err:
        raise NotFoundError(f"{redacted(folder)} holds no project; make one with Project.create") from err
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise StorageError(f"{redacted(url)} is no project's description: {err!r}") from err
    raise StorageError(
        f"{redacted(folder)} has the schema {version} and the task {task!r}; this onlineml knows the schema "
        f"{_SCHEMA_VERSION} and the tasks {', '.join(tasks())}; update it"
    )
