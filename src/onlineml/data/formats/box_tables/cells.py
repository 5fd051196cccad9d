"""The cells of a table of boxes: numbers however they are written, labels, and splits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from onlineml.arguments.counted import count
from onlineml.data.formats.tables.rows import read_splits, require_good_rows
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from onlineml.data.formats.box_tables.columns import Layout

__all__ = ["Cells", "read_cells"]

_ONE_CLASS = "object"
_LIST = re.compile(r"[\s,;]+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,(\d+)")
_PLAIN = re.compile(r"[+-]?\d+")


@dataclass
class Cells:
    """The R rows of a table.

    Attributes:
        where: the table, for messages.
        first_line: the number of the line of the first row.
        texts: of the path, label, split, group and annotated of each row; None where there is none.
        numbers: (R, 4) of the boxes as they are written; nan where one is missing.
        told: (R,) whether a row has a label, or a number.
        others: the further columns.
        has_split: whether the table has a column of splits.
        problems: of rows.
        notes: for people.
    """

    where: str
    first_line: int
    texts: dict[str, list[str | None]]
    numbers: npt.NDArray[np.float64]
    told: npt.NDArray[np.bool_]
    others: pa.Table
    has_split: bool = False
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def require_good(self) -> None:
        """Raise an error that lists all bad rows."""
        require_good_rows(self.where, self.problems)


def read_cells(layout: Layout, notes: list[str]) -> Cells:
    """Read a table.

    Args:
        layout: its columns.
        notes: those on its columns.
    """
    read = layout.file.read({**layout.columns, "annotated": "annotated"})
    others = read.others.drop_columns([name for name in layout.corners if name in read.others.column_names])
    if taken := [name for name in layout.corners if name not in read.others.column_names]:
        raise DataError(
            f"{layout.file.where}: the column {taken[0]!r} is a side of the boxes by its name, but holds something "
            "else; rename it"
        )
    first_line = 2 if layout.file.has_header else 1
    n = len(others)
    cells = Cells(layout.file.where, first_line, read.texts, np.empty((n, 4)), np.zeros(n, dtype=bool), others)
    cells.notes += notes
    columns = [read.others[name].combine_chunks() for name in layout.corners]
    values = _lists(columns[0], layout, cells) if len(columns) == 1 else columns
    arrays = [_numbers(values[side], layout.corners[side % len(columns)], cells) for side in range(4)]
    cells.numbers = np.stack([own.fill_null(np.nan).to_numpy(zero_copy_only=False) for own in arrays], axis=1)
    boxed = np.any([own.is_valid().to_numpy(zero_copy_only=False) for own in arrays], axis=0).reshape(n)
    cells.texts["label"] = _labels(read.texts["label"], cells) if "label" in layout.columns else _one_class(boxed)
    cells.told = boxed | np.array([label is not None for label in cells.texts["label"]], dtype=bool)
    cells.texts["split"] = read_splits(read, cells.problems, first_line=first_line)
    cells.has_split = "split" in read.found
    return cells


def _one_class(boxed: npt.NDArray[np.bool_]) -> list[str | None]:
    return [_ONE_CLASS if own else None for own in boxed.tolist()]


def _labels(labels: Sequence[str | None], cells: Cells) -> list[str | None]:
    """Return labels in one Unicode form."""
    spelled = {name: unicodedata.normalize("NFC", name) for name in set(labels) if name is not None}
    if (merged := len(spelled) - len(set(spelled.values()))) > 0:
        again = [name for name, own in spelled.items() if name != own]
        cells.notes.append(
            f"{count(merged, 'label differs', 'labels differ')} from others in Unicode form only: {examples(again)}"
        )
    return [None if name is None else spelled[name] for name in labels]


# ---- numbers ----


def _lists(column: pa.Array, layout: Layout, cells: Cells) -> list[pa.Array]:
    """Return four columns from one with four numbers in each cell, such as ``[1.0, 2, 3, 4]``."""
    bad: list[str] = []
    rows: list[Sequence[Any]] = []
    for row, value in enumerate(column.to_pylist()):
        found = value if isinstance(value, list) else _LIST.split(str(value or "").strip("[](){} \t"))
        numbers = [item for item in found if item not in {"", None}]
        if len(numbers) not in {0, 4}:
            bad.append(f"{row + cells.first_line}: {value}")
        rows.append(numbers if len(numbers) == 4 else [None] * 4)
    if bad:
        (name,) = layout.corners
        cells.problems.append(
            f"{count(len(bad), f'value of {name} is', f'values of {name} are')} not four numbers (line: value): "
            f"{examples(bad)}"
        )
    typed = pa.float64() if not any(isinstance(item, str) for numbers in rows for item in numbers) else pa.string()
    return [pa.array([numbers[side] for numbers in rows], typed) for side in range(4)]


def _numbers(column: pa.Array, name: str, cells: Cells) -> pa.Array:
    """Return a column as float64; nulls are kept. A comma may be the decimal mark."""
    numbers = _cast(column)
    if numbers is None:
        numbers = _cast(_with_points(column))
    if numbers is not None:
        return numbers
    bad = [f"{row + cells.first_line}: {own}" for row, own in enumerate(column.to_pylist()) if not _is_number(own)]
    cells.problems.append(
        f"{count(len(bad), f'value of {name} is no number', f'values of {name} are no numbers')} (line: "
        f"value): {examples(bad)}"
    )
    return pa.nulls(len(column), pa.float64())


def _cast(column: pa.Array) -> pa.Array | None:
    try:
        return column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _with_points(column: pa.Array) -> pa.Array:
    """Return texts such as ``0,25`` with points; as they are, if a comma might part thousands (``1,024``)."""
    texts = [None if own is None else str(own).strip() for own in column.to_pylist()]
    commas = [match for text in texts if text and (match := _DECIMAL_COMMA.fullmatch(text))]
    plain = sum(text is None or _PLAIN.fullmatch(text) is not None for text in texts)
    if len(commas) + plain < len(texts) or all(len(match[1]) == 3 for match in commas):
        return column
    return pa.array([None if text is None else text.replace(",", ".") for text in texts], pa.string())


def _is_number(value: Any) -> bool:
    try:
        return value is None or float(value) is not None
    except (TypeError, ValueError):
        return False
