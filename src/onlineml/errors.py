"""The errors of onlineml, each also a subclass of the builtin that a caller would expect.

A message names the thing, what was expected, what was found and the remedy.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyExistsError",
    "BadImageError",
    "BadVideoError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "MissingDependencyError",
    "NotFoundError",
    "NotebookError",
    "OnlineMLError",
    "StoppedError",
    "StorageError",
    "TooManyBadImagesError",
    "TrainingError",
    "UnknownClassError",
    "WeightsError",
]


class OnlineMLError(Exception):
    """Anything that onlineml itself raises."""


class ConfigError(OnlineMLError, ValueError):
    """An argument is outside what the function accepts."""


class DataError(OnlineMLError, ValueError):
    """The user's data (a table, a folder, a manifest) is not as it must be."""


class UnknownClassError(DataError):
    """A label is not one of the class names."""


class BadImageError(DataError):
    """An image cannot be used.

    Attributes:
        finding: the code of `onlineml.data.images`, such as ``"truncated"``.
        detail: what exactly was found.
    """

    def __init__(self, finding: str, detail: str) -> None:
        super().__init__(f"{finding}: {detail}")
        self.finding = finding
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:  # two arguments, so the default pickling would fail
        return type(self), (self.finding, self.detail)


class BadVideoError(BadImageError):
    """Not one frame of a video can be used; the codes are those of `onlineml.data.video.POLICIES`."""


class TooManyBadImagesError(DataError):
    """More images are bad than the budget allows.

    Attributes:
        table: the check's table (see `onlineml.Manifest.check`).
    """

    def __init__(self, message: str, table: Any = None) -> None:
        super().__init__(message)
        self.table = table

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.table)


class StorageError(OnlineMLError, OSError):
    """A storage operation failed."""


class NotFoundError(StorageError, FileNotFoundError):
    """Nothing is stored at this URL."""


class AlreadyExistsError(StorageError, FileExistsError):
    """Something is already stored where a new thing was to be created."""


class ConflictError(StorageError):
    """What was to be replaced is no longer what it was when it was read."""


class WeightsError(OnlineMLError, OSError):
    """Weights cannot be had or do not fit the network."""


class MissingDependencyError(OnlineMLError, ImportError):
    """An optional package is needed; the message names the extra to install."""


class TrainingError(OnlineMLError, RuntimeError):
    """Training cannot go on, for instance because the loss is not finite."""


class StoppedError(OnlineMLError):
    """A run was asked to stop, and has stored its state first; calling again with the same run goes on from there."""

    def _render_traceback_(self) -> list[str]:
        """For notebooks: it was asked for, so that nobody needs to see where it happened."""
        return [f"{type(self).__name__}: {self}"]


class NotebookError(OnlineMLError, RuntimeError):
    """A notebook did not run to its end."""
