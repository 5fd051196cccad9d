"""The tables of images at a place, and the images that they name."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from onlineml.arguments.counted import count
from onlineml.data.formats.annotation_files import file_split, folder_split
from onlineml.data.formats.box_tables.columns import recognised
from onlineml.data.formats.box_tables.files import is_table, told_head
from onlineml.data.formats.boxes import refused_names, safe_name
from onlineml.data.formats.columns import find_columns, image_roles, named
from onlineml.data.formats.csv import require_valid
from onlineml.data.formats.folders.layout import SPLIT_TABLE, layout_of
from onlineml.data.formats.format import TABLE_ENDINGS, Source
from onlineml.data.formats.locate import absent_note, fitting, locate
from onlineml.data.formats.parts import listed_versions
from onlineml.data.formats.tables.label_lists import exclusive_labels, is_indicator
from onlineml.data.formats.tables.rows import placed, require_good_rows
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.formats.csv import TableFile, TextTable
    from onlineml.data.formats.format import Place

__all__ = ["ImageTable", "images_of", "names_files_of_cluster", "table_refusal", "table_split", "tables_at"]

_MOST_TABLES = 64  # that are looked at in a folder
_SAMPLE = 200  # rows that are looked at in each
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class ImageTable(NamedTuple):
    """A table, and what it says of its rows.

    Attributes:
        path: below the folder of the images; ``""`` if it is elsewhere.
        file: the table.
        read: its columns.
        split: of its rows, where there are several tables.
        problems: of its rows.
    """

    path: str
    file: TableFile
    read: TextTable
    split: str | None
    problems: list[str]

    @property
    def first_line(self) -> int:
        """The number of the line of the first row."""
        return 1 + self.file.has_header


# ---- detection ----


def tables_at(place: Place) -> Source | None:
    """Detect a table, or the tables of a folder whose images they name, unless class folders say the same.

    Raises:
        DataError: several tables are in one folder, and their names do not tell splits apart.
    """
    if is_table(place.url):
        if (file := _head(place, "")) is not None and recognised(file):
            raise DataError(
                f"{place.at} is a table of boxes: leave task= out, or read a label of each row by Manifest.from_table"
            )
        return place.source(holds=_holds(place, ""))
    tables = [path for path in place.listing.ending_in(*TABLE_ENDINGS) if _may_name_labels(path)][:_MOST_TABLES]
    found = [path for path in tables if _names_images(place, path)]
    if not found or _same_as_folders(place, found):
        return None
    holds = "labels" if any(_holds(place, path) == "labels" for path in found) else "label"
    notes = _unread(place, [path for path in tables if path not in found])
    if len(found) == 1:
        return place.source(found[0], holds=holds)._replace(notes=notes)
    splits = {path: table_split(path) for path in found}
    in_one_folder = len({posixpath.dirname(path) for path in found}) < len(found)
    if in_one_folder and (None in splits.values() or len({*splits.values()}) < len(splits)):
        raise DataError(
            f"{place.at} holds several tables of its images, {examples(found)}, whose names do not tell splits apart; "
            "give the URL of one of them"
        )
    urls = {path: io.join(place.url, path) for path in found}
    return Source(urls, root=place.url, options=place.options, files=place.listing, holds=holds, notes=notes)


def table_split(path: str) -> str | None:
    """Return the split that the name of a table tells, as ``train.csv`` or ``testLabels.csv``, or else its folders."""
    return file_split(path) or file_split(_CAMEL.sub(" ", path))


def _may_name_labels(path: str) -> bool:
    name = posixpath.basename(path)
    return name != SPLIT_TABLE and "submission" not in name.lower()


def _head(place: Place, path: str) -> TableFile | None:
    try:
        return None if (head := told_head(place, path)) is None else named(head)
    except DataError:  # whoever is asked for this very file will hear of it
        return None


def _holds(place: Place, path: str) -> str | None:
    """Return the kind of annotation of a table; None if only its reader can tell."""
    file = _head(place, path)
    if file is None:
        return None
    try:
        label = find_columns(file, {"label": image_roles(None, None, None, None)["label"]}, [])["label"]
    except DataError:
        return None
    if label in file.names:
        return "labels" if pa.types.is_nested(file.sampled(label).type) else "label"
    columns = [name for name in file.names if name and is_indicator(file.sampled(name))]
    return "labels" if len(columns) > 1 and exclusive_labels(file.sample, columns) is None else "label"


def _columns(file: TableFile, *, unlabelled: bool = False) -> tuple[str, str | None] | None:
    """Return the columns of paths and labels; None if it is no table of labels of images, or of images at all."""
    roles = image_roles(None, None, None, None)
    try:
        found = find_columns(file, {name: roles[name] for name in ("path", "label")}, [])
    except DataError:
        return None
    label = found["label"] if found["label"] in file.names else None
    n_classes = sum(is_indicator(file.sampled(name)) for name in file.names if name)
    return (found["path"], label) if label or n_classes > 1 or unlabelled else None


def table_refusal(place: Place, paths: Sequence[str]) -> str:
    """Return why the first table among files is not read as one of labels, in parentheses; ``""`` if none is found."""
    for path in paths:
        file = _head(place, path) if path.lower().endswith(TABLE_ENDINGS) else None
        try:
            if file is not None:
                roles = image_roles(None, None, None, None)
                find_columns(file, {name: roles[name] for name in ("path", "label")}, [])
        except DataError as error:
            return f" ({error})"
    return ""


def _names_images(place: Place, path: str, *, unlabelled: bool = False) -> bool:
    """Return whether a table has labels, unless they are not asked for, and names images of the place."""
    file = _head(place, path)
    columns = file and _columns(file, unlabelled=unlabelled)
    if file is None or not columns or recognised(file):
        return False
    names = [str(value) for value in file.sampled(columns[0]).slice(0, _SAMPLE).to_pylist() if value is not None]
    located = locate(names, place.images)
    return any(located.paths) or bool(located.ambiguous) or (not names and bool(place.images))


def _unread(place: Place, tables: list[str]) -> tuple[str, ...]:
    """Return a note on tables that name images and say more of them, but have no labels that are recognised."""
    paths = [path for path in tables if len(getattr(_head(place, path), "names", ())) > 1]
    paths = [path for path in paths if _names_images(place, path, unlabelled=True)]
    shown = f"{examples(paths)} say something about images, too, but have no column of labels that is recognised"
    return (f"{shown}: give the URL of one with label=",) if paths else ()


def _same_as_folders(place: Place, tables: list[str]) -> bool:
    """Return whether images are in class folders, whose names are the tables' labels, and tables say no more splits."""
    try:
        layout = layout_of(place.images, where=place.url)
    except DataError:
        return False
    if not layout.has_splits and len({*map(table_split, tables)} - {None}) > 1:
        return False
    labels = dict(zip(place.images, layout.labels, strict=True))
    if len({*labels.values()} - {None}) < 2:
        return False
    agree = False
    for path in tables:
        file = _head(place, path)
        columns = file and _columns(file)
        if file is None or not columns or columns[1] is None:
            continue
        sample = file.sample.slice(0, _SAMPLE)
        names, told = (sample[name].to_pylist() for name in columns)
        for own, label in zip(locate([str(name) for name in names], place.images).paths, told, strict=True):
            if own is not None and labels[own] is not None and str(label).strip() != labels[own]:
                return False
            agree |= own is not None and labels[own] is not None
    return agree


