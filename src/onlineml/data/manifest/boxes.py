"""The columns of boxes in a detection manifest: their types, their problems, their counts, and their flat form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import tally
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.data.manifest.edits import NO_SPLIT, UNLABELLED, rows_of
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = [
    "BOX_COLUMNS",
    "NO_OBJECTS",
    "OPTIONAL_BOX_COLUMNS",
    "UNKNOWN_CLASS",
    "box_list",
    "boxes_changed",
    "count_boxes",
    "declared_sizes_hw",
    "flat_boxes",
    "lists_of",
    "normalised_boxes",
    "per_box_columns",
    "validate_boxes",
]

NO_OBJECTS = "(no objects)"
UNKNOWN_CLASS = "(unknown class)"
_BOX = pa.list_(pa.float64(), 4)
BOX_COLUMNS: dict[str, pa.DataType] = {"boxes_xyxy": pa.list_(_BOX), "labels": pa.list_(pa.string())}
OPTIONAL_BOX_COLUMNS: dict[str, pa.DataType] = {"crowd": pa.list_(pa.bool_()), "area": pa.list_(pa.float64())}


# ---- built ----


def lists_of(values: pa.Array, lengths: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> pa.Array:
    """Lists of consecutive values.

    Args:
        values: all lists' values, one list after the other.
        lengths: (N,) how many each list has; 0 where it is missing.
        missing: (N,) which lists are null.
    """
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(missing))


def box_list(boxes_xyxy: npt.NDArray[np.float64], lengths: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> Any:
    """The column ``boxes_xyxy`` of (M, 4) boxes, see `lists_of`."""
    flat = pa.array(np.ascontiguousarray(boxes_xyxy, dtype=np.float64).reshape(-1))
    return lists_of(pa.FixedSizeListArray.from_arrays(flat, 4), lengths, missing)


# ---- typed ----


def normalised_boxes(table: pa.Table, problems: list[str]) -> dict[str, pa.Array]:
    """The columns of boxes with their types; null where they are absent. Coordinates that are null become nan."""
    arrays: dict[str, pa.Array] = {}
    for name, kind in {**BOX_COLUMNS, **OPTIONAL_BOX_COLUMNS}.items():
        if name not in table.column_names:
            if name in BOX_COLUMNS:
                arrays[name] = pa.nulls(len(table), kind)
            continue
        try:
            column = _whole(table[name])
            arrays[name] = _typed_boxes(column) if name == "boxes_xyxy" else column.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, DataError) as error:
            problems.append(f"the column {name!r} must be {_described(kind)}, found {table[name].type}: {error}")
    return arrays


def _described(kind: pa.DataType) -> str:
    return "a list of boxes of 4 numbers for each image" if kind == BOX_COLUMNS["boxes_xyxy"] else str(kind)


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _typed_boxes(column: Any) -> pa.Array:
    kind = column.type
    if kind == BOX_COLUMNS["boxes_xyxy"] and not pc.list_flatten(column).null_count:
        return column
    if pa.types.is_null(kind):
        return pa.nulls(len(column), BOX_COLUMNS["boxes_xyxy"])
    if not _is_list(kind):
        raise DataError("not lists")
    boxes = pc.list_flatten(column)
    if len(boxes) and not (_is_list(boxes.type) or pa.types.is_fixed_size_list(boxes.type)):
        raise DataError("not lists of lists")
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    if not len(boxes):
        return box_list(np.empty((0, 4)), lengths, column.is_null().to_numpy(zero_copy_only=False))
    sizes = pc.list_value_length(boxes)
    wrong = pc.fill_null(pc.not_equal(sizes, 4), True)
    if pc.any(wrong).as_py():
        raise DataError(f"found {examples(boxes.filter(wrong).to_pylist())}")
    numbers = pc.list_flatten(boxes).cast(pa.float64()).fill_null(np.nan).to_numpy()
    return box_list(numbers, lengths, column.is_null().to_numpy(zero_copy_only=False))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def per_box_columns(table: pa.Table) -> list[str]:
    """The names of the columns with one value for each box: every one that holds lists of any length."""
    return [field.name for field in table.schema if _is_list(field.type)]


# ---- validated ----


def validate_boxes(table: pa.Table) -> list[str]:
    """The problems of the columns of boxes in a normalised table."""
    problems: list[str] = []
    boxes, labels = table["boxes_xyxy"], table["labels"]

    def report(what: str, mask: Any) -> None:
        bad = table["image_id"].filter(mask.fill_null(False))
        if len(bad):
            problems.append(f"{tally(len(bad), what)}: image_id {examples(bad.to_pylist())}")

    report("images have a label, but the task is detection: its boxes have labels", table["label"].is_valid())
    report(
        "images have boxes_xyxy without labels, or labels without boxes_xyxy", pc.xor(boxes.is_null(), labels.is_null())
    )
    n_boxes = pc.list_value_length(boxes).fill_null(0)
    for name in per_box_columns(table):
        if name != "boxes_xyxy":
            what = f"images have not as many values in the list column {name!r} as boxes (other lists: of fixed size)"
            report(what, pc.not_equal(pc.list_value_length(table[name]), n_boxes))
    if pc.any(pc.equal(pc.list_flatten(labels), "")).as_py():
        problems.append("labels of boxes are empty texts; null is a box of no known class")
    return problems


# ---- flat ----


def flat_boxes(table: pa.Table, class_names: tuple[str, ...]) -> Boxes:
    """See `Manifest.boxes`."""
    column = _whole(table["boxes_xyxy"])
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    numbers = pc.list_flatten(pc.list_flatten(column)).to_numpy(zero_copy_only=False)
    ids = pc.index_in(pc.list_flatten(_whole(table["labels"])), value_set=pa.array(class_names, pa.string()))
    n = int(lengths.sum())
    crowd = _flat(table, "crowd", lengths, np.zeros(n, dtype=bool))
    area = _flat(table, "area", lengths, np.full(n, np.nan))
    return Boxes(
        boxes_xyxy=np.array(numbers, dtype=np.float64).reshape(-1, 4),
        label_ids=np.asarray(ids.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64),
        crowd=crowd,
        area=area,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        annotated=column.is_valid().to_numpy(zero_copy_only=False),
    )


def _flat(table: pa.Table, name: str, lengths: npt.NDArray[Any], default: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One value for each box of a column in which lists, and values in them, may be null."""
    if name not in table.column_names:
        return default
    column = _whole(table[name])
    given = np.repeat(column.is_valid().to_numpy(zero_copy_only=False), lengths)
    values = pc.list_flatten(column).fill_null(default.dtype.type(np.nan if default.dtype.kind == "f" else 0))
    default[given] = values.to_numpy(zero_copy_only=False)
    return default


