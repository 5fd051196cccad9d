"""The description of an annotation format, and of a place that is looked at for formats."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from onlineml.arguments.counted import count
from onlineml.data.formats.parts import Listing, Parts, absolute, list_folder
from onlineml.data.formats.sniff import HEAD_BYTES, JsonShape, json_shape
from onlineml.data.manifest.examples import examples
from onlineml.storage import io
from onlineml.storage.credentials import publishable
from onlineml.storage.location import Location, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.io import FileInfo

__all__ = ["TABLE_ENDINGS", "Format", "Place", "Reader", "Source", "Writer"]

Url = str | os.PathLike[str]

TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".pq")
_UNPACK, _SAVE = " (unpack the archive, and pass its folder)", " (save the spreadsheet as CSV)"
_TO_DO = {**dict.fromkeys((".zip", ".gz", ".7z", ".rar"), _UNPACK), **dict.fromkeys((".xlsx", ".xls", ".ods"), _SAVE)}


class Source(NamedTuple):
    """A reader's input, as `onlineml.Manifest` describes it for each format.

    Attributes:
        url: a file or folder; or one file per split.
        images: the folder of images, or one for each of several files.
        root: the folder that paths are relative to.
        split: the split of all images; or the path of a table of splits, see `Format.takes`.
        table: the content of a table that is in memory; `url` is then a name for messages.
        options: fsspec's.
        files: the files below the folder, where the detection has listed them; see `listing`.
        holds: the kind of annotation that the detection found, one of `Format.holds`; None: the first of them.
        label: the name of what is to be read, where a file says several things about an image.
        class_names: as they were given, for files in which classes are numbers.
        notes: of the detection, for people.
    """

    url: Url | Mapping[str, Url]
    images: Url | Mapping[str, Url] | None = None
    root: Url | None = None
    split: str | None = None
    table: pa.Table | None = None
    options: Options = None
    files: Listing | None = None
    holds: str | None = None
    label: str | None = None
    class_names: Sequence[str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The absolute URL of a single file or folder, for messages too."""
        if self.table is not None:
            return str(self.url)
        assert isinstance(self.url, str | os.PathLike)  # noqa: S101 (only COCO has one for each split)
        return absolute(self.url)

    @property
    def shown(self) -> str:
        """The URL of what is read, or those of several files, for messages."""
        if self.table is not None or isinstance(self.url, str | os.PathLike):
            return self.where
        return ", ".join(map(absolute, self.url.values()))

    def published(self, texts: Sequence[str]) -> list[str]:
        """Return texts without the secrets in the addresses and options of what is read."""
        urls = self.url.values() if isinstance(self.url, Mapping) else [self.url]
        for url in filter(str, urls):  # a dataset of Python objects needs none
            texts = publishable(texts, Location(absolute(url), self.options))
        return list(texts)

    @property
    def at(self) -> Location:
        """The location of a single file or folder."""
        return Location(self.where, self.options)

    @property
    def folder(self) -> str:
        """The folder that a file's paths are relative to: by default its own; ``""``: paths are absolute."""
        if self.root is None:
            return io.parent(self.where)
        return absolute(self.root) if str(self.root) else ""

    def listing(self, folder: str | None = None) -> Listing:
        """Return the files below a folder, without junk, from the detection's listing where there is one.

        Args:
            folder: absolute; by default `folder`.
        """
        return self.files if self.files is not None else list_folder(folder or self.folder, self.options)