# ---- images ----


def names_files_of_cluster(table: ImageTable, source: Source) -> bool:
    """Return whether a table on a FastDFS cluster names files of that cluster by their ids, as URLs.

    Such files are in no folder. A table that names files of other servers needs ``root=""``.
    """
    scheme, _, rest = source.where.partition("://")
    cluster, given = f"{scheme}://{rest.partition('/')[0]}/", table.read.texts["path"]
    return scheme == "fastdfs" and bool(given) and all(str(path).startswith(cluster) for path in given)


def images_of(table: ImageTable, source: Source, notes: list[str]) -> tuple[list[str], list[str]]:
    """Return the path and the version of each row's image: as it is written, or else found by the end of its name.

    Raises:
        DataError: paths are bad, fit several images, or no image exists.
    """
    where, folder, given = table.file.where, source.folder, table.read.texts["path"]
    if source.files is not None:
        return _found(table, source, notes, "")
    paths = placed(given, folder, table.problems, first_line=table.first_line)
    uris = [uri or f"\0{row}" for row, uri in enumerate(paths)]
    if table.problems:  # absolute paths of another machine may end as paths here do
        may_end_alike = source.root is None and folder and all(given) and not any(".." in str(path) for path in given)
        if may_end_alike and all(locate([str(path) for path in given], source.listing().images).paths):
            table.problems.clear()
            return _found(table, source, notes, "")
        return uris, [""] * len(uris)
    try:
        versions = listed_versions(uris, folder, where, source.options)
    except DataError as error:
        return _found(table, source, notes, str(error))
    lost = [row for row, version in enumerate(versions) if not version and uris[row] != uris[row].strip()]
    if lost and len(lost) < len(uris):  # a few have blanks at their ends
        stripped = [uris[row].strip() for row in lost]
        for row, uri, version in zip(lost, stripped, _versions(stripped, source), strict=True):
            if version:
                uris[row], versions[row] = uri, version
    absent = [uri for uri, version in zip(uris, versions, strict=True) if not version]
    if len(absent) < len(uris):
        _tell_absent(absent, notes)
    return uris, versions