def declared_sizes_hw(table: pa.Table) -> npt.NDArray[np.int64]:
    """(N, 2) height and width of the images that the boxes were drawn on; 0 where they are not told."""
    sizes = np.zeros((len(table), 2), dtype=np.int64)
    for axis, name in enumerate(("declared_height", "declared_width")):
        if name in table.column_names:
            sizes[:, axis] = table[name].fill_null(0).to_numpy()
    return sizes


# ---- counted and changed ----


def count_boxes(table: pa.Table, class_names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """See `Manifest.counts`."""
    boxes = flat_boxes(table, class_names)
    splits = [*SPLITS, *([NO_SPLIT] if table["split"].null_count else [])]
    of_image = pc.index_in(table["split"].fill_null(NO_SPLIT), value_set=pa.array(splits)).to_numpy()
    n = np.zeros((len(class_names) + 1, len(splits)), dtype=np.int64)
    np.add.at(n, (boxes.label_ids, of_image[boxes.image_index]), 1)  # -1 is the last row
    counts = {name: dict(zip(splits, row, strict=True)) for name, row in zip(class_names, n[:-1].tolist(), strict=True)}
    empty = boxes.annotated & (np.diff(boxes.offsets) == 0)
    further = {
        UNKNOWN_CLASS: n[-1],
        NO_OBJECTS: np.bincount(of_image[empty], minlength=len(splits)),
        UNLABELLED: np.bincount(of_image[~boxes.annotated], minlength=len(splits)),
    }
    return counts | {k: dict(zip(splits, v.tolist(), strict=True)) for k, v in further.items() if v.any()}


def boxes_changed(
    table: pa.Table, changes: Mapping[str, tuple[Any, Sequence[str | None]] | None]
) -> dict[str, pa.Array]:
    """All per-box columns with the boxes of some images replaced, by image_id.

    What further columns said of the former boxes (crowd, area, …) is null for these images.

    Raises:
        DataError: an image_id is not in the table, or an image does not get as many labels as boxes.
    """
    rows = rows_of(table, changes)
    columns = {name: table[name].to_pylist() for name in per_box_columns(table)}
    for (image_id, change), row in zip(changes.items(), rows, strict=True):
        for values in columns.values():
            values[row] = None
        if change is None:
            continue
        boxes, labels = np.asarray(change[0], dtype=np.float64).reshape(-1, 4), list(change[1])
        if len(boxes) != len(labels):
            raise DataError(f"{image_id!r}: expected a label for each of the {len(boxes)} boxes, found {len(labels)}")
        columns["boxes_xyxy"][row], columns["labels"][row] = boxes.tolist(), labels
    return {name: pa.array(values, table.schema.field(name).type) for name, values in columns.items()}
