"""JSON of dataclasses, arrays and bytes: strict, without loss, and damage has a name."""

from __future__ import annotations

import base64
import json
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onlineml.errors import DataError
from onlineml.storage.codec import as_type, encode, guard, nan_for_null, pack, plain


@dataclass(frozen=True)
class Part:
    name: str
    score: float


@dataclass(frozen=True, eq=False)
class Whole:
    parts: tuple[Part, ...]
    counts: npt.NDArray[np.int64]
    shares: npt.NDArray[np.floating[Any]]
    packed: npt.NDArray[np.bool_] | None = None


def test_undefined_numbers_are_null_and_numpy_torch_and_bytes_are_plain():
    value = {"a": [math.nan, np.float32(0.5), np.int64(3)], "b": np.eye(2), "c": b"\xff", "d": torch.tensor([1, 2])}
    expected = {"a": [None, 0.5, 3], "b": [[1.0, 0.0], [0.0, 1.0]], "c": "/w==", "d": [1, 2]}
    assert json.loads(encode(value), parse_constant=pytest.fail) == expected
    assert plain(value) == expected
    assert encode({"a": 1}, indent=1) == b'{\n "a": 1\n}'
    with pytest.raises(TypeError, match="found a type"):
        encode({"a": int})
    assert plain({1: "x"}) == {"1": "x"}


def test_a_dataclass_is_built_from_json_by_its_annotations():
    content = {"parts": [{"name": "x", "score": None}], "counts": [1, 2], "shares": [], "later": "ignored"}
    whole = as_type(nan_for_null(content), Whole)
    assert whole.parts[0].name == "x"
    assert math.isnan(whole.parts[0].score)
    assert (whole.counts.dtype, whole.shares.dtype, whole.packed) == (np.int64, np.float64, None)
    assert whole.counts.tolist() == [1, 2]


@given(
    arrays.arrays(
        st.sampled_from([np.int8, np.int64, np.float32, np.float64, np.bool_]), arrays.array_shapes(min_side=0)
    )
)
def test_a_packed_array_is_base64_of_zlib_and_comes_back(array):
    packed = json.loads(encode(pack(array)))
    raw = zlib.decompress(base64.b64decode(packed["zlib_base64"]))
    assert raw == array.astype(array.dtype.newbyteorder("<")).tobytes()
    back = as_type({"array": packed}, _Any).array
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array, equal_nan=array.dtype.kind == "f")


@dataclass(frozen=True, eq=False)
class _Any:
    array: npt.NDArray[Any]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"parts": [], "counts": [1]}, "shares"),
        ({"parts": [{"name": 5, "score": 1.0}], "counts": [], "shares": []}, "Expected `str`, got `int`"),
        ({"parts": [], "counts": ["x"], "shares": []}, "counts"),
        ({"parts": [], "counts": pack(np.zeros(1)), "shares": []}, "dtype float64; expected int64"),
        ({"parts": [], "counts": [], "shares": {"dtype": "|O", "shape": [1], "zlib_base64": ""}}, "expected numbers"),
        (
            {"parts": [], "counts": [], "shares": {"dtype": "9" * 5000, "shape": [1], "zlib_base64": ""}},
            "expected numbers",
        ),
        (
            {"parts": [], "counts": [], "shares": {"dtype": "<f8", "shape": [1], "zlib_base64": "AAAA"}},
            "damaged: error",
        ),
    ],
)
def test_damage_has_a_name(content, says):
    with pytest.raises(DataError, match=says) as caught, guard("the file", remedy="make it again"):
        as_type(plain(content), Whole)
    assert str(caught.value).startswith("the file is damaged: ")
    assert str(caught.value).endswith("; make it again")


def test_an_error_of_ours_stays_as_it_is():
    with pytest.raises(DataError, match=r"^mine$"), guard("the file", remedy=""):
        raise DataError("mine")
