"""Exceptions of onlineml, each also a subclass of the corresponding builtin exception.

A message names the object, what was expected, what was found and the remedy. The URLs in it are shown without their
credentials, whoever wrote the message.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = [
    "AlreadyExistsError",
    "BadImageError",
    "BadVideoError",
    "ChangedError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "DivergedError",
    "ExportError",
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
    "without_credentials",
]

URLS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,40}://[^\s'\"<>]*")  # a limit, so that long words are read once
_USER = re.compile(  # also a password that contains what should be escaped in a URL
    r"(?<=://)(?:[^/?#]*@|[^/?#@]*:(?!\d*(?:[/?#]|$))[^@]*@)"
)
# the container of a bucket, or a repository and its branch, not a user
_NO_USER = re.compile(r"(?:abfss?|wasbs?|github|git)://")
# bytes of a shard and moments of a video are no secrets, and tell images apart
_QUERY = re.compile(r"\?.*?(?=(?:#(?:offset=\d+&length=\d+(?:/[^/?]*)?|t=[\d.]+))?$)", re.DOTALL)


def without_credentials(text: str, *, whole: bool = False, query: bool = False) -> str:
    """Return a text without the user name, password and query (which may be a signature) of each URL in it.

    Args:
        text: any.
        whole: the text is one URL, which may contain spaces.
        query: keep the queries.
    """
    if not whole:
        return URLS.sub(lambda url: without_credentials(url[0], whole=True), text) if "://" in text else text
    shown = text if _NO_USER.match(text) else _USER.sub("", text, count=1)
    return shown if query else _QUERY.sub("", shown, count=1)


class OnlineMLError(Exception):
    """Base class of all exceptions that onlineml raises."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*(without_credentials(one) if isinstance(one, str) else one for one in args))


class ConfigError(OnlineMLError, ValueError):
    """An argument is outside its valid range."""


class DataError(OnlineMLError, ValueError):
    """The user's data (a table, a folder, a manifest) is invalid."""


class UnknownClassError(DataError):
    """A label is not one of the class names."""


class BadImageError(DataError):
    """An image cannot be used.

    Attributes:
        finding: a code of `onlineml.data.images`, such as ``"truncated"``.
        detail: details of the finding.
    """

    def __init__(self, finding: str, detail: str) -> None:
        super().__init__(f"{finding}: {detail}")
        self.finding = finding
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:  # two arguments, so the default pickling would fail
        return type(self), (self.finding, self.detail)


class BadVideoError(BadImageError):
    """No frame of a video can be used; the codes are those of `onlineml.data.video.POLICIES`."""


class TooManyBadImagesError(DataError):
    """More images are bad than the limit allows.

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
    """No object is stored at this URL."""


class AlreadyExistsError(StorageError, FileExistsError):
    """An object already exists where a new one was to be created."""


class ConflictError(StorageError):
    """An object to be replaced was changed since it was read."""


class ChangedError(StorageError):
    """A file has another content than when its dataset was frozen."""


class WeightsError(OnlineMLError, OSError):
    """Weights cannot be obtained or do not fit the network."""


class ExportError(OnlineMLError):
    """An exported model answers otherwise than the original."""


class MissingDependencyError(OnlineMLError, ImportError):
    """An optional package is missing; the message names the extra to install."""


class TrainingError(OnlineMLError, RuntimeError):
    """Training cannot continue, for instance because the loss is not finite."""


class DivergedError(TrainingError):
    """The weights have diverged: the model has its last good ones, and the same run goes on with a lower lr."""


class StoppedError(OnlineMLError):
    """A run was stopped on request after storing its state; calling again with the same run continues it."""

    def _render_traceback_(self) -> list[str]:
        """Render for notebooks without a traceback, as the stop was requested."""
        return [f"{type(self).__name__}: {self}"]


class NotebookError(OnlineMLError, RuntimeError):
    """A notebook did not run to its end."""