class Place:
    """A file or folder that is looked at: names are listed once, and the beginnings of files read once, if asked for.

    Attributes:
        at: absolute.
        listing: of the files below it, where they have been listed.
    """

    def __init__(self, at: Location, listing: Listing | None = None) -> None:
        self.at = at
        if listing is not None:
            self.listing = listing
        self._heads: dict[str, bytes] = {}
        self._shapes: dict[str, JsonShape] = {}

    @property
    def url(self) -> str:
        """The absolute URL."""
        return self.at.url

    @property
    def options(self) -> Options:
        """The options of the filesystem."""
        return self.at.options

    @cached_property
    def ending(self) -> str:
        """The extension in lower case, such as ``".json"``; ``""`` if there is none."""
        return self.url[self.url.rfind(".") :].lower() if "." in io.name(self.url) else ""

    @cached_property
    def listing(self) -> Listing:
        """All files below a folder, without junk; none for a single file, or where nothing can be listed."""
        return list_folder(self.url, self.options)

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """All files below a folder, sorted by path, without junk."""
        return self.listing.files

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The paths of `files`, relative to the place."""
        return tuple(info.path for info in self.files)

    @property
    def images(self) -> tuple[str, ...]:
        """The paths with the extension of an image."""
        return self.listing.images

    @property
    def others(self) -> tuple[str, ...]:
        """The paths of other files, such as annotations."""
        return self.listing.others

    @property
    def content(self) -> str:
        """A short description of what is there, for messages."""
        if not self.files:
            single = "a single file" + _TO_DO.get(self.ending, "")
            return single if self.ending else "no files"
        endings = Counter(io.name(path).rpartition(".")[2].lower() for path in self.others)
        others = ", ".join(f"{n:,} .{ending}" for ending, n in endings.most_common(4))
        folders = sorted({path.rpartition("/")[0] for path in self.paths} - {""})
        inside = f" in the folders {examples(folders)}" if folders else ""
        files = "file" if len(self.others) == 1 else "files"
        return f"{count(len(self.images), 'image')} and {others or 'no'} {files}{inside}"

    def head(self, path: str = "") -> bytes:
        """Return the first `HEAD_BYTES` bytes of the place itself, or of a file below it."""
        if path not in self._heads:
            with io.open_file(self.at / path if path else self.at, block_size=HEAD_BYTES) as file:
                self._heads[path] = file.read(HEAD_BYTES)
        return self._heads[path]

    def json(self, path: str = "") -> JsonShape:
        """Return what the beginning of a JSON file tells about it."""
        if path not in self._shapes:
            self._shapes[path] = json_shape(self.head(path))
        return self._shapes[path]

    def source(self, path: str = "", *, holds: str | None = None) -> Source:
        """Return the input for a reader: the place itself, or a file below it whose paths are relative to the place.

        Args:
            path: of the file.
            holds: the kind of annotation that was found.
        """
        if not path:
            return Source(self.url, options=self.options, holds=holds)
        files, url = self.listing, io.join(self.url, path)
        return Source(url, root=self.url, options=self.options, files=files, holds=holds)

    def listed_source(self) -> Source:
        """Return the place itself as a reader's input, with its listing, so that it is not listed again."""
        return self.source()._replace(files=self.listing)


class Reader(Protocol):
    """A function that reads what was detected.

    Args:
        source: the input.
        holds: the wanted kind of annotation, one of `Format.holds`.

    Raises:
        DataError: the content is refused; all its problems are named.
    """

    def __call__(self, source: Source, *, holds: str) -> Parts: ...


class Writer(Protocol):
    """A function that writes a manifest to an absolute location, and returns the URL."""

    def __call__(self, manifest: Manifest, at: Location) -> str: ...


@dataclass(frozen=True)
class Format:
    """A format of annotated images.

    A package of yours adds one by an entry point in the group ``onlineml.formats`` that is such an object.

    Attributes:
        name: as `onlineml.Manifest.from_any` and `onlineml.Manifest.export` take it.
        holds: the kinds of annotation that can be read from it, by the `key` of `onlineml.data.kinds.AnnotationKind`:
            ``"label"``, ``"labels"`` or ``"boxes_xyxy"``; the usual one first.
        expected: the names by which it is recognised, for messages.
        detect: a function that returns what is to be read at a place; None if what lies there is not of this format.
        read: reads that.
        write: writes a manifest; None if the format can only be read.
        takes: the further arguments of `onlineml.Manifest.from_any` that its reader takes: ``"split"``, the path of a
            table of splits, ``"images"``, ``"label"``.
    """

    name: str
    holds: tuple[str, ...]
    expected: str
    detect: Callable[[Place], Source | None]
    read: Reader
    write: Writer | None = None
    takes: tuple[str, ...] = ()
