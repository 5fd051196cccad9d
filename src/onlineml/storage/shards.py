"""Byte ranges of images inside shards, ``<shard>#offset=O&length=L/<name>``, and the requests that fetch them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Place", "Span", "never_changes", "packed_url", "place_of", "spans"]

_NAMED_BY_CONTENT = re.compile(r"(?:.*/)?[0-9a-f]{32}\.bin", re.DOTALL)  # as packing names shards
_PACKED = re.compile(r"(.+)#offset=(\d{1,18})&length=(\d{1,18})(?:/[^/]*)?", re.DOTALL)
# A request takes as long as reading about this many bytes, so smaller gaps between wanted images are read too.
_GAP_BYTES = 128_000
_SPAN_BYTES = 16_000_000  # several concurrent requests are faster than one long one


class Place(NamedTuple):
    """A file, or a range of its bytes.

    Attributes:
        url: the file.
        part: the first byte, and the one after the last; None is the whole file.
        whole: whether all bytes of the part must exist; otherwise the file may end earlier.
    """

    url: str
    part: tuple[int, int] | None = None
    whole: bool = True

    def beginning(self, n_bytes: int) -> Place:
        """Return the same place, limited to its first bytes."""
        if self.part is None:
            return Place(self.url, (0, n_bytes), whole=False)
        start, stop = self.part
        return Place(self.url, (start, min(stop, start + n_bytes)))


class Span(NamedTuple):
    """Bytes start..stop of a file, and the positions of the wanted ranges within them."""

    start: int
    stop: int
    wanted: list[int]


def packed_url(shard: str, *, offset: int, length: int, name: str) -> str:
    """Return the URL of an image inside a shard; its last part is the image's own name."""
    return f"{shard}#offset={offset}&length={length}/{name}"


def place_of(url: str) -> Place:
    """Parse a URL or path: a whole file, or a part of a shard."""
    match = _PACKED.fullmatch(url) if "#offset=" in url else None
    if match is None:
        return Place(url)
    start = int(match[2])
    return Place(match[1], (start, start + int(match[3])))


def never_changes(place: Place) -> bool:
    """Return whether a place is part of a shard that is named by its content; archives of other programs are not."""
    return place.part is not None and _NAMED_BY_CONTENT.fullmatch(place.url) is not None


def spans(ranges: Sequence[tuple[int, int]]) -> list[Span]:
    """Plan the requests that fetch byte ranges of one file: close ranges are merged, long runs are split.

    Args:
        ranges: (start, stop) each, in any order; they may overlap.

    Returns:
        Spans in order; each range lies in exactly one span, which lists it by its position.
    """
    found: list[Span] = []
    for position in sorted(range(len(ranges)), key=lambda i: ranges[i]):
        start, stop = ranges[position]
        last = found[-1] if found else None
        if last and start <= last.stop + _GAP_BYTES and max(stop, last.stop) - last.start <= _SPAN_BYTES:
            last.wanted.append(position)
            found[-1] = last._replace(stop=max(stop, last.stop))
        else:
            found.append(Span(start, stop, [position]))
    return found
