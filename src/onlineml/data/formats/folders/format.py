"""Class folders, ``<class>/**/image`` or ``{train,val,test}/<class>/**/image``: reading from a listing, and writing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from onlineml.arguments.counted import count, tally
from onlineml.data.formats.columns import find_columns, image_roles, open_table
from onlineml.data.formats.csv import csv_bytes, key, require_valid
from onlineml.data.formats.export import empty_folder, image_chunks, unique_paths, write_many
from onlineml.data.formats.folders.layout import BY_FOLDERS, BY_HASH, SPLIT_TABLE, Layout, layout_of
from onlineml.data.formats.format import TABLE_ENDINGS, Format, Source
from onlineml.data.formats.parts import Parts, absolute, image_id, naturally_sorted, with_slashes
from onlineml.data.formats.tables.label_lists import format_labels, parse_labels
from onlineml.data.formats.tables.rows import read_splits
from onlineml.data.images.policies import extension, is_archive_name
from onlineml.data.manifest.schema import examples
from onlineml.data.manifest.splits import SPLITS, stable_split
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io
from onlineml.storage.causes import missing_folder
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.io import FileInfo
    from onlineml.storage.location import Options

    _Columns = dict[str, list[Any]]  # by name, a value for each image

__all__ = ["FOLDERS", "has_classes", "read_folders", "unread_annotations", "write_folders"]

_SHEETS = (".xlsx", ".xls", ".ods")
_RECORDS = (
    *(".xml", ".txt", ".json", ".jsonl", ".ndjson", ".geojson", ".odgt", ".idl", ".mat", ".tfrecord", ".tfrecords"),
    *(".npy", ".npz", ".pkl", ".pickle", ".h5", ".hdf5"),
)
_ANNOTATIONS = frozenset({*_RECORDS, *_SHEETS, *TABLE_ENDINGS})
_TEXTS = ("readme", "licen", "requirements", "changelog", "citation", "notes", "classes")  # for people
_TOGETHER = 64  # images in memory at a time


def read_folders(source: Source, *, holds: str) -> Parts:
    """Read class folders, see `Manifest.from_folders`."""
    root, listing, notes = source.where, source.listing(source.where), list[str]()
    files = listing.files
    others = frozenset(listing.others)
    images = [info for info in files if info.path not in others]
    if not images:
        n = len(files) + listing.n_junk
        found = f"{count(n, 'other file')}, such as {examples(f.path for f in files)}" if n else "no files at all"
        if missing := missing_folder(Location(root) / "any"):
            found = f"no files at all: there is no folder {missing}"
        elif is_archive_name(root) and not n:
            found = "an archive; unpack it, and pass its folder"
        raise DataError(f"no images in {root}: expected {root}/<class>/<image>, found {found}")
    paths = [info.path for info in images]
    table = _split_table(source, files, notes)
    listed = None if table is None else _listed(root, table, paths, source.options)
    layout = _layout(source, paths, listed)
    columns: _Columns = {"uri": paths, "version": [info.version for info in images], "split": layout.splits}
    columns["label"] = folders = layout.labels
    if listed is not None:
        columns.update(split=listed["split"], group=listed["group"])
        columns["label"] = [mine or folder for mine, folder in zip(listed["label"], folders, strict=True)]
    if holds == "labels":
        sets = [_names(mine, folder) for mine, folder in zip(columns["label"], folders, strict=True)]
        columns = _united({**columns, "label": sets}, _first_copies(images, folders, source.options))
    if listed is None and not layout.has_splits:
        columns["split"] = stable_split(columns["uri"]).tolist()
    columns["image_id"] = [image_id(*one) for one in zip(columns["uri"], columns["version"], strict=True)]
    told = columns.pop("label")
    names = {name for own in told if own is not None for name in ([own] if isinstance(own, str) else own)}
    _tell_annotations([path for path in listing.others if path != table], notes)
    kind = pa.list_(pa.string()) if holds == "labels" else pa.string()
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()} | {holds: pa.array(told, kind)}
    n_ignored = len(files) - len(images) + listing.n_junk - any(info.path == table for info in files)
    return Parts(pa.table(arrays), naturally_sorted(names), root, n_ignored, notes=(*layout.notes, *notes))


def _tell_annotations(paths: Sequence[str], notes: list[str]) -> None:
    """Note files that may say what the images show."""
    for ending, n in Counter(map(extension, unread_annotations(paths))).most_common():
        remedy = "if they hold boxes, name their format with format="
        if ending in TABLE_ENDINGS:
            remedy = "if they hold labels, name the columns with Manifest.from_table"
        elif ending in _SHEETS:
            remedy = "if they hold labels, save them as CSV"
        notes.append(tally(n, f"{ending} files were not read; {remedy}"))


def unread_annotations(paths: Sequence[str]) -> list[str]:
    """Return the files that may say what images show, by their extensions; not what is written for people."""
    return [
        path
        for path in paths
        if extension(path) in _ANNOTATIONS
        and path != SPLIT_TABLE
        and not path.rpartition("/")[2].lower().startswith(_TEXTS)
    ]


def has_classes(paths: Sequence[str], *, where: str) -> bool:
    """Return whether folders are at least two classes, or are refused by the reader."""
    try:
        return len({*layout_of(paths, where=where).labels} - {None}) > 1
    except DataError:
        return True


def _split_table(source: Source, files: Sequence[FileInfo], notes: list[str]) -> str | None:
    """Return the path of the table of splits: the given one, or else the one that `write_folders` wrote."""
    if source.split is not None:
        if source.split not in {BY_FOLDERS, BY_HASH} and not source.split.lower().endswith(TABLE_ENDINGS):
            raise ConfigError(
                f"split={source.split!r}: expected {BY_FOLDERS!r}, {BY_HASH!r}, or the path of a table of splits, such "
                f"as {SPLIT_TABLE!r}; Manifest.with_splits divides at random"
            )
        return None if source.split in {BY_FOLDERS, BY_HASH} else source.split
    if all(info.path != SPLIT_TABLE for info in files):
        return None
    columns = {key(name) for name in open_table(f"{source.where}/{SPLIT_TABLE}", options=source.options).names}
    if not {"path", "split"} <= columns:
        notes.append(f"{SPLIT_TABLE} has no columns path and split, and was not read")
        return None
    notes.append(f"splits are from {SPLIT_TABLE}; split={BY_HASH!r} or split={BY_FOLDERS!r} leaves it out")
    return SPLIT_TABLE


def _layout(source: Source, paths: Sequence[str], listed: _Columns | None) -> Layout:
    """Return what the folders tell; nothing where they are ambiguous and a table tells all labels and splits."""
    try:
        return layout_of(paths, where=source.where, reading=source.split)
    except DataError:
        if listed is None or None in listed["label"]:
            raise
    return Layout([None] * len(paths), [None] * len(paths), ())


def _names(told: str | None, folder: str | None) -> list[str] | None:
    """Return the labels of one file: of the folder, whose name may contain separators, or of a cell of a table."""
    return [folder] if told == folder and folder is not None else parse_labels(told, ";")


def _first_copies(images: Sequence[FileInfo], folders: Sequence[str | None], options: Options) -> list[int]:
    """Return for each image the first one of the same bytes; only images of one size in several folders are read."""
    by_size: dict[int, list[int]] = {}
    for row, info in enumerate(images):
        by_size.setdefault(info.size, []).append(row)
    rows = [row for size, same in by_size.items() if size and len({folders[row] for row in same}) > 1 for row in same]
    first, seen = list(range(len(images))), dict[bytes, int]()
    for start in range(0, len(rows), _TOGETHER):
        chunk = rows[start : start + _TOGETHER]
        urls, versions = [images[row].url for row in chunk], [images[row].version for row in chunk]
        for row, content in zip(chunk, io.read_many(urls, versions=versions, storage_options=options), strict=True):
            if isinstance(content, OSError):
                raise content
            first[row] = seen.setdefault(sha256(content).digest(), row)
    return first


def _united(columns: _Columns, first: Sequence[int]) -> _Columns:
    """Return one row for all copies of an image: all their labels, and the most careful of their splits."""
    copies: dict[int, list[int]] = {}
    for row, one in enumerate(first):
        copies.setdefault(one, []).append(row)

    def told(name: str) -> list[list[Any]]:
        values = columns.get(name, [None] * len(first))
        return [[values[row] for row in rows if values[row] is not None] for rows in copies.values()]

    return {
        **{name: [columns[name][row] for row in copies] for name in ("uri", "version")},
        "split": [max(own, key=SPLITS.index, default=None) for own in told("split")],
        "group": [own[0] if own else None for own in told("group")],
        "label": [sorted({name for names in own for name in names}) if own else None for own in told("label")],
    }


def _listed(root: str, split: str, paths: list[str], options: Options) -> dict[str, list[str | None]]:
    """Return the table's columns split, label and group for each path; None for paths that it does not list."""
    url = absolute(split) if io.is_url(split) or split.startswith(("/", "~")) else io.join(root, split)
    roles = image_roles(None, None, None, None)
    roles["split"] = replace(roles["split"], required=True)
    file = open_table(url, options=options)
    read = file.read(find_columns(file, roles, []))
    columns = read.texts
    table_paths = [with_slashes(path).removeprefix("./") if path else path for path in columns["path"]]
    problems: list[str] = []
    require_valid(problems, "rows have no path", [i for i, path in enumerate(table_paths) if not path])
    known = {path: i for i, path in enumerate(paths)}
    missing = [f"{i + 2}: {path}" for i, path in enumerate(table_paths) if path and path not in known]
    if missing:
        problems.append(
            f"{count(len(missing), 'row names', 'rows name')} files that are not images in {root} (line: path): "
            f"{examples(missing)}"
        )
    seen: dict[str | None, int] = {}
    repeated = [f"{i + 2}: {path}" for i, path in enumerate(table_paths) if path and seen.setdefault(path, i) != i]
    if repeated:
        problems.append(
            f"{count(len(repeated), 'row repeats', 'rows repeat')} an image (line: path): {examples(repeated)}"
        )
    splits = read_splits(read, problems)
    if problems:
        raise DataError(f"the split table {url} does not match the images:\n" + "\n".join(f"  - {p}" for p in problems))
    result: dict[str, list[str | None]] = {name: [None] * len(paths) for name in ("split", "label", "group")}
    for i, path in enumerate(table_paths):
        row = known[str(path)]
        result["split"][row] = splits[i]
        result["label"][row] = columns["label"][i]
        result["group"][row] = columns["group"][i]
    return result


