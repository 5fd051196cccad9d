"""The description of an annotation format, and of a place that is looked at for formats."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from onlineml.data.formats.parts import Parts, absolute
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["TABLE_ENDINGS", "Format", "Place", "Reader", "Source", "Writer", "table_at"]

Url = str | os.PathLike[str]

TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".pq")


class Source(NamedTuple):
    """A reader's input, as `onlineml.Manifest` describes it for each format.

    Attributes:
        url: a file or folder; or one file per split.
        images: the folder of images, or one for each of several files.
        root: the folder that paths are relative to.
        split: the split of all images; or the path of a table of splits, see `Format.takes_split`.
        table: the content of a table that is in memory; `url` is then a name for messages.
    """

    url: Url | Mapping[str, Url]
    images: Url | Mapping[str, Url] | None = None
    root: Url | None = None
    split: str | None = None
    table: pa.Table | None = None

    @property
    def where(self) -> str:
        """The absolute URL of a single file or folder, for messages too."""
        if self.table is not None:
            return str(self.url)
        assert isinstance(self.url, str | os.PathLike)  # noqa: S101 (only COCO has one for each split)
        return absolute(self.url)

    @property
    def folder(self) -> str:
        """The folder that a file's paths are relative to: by default its own; ``""``: paths are absolute."""
        if self.root is None:
            return io.parent(self.where)
        return absolute(self.root) if str(self.root) else ""


class Place:
    """A file or folder, of which names are known, and the contents not read.

    Attributes:
        url: absolute.
        storage_options: fsspec's.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None) -> None:
        self.url = url
        self.storage_options = storage_options
        self._known: dict[str, bool] = {}

    @cached_property
    def ending(self) -> str:
        """The extension in lower case, such as ``".json"``; ``""`` if there is none."""
        return self.url[self.url.rfind(".") :].lower() if "." in io.name(self.url) else ""

    def has(self, *parts: str) -> bool:
        """Return whether a file or folder is there, given by the parts of its path below the place."""
        url = io.join(self.url, *parts)
        if url not in self._known:
            self._known[url] = io.exists(url, storage_options=self.storage_options)
        return self._known[url]

    def names(self, *parts: str) -> list[str]:
        """Return the names of the files in a folder below the place."""
        folder = io.join(self.url, *parts) if parts else self.url
        return [info.path for info in io.list_files(folder, recursive=False, storage_options=self.storage_options)]


class Reader(Protocol):
    """A function that reads what was detected.

    Args:
        source: the input.
        holds: the wanted kind of annotation, one of `Format.holds`.
        storage_options: fsspec's.

    Raises:
        DataError: the content is refused; all its problems are named.
    """

    def __call__(self, source: Source, *, holds: str, storage_options: Mapping[str, Any] | None) -> Parts: ...


class Writer(Protocol):
    """A function that writes a manifest, and returns the URL."""

    def __call__(self, manifest: Manifest, url: Url, *, storage_options: Mapping[str, Any] | None) -> str: ...


@dataclass(frozen=True)
class Format:
    """A format of annotated images.

    A package of yours adds one by an entry point in the group ``onlineml.formats`` that is such an object.

    Attributes:
        name: as `onlineml.Manifest.from_any` and `onlineml.Manifest.export` take it.
        holds: the kinds of annotation that can be read from it, by the `key` of `onlineml.data.kinds.AnnotationKind`:
            ``"label"``, ``"labels"`` or ``"boxes_xyxy"``.
        expected: the names by which it is recognised, for messages.
        detect: a function that returns what is to be read at a place; None if the names there are not of this format.
        read: reads that.
        write: writes a manifest; None if the format can only be read.
        takes_split: whether its reader takes the path of a table of splits.
    """

    name: str
    holds: tuple[str, ...]
    expected: str
    detect: Callable[[Place], Source | None]
    read: Reader
    write: Writer | None = None
    takes_split: bool = False


def table_at(place: Place) -> Source | None:
    """Detect a table by its extension."""
    return Source(place.url) if place.ending in TABLE_ENDINGS else None
