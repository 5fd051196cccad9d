"""The tables of boxes at a place, and the images that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.parquet as pq

from onlineml.arguments.counted import count
from onlineml.data.formats.annotation_files import file_split
from onlineml.data.formats.box_tables.columns import recognised
from onlineml.data.formats.csv import TableFile, is_parquet
from onlineml.data.formats.encodings import csv_rows, utf8
from onlineml.data.formats.format import TABLE_ENDINGS, Source
from onlineml.data.formats.locate import absent_note, fitting, locate
from onlineml.data.formats.objects import is_class_number
from onlineml.data.formats.parts import Listing, absolute, list_folder
from onlineml.data.formats.sniff import HEAD_BYTES
from onlineml.data.formats.tables.rows import placed
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.documents import reading_parquet
from onlineml.storage.location import Location
from onlineml.storage.urls import is_listable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from onlineml.data.formats.box_tables.cells import Cells
    from onlineml.data.formats.box_tables.columns import Layout
    from onlineml.data.formats.format import Place
    from onlineml.storage.io import FileInfo

__all__ = [
    "Home",
    "TablePlace",
    "box_tables_at",
    "is_table",
    "ordered_classes",
    "places_of",
    "table_head",
    "tables_of",
    "told_head",
]

_MOST_TABLES = 64  # that are looked at in a folder
_SIBLINGS = ("images", "Images", "imgs", "img", "JPEGImages", "photos", "train", "valid", "val", "test")
_CLASS_FILES = ("classes.csv", "class.csv", "class_mapping.csv")


class TablePlace(NamedTuple):
    """The place of a table.

    Attributes:
        path: below the folder of the images; ``""`` if it is elsewhere.
        split: that the names of several tables tell apart.
    """

    path: str
    split: str | None = None

    @property
    def beside(self) -> str:
        """The folder of the table, below that of the images."""
        return self.path.rpartition("/")[0]


# ---- detection ----


def box_tables_at(place: Place, fits: Callable[[TableFile], bool] = recognised) -> Source | None:
    """Detect a table of boxes by its columns, or all of them in a folder.

    Args:
        place: a file or folder.
        fits: returns whether a table's columns are those that are looked for.
    """
    if is_table(place.url):
        return place.source() if fits(table_head(place)) else None
    tables = place.listing.ending_in(*TABLE_ENDINGS)[:_MOST_TABLES]
    found = [path for path in tables if _fits(place, path, fits)]
    if not found:
        return None
    if len(found) == 1:
        return place.source(found[0])
    urls = {path: io.join(place.url, path) for path in found}
    return Source(urls, root=place.url, options=place.options, files=place.listing)


def is_table(path: str) -> bool:
    """Return whether a file has the extension of a table."""
    return path.lower().endswith(TABLE_ENDINGS)


def table_head(place: Place, path: str = "") -> TableFile:
    """Return the beginning of a table: the place itself, or a file below it.

    Raises:
        DataError: it is not a table that can be read.
    """
    at = place.at / path if path else place.at
    if is_parquet(at.url):
        with reading_parquet(at, error=DataError), io.open_file(at) as file:
            return TableFile(at.url, pq.read_schema(file).empty_table())
    head = place.head(path)
    return TableFile(at.url, utf8(head, at.url, whole=len(head) < HEAD_BYTES))


def told_head(place: Place, path: str = "") -> TableFile | None:
    """Return the beginning of a table, also in an encoding that the reader will refuse; None for no table."""
    try:
        return table_head(place, path)
    except DataError:
        if is_parquet(path or place.url):
            return None
    try:
        return TableFile(path, place.head(path).decode("latin-1").encode())
    except DataError:  # whoever is asked for this very file will hear of it
        return None


def _fits(place: Place, path: str, fits: Callable[[TableFile], bool]) -> bool:
    try:
        return (head := told_head(place, path)) is not None and fits(head)
    except DataError:
        return False


# ---- tables ----


def tables_of(source: Source) -> list[tuple[TablePlace, TableFile]]:
    """Return the tables that a source names, by the paths of their places."""
    if source.table is not None:
        return [(TablePlace(""), TableFile(source.where, source.table))]
    return [(place, TableFile.at(url, options=source.options)) for place, url in places_of(source).items()]


def places_of(source: Source) -> dict[TablePlace, str]:
    """Return the URLs of the tables that a source names, by their places."""
    if isinstance(source.url, Mapping):
        return {TablePlace(path, file_split(path)): str(url) for path, url in source.url.items()}
    prefix = f"{source.folder}/"
    path = source.where.removeprefix(prefix) if source.folder and source.where.startswith(prefix) else ""
    return {TablePlace(path): source.where}


def ordered_classes(source: Source, layout: Layout, labels: set[str]) -> tuple[str, ...]:
    """Return the classes in the order of keras-retinanet's file of ``name,number`` beside a table without a header."""
    if layout.file.has_header:
        return ()
    folder = io.parent(layout.file.where)
    for name in _CLASS_FILES:
        at = Location(io.join(folder, name), source.options)
        if not io.exists(at):
            continue
        pairs = [(row[0].strip(), row[1].strip()) for row in csv_rows(io.read_bytes(at), at.url) if len(row) > 1]
        numbers = {name: int(number) for name, number in pairs if is_class_number(number)}
        if labels <= numbers.keys():
            return tuple(sorted(numbers, key=numbers.__getitem__))
    return ()


