"""What a task is: its names, its sizes, and where its pieces are."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

from onlineml.errors import ConfigError

__all__ = ["Piece", "Task"]

Piece = Literal["module", "datamodule"]


@dataclass(frozen=True)
class Task:
    """A kind of question about images: how it is learned, answered and judged.

    A piece is named by its import path, ``"package.module:name"``, and imported by `load` when it is first needed: the
    table of tasks is quick to import, and a task may use what builds on tasks. A package of yours adds a task by an
    entry point in the group ``onlineml.tasks`` that is such an object.

    Attributes:
        name: as manifests, projects and models have it in ``task``.
        title: of a model, in words.
        default_size: side of the network's input in pixels where the user gives none.
        module: its `onlineml.tasks.base.VisionModule`.
        datamodule: its `onlineml.data.loading.datamodules.ImageDataModule`.
    """

    name: str
    title: str
    default_size: int
    module: str
    datamodule: str

    def load(self, piece: Piece) -> Any:
        """Import one of the pieces.

        Raises:
            ConfigError: the task has no such piece.
        """
        path = getattr(self, piece, None) if piece in get_args(Piece) else None
        if not path:
            raise ConfigError(f"the task {self.name!r} has no {piece}: it cannot be used for this")
        module, _, name = path.partition(":")
        return getattr(importlib.import_module(module), name)