def _versions(uris: list[str], source: Source) -> list[str]:
    try:
        return listed_versions(uris, source.folder, source.where, source.options)
    except DataError:
        return [""] * len(uris)


def _found(table: ImageTable, source: Source, notes: list[str], refusal: str) -> tuple[list[str], list[str]]:
    """Return the same by the names of all images below the folder."""
    where, given = table.file.where, table.read.texts["path"]
    empty = [row for row, path in enumerate(given) if not path]
    require_valid(table.problems, "rows have no path", empty, table.first_line)
    require_good_rows(where, table.problems)
    versions = {info.path: info.version for info in source.listing().files if is_image_name(info.path)}
    beside, split = posixpath.dirname(table.path), table.split or table_split(table.path or where)
    names, located = [str(path) for path in given], None
    if split is not None:  # files of several splits often have the same names
        own = [path for path in versions if folder_split(path) in {split, None}]
        located = locate(names, own, beside=beside)
    if located is None or not any(located.paths):
        located = locate(names, versions, beside=beside)
    if refusal and not any(located.paths) and not located.ambiguous:
        raise DataError(refusal)
    if located.ambiguous:
        shown = (
            f"{count(len(located.ambiguous), 'name fits', 'names fit')} several images: {fitting(located.ambiguous)}"
        )
        table.problems.append(f"{shown}; set root= of Manifest.from_table to their folder")
    pairs = list(zip(names, located.paths, strict=True))
    lost = dict.fromkeys(name for name, path in pairs if path is None and name not in located.ambiguous)
    table.problems.extend(refused_names(lost, where))
    _tell_absent([name for name in lost if safe_name(name)], notes)
    by_end = "images were found by the ends of their names"
    elsewhere = next(((name, path) for name, path in pairs if path and path != name.removeprefix("./")), None)
    if elsewhere and not any(note.startswith(by_end) for note in notes):
        notes.append(f"{by_end}, such as {elsewhere[1]} for {elsewhere[0]!r}")
    uris = [path or posixpath.join(beside, safe_name(name) or "") for name, path in pairs]
    return uris, [versions.get(uri, "") for uri in uris]


def _tell_absent(paths: Sequence[str], notes: list[str]) -> None:
    if paths:
        notes.append(absent_note(paths))
