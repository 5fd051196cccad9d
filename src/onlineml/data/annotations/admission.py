"""Entries and rows of a shared log that are left out, because they would make a reader open other files than images.

Everybody who may write to a project may write any entry. One that names a file outside the project where only the
project's own are meant, an image by a path with ``..``, or a split that does not exist is left out when the log is
read; all others count. Images may be at any address in other stores, and of a local project anywhere on the machine. A
project elsewhere may name images on the reader's disk only below the folders in ``ONLINEML_LOCAL_IMAGES``, where links
must not lead out of them, and in those from which this user has added images to it on this machine, which are noted in
the user's data folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count, tally
from onlineml.data.annotations.entries import mask_of
from onlineml.data.manifest.edits import NO_SPLIT
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError
from onlineml.storage import local as local_files
from onlineml.storage.cache import make_private
from onlineml.storage.urls import local_path, storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from onlineml.storage.location import Location

__all__ = [
    "FOLDERS",
    "INDIRECT",
    "admitted_entries",
    "admitted_images",
    "are_readers_own",
    "check_addresses",
    "note_folders",
]

FOLDERS = "ONLINEML_LOCAL_IMAGES"
_ABOVE = r"(^|/)\.\.(/|$)|\x00"
_OUTSIDE = r"^/|^[A-Za-z][A-Za-z0-9+.\-]*(://|::)|\\|" + _ABOVE
# filesystems of fsspec that open whatever their URL, or a document behind it, names, files of this machine included
INDIRECT = r"(^|::)(async_?(local|wrapper)|dask|dir|dvc|generic|git|jlab|jupyter|pyscript|reference)(:|$)"
_PERHAPS_LOCAL = r"^/|::|^(file|local):"
# inside the project's folder
_FILES = {
    "uploaded": ("uri",),
    "imported": ("file", "gone"),
    "suggested": ("file",),
    "frozen": ("dataset",),
    "moved": (),
}
_SPLITS = {"uploaded": SPLITS, "moved": (*SPLITS, NO_SPLIT)}


def admitted_entries(log: pa.Table) -> pa.Table:
    """Return a log without the entries that are left out; a warning tells how many.

    Args:
        log: see `onlineml.storage.log.table`.
    """
    refused = np.zeros(len(log), dtype=bool)
    if "event" not in log.column_names:
        return log
    for event, keys in _FILES.items():
        here = mask_of(pc.equal(log["event"], event))
        for key in set(keys) & set(log.column_names):
            refused |= here & mask_of(pc.match_substring_regex(log[key], _OUTSIDE))
        if event in _SPLITS and "split" in log.column_names:
            refused |= here & _unknown(log["split"], _SPLITS[event])
    return _without(log, refused, what="entries of the annotations", name="entry")


def admitted_images(table: pa.Table, *, project: Location) -> pa.Table:
    """Return a table that an entry names without the images that are left out; a warning tells how many.

    Args:
        table: of an import, or another one without the column ``uri``, which stays as it is.
        project: its folder.
    """
    if "uri" not in table.column_names:
        return table
    refused = _refused(table["uri"], project)
    if "split" in table.column_names:
        refused |= _unknown(table["split"])
    return _without(table, refused, what="imported images", name="uri")


def check_addresses(uris: pa.ChunkedArray, *, project: Location, source: str) -> None:
    """Refuse a frozen dataset of a project that names other files than an import may: its images cannot be left out.

    Args:
        uris: (N,) addresses of its images.
        project: its folder.
        source: the dataset, for the message.

    Raises:
        DataError: it does.
    """
    refused = _refused(uris, project)
    if refused.any():
        named = uris.filter(pa.array(refused)).to_pylist()
        raise DataError(
            f"{source} names {count(len(named), 'image')} outside the project or on this machine: {examples(named)}; "
            f"allow folders of images on this machine by {FOLDERS}, or freeze the project again"
        )


def _refused(uris: pa.ChunkedArray, project: Location) -> npt.NDArray[np.bool_]:
    refused = mask_of(pc.match_substring_regex(uris, f"{_ABOVE}|{INDIRECT}"))
    if project.local is None:
        rows = np.flatnonzero(mask_of(pc.match_substring_regex(uris, _PERHAPS_LOCAL)))
        refused[rows] |= are_readers_own(uris.take(pa.array(rows)).to_pylist(), project=project)
    return refused


def are_readers_own(uris: Sequence[str], *, project: Location) -> npt.NDArray[np.bool_]:
    """Return which addresses are on the disk of whoever reads them, outside the folders that they allow.

    Args:
        uris: (N,) paths, URLs, or chains of them, of which each link counts; relative ones are inside the project.
        project: one on a local disk may name any local file.

    Returns:
        (N,) bool.
    """
    if project.local is not None or not uris:
        return np.zeros(len(uris), dtype=bool)
    above = tuple(f"{one.rstrip('/')}/" for one in os.environ.get(FOLDERS, "").split(os.pathsep) if one)
    noted, real = _noted(project), _RealPaths()
    real_above = tuple(f"{os.path.realpath(one)}/" for one in above)

    def allowed(path: str) -> bool:
        if os.path.dirname(path) in noted:  # noqa: PTH120 (of many paths)
            return True
        return path.startswith(above) and real.of(path).startswith(real_above)  # others may write links there

    return np.array([not all(map(allowed, _local_paths(uri))) for uri in uris], dtype=bool)


class _RealPaths:
    """Paths without links; each folder is looked at once, because there may be many files on a slow disk."""

    def __init__(self) -> None:
        self._folders: dict[str, tuple[str, frozenset[str]]] = {}

    def of(self, path: str) -> str:
        """Return the path of a file without links; of one that is not there, what it would be."""
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            links: list[str] = []
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                links = [entry.name for entry in entries if entry.is_symlink()]
            self._folders[folder] = os.path.realpath(folder), frozenset(links)
        real, linked = self._folders[folder]
        return os.path.realpath(path) if name in linked else f"{real}/{name}"


def note_folders(uris: Sequence[str], *, project: Location) -> None:
    """Note that this user reads a project's images from the folders of some local files, on this machine.

    Raises:
        OSError: the note cannot be written.
    """
    folders = {os.path.dirname(path) for uri in uris for path in _local_paths(uri)}  # noqa: PTH120 (of many paths)
    file = _notes(project)
    make_private(file.parent)
    local_files.replace(str(file), "\n".join(sorted(folders | _noted(project))).encode())


def _notes(project: Location) -> Path:
    name = hashlib.sha256(storable(project.folder.url).encode()).hexdigest()[:32]
    return Path(platformdirs.user_data_dir("onlineml")) / "local-images" / f"{name}.txt"


def _noted(project: Location) -> set[str]:
    try:
        return set(_notes(project).read_text(encoding="utf-8").split("\n"))
    except OSError:
        return set()


def _local_paths(uri: str) -> list[str]:
    """Return the absolute paths on the local disk in a URI, or in each link of a chain."""
    links = uri.split("::")
    found = [local_path(link) for link in links if "://" in link or (link is links[-1] and link.startswith("/"))]
    return [os.path.normpath(path) for path in found if path is not None]


def _unknown(splits: pa.ChunkedArray, known: Sequence[str] = SPLITS) -> npt.NDArray[np.bool_]:
    return mask_of(splits.is_valid()) & ~mask_of(pc.is_in(splits, value_set=pa.array(known)))


def _without(table: pa.Table, refused: npt.NDArray[np.bool_], *, what: str, name: str) -> pa.Table:
    if not refused.any():
        return table
    shown = table[name].filter(pa.array(refused)).to_pylist()
    warnings.warn(
        f"{tally(len(shown), f'{what} are')} left out: {examples(shown)}. They name files outside the project or on "
        f"this machine, or a split that does not exist; folders of images on this machine are allowed by {FOLDERS}",
        RuntimeWarning,
        stacklevel=2,
    )
    return table.filter(pa.array(~refused))
