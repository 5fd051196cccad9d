"""Text files as people save them: UTF-8, UTF-16 as spreadsheets write it, with and without a byte-order mark."""

from __future__ import annotations

import codecs
import csv
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["csv_rows", "reading_csv", "utf8"]

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),  # before UTF-16, whose mark it begins with
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_LOOKED_AT = 512  # bytes in which UTF-16 without a mark is recognised by the zeros of its ASCII characters


def utf8(data: bytes, where: str, *, whole: bool = True) -> bytes:
    """Return a text file's content in UTF-8, without a byte-order mark.

    Args:
        data: in UTF-8, UTF-16 or UTF-32.
        where: the file, for messages.
        whole: whether the content is complete; else it may end anywhere.

    Raises:
        DataError: the content is in another encoding, or is not text; its first such byte is named.
    """
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", _unmarked(data)))
    body = data[len(mark) :]
    if whole and encoding == "utf-8" and body.isascii() and b"\0" not in body:
        return body  # a large file is not copied
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(body, final=whole)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{where}, line {line}: the byte 0x{body[error.start]:02X} at {len(mark) + error.start:,} is not "
            f"{encoding.upper()}; save the file in UTF-8 (in Excel: 'CSV UTF-8')"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{where}, line {line}: a zero byte, which no text contains; save the file as text in UTF-8")
    return body if encoding == "utf-8" and whole else text.encode()


def csv_rows(data: bytes, where: str) -> list[list[str]]:
    """Return the cells of a CSV file's rows.

    Raises:
        DataError: it is not text, or a cell is endless.
    """
    with reading_csv(where):
        return list(csv.reader(utf8(data, where).decode().splitlines()))


@contextmanager
def reading_csv(where: str) -> Iterator[None]:
    """Raise a DataError for what Python's csv module refuses within the block, such as an endless cell."""
    try:
        yield
    except csv.Error as error:
        raise DataError(f"{where} is not valid CSV: {error}; a quotation mark may be missing") from error


def _unmarked(data: bytes) -> str:
    head = data[:_LOOKED_AT]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > len(head) // 4 and not even:
        return "utf-16-le"
    return "utf-16-be" if even > len(head) // 4 and not odd else "utf-8"
