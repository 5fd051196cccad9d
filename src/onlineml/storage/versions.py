"""Versions of files as listings tell them, and the present versions of many addresses, asked by listing."""

from __future__ import annotations

import os
import re
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from onlineml.storage.io import exists, list_files, parent
from onlineml.storage.local import version_of
from onlineml.storage.shards import place_of
from onlineml.storage.urls import is_listable, local_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.storage.location import Options


__all__ = ["current_versions", "size_of_version"]

_TIME_AND_SIZE = re.compile(r"(?:[\d.]{1,25}|.*[ T:].*|)-(\d+)", re.DOTALL)
_FEW_FOLDERS = 8  # that are listed one by one; more are listed with all that is in the folder above them


def size_of_version(version: str) -> int | None:
    """Return the size in bytes that a version made of time and size tells; None for a tag of the content."""
    found = _TIME_AND_SIZE.fullmatch(version)
    return int(found[1]) if found else None


def current_versions(urls: Sequence[str], *, storage_options: Options = None) -> list[str | None]:
    """Return the version that each address has now, as `onlineml.storage.io.list_files` tells it.

    Args:
        urls: files, also images in shards, which have no version of their own.
        storage_options: options of the filesystems that are not local.

    Returns:
        For each URL its version; None where nothing is there; ``""`` where that cannot be told: the store has no
        listing, or does not allow it.
    """
    files = [place_of(url).url for url in urls]
    by_store: dict[str, list[str]] = {}
    for file in dict.fromkeys(files):
        if local_path(file) is None:
            by_store.setdefault("/".join(file.split("/")[:3]), []).append(file)
    found: dict[str, str] = {}
    for several in by_store.values():
        found |= _listed(several, storage_options)
    versions = [_of_local(file) if local_path(file) is not None else found.get(file) for file in files]
    return [
        "" if now is not None and file != url else now for now, file, url in zip(versions, files, urls, strict=True)
    ]


def _of_local(url: str) -> str | None:
    try:
        return version_of(os.stat(local_path(url) or ""))  # noqa: PTH116 (making a Path takes longer than asking)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ""


def _listed(files: Sequence[str], storage_options: Options) -> dict[str, str]:
    """The versions of files of one store, of those that are there."""
    if not is_listable(files[0]) or "::" in files[0]:
        return dict.fromkeys(files, "")
    odd = [file for file in files if "//" in file.partition("://")[2]]  # which no listing of a folder shows
    folders = sorted({f"{parent(file)}/" for file in set(files).difference(odd)})
    try:
        found = {
            info.url: info.version
            for folder, recursive in _tops(folders)
            for info in list_files(folder, recursive=recursive, storage_options=storage_options)
        }
        return found | {file: "" for file in odd if exists(file, storage_options=storage_options)}
    except PermissionError:
        return dict.fromkeys(files, "")


def _tops(folders: Sequence[str]) -> list[tuple[str, bool]]:
    """The folders to list, each alone or with all below it, so that little else is listed.

    Args:
        folders: with a slash at their ends, sorted.
    """
    if len(folders) <= _FEW_FOLDERS:
        return [(folder, False) for folder in folders]
    pairs = zip(folders[0].split("/"), folders[-1].split("/"), strict=False)  # all others sort between them
    common = "".join(f"{a}/" for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    below = [folder for folder in folders if folder != common]
    branches = [list(own) for _, own in groupby(below, key=lambda one: one.removeprefix(common).partition("/")[0])]
    if len(branches) > _FEW_FOLDERS:
        return [(common, True)]
    own = [(common, False)] if len(below) < len(folders) else []
    return own + [top for branch in branches for top in _tops(branch)]
