"""fsspec filesystems with onlineml's defaults and errors, safe across forks."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import fsspec
import fsspec.asyn

from onlineml.errors import (
    AlreadyExistsError,
    ConfigError,
    ConflictError,
    MissingDependencyError,
    NotFoundError,
    OnlineMLError,
    StorageError,
)
from onlineml.storage.causes import cause_of, missing_folder
from onlineml.storage.credentials import scrubbed, secrets_of
from onlineml.storage.s3 import client as s3
from onlineml.storage.urls import scheme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.storage.location import Location

__all__ = ["filesystem", "is_object_store", "our_error", "translated"]

Needs = Literal["read", "list", "write", "delete"]

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory", "fastdfs"})
# Per operation: a description, the S3 permission, and what remains possible without it.
_NEEDS = {
    "read": ("read it", "GetObject", ""),
    "list": ("list it", "ListBucket", ""),
    "write": ("write there", "PutObject", "; reading, predicting and evaluating still work"),
    "delete": ("delete it", "DeleteObject", ""),
}
_DETAIL = 500  # characters of the other library's message
_process = [os.getpid()]  # the process that owns fsspec's threads


def filesystem(at: Location) -> tuple[Any, str]:
    """Return the fsspec filesystem of a location and the path on it.

    fsspec keeps one instance per process and set of options, so a forked child gets its own client.

    Raises:
        ConfigError: fsspec does not know the scheme.
        MissingDependencyError: the package for the scheme is not installed.
    """
    if _process[0] != os.getpid():  # before 2025, a forked child of fsspec waited for threads of its parent
        _process[0] = os.getpid()
        fsspec.asyn.reset_lock()
    options = dict(at.options or {})
    protocol = at.url.partition("://")[0]
    if protocol in {"s3", "s3a"}:
        options = s3.with_defaults(options)
    try:
        fs, path = fsspec.core.url_to_fs(at.url, **options)
    except ImportError as err:
        raise MissingDependencyError(f"reading {at} needs another package: {err}") from err
    except ValueError as err:
        if protocol in fsspec.available_protocols():
            raise
        raise ConfigError(f"{at}: fsspec knows no filesystem {protocol!r}; check the scheme") from err
    if protocol in {"s3", "s3a"}:
        fs.retries = 1  # botocore does the retries, see `onlineml.storage.s3.client`
    return fs, path


def is_object_store(fs: Any) -> bool:
    """Return whether writing an object is one atomic PUT, so that folders need not be created."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return not protocols.isdisjoint(_OBJECT_STORES)


@contextlib.contextmanager
def translated(at: Location, *, needs: Needs = "read") -> Iterator[None]:
    """Convert any error of a filesystem to an onlineml error, which names the URL and no secret.

    Where the location has secrets, the error has no cause and no context, since these may contain them in any form.

    Args:
        at: the file or folder that is accessed.
        needs: the permission that the operation needs; named in the message if it is missing.

    Raises:
        NotFoundError: the file or folder does not exist.
        AlreadyExistsError: the file already exists.
        PermissionError: this user may not access it.
        StorageError: any other error; it says what is the matter and the remedy, see `onlineml.storage.causes`.
    """
    try:
        yield
    except OnlineMLError as err:
        named = _with_url(err, at) if isinstance(err, StorageError) else err
        if secrets_of(at):
            _raise_alone(named)
        if named is not err:
            raise named from err
        raise
    except Exception as err:
        ours = _ours(err, at, needs)
        if secrets_of(at):
            _raise_alone(ours)
        raise ours from err


def _with_url(err: StorageError, at: Location) -> StorageError:
    """Return an error of FastDFS, which names servers and files, with the URL that was asked for."""
    if scheme(at.url) != "fastdfs" or isinstance(err, ConflictError):
        return err
    kind = NotFoundError if isinstance(err, NotFoundError) else StorageError
    return err if str(at) in str(err) else kind(f"{at}: {err}")


def _raise_alone(error: Exception) -> NoReturn:
    try:
        raise error from None
    except type(error):
        error.__context__ = None  # ``raise`` has set it; raising again does not
        raise


def our_error(err: Exception, at: Location) -> OSError:
    """Return the error of one object among many, to be returned in its place."""
    if isinstance(err, MissingDependencyError):  # the same for all of them
        raise err
    return _with_url(err, at) if isinstance(err, StorageError) else _ours(err, at, "read")


def _ours(err: Exception, at: Location, needs: Needs) -> OSError:
    if scheme(at.url) in {"s3", "s3a"}:
        err = s3.with_reason(err, *filesystem(at)) if s3.server_code(err) else err
    cause = cause_of(err, at)
    if cause is None and isinstance(err, FileNotFoundError):
        missing = missing_folder(at)
        if needs == "write" and missing:
            return StorageError(f"{at}: the folder {missing} cannot be created; choose another one")
        return NotFoundError(f"nothing is stored at {at}{f': there is no folder {missing}' if missing else ''}")
    if cause is None and isinstance(err, FileExistsError):
        return AlreadyExistsError(f"{at} already exists")
    detail = scrubbed(" ".join(f"{type(err).__name__}: {err}".split()), at)[:_DETAIL]
    what, permission, without = _NEEDS[needs]
    if cause is not None:
        text = f"{at}: {scrubbed(str(cause), at)} ({detail})"
        return PermissionError(f"{text}{without}") if cause.denied else StorageError(text)
    if isinstance(err, PermissionError):
        rights = f" (S3: {permission})" if scheme(at.url) in {"s3", "s3a"} else ""
        return PermissionError(
            f"{at}: the permission to {what} is missing{rights}{without}. Ask for it, or check the "
            f"credentials in storage_options or the environment ({detail})"
        )
    return StorageError(f"{at}: {detail}")
