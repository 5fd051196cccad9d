"""Tables with one row per image: CSV or Parquet with columns for path, label, split, group and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from onlineml.arguments.counted import count
from onlineml.data.formats.annotation_files import folder_splits
from onlineml.data.formats.columns import find_columns, image_roles, open_table
from onlineml.data.formats.csv import is_parquet, table_bytes
from onlineml.data.formats.format import TABLE_ENDINGS, Format, Source
from onlineml.data.formats.parts import Parts, image_id, naturally_sorted
from onlineml.data.formats.spellings import one_spelling
from onlineml.data.formats.tables.label_lists import (
    class_columns,
    exclusive_labels,
    format_labels,
    found_separator,
    is_indicator,
    note_lists_with_blanks,
    one_hot_labels,
    parse_labels,
    require_single_labels,
)
from onlineml.data.formats.tables.places import ImageTable, images_of, names_files_of_cluster, table_split, tables_at
from onlineml.data.formats.tables.rows import ImageRows, read_splits, require_good_rows
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.schema import COLUMNS, examples
from onlineml.data.manifest.splits import assign_splits
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["TABLE", "TableColumns", "read_table", "write_table"]

_NO_NAMES = frozenset({"nan", "none", "null", "n/a", "<na>", "na"})


@dataclass(frozen=True)
class TableColumns:
    """Names of a table's columns, see `Manifest.from_table`."""

    path: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    separator: str | None = None
    class_names: Sequence[str] | None = None


_BY_USUAL_NAMES = TableColumns()


def read_table(source: Source, *, holds: str, names: TableColumns = _BY_USUAL_NAMES) -> Parts:
    """Read a table of images, or one of each split, see `Manifest.from_table`."""
    roles = image_roles(names.path, names.label or source.label, names.split, names.group)
    if holds == "labels":  # a column of 0 and 1 is a class
        roles["label"] = replace(roles["label"], fits=lambda _, column: not is_indicator(column))
    notes: list[str] = []
    tables = []
    for path, url in _urls(source).items():
        file = open_table(url, source.table, options=source.options)
        split = table_split(path) if isinstance(source.url, Mapping) else None
        tables.append(ImageTable(path, file, file.read(find_columns(file, roles, notes)), split, []))
    if source.root is None and source.files is None and all(names_files_of_cluster(t, source) for t in tables):
        source = source._replace(root="")
    read = [_rows(table, *images_of(table, source, notes), holds=holds, names=names, notes=notes) for table in tables]
    where = ", ".join(io.name(table.file.where) for table in tables)
    joined = _joined([table for table, _ in read], where)
    classes = read[0][1] if len(read) == 1 else naturally_sorted({name for _, own in read for name in own})
    n_ignored = 0
    if source.files is not None:
        left = {info.path for info in source.files.files} - {*joined["uri"].to_pylist()} - {t.path for t in tables}
        n_ignored = len(left) + source.files.n_junk
        n_images = sum(map(is_image_name, left))
        notes += [f"{count(n_images, 'image is')} not in {where}, and left out"] if n_images else []
    notes = [f"read as table from {where}", *dict.fromkeys(notes)]
    return Parts(joined, classes, source.folder, n_ignored, notes=tuple(notes))


def _urls(source: Source) -> dict[str, str]:
    """Return the addresses of the tables by their paths below the folder of the images."""
    if isinstance(source.url, Mapping):
        return {path: str(url) for path, url in source.url.items()}
    prefix = f"{source.folder}/"
    return {source.where.removeprefix(prefix) if source.where.startswith(prefix) else "": source.where}


def _joined(tables: Sequence[pa.Table], where: str) -> pa.Table:
    try:
        table = pa.concat_tables(tables, promote_options="permissive") if len(tables) > 1 else tables[0]
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise DataError(f"the tables {where} have values of different types in one column: {error}") from error
    uris = table["uri"].to_pylist()
    if len(tables) > 1 and len(set(uris)) < len(uris):
        seen: set[str] = set()
        again = [uri for uri in uris if uri in seen or seen.add(uri)]  # type: ignore[func-returns-value]
        raise DataError(f"{count(len(again), 'image is')} in several of the tables {where}: {examples(again)}")
    return table


# ---- rows ----


