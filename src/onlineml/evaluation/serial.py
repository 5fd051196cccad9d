"""Lossless conversion of the scores of all tasks to JSON and back.

One object: the fields of the scores by name, but the single numbers under ``scores``, the images column by column under
``images``, tables of columns row by row, ``confusion`` as [truth id, predicted id, count] of the cells that are not 0,
and large arrays as base64 of zlib of the raw array. An undefined number (nan) is null.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints

import numpy as np

from onlineml.errors import DataError
from onlineml.storage.codec import as_type, encode, guard, nan_for_null, pack, plain
from onlineml.storage.documents import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.types import Array

__all__ = ["Layout", "from_json", "to_dict", "to_json"]

VERSION = 1
MAX_ARRAY_BYTES = 64 * 2**20  # larger arrays take seconds to read, and only curves and comparisons need them
_OF_IMAGES = {"mistakes", "worst", "thumbnails"}
_Scores = TypeVar("_Scores", bound="BaseScores")


class Layout(NamedTuple):
    """The JSON form of the scores of a task, see `onlineml.evaluation.serial`.

    Attributes:
        format: name of the format.
        columns: further fields with one value per image, and their names below ``images``.
        arrays: fields of large arrays, which may be left out; all or none.
        restored: makes fields of what is stored in another form, given all that is stored.
    """

    format: str
    columns: Mapping[str, str]
    arrays: tuple[str, ...]
    restored: Callable[[dict[str, Any]], dict[str, Any]] = lambda _: {}

    @property
    def image_columns(self) -> dict[str, str]:
        """All fields with one value per image."""
        return {"image_ids": "image_id", "uris": "uri", "groups": "group", "slices": "slices", **self.columns}


def to_dict(scores: BaseScores) -> dict[str, Any]:
    """Return the numbers as plain JSON values, without single images, which only `to_json` writes."""
    content: dict[str, Any] = plain({k: v for k, v in _content(scores).items() if k not in _OF_IMAGES})
    return content


def to_json(scores: BaseScores, *, arrays: bool | None) -> str:
    """Encode scores as JSON text.

    Args:
        scores: the scores to write.
        arrays: whether to include the layout's arrays. None: if they take at most 64 MiB; without them, the scores have
            everything but curves when read.

    Returns:
        Strict JSON: nan is null.
    """
    found = {name: getattr(scores, name) for name in scores.layout.arrays}
    size = sum(array.nbytes for value in found.values() for array in _arrays(value).values())
    kept = size <= MAX_ARRAY_BYTES if arrays is None else arrays
    columns = {key: getattr(scores, name) for name, key in scores.layout.image_columns.items()}
    content = _content(scores) | {
        "images": {key: pack(value) if _is_mask(value) else value for key, value in columns.items()},
        **{name: _packed(value) if kept else None for name, value in found.items()},
    }
    return encode(content).decode()


def from_json(kind: type[_Scores], text: str | bytes) -> _Scores:
    """Read the result of `to_json`.

    Raises:
        DataError: the text is not JSON, is of another kind, is damaged, or is from a later version of onlineml.
    """
    content = _parsed(text, expected=kind.layout.format)
    with guard("the evaluation", remedy="evaluate the model again"):
        return as_type(_fields(kind, content), kind)


def _content(scores: BaseScores) -> dict[str, Any]:
    """Return everything but the columns of the images and the arrays."""
    apart = {*scores.layout.image_columns, *scores.layout.arrays}
    fields = {f.name: getattr(scores, f.name) for f in dataclasses.fields(scores) if f.name not in apart}
    single = {name: value for name, value in fields.items() if isinstance(value, float)}
    return {
        "format": scores.layout.format,
        "format_version": VERSION,
        "n_images": scores.n_images,
        **{name: _rows(value) for name, value in fields.items() if name not in single},
        "scores": single,
        "confusion": _cells(scores.confusion),
    }


def _arrays(value: Any) -> dict[str, Array]:
    """Return an array, or the arrays that an object has, by the names of its fields."""
    if isinstance(value, np.ndarray):
        return {"": value}
    inner = {} if value is None else {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return {name: one for name, one in inner.items() if isinstance(one, np.ndarray)}


def _packed(value: Any) -> Any:
    packed = {name: pack(array) for name, array in _arrays(value).items()}
    return packed.get("", packed) or None


def _is_mask(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == bool


def _cells(confusion: Array) -> Array:
    truths, predictions = np.nonzero(confusion)
    return np.stack([truths, predictions, confusion[truths, predictions]], axis=1)


def _rows(value: Any) -> Any:
    """Convert a table of columns to one dict per row; anything else stays as it is."""
    if not dataclasses.is_dataclass(value):
        return value
    columns = {_row_key(f.name): getattr(value, f.name) for f in dataclasses.fields(value)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _row_key(field_name: str) -> str:
    return "name" if field_name == "names" else field_name


def _parsed(text: str | bytes, *, expected: str) -> dict[str, Any]:
    found = decoded(text, dict[str, Any], "the evaluation", error=DataError)
    version = found.get("format_version", 0)
    if found.get("format") != expected or type(version) is not int or version > VERSION:
        was = f"format {found.get('format')!r}, version {found.get('format_version')}"
        raise DataError(
            f"the evaluation cannot be read: expected {expected!r} up to version {VERSION}, found {was}; update "
            "onlineml or pass another file"
        )
    return found


def _fields(kind: type[BaseScores], content: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the fields of the scores, as `as_type` takes them."""
    layout, hints = kind.layout, get_type_hints(kind)
    as_they_are = {"images", *layout.arrays}
    values = {name: value if name in as_they_are else nan_for_null(value) for name, value in content.items()}
    for name in hints:
        if dataclasses.is_dataclass(hints[name]):
            values[name] = _columns(hints[name], values[name])
    values |= values["scores"]
    values |= {name: values["images"][key] for name, key in layout.image_columns.items()}
    return values | layout.restored(values)


def _columns(table: Any, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {f.name: [row[_row_key(f.name)] for row in rows] for f in dataclasses.fields(table)}
