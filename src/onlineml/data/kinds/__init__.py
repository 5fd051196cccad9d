"""Kinds of annotation, by task: a label, boxes, and any kinds that are added.

A kind is one object that answers every question that the rest of the package has about annotations. To add one, write
a module with a subclass of `AnnotationKind` and put its object into `KINDS`; another package offers its own by an
entry point of the group ``onlineml.kinds``, named by the task.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from onlineml.arguments.similar import valid_names
from onlineml.data.kinds.base import AnnotationKind
from onlineml.data.kinds.boxes import BOXES
from onlineml.data.kinds.label import LABEL
from onlineml.data.kinds.labels import LABELS
from onlineml.errors import ConfigError

__all__ = ["BOXES", "KINDS", "LABEL", "LABELS", "AnnotationKind", "kind_of", "task_of", "tasks"]

KINDS: tuple[AnnotationKind, ...] = (LABEL, BOXES, LABELS)

_GROUP = "onlineml.kinds"


@cache
def kind_of(task: str) -> AnnotationKind:
    """The kind of annotation that a task learns from.

    Raises:
        ConfigError: neither this package nor an installed one knows the task.
    """
    for kind in KINDS:
        if kind.task == task:
            return kind
    for entry in entry_points(group=_GROUP, name=task):
        kind = entry.load()
        if not isinstance(kind, AnnotationKind) or kind.task != task:
            raise ConfigError(
                f"the entry point {entry.name!r} of the group {_GROUP!r} must give an AnnotationKind of the task "
                f"{task!r}; {entry.value} gives {kind!r}"
            )
        return kind
    raise ConfigError(
        f"task={task!r}: expected one of {valid_names(task, tasks())}; another task needs the package that brings it"
    )


def task_of(key: str) -> str:
    """The name of the first task whose images are annotated in a column, such as ``"boxes_xyxy"``."""
    return next(kind.task for kind in KINDS if kind.key == key)


def tasks() -> tuple[str, ...]:
    """The names of all tasks that are known: those of this package, then those of installed ones."""
    own = [kind.task for kind in KINDS]
    others = sorted({entry.name for entry in entry_points(group=_GROUP)} - set(own))
    return (*own, *others)
