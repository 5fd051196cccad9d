"""Rows of the ``metadata.csv``, ``.jsonl`` or ``.parquet`` of an ImageFolder, and the classes of a dataset's card."""

from __future__ import annotations

import csv
import io as texts
from typing import TYPE_CHECKING, Any

import yaml

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import AnnotatedImage
from onlineml.data.formats.boxes import HASHED
from onlineml.data.formats.columns import label_key
from onlineml.data.formats.json_lines import Line, json_lines, size_hw
from onlineml.data.formats.objects import class_name, shapes_of
from onlineml.errors import DataError
from onlineml.storage.documents import json_value, parquet_table

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FILE_NAME", "METADATA", "card_names", "name_column", "parse_rows", "read_rows"]

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"
_NO_LABEL = (None, -1, "-1")  # in splits for a competition


def read_rows(data: bytes, name: str) -> list[Line]:
    """Decode a file of metadata, Parquet or text in UTF-8.

    Raises:
        DataError: it is not what its extension says.
    """
    if name.endswith(".jsonl"):
        return json_lines(data, name)
    if name.endswith(".parquet"):
        rows = parquet_table(data, name, error=DataError).to_pylist()
        return [Line(f"{name}, row {place}", row) for place, row in enumerate(rows)]
    reader = csv.DictReader(texts.StringIO(data.decode(), newline=""))
    try:
        return [
            Line(f"{name}:{reader.line_num}", {str(key): _cell(cell) for key, cell in row.items()}) for row in reader
        ]
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num} is not a line of CSV: {error}") from error


def _cell(text: Any) -> Any:
    """Return the value of a cell of CSV: JSON where it holds a list or an object; None where it is empty."""
    if not isinstance(text, str) or not text.startswith(("{", "[")):
        return text or None
    try:
        return json_value(text.replace("'", '"'))  # as Python writes lists, too
    except (ValueError, RecursionError):
        return text


def name_column(columns: Sequence[str], where: str) -> str:
    """Return the column of paths.

    Raises:
        DataError: there is none, or several.
    """
    found = [name for name in columns if name == FILE_NAME] or [
        name for name in columns if name.endswith(f"_{FILE_NAME}")
    ]
    if len(found) != 1:
        raise DataError(
            f"{where} has {count(len(found), 'column')} of paths ({', '.join(found) or 'file_name is absent'}) among "
            f"{', '.join(columns)}; expected one, called file_name"
        )
    return found[0]


def parse_rows(
    lines: Sequence[Line], where: str, names: Sequence[str], problems: list[str], *, label: str | None = None
) -> list[AnnotatedImage]:
    """Return the images of a file of metadata.

    Args:
        lines: its rows.
        where: the file, for messages.
        names: of the classes that numbers stand for; none: a number is its own name.
        problems: gets what is wrong.
        label: the column of classes; by default one with a usual name.

    Raises:
        DataError: it has no column of paths or of annotations, or several.
    """
    columns = list(dict.fromkeys(key for line in lines for key in line.content))
    path = name_column(columns, where)
    label = label_key(tuple(columns)) if label is None else label
    if label not in columns and "objects" not in columns:
        raise DataError(
            f"{where} has no column of annotations: expected {label or 'label'!r} or 'objects' among "
            f'{", ".join(columns)}; set label=<its name>, or format="folders" for class folders'
        )
    images = []
    for line in lines:
        row = line.content
        if not isinstance(row.get(path), str):
            problems.append(f"{line.where}: no {path}")
        objects = row.get("objects")
        shapes = None if objects is None else shapes_of(objects, line.where, problems, names=names)
        image = AnnotatedImage(str(row.get(path)), shapes, size_hw(row.get("height"), row.get("width")))
        images.append(image._replace(split=str(row.get("split") or HASHED), labels=_labels(row.get(str(label)), names)))
    return images


def _labels(value: Any, names: Sequence[str]) -> list[str] | None:
    values = value if isinstance(value, list) else [value]
    if not isinstance(value, list) and value in _NO_LABEL:
        return None
    return [class_name(one, names) for one in values]


def card_names(readme: bytes) -> tuple[str, ...]:
    """Return the classes that a dataset's card lists, in the order of their numbers; none unless it has one list."""
    parts = readme.decode("utf-8", "replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return ()
    try:
        # a safe loader, which creates only texts, lists and mappings
        facts = yaml.load(parts[1], Loader=yaml.BaseLoader)  # noqa: S506
    except yaml.YAMLError:
        return ()
    lists = {tuple(names) for names in _class_labels(facts, 10)}
    return next(iter(lists)) if len(lists) == 1 else ()


def _class_labels(facts: Any, depth: int) -> list[list[str]]:
    if isinstance(facts, dict) and isinstance(facts.get("class_label"), dict):
        names = facts["class_label"].get("names")
        values = names.values() if isinstance(names, dict) else names if isinstance(names, list) else ()
        return [[str(name) for name in values]]
    inside = facts.values() if isinstance(facts, dict) else facts if isinstance(facts, list) else ()
    return [found for one in inside for found in _class_labels(one, depth - 1)] if depth else []
