"""Class folders, ``<class>/**/image`` or ``{train,val,test}/<class>/**/image``: reading from a listing, and writing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from onlineml.data.formats.csv import Column, csv_bytes, read_columns, require_valid
from onlineml.data.formats.export import empty_folder, image_chunks, unique_paths, write_many
from onlineml.data.formats.format import Format, Source
from onlineml.data.formats.parts import Parts, absolute, image_id, is_hidden, naturally_sorted, valid_names
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.schema import examples
from onlineml.data.manifest.splits import normalised_split, stable_split
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["FOLDERS", "labels_and_splits", "read_folders", "write_folders"]

_SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_folders(source: Source, *, holds: str, storage_options: Mapping[str, Any] | None) -> Parts:
    """Read class folders, see `Manifest.from_folders`."""
    root, split = source.where, source.split
    files = io.list_files(root, storage_options=storage_options)
    images = [info for info in files if is_image_name(info.path) and not is_hidden(info.path)]
    if not images:
        found = f"{len(files):,} other files, such as {examples(f.path for f in files)}" if files else "no files at all"
        raise DataError(f"no images in {root}: expected {root}/<class>/<image>, found {found}")
    paths = valid_names([info.path for info in images], root)
    labels, splits = labels_and_splits(paths)
    columns: dict[str, Any] = {
        "image_id": [image_id(info.path, info.version) for info in images],
        "uri": paths,
        "version": [info.version for info in images],
        "split": splits,
        "label": labels,
    }
    n_ignored = len(files) - len(images)
    if split is not None:
        listed = _read_split_table(root, split, paths, storage_options)
        columns.update(split=listed["split"], group=listed["group"])
        columns["label"] = [mine or folder for mine, folder in zip(listed["label"], labels, strict=True)]
        n_ignored -= any(info.path == split for info in files)
    elif splits[0] is None:
        columns["split"] = stable_split(paths).tolist()
    names = naturally_sorted({label for label in columns["label"] if label is not None})
    text = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    return Parts(pa.table(text), names, root, n_ignored)


def labels_and_splits(paths: Sequence[str]) -> tuple[list[str | None], list[str | None]]:
    """Return each image's label, and its split if the top folders are splits (all None if they are classes)."""
    tops = {path.split("/", 1)[0] for path in paths if "/" in path}
    named = {top for top in tops if top.lower() in _SPLIT_FOLDERS}
    deep = any(path.count("/") >= 2 and path.split("/", 1)[0].lower() == "train" for path in paths)
    if not (deep and named):
        return [path.split("/", 1)[0] if "/" in path else None for path in paths], [None] * len(paths)
    others = sorted(tops - named)
    if others or any("/" not in path for path in paths):
        if len(named) == 1:  # a class named 'train' among others, with sub-folders
            return [path.split("/", 1)[0] if "/" in path else None for path in paths], [None] * len(paths)
        found = f"the folders {examples(others)}" if others else "images outside them"
        raise DataError(
            f"the folders {examples(sorted(named))} look like splits, but there are also {found}; import the folder "
            'of splits alone, or keep classes at the top and set the splits in a table: split="split.csv"'
        )
    parts = [path.split("/", 2) for path in paths]
    labels = [part[1] if len(part) == 3 else None for part in parts]
    return labels, [_SPLIT_FOLDERS[part[0].lower()] for part in parts]


def _read_split_table(
    root: str, split: str, paths: list[str], storage_options: Mapping[str, Any] | None
) -> dict[str, list[str | None]]:
    """Return the table's columns split, label and group for each path; None for paths that it does not list."""
    url = absolute(split) if io.is_url(split) or split.startswith(("/", "~")) else io.join(root, split)
    wanted = {
        "path": Column("path", required=True),
        "split": Column("split", required=True),
        "label": Column("label"),
        "group": Column("group"),
    }
    columns = read_columns(url, wanted, storage_options=storage_options).texts
    table_paths = [path.removeprefix("./") if path else path for path in columns["path"]]
    problems: list[str] = []
    require_valid(problems, "rows have no path", [i for i, path in enumerate(table_paths) if not path])
    known = {path: i for i, path in enumerate(paths)}
    missing = [f"{i + 2}: {path}" for i, path in enumerate(table_paths) if path and path not in known]
    if missing:
        problems.append(
            f"{len(missing):,} rows name files that are not images in {root} (line: path): {examples(missing)}"
        )
    seen: dict[str | None, int] = {}
    repeated = [f"{i + 2}: {path}" for i, path in enumerate(table_paths) if path and seen.setdefault(path, i) != i]
    if repeated:
        problems.append(f"{len(repeated):,} rows repeat an image (line: path): {examples(repeated)}")
    splits = [None if value is None else normalised_split(value) for value in columns["split"]]
    unknown = [f"{i + 2}: {v}" for i, (v, s) in enumerate(zip(columns["split"], splits, strict=True)) if v and not s]
    if unknown:
        problems.append(f"{len(unknown):,} splits are not one of train, val, test (line: split): {examples(unknown)}")
    if problems:
        raise DataError(f"the split table {url} does not match the images:\n" + "\n".join(f"  - {p}" for p in problems))
    result: dict[str, list[str | None]] = {name: [None] * len(paths) for name in ("split", "label", "group")}
    for i, path in enumerate(table_paths):
        row = known[str(path)]
        result["split"][row] = splits[i]
        result["label"][row] = columns["label"][i]
        result["group"][row] = columns["group"][i]
    return result


def write_folders(manifest: Manifest, url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None) -> str:
    """Write class folders, see `Manifest.to_folders`."""
    target = empty_folder(url, storage_options=storage_options)
    paths = _export_paths(manifest)
    for rows, contents in image_chunks(manifest):
        write_many(target, dict(zip(paths[rows], contents, strict=True)), storage_options=storage_options)
    columns = {name: manifest.table[name].to_pylist() for name in ("label", "split", "group")}
    listing = csv_bytes({"path": paths, **columns})
    io.write_bytes(io.join(target, "split.csv"), listing, storage_options=storage_options)
    return target


def _export_paths(manifest: Manifest) -> list[str]:
    bad = [name for name in manifest.class_names if "/" in name or "\\" in name or name.startswith(".") or "\0" in name]
    if bad:
        raise DataError(f"class names that cannot be folder names: {examples(bad)}; rename them, or use to_table()")
    splits, labels = manifest.table["split"].to_pylist(), manifest.table["label"].to_pylist()
    by_split = None not in splits
    folders = [
        "/".join(part for part in (split if by_split else None, label) if part)
        for split, label in zip(splits, labels, strict=True)
    ]
    return unique_paths(manifest, folders, by_stem=False)


FOLDERS = Format(
    "folders",
    holds=("label",),
    expected="a folder with a subfolder per class",
    detect=lambda place: Source(place.url),  # what no other format recognises
    read=read_folders,
    write=write_folders,
    takes_split=True,
)
