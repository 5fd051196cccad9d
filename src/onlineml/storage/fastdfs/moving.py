"""Copies, moves and removals of files by their paths: in one step within a volume, one by one between volumes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from fsspec.core import has_magic
from fsspec.utils import other_paths

from onlineml.storage.fastdfs import upkeep, writes
from onlineml.storage.fastdfs.ids import FileId
from onlineml.storage.fastdfs.places import InVolume, checked_name, client_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.storage.fastdfs.filesystem import FastDFSFileSystem
    from onlineml.storage.fastdfs.volume import Volume

__all__ = ["copy", "move", "remove"]


def copy(fs: FastDFSFileSystem, source_path: str, target_path: str) -> None:
    """Copy a file; within a volume no content is copied."""
    source, target = fs.place(source_path), checked_name(fs.place(target_path))
    if isinstance(source, InVolume) and source.volume is target.volume:
        if not fs.isdir(source_path):
            writes.copied(source, target, delete_after_s=fs.delete_after_s)
        return
    with fs.open(source_path, "rb") as reader, fs.open(target_path, "wb") as writer:
        shutil.copyfileobj(reader, writer, upkeep.LOG_BYTES)


def move(fs: FastDFSFileSystem, sources: Any, targets: Any, *, recursive: bool, maxdepth: int | None) -> None:
    """Move files and, with recursive, folders, by the rules of fsspec's ``mv``.

    Args:
        fs: the filesystem of both.
        sources: a path, a pattern, or a list of paths.
        targets: a path, or a list of as many.
        recursive: whether sources may be folders.
        maxdepth: of the folders below a source that are moved; None for all.
    """
    if isinstance(sources, str) and isinstance(targets, str) and not has_magic(sources) and maxdepth is None:
        source, target = fs.place(sources), fs.place(targets)
        if source == target:
            return
        if isinstance(source, InVolume) and isinstance(target, InVolume) and source.volume is target.volume:
            into = targets.endswith("/") and not sources.endswith("/")
            writes.renamed(
                source.volume,
                lambda names: writes.moves(names, source.name, target.name, into=into, recursive=recursive),
                delete_after_s=fs.delete_after_s,
            )
            return
    _move_each(fs, _pairs(fs, sources, targets, recursive=recursive, maxdepth=maxdepth))


def _move_each(fs: FastDFSFileSystem, pairs: Sequence[tuple[str, str]]) -> None:
    """Move files, in one step if one volume holds all of them."""
    places = [(fs.place(old), fs.place(new)) for old, new in pairs]
    volumes = {place.volume if isinstance(place, InVolume) else None for pair in places for place in pair}
    if len(volumes) == 1 and (volume := volumes.pop()) is not None:
        named = [(old.name, new.name) for old, new in places]
        writes.renamed(
            volume,
            lambda names: [pair for pair in named if not names.is_folder(pair[0])],
            delete_after_s=fs.delete_after_s,
        )
        return
    files = [(old, new) for old, new in pairs if not fs.isdir(old)]
    for old, new in files:
        copy(fs, old, new)
    remove(fs, [old for old, _ in files])


def _pairs(
    fs: FastDFSFileSystem, sources: Any, targets: Any, *, recursive: bool, maxdepth: int | None
) -> list[tuple[str, str]]:
    """Return the files to move and their destinations, by the rules of fsspec's copy."""
    olds = fs.expand_path(sources, recursive=recursive, maxdepth=maxdepth)
    if isinstance(sources, str):
        is_folder = targets.endswith("/") or fs.isdir(targets)
        exists = len(olds) == 1 if has_magic(sources) else is_folder and not sources.endswith("/")
        targets = other_paths(olds, targets, exists=exists)
    elif isinstance(targets, str):
        targets = other_paths(olds, targets, flatten=True)
    pairs = zip(olds, fs._strip_protocol(list(targets)), strict=True)  # noqa: SLF001 (fsspec's interface)
    return [(old, new) for old, new in pairs if old != new]


def remove(fs: FastDFSFileSystem, paths: Sequence[str], *, folders: bool = False) -> None:
    """Remove files, those of a volume in one step; one given by its own id is deleted at once.

    Args:
        fs: the filesystem.
        paths: the files.
        folders: whether paths may include folders, which are removed with their files.
    """
    named: dict[Volume, list[str]] = {}
    for path in paths:
        place = fs.place(path)
        if isinstance(place, FileId):
            client_of(fs.settings).delete(place)
        else:
            named.setdefault(place.volume, []).append(place.name)
    for volume, names in named.items():
        writes.removed(volume, names, folders=folders, delete_after_s=fs.delete_after_s)
