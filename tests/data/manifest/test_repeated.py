"""Values that occur more than once."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineml.data.manifest.repeated import repeated_values, rows_of_repeated


@given(st.lists(st.none() | st.sampled_from(["a", "b", "", "é", "c"])), st.integers(0, 5))
def test_they_are_those_that_counting_finds(values: list[str | None], cut: int):
    counts = Counter(value for value in values if value is not None)
    often = [value for value, n in counts.items() if n > 1]  # in the order of their first appearance
    for column in (
        pa.array(values, pa.string()),
        pa.chunked_array([values[:cut], values[cut:]], pa.string()),
        pa.chunked_array([], pa.string()) if not values else pa.array(values, pa.string()),
    ):
        assert repeated_values(column).to_pylist() == often
        assert rows_of_repeated(column).tolist() == [i for i, value in enumerate(values) if value in often]


@pytest.mark.parametrize("values", [[], [None, None], ["a", "b", None]])
def test_nothing_is_repeated(values: list[str | None]):
    assert rows_of_repeated(pa.array(values, pa.string())).tolist() == []
