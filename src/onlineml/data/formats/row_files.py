"""Text files that have a row for each box of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.data.formats.encodings import utf8
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.data.formats.annotated import Shape
    from onlineml.storage.location import Location

__all__ = ["parse_rows", "read_row_files"]

_TOGETHER = 1024  # files in memory at a time


def parse_rows(data: bytes, where: str, shape_of: Callable[[str], Shape | None], *, expected: str) -> list[Shape]:
    """Return the boxes of a file; blank rows are passed over.

    Args:
        data: its content.
        where: the file, for messages.
        shape_of: returns the box of a row; None if it is of another format.
        expected: what a row has, for messages.

    Raises:
        DataError: a row is of another format; its line is named.
    """
    shapes = []
    for line, row in enumerate(utf8(data, where).decode().splitlines(), 1):
        if not row.strip():
            continue
        if (shape := shape_of(row)) is None:
            raise DataError(f"{where}, line {line}: expected {expected}, found {row.strip()!r:.100}")
        shapes.append(shape)
    return shapes


def read_row_files(
    at: Location, files: Sequence[str], parse: Callable[[bytes, str], list[Shape]], problems: list[str]
) -> dict[str, list[Shape]]:
    """Read text files with a row for each box, a few in memory at a time.

    Args:
        at: the folder that they are below.
        files: their paths.
        parse: returns the boxes of a file from its content and path.
        problems: a list to which those of files that cannot be read are added.
    """
    found = {}
    for start in range(0, len(files), _TOGETHER):
        chunk = files[start : start + _TOGETHER]
        for path, content in zip(chunk, io.read_many([at / path for path in chunk]), strict=True):
            if isinstance(content, OSError):
                raise content
            try:
                found[path] = parse(content, path)
            except DataError as error:
                problems.append(str(error))
    return found
