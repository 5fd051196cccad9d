"""Conditional writes, and the guarantees that a store actually gives for them.

Several writers lose no data if a file is created only where none exists, and replaced only if it is still the version
that was read. Local disks, memory and FastDFS guarantee both. S3 has headers for both conditions, but some
S3-compatible servers ignore the headers, and some check first and write afterwards, so that two of several racing
writers succeed (OpenStack Swift did in tests here). A bucket is therefore probed when a guarantee is first needed, see
`onlineml.storage.probing`.

A probe can show that a guarantee is broken; no probe can prove that it always holds.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import fsspec.asyn

from onlineml.errors import ConflictError, StorageError
from onlineml.storage import probing
from onlineml.storage.retries import patiently, persistently
from onlineml.storage.s3 import client as s3

__all__ = ["Guarantees", "creates", "guaranteed", "read_tagged", "swap", "swaps", "write_new"]

_locks: dict[int, threading.Lock] = {}  # by process: a forked child must not wait for threads of its parent
_created: dict[tuple[Any, str], bool] = {}  # by filesystem and bucket
_swapped: dict[tuple[Any, str], bool] = {}


@dataclass(frozen=True)
class Guarantees:
    """Guarantees of a store for concurrent writers.

    Attributes:
        store: the store, or the bucket.
        create: exactly one of several writers that create the same file succeeds.
        swap: exactly one of several writers that replace the same version of a file succeeds.
        reason: how this is known.
    """

    store: str
    create: bool
    swap: bool
    reason: str

    def __str__(self) -> str:
        def promise(held: bool) -> str:
            return "exactly one writer succeeds" if held else "two writers may succeed"

        lost = "" if self.create else "; no data is lost, because publishing and promoting use append-only logs"
        return f"{self.store}: creating: {promise(self.create)}, replacing: {promise(self.swap)}{lost} ({self.reason})"


# ---- guarantees ----


def creates(fs: Any, path: str) -> bool:
    """Return whether exactly one of several racing creators succeeds on the filesystem that holds the path.

    A bucket is probed with objects beside the path, once per process.

    Raises:
        OSError: the probe could not be run.
    """
    if _has_own_lock(fs) or getattr(fs, "creates_atomically", False):
        return True
    if not _has_condition(fs):
        return False
    key = fs, path.partition("/")[0]
    if key not in _created:
        _created[key] = probing.create_holds(fs, path, lambda probe, data: _create(fs, probe, data))
    return _created[key]


def swaps(fs: Any, path: str) -> bool:
    """Return whether exactly one of several writers that replace one version of a file succeeds; see `creates`."""
    if _has_own_lock(fs) or getattr(fs, "creates_atomically", False):
        return True
    if not s3.is_s3(fs):
        return False
    key = fs, path.partition("/")[0]
    if key not in _swapped:
        _swapped[key] = probing.swap_holds(
            fs,
            path,
            lambda probe: read_tagged(fs, probe)[1],
            lambda probe, data, version: _swap_s3(fs, probe, data, version),
        )
    return _swapped[key]


def guaranteed(fs: Any, path: str, *, store: str) -> Guarantees:
    """Return the filesystem's guarantees for the folder of the path."""
    if _has_own_lock(fs):
        reason = "a lock within this process, the only one that has access to this memory"
    elif getattr(fs, "creates_atomically", False):
        reason = "the filesystem keeps its names in one ordered log"
    elif _has_condition(fs):
        reason = f"probed with {probing.RACERS} concurrent writers"
    else:
        reason = "the filesystem checks first and writes afterwards"
    return Guarantees(store, creates(fs, path), swaps(fs, path), reason)


def _has_own_lock(fs: Any) -> bool:
    return bool(fs.protocol == "memory")


def _writing() -> threading.Lock:
    """Return this process's lock, for filesystems on which a condition is kept by locking within the process."""
    return _locks.setdefault(os.getpid(), threading.Lock())


def _has_condition(fs: Any) -> bool:
    """Return whether the filesystem's own write method takes a mode; fsspec's default checks first, then writes."""
    name = "_pipe_file" if getattr(fs, "async_impl", False) else "pipe_file"
    method = getattr(type(fs), name)
    return not method.__module__.startswith("fsspec.") and "mode" in inspect.signature(method).parameters


# ---- creating ----


def write_new(fs: Any, path: str, data: bytes) -> None:
    """Write a new file in one step.

    Even if the store guarantees nothing, an existing file is refused, and a writer that is overwritten at the same
    moment gets an error.

    Raises:
        FileExistsError: the file exists.
    """
    if creates(fs, path):
        with _writing() if _has_own_lock(fs) else contextlib.nullcontext():
            _create(fs, path, data)
        return
    with _writing():
        if patiently(fs, "exists", path):
            raise FileExistsError
        patiently(fs, "pipe_file", path, data)
        if bytes(patiently(fs, "cat_file", path)) != data:
            raise FileExistsError


def _create(fs: Any, path: str, data: bytes) -> None:
    if not s3.is_s3(fs):
        fs.pipe_file(path, data, mode="create")
        return
    try:
        _put_if(fs, path, data, IfNoneMatch="*")
    except s3.RefusedError as err:
        raise FileExistsError from err


# ---- replacing ----


def read_tagged(fs: Any, path: str) -> tuple[bytes, str]:
    """Return a file's content, and the tag that `swap` expects."""
    if s3.is_s3(fs):
        content: s3.Content = fsspec.asyn.sync(fs.loop, persistently, lambda: s3.read(fs, path), fs)
        return content.data, content.version
    if hasattr(fs, "cat_tagged"):
        (found,) = fs.cat_tagged([path], [None])
        if isinstance(found, Exception):
            raise found
        return found[0], found[1]
    data = bytes(patiently(fs, "cat_file", path))
    return data, sha256(data).hexdigest()


def swap(fs: Any, path: str, data: bytes, *, version: str) -> str:
    """Replace a file if its tag is still ``version``; return the new tag.

    Raises:
        ConflictError: the file was changed or deleted.
        StorageError: the store does not support conditional replacement.
    """
    if not swaps(fs, path):
        raise StorageError(
            "this store does not support replacing a file only if it is unchanged (see "
            "onlineml.storage.io.guarantees); append to a log instead"
        )
    try:
        if s3.is_s3(fs):
            return _swap_s3(fs, path, data, version)
        if not _has_own_lock(fs):
            fs.pipe_file(path, data, if_match=version)
            now, tag = read_tagged(fs, path)
            return tag if now == data else ""  # another writer has replaced it since: the tag is not of this content
        with _writing():
            if not fs.exists(path) or read_tagged(fs, path)[1] != version:
                raise ConflictError("the file was changed since it was read; read it again")
            fs.pipe_file(path, data)
    except FileNotFoundError as err:
        raise ConflictError("the file was deleted since it was read") from err
    return sha256(data).hexdigest()


def _swap_s3(fs: Any, path: str, data: bytes, version: str) -> str:
    try:
        return _put_if(fs, path, data, IfMatch=f'"{version}"')
    except s3.RefusedError as err:
        raise ConflictError("the file was changed since it was read; read it again") from err


def _put_if(fs: Any, path: str, data: bytes, **condition: str) -> str:
    attempt = partial(persistently, n_bytes=len(data))
    tag: str = fsspec.asyn.sync(fs.loop, s3.put_if, fs, path, data, condition=condition, attempt=attempt)
    return tag
