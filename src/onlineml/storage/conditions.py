"""Writes that are made on a condition, and what a store really promises about them.

Creating only where nothing is, and replacing only what was read, are what several writers need in order not to lose
each other's work. Local disks, memory and FastDFS promise both. S3 has headers for them, but some S3-compatible servers
ignore the headers, and some look first and write then, so that two of several racing writers win (as OpenStack Swift
does, when tried here). Therefore a bucket is tried out when it is first needed, see `onlineml.storage.probing`.

A probe can find that a promise is broken; that it always holds, no probe can tell.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import fsspec.asyn

from onlineml.errors import ConflictError, StorageError
from onlineml.storage import probing
from onlineml.storage.s3 import client as s3

__all__ = ["Guarantees", "creates", "guaranteed", "read_tagged", "swap", "swaps", "write_new"]

_locks: dict[int, threading.Lock] = {}  # by process: a forked child must not wait for its parent's threads
_created: dict[tuple[Any, str], bool] = {}  # by filesystem and bucket
_swapped: dict[tuple[Any, str], bool] = {}


@dataclass(frozen=True)
class Guarantees:
    """What a store promises to writers that come at the same moment.

    Attributes:
        store: the store, or the bucket.
        create: of several writers that create the same file exactly one succeeds.
        swap: of several that replace the same version of a file exactly one succeeds.
        reason: how this is known.
    """

    store: str
    create: bool
    swap: bool
    reason: str

    def __str__(self) -> str:
        def promise(held: bool) -> str:
            return "exactly one writer wins" if held else "two writers may win"

        lost = "" if self.create else "; nothing is lost, for publishing and promoting use logs that only grow"
        return f"{self.store}: creating: {promise(self.create)}, replacing: {promise(self.swap)}{lost} ({self.reason})"


# ---- what is promised ----


def creates(fs: Any, path: str) -> bool:
    """Whether exactly one of several racing creators wins, on the filesystem that holds the path.

    A bucket is tried out beside the path where that was not done yet in this process.

    Raises:
        OSError: it could not be tried out.
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
    """As `creates`, of replacing one version of a file."""
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
    """What the filesystem promises for the folder of the path."""
    if _has_own_lock(fs):
        reason = "within this process, which alone sees this memory"
    elif getattr(fs, "creates_atomically", False):
        reason = "the filesystem keeps its names in one ordered log"
    elif _has_condition(fs):
        reason = f"found out by writers that raced, {probing.RACERS} at once"
    else:
        reason = "the filesystem looks first and then writes"
    return Guarantees(store, creates(fs, path), swaps(fs, path), reason)


def _has_own_lock(fs: Any) -> bool:
    return bool(fs.protocol == "memory")


def _writing() -> threading.Lock:
    """For filesystems whose conditions hold within one process, if we see to it."""
    return _locks.setdefault(os.getpid(), threading.Lock())


def _has_condition(fs: Any) -> bool:
    """Whether the filesystem's own write takes a mode, and not fsspec's, which looks first and then writes."""
    name = "_pipe_file" if getattr(fs, "async_impl", False) else "pipe_file"
    method = getattr(type(fs), name)
    return not method.__module__.startswith("fsspec.") and "mode" in inspect.signature(method).parameters


# ---- creating ----


def write_new(fs: Any, path: str, data: bytes) -> None:
    """Write a new file in one step.

    Where the store promises nothing, a file that is there is refused all the same, and who is overwritten at the same
    moment is told.

    Raises:
        FileExistsError: something is there.
    """
    if creates(fs, path):
        with _writing() if _has_own_lock(fs) else contextlib.nullcontext():
            _create(fs, path, data)
        return
    with _writing():
        if fs.exists(path):
            raise FileExistsError
        fs.pipe_file(path, data)
        if bytes(fs.cat_file(path)) != data:
            raise FileExistsError


def _create(fs: Any, path: str, data: bytes) -> None:
    if not s3.is_s3(fs):
        fs.pipe_file(path, data, mode="create")
        return
    try:
        fsspec.asyn.sync(fs.loop, s3.put_if, fs, path, data, IfNoneMatch="*")
    except s3.RefusedError as err:
        raise FileExistsError from err


# ---- replacing ----


def read_tagged(fs: Any, path: str) -> tuple[bytes, str]:
    """A file's content, and the tag that `swap` wants to see again."""
    if s3.is_s3(fs):
        content: s3.Content = fsspec.asyn.sync(fs.loop, s3.read, fs, path)
        return content.data, content.version
    if hasattr(fs, "cat_tagged"):
        (found,) = fs.cat_tagged([path], [None])
        if isinstance(found, Exception):
            raise found
        return found[0], found[1]
    data = bytes(fs.cat_file(path))
    return data, sha256(data).hexdigest()


def swap(fs: Any, path: str, data: bytes, *, version: str) -> str:
    """Replace a file if it is still the one with the tag; returns the new tag.

    Raises:
        ConflictError: it is another one, or gone.
        StorageError: the store cannot replace on a condition.
    """
    if not swaps(fs, path):
        raise StorageError(
            "this store does not replace a file on the condition that nobody else did (see "
            "onlineml.storage.io.guarantees); append to a log instead"
        )
    try:
        if s3.is_s3(fs):
            return _swap_s3(fs, path, data, version)
        if not _has_own_lock(fs):
            fs.pipe_file(path, data, if_match=version)
            now, tag = read_tagged(fs, path)
            return tag if now == data else ""  # the next writer has been there: no tag is ours any more
        with _writing():
            if not fs.exists(path) or read_tagged(fs, path)[1] != version:
                raise ConflictError("it was changed meanwhile; read it again")
            fs.pipe_file(path, data)
    except FileNotFoundError as err:
        raise ConflictError("it is gone meanwhile") from err
    return sha256(data).hexdigest()


def _swap_s3(fs: Any, path: str, data: bytes, version: str) -> str:
    try:
        tag: str = fsspec.asyn.sync(fs.loop, s3.put_if, fs, path, data, IfMatch=f'"{version}"')
    except s3.RefusedError as err:
        raise ConflictError("it was changed meanwhile; read it again") from err
    return tag
