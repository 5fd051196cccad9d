"""Look at the beginning of a JSON file: what kind of document it is, without reading all of it."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["HEAD_BYTES", "JsonShape", "json_shape"]

HEAD_BYTES = 64 << 10
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"\s*(:)?|[{}\[\]]')
_ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class JsonShape(NamedTuple):
    """The outer shape of a JSON document, as far as its beginning tells.

    Attributes:
        kind: ``"object"``, ``"array"``, or ``""`` for anything else.
        keys: of the object, or of the first object in the array.
        inner: the keys of the first object that is a value of those, such as the first image of a VIA project.
    """

    kind: str
    keys: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()


def json_shape(head: bytes) -> JsonShape:
    """Return the outer shape of a document from its first bytes, which may end anywhere."""
    encoding = next((name for mark, name in _ENCODINGS if head.startswith(mark)), "utf-8")
    text = head.decode(encoding, "ignore").lstrip()
    if text[:1] not in ("{", "["):
        return JsonShape("")
    array = text[0] == "["
    found: tuple[dict[str, None], dict[str, None]] = {}, {}
    depth, outer, inner_open, inner_done = 0, 2 if array else 1, False, False
    for match in _TOKEN.finditer(text):
        mark = match[0]
        if mark in "{[":
            depth += 1
            inner_open |= mark == "{" and depth == outer + 1 and not inner_done
        elif mark in "}]":
            inner_done |= inner_open and depth == outer + 1
            if depth <= outer and mark == "}":
                break  # the end of the only object that is looked at
            depth -= 1
        elif match[1] and depth == outer:
            found[0][_name(mark)] = None
        elif match[1] and depth == outer + 1 and not inner_done:
            found[1][_name(mark)] = None
    return JsonShape("array" if array else "object", *map(tuple, found))


def _name(mark: str) -> str:
    return mark[1 : mark.rindex('"')]
