"""Counts with their words: one thing is, several are."""

from __future__ import annotations

import pytest

from onlineml.arguments.counted import count, part_of, tally


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (count(0, "image"), "0 images"),
        (count(1, "image"), "1 image"),
        (count(2062, "class"), "2,062 classes"),
        (count(2, "box has"), "2 boxes have"),
        (count(1, "new entry is"), "1 new entry is"),
        (count(3, "new entry is"), "3 new entries are"),
        (count(2, "row repeats", "rows repeat"), "2 rows repeat"),
        (part_of(1, 40, "image is"), "1 of 40 images is"),
        (part_of(1200, 4000, "box is"), "1,200 of 4,000 boxes are"),
        (part_of(1, 1, "image was"), "1 of 1 image was"),
        (tally(1, "class numbers have no name"), "1 class number has no name"),
        (tally(1, "other copies are left out"), "1 other copy is left out"),
        (tally(1, "boxes match none that are there"), "1 box matches none that are there"),
        (tally(2, "rows repeat another one"), "2 rows repeat another one"),
    ],
)
def test_numbers_agree_with_their_words(found: str, expected: str) -> None:
    assert found == expected
