"""COCO files: only what scoring needs, straight into small objects, several times as fast as the json module.

A long list of detections is read part by part, as columns where it can be: else its objects at least stay in the
processor's cache and their memory is used again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.errors import DataError
from onlineml.evaluation.coco.columns import Columns, Layout
from onlineml.storage import io, urls

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UNLIKE", "load_detections", "load_plain", "load_truth", "rows_of"]

Options = Mapping[str, Any] | None

UNLIKE = (msgspec.DecodeError, RecursionError)  # a fault, or what only the json module takes, such as NaN
_PART = 2**17  # bytes: some thousand detections
_LARGE = 2**22  # bytes that are read as columns at a time
_BETWEEN = re.compile(rb"}\s*,\s*(?={)")  # one object and the next


class _Image(msgspec.Struct, gc=False):
    id: int | str


class _Category(msgspec.Struct, gc=False):
    id: int | str
    name: str | None = None


class _Annotation(msgspec.Struct, gc=False):
    image_id: int | str
    category_id: int | str
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: int | None = None


class _Detection(msgspec.Struct, gc=False):
    image_id: int | str
    category_id: int | str
    bbox: tuple[float, float, float, float]
    score: float


class _Truth(msgspec.Struct):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


class _Results(msgspec.Struct):
    annotations: list[_Detection]


_TRUTH, _DETECTIONS = msgspec.json.Decoder(_Truth), msgspec.json.Decoder(list[_Detection] | _Results)


def load_truth(source: Any, storage_options: Options) -> Any:
    """The ground truth, whose rows are dicts or, from a file without faults, objects with the same names."""
    if not isinstance(source, (str, PathLike)):
        return source
    content = io.read_bytes(source, storage_options=storage_options)
    try:
        return msgspec.structs.asdict(_TRUTH.decode(content))
    except UNLIKE:
        return _parse(content, source)


def load_detections(source: Any, storage_options: Options) -> Iterator[Any]:
    """The detections in parts: lists of dicts or, from a file, `Columns` or lists of objects with the same names.

    Raises:
        One of `UNLIKE`: maybe after some parts; `load_plain` reads such a file, or tells what is wrong with it.
    """
    if not isinstance(source, (str, PathLike)):
        yield rows_of(source)
        return
    content = io.read_bytes(source, storage_options=storage_options).strip()
    if not (content.startswith(b"[") and content.endswith(b"]")):
        document = _DETECTIONS.decode(content)
        yield document.annotations if isinstance(document, _Results) else document
        return
    parts = _parts(content, 1, len(content) - 1, _LARGE)
    layout = Layout.of(content) if len(content) > _PART else None  # a short one is as quickly read as JSON
    with ThreadPoolExecutor(2, thread_name_prefix="onlineml-coco") as pool:
        for part in parts if layout is None else pool.map(layout.columns_or_rows, parts):
            if isinstance(part, Columns):
                yield part
                continue
            for few in _parts(part, 0, len(part), _PART):
                yield _DETECTIONS.decode(b"".join((b"[", few, b"]")))


def _parts(content: bytes, begin: int, end: int, size: int) -> Iterator[bytes]:
    """Objects with commas between them in several parts; a cut in the wrong place, as in a text, leaves no JSON."""
    while (cut := _BETWEEN.search(content, begin + size, end)) is not None:
        yield content[begin : cut.start() + 1]
        begin = cut.end()
    yield content[begin:end]


def load_plain(source: Any, storage_options: Options) -> Any:
    """The document as the json module reads it: dicts, lists, and nan where the file says NaN."""
    if not isinstance(source, (str, PathLike)):
        return source
    return _parse(io.read_bytes(source, storage_options=storage_options), source)


def _parse(content: bytes, source: str | PathLike[str]) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        msg = f"{urls.redacted(fspath(source))} is not JSON ({error}); expected a COCO document"
        raise DataError(msg) from error
    except RecursionError as error:
        msg = f"{urls.redacted(fspath(source))} is nested too deeply; expected a COCO document"
        raise DataError(msg) from error


def rows_of(document: Any) -> Sequence[Any]:
    """The detections themselves: COCO results are a list, but some tools write them under ``annotations``."""
    rows: Sequence[Any] = document["annotations"] if isinstance(document, Mapping) else document
    return rows
