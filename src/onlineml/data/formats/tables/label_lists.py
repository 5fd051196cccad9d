"""Several labels in a row of a table: names with separators, lists, or a column of 0 and 1 for each class."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.formats.csv import require_valid
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.schema import COLUMNS
from onlineml.errors import DataError
from onlineml.storage.documents import json_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

__all__ = [
    "class_columns",
    "exclusive_labels",
    "format_labels",
    "found_separator",
    "is_indicator",
    "note_lists_with_blanks",
    "one_hot_labels",
    "parse_labels",
    "require_single_labels",
]

_SEPARATORS = (";", "|", ",")
_OBJECT = re.compile(r"""\s*(\[\s*)?\{\s*["']""")


def parse_labels(text: str | None, separator: str) -> list[str] | None:
    """Return the class names in a cell; None for an empty cell.

    Args:
        text: names between separators, or a list, as JSON or Python write it.
        separator: between names; blanks around names are dropped.
    """
    if text is None:
        return None
    listed = _listed(text)
    return [name for part in text.split(separator) if (name := part.strip())] if listed is None else listed


def _listed(text: str) -> list[str] | None:
    if not text.startswith("["):
        return None
    for parse in (json_value, ast.literal_eval):  # pandas writes columns of lists as Python does
        with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            found: list[str] = parse(text)
            "".join(found).encode()  # all are texts, without half characters
            return found
    return None


def format_labels(labels: Sequence[str] | None, separator: str = ";") -> str | None:
    """Return a cell from which `parse_labels` reads these labels: a JSON list where separators would not do."""
    if labels is None:
        return None
    text = separator.join(labels)
    return text if labels and parse_labels(text, separator) == list(labels) else json.dumps(labels, ensure_ascii=False)


def require_single_labels(labels: Iterable[str | None], where: str) -> None:
    """Refuse JSON objects, and lists of names: JSON lists, or names with separators that occur in other combinations.

    Raises:
        DataError: there are some.
    """
    different = {label for label in labels if label is not None}
    if objects := sorted(label for label in different if _OBJECT.match(label)):
        raise DataError(
            f"{count(len(objects), f'label in {where} is an object', f'labels in {where} are objects')} of JSON, no "
            f"class: {examples(objects)}; export the "
            "annotations as a JSON file, or name the column of classes with label="
        )
    found = dict.fromkeys(label for label in different if _listed(label))
    for separator in _SEPARATORS:
        found |= dict.fromkeys(_lists_by(separator, different))
    if found:
        raise DataError(
            f"{count(len(found), f'label in {where} is a list', f'labels in {where} are lists')} of names: "
            f"{examples(sorted(found))}; for a set of labels per "
            f'image use task="multilabel"; if each is the name of one class, list all in '
            "class_names="
        )


def found_separator(texts: Iterable[str | None], notes: list[str]) -> str:
    """Return what separates the names in a table's cells, and note it if it is not ``;``.

    That is ``|`` or ``,`` if no cell contains ``;``, and it divides a cell into names that occur in other cells, too.
    """
    different = {text for text in texts if text is not None}
    if any(";" in text for text in different):
        return ";"
    mark = next((mark for mark in _SEPARATORS if _lists_by(mark, different)), ";")
    if mark != ";":
        notes.append(f"labels are separated by {mark!r}; separator= names another character")
    return mark


def _lists_by(separator: str, different: Iterable[str]) -> list[str]:
    """Return the texts that it divides into several names, each of which occurs in other combinations."""
    pieces = {label: parse_labels(label, separator) or [] for label in different if _listed(label) is None}
    counts = Counter(name for names in pieces.values() for name in set(names))
    return [label for label, names in pieces.items() if len(names) > 1 and min(counts[n] for n in names) > 1]


def note_lists_with_blanks(class_names: Sequence[str], notes: list[str]) -> None:
    """Note classes whose words are all classes themselves: sets of labels, or names such as 'ice cream'."""
    known = {*class_names}
    if lists := [name for name in class_names if " " in name and known.issuperset(name.split())]:
        notes.append(
            f"{examples(lists)} are other labels together; "
            'Manifest.from_table(task="multilabel", separator=" ") reads sets of labels'
        )


def class_columns(table: pa.Table, class_names: Sequence[str] | None, where: str) -> list[str]:
    """Return the names of the columns of 0 and 1: of given classes, or else all that hold nothing else.

    Raises:
        DataError: a given class has no such column.
    """
    if class_names is None:
        return [name for name in table.column_names if name not in COLUMNS and is_indicator(table[name])]
    wrong = [name for name in class_names if name not in table.column_names or not is_indicator(table[name])]
    if wrong:
        raise DataError(
            f"{where} has no column of labels, and the columns {examples(wrong)} for the classes are missing or hold "
            f"other values than 0 and 1; its columns are {', '.join(map(repr, table.column_names)) or 'none'}"
        )
    return list(class_names)


def is_indicator(column: Any) -> bool:
    """Return whether a column holds nothing but 0 and 1, or truth values."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return True
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return numeric and column.null_count < len(column) and set(pc.unique(column).drop_null().to_pylist()) <= {0, 1}


def exclusive_labels(table: pa.Table, names: Sequence[str]) -> list[str | None] | None:
    """Return the label of each row from columns of 0 and 1, exactly one of which is 1; None where that is not so."""
    if len(names) < 2 or len(table) == 0:
        return None
    values = np.stack([table[name].cast(pa.float64()).to_numpy() for name in names], axis=1)
    if not (np.nansum(values, axis=1) == 1).all() or not values.sum(axis=0).all():
        return None
    return [names[place] for place in np.nanargmax(values, axis=1).tolist()]


def one_hot_labels(table: pa.Table, names: Sequence[str], problems: list[str]) -> list[list[str] | None]:
    """Return each row's labels from columns of 0 and 1; None where all are empty.

    Args:
        table: the columns.
        names: of the columns, which are class names.
        problems: gets the rows of which only some are empty.
    """
    columns = [table[name].cast(pa.float64()).to_numpy() for name in names]  # nan where empty
    values: npt.NDArray[np.float64] = np.stack(columns, axis=1) if columns else np.empty((len(table), 0))
    empty = np.isnan(values)
    partly = np.flatnonzero(empty.any(1) & ~empty.all(1))
    require_valid(problems, "rows have a 0 or 1 for some classes only", partly.tolist())
    return [
        None if np.isnan(row).all() else [names[place] for place in np.flatnonzero(row == 1).tolist()] for row in values
    ]
