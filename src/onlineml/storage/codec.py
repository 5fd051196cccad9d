"""JSON of dataclasses, arrays, bytes and dates, by msgspec: an undefined number (nan) is null, bytes are base64."""

from __future__ import annotations

import base64
import contextlib
import re
import zlib
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec
import numpy as np

from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["as_type", "encode", "guard", "nan_for_null", "pack", "plain"]

_T = TypeVar("_T")
_MOST_BYTES = 1 << 30  # of an array; a few kilobytes could be unpacked to any size


def encode(value: Any, *, indent: int = 0) -> bytes:
    """Encode as strict JSON.

    Args:
        value: of JSON values, dataclasses, arrays and numbers of numpy, bytes, dates.
        indent: spaces a level; 0 writes one line.
    """
    data = msgspec.json.encode(value, enc_hook=_listed)
    return msgspec.json.format(data, indent=indent) if indent else data


def plain(value: Any) -> Any:
    """Convert to the values that JSON has."""
    return msgspec.json.decode(encode(value))


def as_type(value: Any, kind: type[_T]) -> _T:
    """Build a dataclass, with those in it, from JSON values; unknown keys are ignored.

    Raises:
        msgspec.ValidationError: a key is missing, or a value is of another type.
    """
    return msgspec.convert(value, kind, dec_hook=_array, str_keys=True)


def nan_for_null(value: Any) -> Any:
    """Replace null by nan wherever it is, for values without any other nulls."""
    if isinstance(value, dict):
        return {name: nan_for_null(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [nan_for_null(inner) for inner in value]
    return float("nan") if value is None else value


def pack(array: Any) -> dict[str, Any]:
    """Encode an array losslessly: base64 of zlib of its bytes, little-endian; `as_type` reads it."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {"dtype": little.dtype.str, "shape": array.shape, "zlib_base64": zlib.compress(little.tobytes(), 1)}


_DTYPE = re.compile(r"[<>|=]?[biuf](1|2|4|8)")
_DAMAGE = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


@contextlib.contextmanager
def guard(what: str, *, remedy: str) -> Iterator[None]:
    """Turn the errors of reading a damaged document into one that says so.

    Raises:
        DataError: `what` is damaged.
    """
    try:
        yield
    except DataError:
        raise
    except (*_DAMAGE, msgspec.MsgspecError, zlib.error) as error:  # msgspec's is a ValueError in some versions only
        raise DataError(f"{what} is damaged: {type(error).__name__}: {error}; {remedy}") from error


def _listed(value: Any) -> Any:
    """Return an array or number of numpy or torch as lists and numbers of Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"expected values of JSON; found a {type(value).__name__}")


def _array(hint: Any, value: Any) -> Any:
    """Return what an annotation such as ``NDArray[np.int64]`` asks for, from a list, `pack` or an array."""
    (wanted,) = get_args(get_args(hint)[1]) or (Any,)
    exact = wanted if isinstance(wanted, type) and issubclass(wanted, np.generic) else None
    if not isinstance(value, dict):
        return np.asarray(value, exact if exact or wanted is Any else np.float64)
    array = _unpacked(value)
    if exact is not None and array.dtype != exact:
        raise ValueError(f"a packed array has dtype {array.dtype}; expected {np.dtype(exact)}")
    return array


def _unpacked(packed: dict[str, Any]) -> Any:
    given = str(packed["dtype"])
    if not _DTYPE.fullmatch(given):  # numpy evaluates others, and raises whatever comes of it
        raise ValueError(f"a packed array has dtype {given[:40]!r}; expected numbers or bool")
    dtype = np.dtype(given)
    data = zlib.decompressobj().decompress(base64.b64decode(packed["zlib_base64"]), _MOST_BYTES)
    return np.frombuffer(data, dtype).reshape(packed["shape"]).astype(dtype.newbyteorder("="))
