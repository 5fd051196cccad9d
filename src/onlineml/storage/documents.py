"""Documents from storage as typed values: anyone may have written them, and a fault may have cut them off.

Everything that is read as JSON or Parquet comes through here, so that only our own errors come out, which name the file
and the field.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from onlineml.errors import OnlineMLError, StorageError
from onlineml.storage.location import Location, Url
from onlineml.storage.reading import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["checked", "decoded", "json_value", "parquet_table", "read_json", "reading_parquet"]

_T = TypeVar("_T")
_LONGEST = 400  # digits; a longer number is beyond every range, and Python takes long to read it


def json_value(data: bytes | str, *, null_for_nan: bool = False) -> Any:
    """Decode JSON, also with the ``NaN`` and ``Infinity`` that Python writes; a number beyond all ranges is infinite.

    Args:
        data: the document.
        null_for_nan: whether these become null.

    Raises:
        ValueError: the data is not JSON, or has a text that is none (a lone surrogate).
        RecursionError: it is nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        value = json.loads(data, parse_constant=(lambda _: None) if null_for_nan else float, parse_int=_whole)
    msgspec.json.encode(value)
    return value


def _whole(digits: str) -> float:
    return int(digits) if len(digits) < _LONGEST else float(digits)


def decoded(
    data: bytes | str,
    kind: type[_T],
    where: object,
    *,
    error: type[OnlineMLError] = StorageError,
    lenient: bool = False,
) -> _T:
    """Decode a JSON document as an object of a type; unknown keys are ignored.

    Args:
        data: the document.
        kind: as msgspec takes it, best a `msgspec.Struct` with ranges.
        where: the file, for messages.
        error: the type of what is raised.
        lenient: numbers may be written as text, and NaN is null, as in people's own files.

    Raises:
        error: the data is not JSON, or a value has another type or range than expected; the message names it.
    """
    try:
        return msgspec.json.decode(data, type=kind, strict=not lenient)
    except msgspec.ValidationError as wrong:
        raise _damaged(where, wrong, error) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        pass
    try:
        value = json_value(data, null_for_nan=lenient)
    except (ValueError, RecursionError) as wrong:
        raise _damaged(where, wrong, error) from None
    return checked(value, kind, where, error=error, lenient=lenient)


def checked(
    value: Any, kind: type[_T], where: object, *, error: type[OnlineMLError] = StorageError, lenient: bool = False
) -> _T:
    """Convert values of JSON to a type; see `decoded`.

    Raises:
        error: a value has another type or range than expected; the message names it.
    """
    try:
        return msgspec.convert(value, kind, strict=not lenient)
    except (msgspec.ValidationError, RecursionError) as wrong:
        raise _damaged(where, wrong, error) from None


def _damaged(where: object, wrong: Exception, error: type[OnlineMLError]) -> OnlineMLError:
    told = "cannot be read" if isinstance(wrong, msgspec.ValidationError) else "is not JSON"
    return error(f"{where} {told}: {str(wrong)[:300]}; restore it from a copy, or write it again")


def read_json(url: Url, kind: type[msgspec.Struct] | None = None) -> dict[str, Any]:
    """Return the object in a JSON file, with all its keys.

    Args:
        url: of the file.
        kind: the types and ranges of the keys that are used.

    Raises:
        NotFoundError: the file does not exist.
        StorageError: it is not JSON, or not an object, or a value has another type or range; the message names it.
    """
    file = Location.of(url)
    found = decoded(read_bytes(file), dict[str, Any], file)
    if kind is not None:
        checked(found, kind, file)
    return found


@contextlib.contextmanager
def reading_parquet(where: object, *, error: type[OnlineMLError] = StorageError) -> Iterator[None]:
    """Turn what goes wrong in reading a Parquet file within the block into one of our errors.

    Args:
        where: the file, for messages.
        error: the type of what is raised.

    Raises:
        error: the content is truncated, damaged, or of another kind.
    """
    import pyarrow as pa  # noqa: PLC0415 (slow to import)

    try:
        yield
    except OnlineMLError:
        raise
    except (pa.ArrowException, OSError, UnicodeError) as wrong:
        raise error(f"{where} is not a readable table: {str(wrong)[:300]}; restore it from a copy") from wrong


def parquet_table(data: bytes, where: object, *, error: type[OnlineMLError] = StorageError) -> pa.Table:
    """Return the table of a Parquet file, with its metadata; its texts are texts; see `reading_parquet`."""
    import pyarrow as pa  # noqa: PLC0415 (slow to import)
    import pyarrow.parquet as pq  # noqa: PLC0415

    with reading_parquet(where, error=error):
        table = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
        table.validate(full=True)
    return table
