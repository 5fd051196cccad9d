"""Counts with their words, for messages: "1 image is", "2,062 images are"."""

from __future__ import annotations

import re
from typing import SupportsInt

__all__ = ["count", "part_of", "tally"]

_MANY = {"is": "are", "has": "have", "was": "were"}  # verbs that may end the words


def count(number: SupportsInt, one: str, many: str | None = None) -> str:
    """Format like "1 image", "2,062 images", "3 classes", "1 row is", "2 rows are".

    Args:
        number: of the things.
        one: the words for one of them: a noun, or a noun with is, has or was.
        many: the words for another number; None makes them from those for one.
    """
    words = one if int(number) == 1 else _plural(one) if many is None else many
    return f"{int(number):,} {words}"


def part_of(number: SupportsInt, of: SupportsInt, one: str) -> str:
    """Format like "1 of 40 images is", "2 of 40 images are", "1 of 1 image is"; `one` is a noun with is, has or was."""
    noun, _, verb = one.rpartition(" ")
    return f"{int(number):,} of {count(of, noun)} {verb if int(number) == 1 else _MANY[verb]}"


def tally(number: SupportsInt, many: str) -> str:
    """Put a number before a sentence about several: "2 rows repeat another", and of one "1 row repeats another".

    Args:
        number: of the things.
        many: begins with a noun in the plural, which adjectives may precede; its first verb is changed as well.
    """
    if int(number) != 1:
        return f"{int(number):,} {many}"
    one = re.sub(r"([^\W\d_]*[^\Ws])s\b", lambda found: _singular(found[0]), many, count=1)
    return "1 " + re.sub(r" (are|have|were|repeat|differ|declare|name|match|lie|miss)\b", _agrees, one, count=1)


def _agrees(found: re.Match[str]) -> str:
    verb = found[1]
    return " " + {"are": "is", "have": "has", "were": "was"}.get(verb, verb + ("es" if verb[-1] in "hs" else "s"))


def _singular(noun: str) -> str:
    for end, one in (("ies", "y"), ("sses", "ss"), ("xes", "x")):
        if noun.endswith(end):
            return noun.removesuffix(end) + one
    return noun.removesuffix("s")


def _plural(one: str) -> str:
    noun, _, verb = one.rpartition(" ")
    if verb in _MANY:
        return f"{_plural(noun)} {_MANY[verb]}"
    if one.endswith("y") and one[-2] not in "aeiou":
        return one[:-1] + "ies"
    return one + ("es" if one.endswith(("s", "x")) else "s")
