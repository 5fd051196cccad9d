"""Common parts of the box formats: names that stay inside a folder, and the conversion of flat rows to columns."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.formats.parts import image_id, listed_versions, with_slashes
from onlineml.data.manifest.boxes import (
    BOX_COLUMNS,
    OPTIONAL_BOX_COLUMNS,
    box_list,
    declared_sizes_hw,
    lists_of,
    per_box_columns,
)
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.schema import COLUMNS
from onlineml.data.manifest.splits import stable_split
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.formats.parts import Listing, Parts
    from onlineml.data.manifest.manifest import Manifest

__all__ = [
    "DECLARED",
    "HASHED",
    "OURS",
    "BoxRows",
    "boxes_table",
    "further_columns",
    "identified",
    "known_sizes_hw",
    "parts_holding",
    "per_box_values",
    "refused_names",
    "require_no_problems",
    "safe_name",
]

DECLARED = ("declared_height", "declared_width")
HASHED = ""  # split of an image without a declared split: chosen by a hash
# names with a meaning in a manifest; a file's columns of these names are renamed
OURS = frozenset({*COLUMNS, *BOX_COLUMNS, *OPTIONAL_BOX_COLUMNS, *DECLARED})
_DRIVE = re.compile(r"[A-Za-z]:")


# ---- names ----


def safe_name(name: Any) -> str | None:
    """Return a file's name as a path inside a folder; None if it is absolute, a URL, or leads out of the folder."""
    if not isinstance(name, str):
        return None
    name = with_slashes(name)
    if "\0" in name or name.startswith("/") or io.is_url(name):
        return None
    parts = [part for part in name.rstrip("/").split("/") if part != "."]  # stores know 'a//b', which is not 'a/b'
    return "/".join(parts) if any(parts) and ".." not in parts and not _DRIVE.fullmatch(parts[0]) else None


def refused_names(names: Iterable[Any], where: str) -> list[str]:
    """Return the problem of names that are not inside a folder, if there are any."""
    bad = [name for name in names if safe_name(name) is None]
    if not bad:
        return []
    expected = "expected paths below the folder of the images: not absolute, without '..' or a scheme"
    return [f"{where}: {count(len(bad), 'file name is')} refused: {examples(bad)}; {expected}"]


def require_no_problems(where: str, problems: Sequence[str]) -> None:
    """Raise one error that lists all problems of a file or folder.

    Raises:
        DataError: there are problems.
    """
    if problems:
        raise DataError(f"{where} cannot be imported:\n" + "\n".join(f"  - {problem}" for problem in problems))


# ---- reading ----


@dataclass
class BoxRows:
    """N images with M boxes, grouped by image.

    Attributes:
        uris: N, relative to the import's root, or absolute if it has none.
        lengths: (N,) int64; number of boxes of each image.
        missing: (N,) bool; whether the image is not annotated.
        boxes_xyxy: (M, 4) float64.
        labels: M; None if the file declares none.
        splits: N names, None (no split) or `HASHED`; None: all are chosen by a hash of the group or path.
        groups: N; None: each image is a group of its own.
        per_box: M values each.
        per_image: N values each.
    """

    uris: Sequence[str]
    lengths: npt.NDArray[np.int64]
    missing: npt.NDArray[np.bool_]
    boxes_xyxy: npt.NDArray[np.float64]
    labels: Sequence[str | None]
    splits: Sequence[str | None] | None = None
    groups: Sequence[str | None] | None = None
    per_box: Mapping[str, pa.Array] = field(default_factory=dict)
    per_image: Mapping[str, pa.Array] = field(default_factory=dict)


