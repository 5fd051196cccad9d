"""What the formats of boxes share: names that stay inside a folder, and flat rows that become a manifest's columns."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.formats.parts import image_id, listed_versions
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
    "per_box_values",
    "refused_names",
    "require_no_problems",
    "safe_name",
]

DECLARED = ("declared_height", "declared_width")
HASHED = ""  # the split of an image that its file says nothing about: decided by a hash
# names that mean something to a manifest; what a file calls so is kept under another name
OURS = frozenset({*COLUMNS, *BOX_COLUMNS, *OPTIONAL_BOX_COLUMNS, *DECLARED})
_DRIVE = re.compile(r"[A-Za-z]:")


# ---- names ----


def safe_name(name: Any) -> str | None:
    """A file's name as a path inside a folder; None for one that is absolute, a URL, or leads out of the folder."""
    if not isinstance(name, str) or "\\" in name or "\0" in name or name.startswith("/") or io.is_url(name):
        return None
    parts = [part for part in name.split("/") if part not in {"", "."}]
    return "/".join(parts) if parts and ".." not in parts and not _DRIVE.fullmatch(parts[0]) else None


def refused_names(names: Iterable[Any], where: str) -> list[str]:
    """The problem of names that are not inside a folder, if there are any."""
    bad = [name for name in names if safe_name(name) is None]
    if not bad:
        return []
    expected = "expected paths below the folder of the images: not absolute, without '..', backslashes or a scheme"
    return [f"{len(bad):,} file names in {where} are refused: {examples(bad)}; {expected}"]


def require_no_problems(where: str, problems: Sequence[str]) -> None:
    """Raise one error that names all problems of a file or folder.

    Raises:
        DataError: there are some.
    """
    if problems:
        raise DataError(f"{where} cannot be imported:\n" + "\n".join(f"  - {problem}" for problem in problems))


# ---- read ----


@dataclass
class BoxRows:
    """N images with M boxes, one image after the other.

    Attributes:
        uris: N, relative to the import's root, or absolute where it has none.
        lengths: (N,) int64; how many boxes each image has.
        missing: (N,) bool; which images nobody annotated.
        boxes_xyxy: (M, 4) float64.
        labels: M; None where the file gives none.
        splits: N names, None (no split) or `HASHED`; None: all are decided by a hash of the group or path.
        groups: N; None: every image its own.
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
    """The columns of a manifest but for what `identified` adds.

    Where nothing is told of an image's boxes in a further column, its list there is null, as it is in
    `Manifest.with_boxes`; a column that is null everywhere is left out.
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


def identified(table: pa.Table, root: str, *, where: str, storage_options: Mapping[str, Any] | None) -> pa.Table:
    """Add what tells images apart: image_id (unless the table has one), the store's version from one listing, split.

    Raises:
        DataError: an image occurs twice, or not one of the images is there.
    """
    uris: list[str] = table["uri"].to_pylist()
    seen: set[str] = set()
    repeated = [uri for uri in uris if uri in seen or seen.add(uri)]  # type: ignore[func-returns-value]
    if repeated:
        raise DataError(f"{len(repeated):,} images occur more than once in {where}: {examples(repeated)}")
    versions = listed_versions(uris, root, where, storage_options)
    ids = pa.array([image_id(uri, version) for uri, version in zip(uris, versions, strict=True)], pa.string())
    if "image_id" in table.column_names:
        ids = pc.coalesce(table["image_id"], ids)
        table = table.drop_columns(["image_id"])
    hashed = stable_split(pc.coalesce(table["group"], table["uri"]).to_pylist())
    splits = pc.if_else(pc.equal(table["split"], HASHED), pa.array(hashed, pa.string()), table["split"])
    table = table.set_column(table.column_names.index("split"), "split", splits)
    return table.append_column("image_id", ids).append_column("version", pa.array(versions, pa.string()))


# ---- written ----


def known_sizes_hw(manifest: Manifest) -> npt.NDArray[np.int64]:
    """(N, 2) height and width that the boxes were drawn on, or else those of the image; 0 where neither is told."""
    declared = declared_sizes_hw(manifest.table)
    found = np.stack([manifest.table[name].fill_null(0).to_numpy() for name in ("height", "width")], axis=1)
    return np.where((declared > 0).all(1, keepdims=True), declared, found)


def further_columns(table: pa.Table) -> tuple[list[str], list[str]]:
    """The names of the columns that are the user's: those with a value for each image, and for each box."""
    names = [name for name in table.column_names if name not in OURS]
    lists = set(per_box_columns(table))
    return [name for name in names if name not in lists], [name for name in names if name in lists]


def per_box_values(table: pa.Table, name: str) -> list[Any]:
    """One value for each box of a column of lists; None where it tells nothing."""
    lengths = pc.list_value_length(table["boxes_xyxy"]).fill_null(0).to_pylist()
    values: list[Any] = []
    for own, length in zip(table[name].to_pylist(), lengths, strict=True):
        values += [None] * length if own is None else own
    return values
