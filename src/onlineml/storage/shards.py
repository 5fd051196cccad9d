"""Places of images inside shards: ``<shard>#offset=O&length=L/<name>``, and how few requests fetch many of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Place", "Span", "packed_url", "place_of", "spans"]

_PACKED = re.compile(r"(.+)#offset=(\d{1,18})&length=(\d{1,18})(?:/[^/]*)?", re.DOTALL)
# A request takes as long as reading about so many bytes, so what lies between two wanted images is read along.
_GAP_BYTES = 128_000
_SPAN_BYTES = 16_000_000  # several requests at once are faster than one long one


class Place(NamedTuple):
    """Where bytes are.

    Attributes:
        url: of the file.
        part: the first byte, and the one behind the last; None is the whole file.
        whole: whether all bytes of the part must be there; else a file may end before.
    """

    url: str
    part: tuple[int, int] | None = None
    whole: bool = True

    def beginning(self, n_bytes: int) -> Place:
        """The same place, and no more of it than its first bytes."""
        if self.part is None:
            return Place(self.url, (0, n_bytes), whole=False)
        start, stop = self.part
        return Place(self.url, (start, min(stop, start + n_bytes)))


class Span(NamedTuple):
    """Bytes start..stop of a file, and which of the wanted places lie in them."""

    start: int
    stop: int
    wanted: list[int]


def packed_url(shard: str, *, offset: int, length: int, name: str) -> str:
    """The URL of an image inside a shard; its last part is the image's own name."""
    return f"{shard}#offset={offset}&length={length}/{name}"


def place_of(url: str) -> Place:
    """What a URL, or a path, says: a whole file, or a part of a shard."""
    match = _PACKED.fullmatch(url) if "#offset=" in url else None
    if match is None:
        return Place(url)
    start = int(match[2])
    return Place(match[1], (start, start + int(match[3])))


def spans(ranges: Sequence[tuple[int, int]]) -> list[Span]:
    """The requests that fetch byte ranges of one file: neighbours in one, a long run in several.

    Args:
        ranges: (start, stop) each, in any order; they may overlap.

    Returns:
        Spans in order; each range lies in exactly one, which names it by its position.
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