def _rows(
    table: ImageTable, uris: list[str], versions: list[str], *, holds: str, names: TableColumns, notes: list[str]
) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the columns of a manifest, and the class names."""
    read, where, problems = table.read, table.file.where, table.problems
    images = ImageRows(uris, problems, first_line=table.first_line)
    if images.repeated and holds != "labels":
        rows = sorted({*range(len(uris))} - {*images.first})
        again = [f"{row + table.first_line}: {uris[row]}" for row in rows]
        problems.append(f"{count(len(again), 'row repeats', 'rows repeat')} an image (line: path): {examples(again)}")
    read.texts["split"] = read_splits(read, problems, first_line=table.first_line)
    require_good_rows(where, problems)
    labels = _label_sets(table, images, names, notes) if holds == "labels" else _labels(table, names, notes)
    texts = {name: images.one_each(name, read.texts[name]) for name in ("split", "group")}
    further = {f"table_{n}" if n in {*COLUMNS, holds} else n: labels.others[n] for n in labels.others.column_names}
    if images.repeated:
        for name, values in further.items():
            images.one_each(name, values.to_pylist())
            further[name] = values.take(images.first)
    require_good_rows(where, problems)
    texts["uri"], texts["version"] = ([values[row] for row in images.first] for values in (uris, versions))
    texts["image_id"] = [image_id(*one) for one in zip(texts["uri"], texts["version"], strict=True)]
    if "split" not in read.present:
        texts["split"] = _splits(table, texts["uri"], texts["group"], notes)
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    return pa.table(columns | {holds: labels.values} | further), labels.class_names


def _splits(table: ImageTable, uris: list[str], groups: list[Any], notes: list[str]) -> list[str | None]:
    """Return the splits of a table without a column of them: its own, those of its images' folders, or by a hash."""
    if table.split is not None:
        return [table.split] * len(uris)
    by_folder = folder_splits(uris)
    if {"val", "test"} & {*by_folder}:  # of a table of training images most people want some for validation
        notes.append("splits are those that the images' folders name")
        return by_folder
    groups = [given or uri for given, uri in zip(groups, uris, strict=True)]
    return list(assign_splits(groups, [None] * len(uris)).tolist())


class _Labels(NamedTuple):
    values: pa.Array  # of the images
    class_names: tuple[str, ...]
    others: pa.Table  # the further columns


def _labels(table: ImageTable, names: TableColumns, notes: list[str]) -> _Labels:
    read, where = table.read, table.file.where
    labels, others = read.texts["label"], read.others
    if "label" not in read.present and (columns := class_columns(others, names.class_names and [], where)):
        told = exclusive_labels(others, columns)
        if told is not None:
            notes.append(f"the columns {examples(columns)} are classes, one of which is 1 in each row")
            labels, others = told, others.drop_columns(columns)
        elif len(columns) > 1:
            notes.append(f'the columns {examples(columns)} hold 0 and 1; task="multilabel" reads them as labels')
    if names.class_names is None:
        require_single_labels(labels, where)
    if len(others.column_names) and labels and not any(labels):
        shown = examples(others.column_names)
        notes.append(f"no column of labels was recognised among {shown}; name it with label=")
    labels = one_spelling(labels, notes)
    found = naturally_sorted({label for label in labels if label is not None})
    if names.class_names is None:
        note_lists_with_blanks(found, notes)
    odd = [label for label in found if label.casefold() in _NO_NAMES]
    if odd:
        notes.append(f"{examples(odd)} is a class like any other; empty cells are unlabelled")
    return _Labels(pa.array(labels, pa.string()), found, others)


def _label_sets(table: ImageTable, images: ImageRows, names: TableColumns, notes: list[str]) -> _Labels:
    """Unite the labels of each image's rows."""
    read, others, where = table.read, table.read.others, table.file.where
    sets: Sequence[Sequence[str] | None]
    if "label" in read.present:
        texts = read.texts["label"]
        mark = found_separator(texts, notes) if names.separator is None else names.separator
        sets = one_spelling([parse_labels(text, mark) for text in texts], notes)
        class_names = naturally_sorted({name for own in sets if own is not None for name in own})
        if names.class_names is None:
            note_lists_with_blanks(class_names, notes)
    else:
        class_names = tuple(class_columns(others, names.class_names, where))
        if names.class_names is None and class_names:
            shown = examples(class_names)
            notes.append(f"the classes are the columns of 0 and 1: {shown}; label= names a column of labels instead")
        sets = one_hot_labels(others, class_names, table.problems) if class_names else [None] * len(others)
        others = others.drop_columns([*class_names])
    united: list[set[str] | None] = [None] * len(images.first)
    for image, own in zip(images.of_row.tolist(), sets, strict=True):
        if own is not None:
            united[image] = (united[image] or set()) | set(own)
    lists = [None if own is None else sorted(own) for own in united]
    return _Labels(pa.array(lists, pa.list_(pa.string())), class_names, others)


def write_table(manifest: Manifest, at: Location) -> str:
    """Write a table of images, see `Manifest.to_table`."""
    where = at.url
    prefix = io.parent(where).rstrip("/") + "/"
    paths = [image.removeprefix(prefix) for image in manifest.urls()]
    columns = {"path": pa.array(paths, pa.string())}
    labels = manifest.kind.names
    columns.update({name: manifest.table[name] for name in (labels, "split", "group")})
    columns.update({n: manifest.table[n] for n in manifest.table.column_names if n not in {*COLUMNS, labels}})
    if not is_parquet(where) and pa.types.is_list(columns[labels].type):
        columns[labels] = pa.array([format_labels(own) for own in columns[labels].to_pylist()], pa.string())
    io.write_bytes(at, table_bytes(pa.table(columns), where))
    return where


TABLE = Format(
    "table",
    holds=("label", "labels"),
    expected=f"a {', '.join(TABLE_ENDINGS)} file with a row per image, or a folder with some",
    detect=tables_at,
    read=read_table,
    write=write_table,
    takes=("label",),
)
