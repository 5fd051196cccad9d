"""Tasks: their LightningModules, storage of their models, and the table of tasks."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Any

from onlineml.arguments.similar import did_you_mean
from onlineml.errors import ConfigError
from onlineml.tasks.classification.task import CLASSIFICATION
from onlineml.tasks.detection.task import DETECTION
from onlineml.tasks.multilabel.task import MULTILABEL
from onlineml.tasks.task import Task

__all__ = ["TASKS", "Task", "task_names", "task_of"]

TASKS: tuple[Task, ...] = (CLASSIFICATION, DETECTION, MULTILABEL)  # ours; others come by entry points
_GROUP = "onlineml.tasks"


@cache
def _known() -> dict[str, Task]:
    """All tasks by name: ours, and those of packages that are installed here."""
    known = {task.name: task for task in TASKS}
    for point in entry_points(group=_GROUP):
        task = point.load()
        if not isinstance(task, Task) or task.name in known:
            found = f"the task {task.name!r}, which is there already" if isinstance(task, Task) else repr(task)[:100]
            raise ConfigError(
                f"the entry point {point.name!r} in the group {_GROUP!r} is {found}; expected an "
                f"onlineml.tasks.Task with a unique name: fix or uninstall the package that provides {point.value!r}"
            )
        known[task.name] = task
    return known


def task_names() -> tuple[str, ...]:
    """Names of all tasks: ours first, then those of packages that are installed here."""
    return tuple(_known())


def task_of(what: Any) -> Task:
    """The task of a name, or of a manifest, project, model or datamodule.

    Args:
        what: a name, or anything with a name in its attribute ``task``.

    Raises:
        ConfigError: the task is unknown.
    """
    name = what if isinstance(what, str) else getattr(what, "task", None)
    known = _known()
    if not isinstance(name, str):
        raise ConfigError(
            f"a {type(what).__name__} has no task: expected one of {', '.join(known)}, or a manifest, project, model "
            "or datamodule with an attribute task"
        )
    if name not in known:
        raise ConfigError(
            f"task={name!r}: expected one of {', '.join(known)}{did_you_mean(name, known)}; another task needs the "
            f"package whose entry points in the group {_GROUP!r} have it"
        )
    return known[name]
