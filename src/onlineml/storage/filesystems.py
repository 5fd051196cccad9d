"""fsspec filesystems as the rest of storage uses them: safe across forks, with our defaults and our errors."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import fsspec
import fsspec.asyn

from onlineml.errors import (
    AlreadyExistsError,
    ConfigError,
    MissingDependencyError,
    NotFoundError,
    OnlineMLError,
    StorageError,
)
from onlineml.storage.s3 import client as s3
from onlineml.storage.urls import redacted

__all__ = ["Options", "filesystem", "is_object_store", "our_error", "secrets_of", "translated"]

Options = Mapping[str, Any] | None
Needs = Literal["read", "list", "write", "delete"]

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory", "fastdfs"})
# What an operation needs: in words, as S3 names the permission, and what is possible without it.
_NEEDS = {
    "read": ("read it", "GetObject", ""),
    "list": ("list it", "ListBucket", ""),
    "write": ("write there", "PutObject", "; reading, predicting and evaluating need none"),
    "delete": ("delete it", "DeleteObject", ""),
}
_process = [os.getpid()]  # whose threads fsspec has
_SECRET_NAME = re.compile(r"secret|token|passw|credential|signature|\bkey\b|_key$|^key$|sas", re.IGNORECASE)


def filesystem(url: str, storage_options: Options) -> tuple[Any, str]:
    """The fsspec filesystem of a URL and the path on it.

    fsspec keeps one instance for each process and set of options, so a forked child gets its own client.

    Raises:
        ConfigError: the scheme is not known to fsspec.
        MissingDependencyError: the package for the scheme is not installed.
    """
    if _process[0] != os.getpid():  # before 2025, a forked child of fsspec waited for its parent's threads
        _process[0] = os.getpid()
        fsspec.asyn.reset_lock()
    options = dict(storage_options or {})
    scheme = url.partition("://")[0]
    if scheme in {"s3", "s3a"}:
        options = s3.with_defaults(options)
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as err:
        raise MissingDependencyError(f"reading {redacted(url)} needs another package: {err}") from err
    except ValueError as err:
        if scheme in fsspec.available_protocols():
            raise
        raise ConfigError(f"{redacted(url)}: fsspec knows no filesystem {scheme!r}; check the scheme") from err
    if scheme in {"s3", "s3a"}:
        fs.retries = 1  # botocore tries again, see `_s3`
    return fs, path


def is_object_store(fs: Any) -> bool:
    """Whether writing an object is one atomic PUT, and folders need not be made."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return not protocols.isdisjoint(_OBJECT_STORES)


@contextlib.contextmanager
def translated(url: str, storage_options: Options = None, *, needs: Needs = "read") -> Iterator[None]:
    """Turn whatever a filesystem raises into our errors, which name the URL and no option.

    Args:
        url: of what is touched.
        storage_options: of the filesystem.
        needs: the permission that it takes, to be named where it is missing.

    Raises:
        NotFoundError: nothing is there.
        AlreadyExistsError: something is there already.
        PermissionError: the store refuses.
        StorageError: anything else.
    """
    try:
        yield
    except OnlineMLError:
        raise
    except Exception as err:  # noqa: BLE001 (each backend has exceptions of its own)
        raise _ours(err, url, storage_options, needs) from (None if _leaks(err, storage_options) else err)


def our_error(err: Exception, url: str, storage_options: Options) -> OSError:
    """The error of one object among many, to stand in its place."""
    return err if isinstance(err, StorageError) else _ours(err, url, storage_options, "read")


def _ours(err: Exception, url: str, storage_options: Options, needs: Needs) -> OSError:
    shown = redacted(url)
    if isinstance(err, FileNotFoundError):
        return NotFoundError(f"nothing is stored at {shown}")
    if isinstance(err, FileExistsError):
        return AlreadyExistsError(f"{shown} is already there")
    detail = _scrubbed(f"{type(err).__name__}: {err}", storage_options)
    if isinstance(err, PermissionError) or getattr(err, "errno", None) == errno.EROFS:
        what, permission, without = _NEEDS[needs]
        return PermissionError(
            f"{shown}: the permission to {what} is missing (S3: {permission}){without}. Ask for it, or check the "
            f"credentials in storage_options or the environment ({detail})"
        )
    return StorageError(f"{shown}: {detail}")


def secrets_of(storage_options: Options) -> set[str]:
    """The values in storage options that look secret by the name of their option."""
    found: set[str] = set()
    for option, value in (storage_options or {}).items():
        if isinstance(value, Mapping):
            found |= secrets_of(value)
        elif isinstance(value, str) and value and _SECRET_NAME.search(option):
            found.add(value)
    return found


def _leaks(err: Exception, storage_options: Options) -> bool:
    return any(secret in str(err) for secret in secrets_of(storage_options))


def _scrubbed(message: str, storage_options: Options) -> str:
    for secret in secrets_of(storage_options):
        message = message.replace(secret, "***")
    return message
