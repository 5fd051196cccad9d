"""Tables with one row per image: CSV or Parquet with columns for path, label, split, group and others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from onlineml.data.formats.columns import find_columns, image_roles, open_table, split_flag
from onlineml.data.formats.csv import is_parquet, require_valid, table_bytes
from onlineml.data.formats.format import TABLE_ENDINGS, Format, Source, table_at
from onlineml.data.formats.label_lists import (
    class_columns,
    format_labels,
    is_indicator,
    one_hot_labels,
    parse_labels,
    require_single_labels,
)
from onlineml.data.formats.parts import Parts, image_id, listed_versions, naturally_sorted, with_slashes
from onlineml.data.manifest.schema import COLUMNS, examples
from onlineml.data.manifest.splits import assign_splits, normalised_split
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.formats.csv import TextTable
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = [
    "TABLE",
    "ImageRows",
    "TableColumns",
    "placed",
    "read_splits",
    "read_table",
    "require_good_rows",
    "write_table",
]


@dataclass(frozen=True)
class TableColumns:
    """Names of a table's columns, see `Manifest.from_table`."""

    path: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    separator: str = ";"
    class_names: Sequence[str] | None = None


def read_table(
    source: Source,
    *,
    holds: str,
    names: TableColumns = TableColumns(),
) -> Parts:
    """Read a table of images, see `Manifest.from_table`."""
    where, folder, storage_options = source.where, source.folder, source.options
    roles = image_roles(names.path, names.label, names.split, names.group)
    if holds == "labels":  # a column of 0 and 1 is a class
        roles["label"] = replace(roles["label"], fits=lambda _, column: not is_indicator(column))
    notes: list[str] = []
    file = open_table(where, source.table, options=storage_options)
    read = file.read(find_columns(file, roles, notes))
    problems: list[str] = []
    uris = [uri or f"\0{row}" for row, uri in enumerate(placed(read.texts["path"], folder, problems))]
    images = ImageRows(uris, problems)
    if images.repeated and holds != "labels":
        again = [f"{row + 2}: {uris[row]}" for row in sorted({*range(len(uris))} - {*images.first})]
        problems.append(f"{len(again):,} rows repeat an image (line: path): {examples(again)}")
    read.texts["split"] = read_splits(read, problems)
    require_good_rows(where, problems)
    made = _label_sets(read, images, names, where, problems) if holds == "labels" else _labels(read, names, where)
    texts = {name: images.one_each(name, read.texts[name]) for name in ("split", "group")}
    further = {f"table_{n}" if n in {*COLUMNS, holds} else n: made.others[n] for n in made.others.column_names}
    if images.repeated:
        for name, values in further.items():
            images.one_each(name, values.to_pylist())
            further[name] = values.take(images.first)
    require_good_rows(where, problems)
    texts |= _identifying([uris[row] for row in images.first], folder, where, storage_options)
    if "split" not in read.present:
        groups = [given or uri for given, uri in zip(texts["group"], texts["uri"], strict=True)]
        texts["split"] = assign_splits(groups, texts["split"]).tolist()
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    return Parts(pa.table(columns | {holds: made.labels} | further), made.class_names, folder)


def _identifying(
    uris: list[str], folder: str, where: str, storage_options: Mapping[str, Any] | None
) -> dict[str, list[Any]]:
    versions = listed_versions(uris, folder, where, storage_options)
    ids = [image_id(uri, version) for uri, version in zip(uris, versions, strict=True)]
    return {"image_id": ids, "uri": uris, "version": versions}


class _Labels(NamedTuple):
    labels: pa.Array  # of the images
    class_names: tuple[str, ...]
    others: pa.Table  # the further columns


def _labels(read: TextTable, names: TableColumns, where: str) -> _Labels:
    labels = read.texts["label"]
    if names.class_names is None:
        require_single_labels(labels, where)
    found = naturally_sorted({label for label in labels if label is not None})
    return _Labels(pa.array(labels, pa.string()), found, read.others)


def _label_sets(read: TextTable, images: ImageRows, names: TableColumns, where: str, problems: list[str]) -> _Labels:
    """Unite the labels of each image's rows."""
    others = read.others
    sets: Sequence[Sequence[str] | None]
    if "label" in read.present:
        sets = [parse_labels(text, names.separator) for text in read.texts["label"]]
        class_names = naturally_sorted({name for own in sets if own is not None for name in own})
    else:
        class_names = tuple(class_columns(others, names.class_names, where))
        sets = one_hot_labels(others, class_names, problems) if class_names else [None] * len(others)
        others = others.drop_columns([*class_names])
    united: list[set[str] | None] = [None] * len(images.first)
    for image, own in zip(images.of_row.tolist(), sets, strict=True):
        if own is not None:
            united[image] = (united[image] or set()) | set(own)
    lists = [None if own is None else sorted(own) for own in united]
    return _Labels(pa.array(lists, pa.list_(pa.string())), class_names, others)