def boxes_table(rows: BoxRows) -> pa.Table:
    """Build the columns of a manifest, except those that `identified` adds.

    If no box of an image has a value in a further column, the image's list is null there, as in `Manifest.with_boxes`;
    a column that is null everywhere is omitted.
    """
    n = len(rows.uris)
    columns = {
        "uri": pa.array(rows.uris, pa.string()),
        "split": pa.array([HASHED] * n if rows.splits is None else rows.splits, pa.string()),
        "group": pa.array([None] * n if rows.groups is None else rows.groups, pa.string()),
        "boxes_xyxy": box_list(rows.boxes_xyxy, rows.lengths, rows.missing),
        "labels": lists_of(pa.array(rows.labels, pa.string()), rows.lengths, rows.missing),
    }
    of_image = np.repeat(np.arange(n), rows.lengths)
    for name, values in rows.per_box.items():
        told = np.bincount(of_image[values.is_valid().to_numpy(zero_copy_only=False)], minlength=n) > 0
        if told.any():
            kept = values.filter(pa.array(told[of_image]))
            columns[name] = lists_of(kept, np.where(told, rows.lengths, 0), ~told)
    return pa.table(columns | {name: values for name, values in rows.per_image.items() if values.null_count < n})


def identified(
    table: pa.Table,
    root: str,
    *,
    where: str,
    storage_options: Mapping[str, Any] | None,
    listing: Listing | None = None,
) -> pa.Table:
    """Add the identifying columns: image_id (unless present), the store's version, and the split.

    Args:
        table: the rows.
        root: the folder that their uris are relative to.
        where: the name of the source, for messages.
        storage_options: fsspec's.
        listing: the files below the root; None: they are listed, once.

    Raises:
        DataError: an image occurs twice, or none of the images exists.
    """
    uris: list[str] = table["uri"].to_pylist()
    seen: set[str] = set()
    repeated = [uri for uri in uris if uri in seen or seen.add(uri)]  # type: ignore[func-returns-value]
    if repeated:
        raise DataError(
            f"{count(len(repeated), 'image occurs', 'images occur')} more than once in {where}: "
            f"{examples(repeated)}; keep one entry of each"
        )
    versions = listed_versions(uris, root, where, storage_options, listing=listing)
    ids = pa.array([image_id(uri, version) for uri, version in zip(uris, versions, strict=True)], pa.string())
    if "image_id" in table.column_names:
        ids = pc.coalesce(table["image_id"], ids)
        table = table.drop_columns(["image_id"])
    hashed = stable_split(pc.coalesce(table["group"], table["uri"]).to_pylist())
    splits = pc.if_else(pc.equal(table["split"], HASHED), pa.array(hashed, pa.string()), table["split"])
    table = table.set_column(table.column_names.index("split"), "split", splits)
    return table.append_column("image_id", ids).append_column("version", pa.array(versions, pa.string()))


def parts_holding(parts: Parts, holds: str) -> Parts:
    """Return an import of boxes, or of nothing but the set of each image's labels.

    Args:
        parts: with boxes.
        holds: ``"boxes_xyxy"`` or ``"labels"``, see `onlineml.data.formats.format.Format`.
    """
    if holds == "boxes_xyxy":
        return parts
    table = parts.table
    sets = [own and sorted({name for name in own if name is not None}) for own in table["labels"].to_pylist()]
    dropped = {*per_box_columns(table), *DECLARED} & set(table.column_names)
    labels = pa.array(sets, BOX_COLUMNS["labels"])
    return replace(parts, table=table.drop_columns([*dropped]).append_column("labels", labels))


# ---- writing ----


def known_sizes_hw(manifest: Manifest) -> npt.NDArray[np.int64]:
    """Return (N, 2) height and width at which the boxes were drawn, or else the image's; 0 if neither is known."""
    declared = declared_sizes_hw(manifest.table)
    found = np.stack([manifest.table[name].fill_null(0).to_numpy() for name in ("height", "width")], axis=1)
    return np.where((declared > 0).all(1, keepdims=True), declared, found)


def further_columns(table: pa.Table) -> tuple[list[str], list[str]]:
    """Return the names of the user's columns: those with one value per image, and those with one per box."""
    names = [name for name in table.column_names if name not in OURS]
    lists = set(per_box_columns(table))
    return [name for name in names if name not in lists], [name for name in names if name in lists]


def per_box_values(table: pa.Table, name: str) -> list[Any]:
    """Return one value per box from a column of lists; None for a box without a value."""
    lengths = pc.list_value_length(table["boxes_xyxy"]).fill_null(0).to_pylist()
    values: list[Any] = []
    for own, length in zip(table[name].to_pylist(), lengths, strict=True):
        values += [None] * length if own is None else own
    return values