def write_folders(manifest: Manifest, at: Location) -> str:
    """Write class folders, see `Manifest.to_folders`."""
    target = empty_folder(at)
    paths = _export_paths(manifest)
    for rows, contents in image_chunks(manifest):
        copies = {path: content for own, content in zip(paths[rows], contents, strict=True) for path in own}
        write_many(target, copies)
    facts = zip(paths, *(manifest.table[n].to_pylist() for n in (manifest.kind.names, "split", "group")), strict=True)
    listed = [
        (path, format_labels(label) if isinstance(label, list) else label, split, group)
        for own, label, split, group in facts
        for path in own
    ]
    columns = {name: [row[i] for row in listed] for i, name in enumerate(("path", "label", "split", "group"))}
    io.write_bytes(target / SPLIT_TABLE, csv_bytes(columns))
    return target.url


def _export_paths(manifest: Manifest) -> list[list[str]]:
    """Return the paths of each image: one below each of its classes, or else one."""
    bad = [name for name in manifest.class_names if "/" in name or "\\" in name or name.startswith(".") or "\0" in name]
    if bad:
        raise DataError(f"class names that cannot be folder names: {examples(bad)}; rename them, or use to_table()")
    splits, names = manifest.table["split"].to_pylist(), manifest.table[manifest.kind.names].to_pylist()
    by_split = None not in splits
    tops = [split if by_split else None for split in splits]
    if not pa.types.is_list(manifest.table.schema.field(manifest.kind.names).type):
        folders = ["/".join(filter(None, one)) for one in zip(tops, names, strict=True)]
        return [[path] for path in unique_paths(manifest, folders, by_stem=False)]
    files = unique_paths(manifest, [""] * len(manifest), by_stem=False)  # the copies of an image have one name
    return [
        ["/".join(filter(None, (top, name, file))) for name in own or [None]]
        for top, own, file in zip(tops, names, files, strict=True)
    ]


FOLDERS = Format(
    "folders",
    holds=("label", "labels"),
    expected="a folder with a subfolder per class",
    # what no other format recognises
    detect=lambda place: place.listed_source() if place.images else None,
    read=read_folders,
    write=write_folders,
    takes=("split",),
)