class ImageRows:
    """Assignment of a table's rows to images.

    Attributes:
        of_row: (R,) int64, the image of each row.
        first: the first row of each image.
        repeated: whether an image has several rows.
    """

    def __init__(self, uris: Sequence[str], problems: list[str], *, first_line: int = 2) -> None:
        self._problems, self._first_line = problems, first_line
        places: dict[str, int] = {}
        self.of_row = np.array([places.setdefault(uri, len(places)) for uri in uris], dtype=np.int64)
        self.first: list[int] = np.unique(self.of_row, return_index=True)[1].tolist()
        self.repeated = len(self.first) < len(self.of_row)

    def report(self, what: str, rows: npt.NDArray[np.bool_]) -> None:
        """Report the rows that have a problem, by their lines."""
        if rows.any():
            lines = (np.flatnonzero(rows) + self._first_line).tolist()
            self._problems.append(f"{len(lines):,} {what}: line {examples(lines)}")

    def one_each(self, name: str, values: Sequence[Any]) -> list[Any]:
        """Return each image's value, which must be the same in all its rows."""
        if not self.repeated:
            return list(values)
        chosen = [values[row] for row in self.first]
        differ = [value != chosen[image] for value, image in zip(values, self.of_row, strict=True)]
        self.report(f"rows differ in {name} from the first row of their image", np.array(differ, dtype=bool))
        return chosen


def placed(paths: Sequence[str | None], folder: str, problems: list[str], *, first_line: int = 2) -> list[str | None]:
    """Return the paths of a table's rows below a folder (absolute, if there is none); None for invalid paths."""
    uris = [_relative(with_slashes(path or ""), folder) for path in paths]
    require_valid(problems, "rows have no path", [i for i, path in enumerate(paths) if not path], first_line)
    pairs = zip(paths, uris, strict=True)
    outside = [f"{i + first_line}: {path}" for i, (path, uri) in enumerate(pairs) if path and uri is None]
    if outside:
        remedy = (
            f"expected paths below {folder}; set root=<the folder that contains all images>, or root='' if the "
            "table may contain any absolute paths or URLs"
            if folder
            else "with root='' every path must be absolute or a URL, without '..'"
        )
        problems.append(f"{len(outside):,} paths are outside the root (line: path): {examples(outside)}; {remedy}")
    return uris


def read_splits(read: TextTable, problems: list[str], *, first_line: int = 2) -> list[str | None]:
    """Return the splits of a table's rows, by their usual names."""
    values = read.texts["split"]
    if flag := split_flag(read.found.get("split", "")):
        return [value and (flag if value.casefold() in {"true", "1"} else "train") for value in values]
    splits = [None if value is None else normalised_split(value) for value in values]
    pairs = zip(values, splits, strict=True)
    unknown = [
        f"{i + first_line}: {value}" for i, (value, split) in enumerate(pairs) if value is not None and not split
    ]
    if unknown:
        problems.append(f"{len(unknown):,} splits are not one of train, val, test (line: split): {examples(unknown)}")
    return splits


def require_good_rows(where: str, problems: Sequence[str]) -> None:
    """Raise an error that lists all bad rows of a table.

    Raises:
        DataError: there are bad rows.
    """
    if problems:
        raise DataError(f"the table {where} has bad rows:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _relative(path: str, folder: str) -> str | None:
    """Return the path relative to the folder; None if it is not below it."""
    if ".." in path.split("/") or "\0" in path:
        return None
    is_absolute = path.startswith("/") or io.is_url(path)
    if not folder:
        return path if is_absolute else None
    if not is_absolute:
        return "/".join(part for part in path.split("/") if part not in {"", "."}) or None
    prefix = folder.rstrip("/") + "/"
    if path.startswith("file://") and not io.is_url(folder):
        path = path.removeprefix("file://")
    return path.removeprefix(prefix) or None if path.startswith(prefix) else None


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
    expected=f"a {', '.join(TABLE_ENDINGS)} file with a row per image",
    detect=table_at,
    read=read_table,
    write=write_table,
)
