"""A damaged annotation file is refused with one of our errors that names it, or read; whatever the format."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from layouts import Layout, plant
from layouts_of_boxes import BOXES
from layouts_of_labels import LABELS
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import OnlineMLError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NUMBER = re.compile(rb"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_VALUE = re.compile(rb'(?<=: )(?:"[^"]*"|[\d.]+)')  # of JSON
_ANNOTATIONS = (".json", ".jsonl", ".manifest", ".xml", ".csv", ".tsv", ".txt", ".TXT", ".yaml", ".data", ".names")


def damaged(content: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Each kind of damage, with the content after it."""
    chance = random.Random(seed)
    yield "nothing left", b""
    yield "cut off", content[: chance.randrange(1, max(2, len(content)))]
    yield "cut off at the beginning", content[chance.randrange(1, max(2, len(content))) :]
    yield "other bytes", chance.randbytes(max(1, len(content)))
    spoiled = bytearray(content)
    for place in chance.sample(range(len(content)), min(3, len(content))):
        spoiled[place] = chance.randrange(256)
    yield "some other bytes", bytes(spoiled)
    for number in (b"NaN", b"-1e999", b"9" * 400, b"-7", b'"x"', b"1e308"):
        yield f"numbers are {number[:8]!r}", _NUMBER.sub(number, content)
    for value in (
        b'"\\udcff"',
        b"null",
        b"[]",
        b"{}",
        b"true",
        b"7",
        b'"' + "\udcff".encode("utf-8", "surrogatepass") + b'"',
    ):
        yield f"a value is {value!r}", _replaced(content, value, chance)
    yield "lines are there twice", b"\n".join(line for line in content.split(b"\n") for _ in range(2))
    yield "in UTF-16", content.decode().encode("utf-16")


def _replaced(content: bytes, value: bytes, chance: random.Random) -> bytes:
    places = [*_VALUE.finditer(content)]
    if not places:
        return content
    place = chance.choice(places)
    return content[: place.start()] + value + content[place.end() :]


def _files(layout: Layout) -> list[str]:
    return [path for path in layout.others if path.endswith(_ANNOTATIONS) and "README" not in path]


READABLE = [one for one in (*LABELS, *BOXES) if not one.refused and _files(one)]


@pytest.mark.parametrize("layout", [pytest.param(one, id=one.name) for one in READABLE])
def test_only_our_errors_come_out_and_name_the_file(layout: Layout, tmp_path: Path) -> None:
    url = plant(layout, tmp_path)
    for path in _files(layout)[:2]:
        whole = (tmp_path / path).read_bytes()
        for what, content in damaged(whole, crc32(f"{layout.name} {path}".encode())):
            (tmp_path / path).write_bytes(content)
            said = ""
            try:
                Manifest.from_any(url)
            except OnlineMLError as error:
                said = str(error)
            except Exception as error:  # noqa: BLE001 (none may come out)
                pytest.fail(f"{path}, {what}: {type(error).__name__}: {error}\n{content[:300]!r}")
            assert not said or str(tmp_path) in said or path.rpartition("/")[2] in said, (path, what, said)
        (tmp_path / path).write_bytes(whole)
