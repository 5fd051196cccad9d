"""Damaged documents: a valid one with values, lines and bytes changed, as a strategy of hypothesis."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Draw = Callable[[st.SearchStrategy[Any]], Any]

__all__ = ["damaged"]

_ODD = (
    *("null", "true", "false", "[]", "{}", '""', '"x"', "0", "-1", "-0.0", "1.5", "7", "1e308", "1e999", "-1e999"),
    *("NaN", "Infinity", "-Infinity", "999999999999", "9" * 400, "9" * 5000, '"9999999999"', '"NaN"', '"1e400"'),
    *(r'"\ud800"', r'"\u0000"', '"..\\/..\\/x"', '"/etc/passwd"', '"file:///etc/x"', '"s3://b/x::y"', '" "', "[[]]"),
    *("[null]", '[1, "a", {}]', '{"a": {"b": [1]}}', "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000),
    *('"' + "x" * 70_000 + '"', '"2026-13-45T99:99:99"', '"é\\u0301"', "1" * 19, "18446744073709551616", "1e-400"),
)
_TOKEN = re.compile(rb'"[^"\n]*"|\'[^\'\n]*\'|[\w.+-]+')
_PLAIN = (*(text.encode() for text in _ODD), *(b"nan", b"inf", b"-inf", b"\xff\xfe", b"\xed\xb3\xbf", b"a\0b", b"&x;"))


@st.composite
def damaged(draw: Draw, whole: bytes) -> bytes:
    """Return a document after one to three changes: of its JSON values, its words, its lines, or its bytes."""
    content = whole
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.sampled_from(_CHANGES))(draw, content)
    return content


def _value(draw: Draw, content: bytes) -> bytes:
    """Change a value of a JSON document, or of one line of JSON Lines: another one, none, twice, or another key."""
    lines = content.split(b"\n")
    place = None if _parsed(content) is not None else draw(st.integers(0, len(lines) - 1))
    document = _parsed(content if place is None else lines[place])
    if document is None:
        return _word(draw, content)
    within, key = draw(st.sampled_from([*_places({"": document})]))
    change = draw(st.sampled_from(["odd", "odd", "odd", "remove", "twice", "key"]))
    mark = "odd value of a test"
    top = {"": document}
    holder: Any = top
    for step in within:
        holder = holder[step]
    if change == "odd" or not within:
        holder[key] = mark
    elif change == "remove":
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[draw(st.sampled_from(["", "x", "\u0301", "id", str(key) + " "]))] = (
            holder.pop(key) if change == "key" else 1
        )
    text = json.dumps(top[""]).replace(json.dumps(mark), draw(st.sampled_from(_ODD))).encode()
    return text if place is None else b"\n".join([*lines[:place], text, *lines[place + 1 :]])


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content) if content[:1] in b"{[" else None
    except (ValueError, RecursionError):
        return None


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield where each value of a document is: the keys to what holds it, and its own."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield path, key
        if len(path) < 50:
            yield from _places(one, (*path, key))


def _word(draw: Draw, content: bytes) -> bytes:
    """Replace a word, a number or a quoted text by another one."""
    words = [match.span() for match in _TOKEN.finditer(content[:100_000])]
    if not words:
        return content + draw(st.sampled_from(_PLAIN))
    start, end = draw(st.sampled_from(words))
    new = draw(st.sampled_from(_PLAIN))
    quote = content[start : start + 1]
    if quote in b"\"'" and not new.startswith(b'"') and draw(st.booleans()):
        new = quote + new + quote
    return content[:start] + new + content[end:]


def _line(draw: Draw, content: bytes) -> bytes:
    """Remove a line, repeat it once or a thousand times, or put another one in its place."""
    lines = content.split(b"\n")
    place, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    own = draw(st.sampled_from([[], [lines[place]] * 2, [lines[place]] * 1000, [lines[other]], [b""], [b"\xff"]]))
    return b"\n".join([*lines[:place], *own, *lines[place + 1 :]])


def _cut(draw: Draw, content: bytes) -> bytes:
    """Cut the document off at the end or at the beginning, or take a piece out of it."""
    a, b = sorted(draw(st.integers(0, len(content))) for _ in range(2))
    return draw(st.sampled_from([content[:a], content[a:], content[:a] + content[b:]]))


def _bytes(draw: Draw, content: bytes) -> bytes:
    """Change single bytes, or all of them."""
    if not content or draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    spoiled = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        spoiled[draw(st.integers(0, len(spoiled) - 1))] = draw(st.integers(0, 255))
    return bytes(spoiled)


def _encoding(draw: Draw, content: bytes) -> bytes:
    """Write the text in another encoding, or with a mark."""
    encoding = draw(st.sampled_from(["utf-16", "utf-16-le", "utf-8-sig", "utf-32", "cp1252"]))
    return content.decode("utf-8", "replace").encode(encoding, "replace")


_CHANGES = (_value, _value, _value, _word, _word, _line, _cut, _bytes, _encoding)
