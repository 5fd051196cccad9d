"""Tables with one row per image: CSV or Parquet with columns for path, label, split, group and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from onlineml.data.formats.csv import Column, read_columns, require_valid, table_bytes
from onlineml.data.formats.format import TABLE_ENDINGS, Format, Source, table_at
from onlineml.data.formats.parts import Parts, absolute, image_id, listed_versions, naturally_sorted
from onlineml.data.manifest.schema import COLUMNS, examples
from onlineml.data.manifest.splits import assign_splits, normalised_split
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.csv import TextTable
    from onlineml.data.manifest.manifest import Manifest

__all__ = [
    "TABLE",
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

    path: str = "path"
    label: str = "label"
    split: str = "split"
    group: str = "group"


def read_table(
    source: Source,
    *,
    holds: str,
    names: TableColumns = TableColumns(),
    storage_options: Mapping[str, Any] | None,
) -> Parts:
    """Read a table of images, see `Manifest.from_table`."""
    where, folder = source.where, source.folder
    wanted = {
        "path": Column(names.path, required=True),
        "label": Column(names.label),
        "split": Column(names.split),
        "group": Column(names.group),
    }
    read = read_columns(where, wanted, storage_options=storage_options)
    uris = _checked_uris(read, where, folder)
    versions = listed_versions(uris, folder, where, storage_options)
    ids = [image_id(uri, version) for uri, version in zip(uris, versions, strict=True)]
    splits = [None if value is None else normalised_split(value) for value in read.texts["split"]]
    if "split" not in read.present:
        groups = [given or uri for given, uri in zip(read.texts["group"], uris, strict=True)]
        splits = assign_splits(groups, splits).tolist()
    labels = read.texts["label"]
    texts = {"image_id": ids, "uri": uris, "version": versions, "split": splits, "label": labels}
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    columns["group"] = pa.array(read.texts["group"], pa.string())
    for name in read.others.column_names:
        columns[f"table_{name}" if name in COLUMNS else name] = read.others[name]
    class_names = naturally_sorted({value for value in labels if value is not None})
    return Parts(pa.table(columns), class_names, folder)


def _checked_uris(read: TextTable, where: str, folder: str) -> list[str]:
    """Return the paths relative to the folder (absolute, if there is none); all bad rows are reported at once."""
    problems: list[str] = []
    uris = placed(read.texts["path"], folder, problems)
    seen: dict[str, int] = {}
    repeated = [f"{i + 2}: {uri}" for i, uri in enumerate(uris) if uri and seen.setdefault(uri, i) != i]
    if repeated:
        problems.append(f"{len(repeated):,} rows repeat an image (line: path): {examples(repeated)}")
    read_splits(read.texts["split"], problems)
    require_good_rows(where, problems)
    return [uri for uri in uris if uri is not None]


def placed(paths: Sequence[str | None], folder: str, problems: list[str]) -> list[str | None]:
    """Return the paths of a table's rows below a folder (absolute, if there is none); None for invalid paths."""
    uris = [_relative(path or "", folder) for path in paths]
    require_valid(problems, "rows have no path", [i for i, path in enumerate(paths) if not path])
    pairs = zip(paths, uris, strict=True)
    outside = [f"{i + 2}: {path}" for i, (path, uri) in enumerate(pairs) if path and uri is None]
    if outside:
        remedy = (
            f"expected paths below {folder}; set root=<the folder that contains all images>, or root='' if the "
            "table may contain any absolute paths or URLs"
            if folder
            else "with root='' every path must be absolute or a URL, without '..'"
        )
        problems.append(f"{len(outside):,} paths are outside the root (line: path): {examples(outside)}; {remedy}")
    return uris


def read_splits(values: Sequence[str | None], problems: list[str]) -> list[str | None]:
    """Normalise the names of the splits in a table's rows."""
    splits = [None if value is None else normalised_split(value) for value in values]
    pairs = zip(values, splits, strict=True)
    unknown = [f"{i + 2}: {value}" for i, (value, split) in enumerate(pairs) if value is not None and not split]
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


def write_table(manifest: Manifest, url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None) -> str:
    """Write a table of images, see `Manifest.to_table`."""
    where = absolute(url)
    prefix = io.parent(where).rstrip("/") + "/"
    paths = [image.removeprefix(prefix) for image in manifest.urls()]
    columns = {"path": pa.array(paths, pa.string())}
    columns.update({name: manifest.table[name] for name in ("label", "split", "group")})
    columns.update({n: manifest.table[n] for n in manifest.table.column_names if n not in COLUMNS})
    io.write_bytes(where, table_bytes(pa.table(columns), where), storage_options=storage_options)
    return where


TABLE = Format(
    "table",
    holds=("label",),
    expected=f"a {', '.join(TABLE_ENDINGS)} file with a row per image",
    detect=table_at,
    read=read_table,
    write=write_table,
)
