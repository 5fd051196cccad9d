"""JSON Lines, a JSON object in each line: reading, writing, and finding the files of a folder, one for each split."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from onlineml.arguments.counted import count
from onlineml.data.formats.boxes import HASHED
from onlineml.data.formats.encodings import utf8
from onlineml.data.formats.format import Source
from onlineml.data.formats.sniff import HEAD_BYTES
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import split_in_name
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.documents import json_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from onlineml.data.formats.annotated import AnnotatedImage
    from onlineml.data.formats.format import Place
    from onlineml.data.formats.parts import Listing
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = [
    "Line",
    "SplitFile",
    "addresses_in",
    "detect_files",
    "first_objects",
    "json_lines",
    "lines_bytes",
    "number",
    "plain",
    "read_as",
    "read_files",
    "require_known_boxes",
    "size_hw",
    "whole_lines",
    "write_lines",
]

_DEEPEST = 2  # folders above such a file
_MOST_FILES = 20
_NUMBERS = (int, float)


class Line(NamedTuple):
    """An object, and where it stands for messages: ``"train.jsonl:3"``."""

    where: str
    content: dict[str, Any]


def json_lines(data: bytes, name: str) -> list[Line]:
    """Decode a file.

    Args:
        data: its content in UTF-8; blank lines are skipped.
        name: the file's, for messages.

    Raises:
        DataError: lines that hold no object; their numbers are named.
    """
    lines, bad = list[Line](), list[str]()
    for row, text in enumerate(data.splitlines(), 1):
        if not text.strip():
            continue
        try:
            content = json_value(text, null_for_nan=True)
        except (ValueError, RecursionError) as error:
            bad.append(f"{row}: {error}")
            continue
        if isinstance(content, dict):
            lines.append(Line(f"{name}:{row}", content))
        else:
            bad.append(f"{row}: {type(content).__name__}")
    if bad:
        raise DataError(
            f"{count(len(bad), f'line of {name} is no JSON object', f'lines of {name} are no JSON objects')}: "
            f"{examples(bad)}; expected one object in each line, not an array, and none that goes over several lines"
        )
    return lines


def whole_lines(head: bytes) -> bytes:
    """Return the complete lines of a text file's beginning in UTF-8, with a mark for what is in another encoding."""
    try:
        text = utf8(head, "", whole=False)
    except DataError:  # the reader names the byte
        text = head.decode("utf-8", "replace").encode()
    return text[: text.rfind(b"\n") + 1] or text


def first_objects(lines: bytes) -> list[dict[str, Any]]:
    """Return the objects in the first lines of a file, up to one that is none."""
    found = list[dict[str, Any]]()
    for line in filter(bytes.strip, lines.splitlines()[:20]):
        try:
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, RecursionError):  # of another type, too
            break
    return found


def lines_bytes(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Encode objects, one in each line.

    Raises:
        DataError: a value that JSON cannot hold.
    """
    try:
        return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    except TypeError as error:
        raise DataError(f"a value cannot be written as JSON: {error}; remove its column") from error


class SplitFile(NamedTuple):
    """A file of annotations: its path for messages, its content, and the split that its name says.

    The split of a file that was given by itself is `HASHED`.
    """

    path: str
    data: bytes
    split: str


def detect_files(place: Place, endings: tuple[str, ...], kind_of_head: Callable[[bytes], str | None]) -> Source | None:
    """Detect a file of a format, or a folder that has some, not deeper than two folders.

    Args:
        place: a file or folder.
        endings: of the format's files.
        kind_of_head: returns the kind of annotation that the first lines of a file show, ``""`` if it shows none; None
            for a file of another format.
    """
    if place.ending in endings:
        kind = kind_of_head(whole_lines(place.head()))
        return None if kind is None else place.source(holds=kind or None)
    for path in _candidates(place.listing, endings):
        if (kind := kind_of_head(whole_lines(place.head(path)))) is not None:
            return Source(place.url, None, place.url, options=place.options, files=place.listing, holds=kind or None)
    return None


def _candidates(listing: Listing, endings: tuple[str, ...]) -> list[str]:
    return [path for path in listing.ending_in(*endings) if path.count("/") <= _DEEPEST][:_MOST_FILES]


def read_files(source: Source, endings: tuple[str, ...], is_mine: Callable[[bytes], bool]) -> list[SplitFile]:
    """Read what `detect_files` has detected.

    Raises:
        DataError: several files are of one split, or say none; or one is no text.
    """
    where = source.where
    if where.lower().endswith(endings):
        return [SplitFile(io.name(where), utf8(io.read_bytes(source.at), where), HASHED)]
    files = []
    for path in _candidates(source.listing(), endings):
        data = io.read_bytes(source.at / path)
        if is_mine(whole_lines(data[:HEAD_BYTES])):
            files.append(SplitFile(path, utf8(data, path), split_in_name(path) or HASHED))
    if len({file.split for file in files}) < len(files):
        names = ", ".join(file.path for file in files)
        raise DataError(f"{where} has several files of annotations: {names}; give the one that is meant as the URL")
    return files


def read_as(title: str, files: Sequence[SplitFile]) -> str:
    """Return the first note of an import: its format and its files."""
    return f"read as {title} from {examples(file.path for file in files)}"


def number(value: Any) -> float | None:
    """Return a finite number that is one, or a text that says one, with or without ``px``; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value.strip().removesuffix("px"))
        except ValueError:
            return None
    return float(value) if type(value) in _NUMBERS and -1e12 < value < 1e12 else None  # nan is not


def size_hw(height: Any, width: Any) -> tuple[int, int] | None:
    """Return the size that a file says; None where it says none, or none that an image can have."""
    sides = [number(side) for side in (height, width)]
    known = [int(side) for side in sides if side is not None and 1 <= side < 2**31]
    return (known[0], known[1]) if len(known) == 2 else None


# ---- writing ----


def addresses_in(manifest: Manifest, at: Location, endings: tuple[str, ...]) -> list[str]:
    """Return where each image is: below the folder of a file that is written, relative to it; else its URL."""
    folder = at if not at.url.lower().endswith(endings) else at.parent
    prefix = f"{folder.url.rstrip('/')}/"
    return [url.removeprefix(prefix) for url in manifest.urls()]


def require_known_boxes(images: Iterable[AnnotatedImage], class_names: Sequence[str]) -> None:
    """Refuse boxes that a file of numbers and classes cannot hold.

    Raises:
        DataError: boxes without a class of the manifest, or with corners that are not finite.
    """
    known = set(class_names)
    bad = [
        image.name
        for image in images
        if any(shape.label not in known or not all(map(math.isfinite, shape.box_xyxy)) for shape in image.shapes or ())
    ]
    if bad:
        raise DataError(
            f"{count(len(bad), 'image has')} boxes of no known class, or with corners that are not numbers: "
            f"{examples(bad)}; data.check().manifest is without such"
        )


def write_lines(manifest: Manifest, rows: Sequence[Mapping[str, Any]], at: Location, endings: tuple[str, ...]) -> str:
    """Write a line for each image into one file, or into a folder with a file for each split, and return the URL."""
    if at.url.lower().endswith(endings):
        io.write_bytes(at, lines_bytes(rows))
        return at.url
    splits = manifest.table["split"].to_pylist()
    for split in dict.fromkeys(splits):
        own = [row for row, one in zip(rows, splits, strict=True) if one == split]
        io.write_bytes(at / f"{split or 'unassigned'}{endings[0]}", lines_bytes(own))
    return at.url


def plain(value: float) -> float:
    """Return a number without a fraction as an integer."""
    return int(value) if value == int(value) else value
