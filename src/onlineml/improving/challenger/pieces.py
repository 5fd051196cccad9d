"""Where a task's pieces for its successors are."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onlineml.improving.challenger.task_pieces import TaskPieces

__all__ = ["pieces_of"]


def pieces_of(task: str) -> TaskPieces:
    """The pieces of a task, by its name."""
    found: TaskPieces = importlib.import_module(f"onlineml.improving.challenger.{task}").PIECES
    return found