# ---- images ----


@dataclass(frozen=True)
class Home:
    """The folder of the images that tables name, and what lies below it.

    Attributes:
        folder: absolute; ``""``: names are absolute.
        listing: no files, where they cannot be listed.
        notes: for people.
    """

    folder: str
    listing: Listing
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: Source, names: Sequence[str]) -> Home:
        """Find the images: below the folder of the tables, else in a folder of images beside it."""
        folder = absolute(source.root) if source.root is not None and str(source.root) else source.folder
        home = cls(folder, source.listing(folder) if folder else Listing(()))
        wanted_here = source.root is not None and source.files is None
        if wanted_here or not folder or not names or not is_listable(folder) or home.has_any(names):
            return home
        parent = io.parent(folder)
        beside: list[FileInfo] = []
        for name in _SIBLINGS:
            if name == "Images" and beside:
                continue
            found = list_folder(io.join(parent, name), source.options).files
            beside += [replace(info, path=f"{name}/{info.path}") for info in found]
        other = cls(parent, Listing(tuple(beside)), (f"the images are not in {folder}, but beside it in {parent}",))
        return other if beside and other.has_any(names) else home

    def has_any(self, names: Sequence[str]) -> bool:
        """Return whether some of the first names are those of files here."""
        first = [name for name in dict.fromkeys(names) if name][:200]
        known = {info.path for info in self.listing.files}
        if any(uri in known for uri in placed(first, self.folder, [])):
            return True
        found = locate(first, self.images)
        return any(found.paths) or bool(found.ambiguous)

    @property
    def images(self) -> Sequence[str]:
        """The paths of the images below the folder."""
        return self.listing.images

    def located(self, names: Sequence[str | None], place: TablePlace, cells: Cells) -> list[str]:
        """Return the path of the file that each row of a table names; a name that fits none is kept, if it can be.

        Args:
            names: as they are written.
            place: of the table.
            cells: its problems get names that fit several files or lead out of the folder; its notes, those of no file.
        """
        known = {info.path for info in self.listing.files}
        prefix = f"{place.beside}/" if place.beside else ""
        distinct = list(dict.fromkeys(names))
        uris: dict[str | None, str | None] = {n: prefix + n for n in distinct if n and prefix + n in known}
        others = [name for name in distinct if name not in uris]
        plain = uris | dict(zip(others, placed(others, self.folder, []), strict=True))
        uris |= {name: _direct(plain[name], prefix, known) for name in others}
        lost = [name for name, uri in uris.items() if name and uri is None]
        found = dict(zip(lost, self._found(lost, place, cells.problems), strict=True)) if known and lost else {}
        absent = [name for name, uri in found.items() if uri is None]
        if absent and len(absent) < len({*distinct} - {None}):
            cells.notes.append(absent_note(absent))
        chosen = {name: uris[name] or found.get(name or "") or plain[name] for name in distinct}
        if None in chosen.values():
            unplaced = [name if chosen[name] is None else chosen[name] for name in names]
            placed(unplaced, self.folder, cells.problems, first_line=cells.first_line)
        return [chosen[name] or "" for name in names]

    def _found(self, names: Sequence[str], place: TablePlace, problems: list[str]) -> list[str | None]:
        found = locate(names, self.images, beside=place.beside)
        paths, unclear = list(found.paths), dict[str, list[str]]()
        for row, name in enumerate(names):
            if name in found.ambiguous:
                several = found.ambiguous[name]
                own = [path for path in several if place.split and file_split(path) == place.split]
                paths[row] = own[0] if len(own) == 1 else None
                unclear |= {} if len(own) == 1 else {name: several}
        if unclear:
            remedy = "set root= of Manifest.from_boxes to their folder"
            problems.append(
                f"{count(len(unclear), 'name fits', 'names fit')} several images: {fitting(unclear)}; {remedy}"
            )
        return paths


def _direct(uri: str | None, prefix: str, known: Iterable[str]) -> str | None:
    if uri is None:
        return None
    return next((path for path in (prefix + uri, uri) if path in known), None)
