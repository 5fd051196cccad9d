"""Checks of single arguments: each returns the plain Python value, or says what was expected.

Numbers of NumPy are taken like Python's; True and False are no numbers, and text is no number and no list of names.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from onlineml.arguments.similar import did_you_mean
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "ABOVE_ZERO",
    "BELOW_ONE",
    "flag",
    "instance",
    "names",
    "number",
    "one_of",
    "seconds",
    "seed",
    "share",
    "whole",
]

T = TypeVar("T")

ABOVE_ZERO = math.ulp(0.0)  # the smallest number above 0
BELOW_ONE = math.nextafter(1.0, 0.0)  # the largest number below 1
_SEEDS = 2**31


def whole(name: str, value: T, *, least: int = 0, optional: bool = False, of: str = "") -> T:
    """A whole number, as an int.

    Args:
        name: of the argument.
        value: as given.
        least: lowest valid number.
        optional: None is valid.
        of: unit or meaning, for the message.

    Raises:
        ConfigError: it is none, or too small.
    """
    if value is None and optional:
        return value
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise _wrong(name, value, f"a whole number{of and f' of {of}'}, at least {least}", optional=optional)
    if int(value) < least:
        raise ConfigError(f"{name}={value}: expected at least {least}{of and f' {of}'}")
    return int(value)  # type: ignore[return-value] # of the same kind as `value`


def number(
    name: str, value: T, expected: str, *, least: float = -math.inf, most: float = math.inf, optional: bool = False
) -> T:
    """A number, as an int or float; nan is none.

    Args:
        name: of the argument.
        value: as given.
        expected: the range in words, to follow "expected".
        least: lowest valid number.
        most: highest valid number.
        optional: None is valid.

    Raises:
        ConfigError: it is none, or outside its range.
    """
    if value is None and optional:
        return value
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise _wrong(name, value, expected, optional=optional)
    if not least <= float(value) <= most:
        raise ConfigError(f"{name}={value}: expected {expected}")
    return value.item() if isinstance(value, np.generic) else value


def share(name: str, value: T, *, optional: bool = False) -> T:
    """A number in 0..1; see `number`."""
    return number(name, value, "a share between 0 and 1", least=0.0, most=1.0, optional=optional)


def seconds(name: str, value: T, *, optional: bool = False) -> T:
    """A finite number above 0; see `number`."""
    return number(name, value, "more than 0 seconds", least=ABOVE_ZERO, most=sys.float_info.max, optional=optional)


def seed(name: str, value: T) -> T:
    """A whole number in 0..2**31-1, as an int."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 <= int(value) < _SEEDS:
        return int(value)  # type: ignore[return-value] # of the same kind as `value`
    raise ConfigError(f"{name}={value!r}: expected 0..2**31-1")


def flag(name: str, value: T) -> T:
    """True or False, as a bool."""
    if not isinstance(value, bool | np.bool_):
        raise _wrong(name, value, "True or False")
    return bool(value)  # type: ignore[return-value]


def one_of(name: str, value: T, known: Collection[str], *, other: str = "") -> T:
    """One of some names.

    Args:
        name: of the argument.
        value: as given.
        known: the valid names.
        other: further valid values in words, for the message.

    Raises:
        ConfigError: it is none of them; with the nearest ones.
    """
    if isinstance(value, str) and value in known:
        return value
    raise ConfigError(
        f"{name}={value!r}: expected one of {', '.join(known)}{other and f', or {other}'}{did_you_mean(value, known)}"
    )


def names(name: str, value: Any, *, known: Collection[str] = (), optional: bool = False) -> Any:
    """A list of names, as a tuple; an array or Series is one as well.

    Args:
        name: of the argument.
        value: as given.
        known: the valid names; empty: any.
        optional: None is valid.

    Raises:
        ConfigError: it is a single text, or contains something else, or an unknown name.
    """
    if value is None and optional:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        remedy = f", such as [{value!r}]" if isinstance(value, str) else ""
        raise _wrong(name, value, f"a list of names{remedy}", optional=optional)
    listed = tuple(value)
    wrong = [one for one in listed if not isinstance(one, str)]
    if wrong:
        raise ConfigError(f"{name} contains {wrong[0]!r}: expected names")
    for one in listed:
        if known:
            one_of(name, one, known)
    return tuple(map(str, listed))  # not NumPy's text


def instance(name: str, value: Any, kinds: type | tuple[type, ...], expected: str) -> None:
    """Check the type of an argument.

    Args:
        name: of the argument.
        value: as given.
        kinds: the valid types.
        expected: in words, with the call that makes one.

    Raises:
        ConfigError: it has another type.
    """
    if not isinstance(value, kinds):
        raise _wrong(name, value, expected)


def _wrong(name: str, value: Any, expected: str, *, optional: bool = False) -> ConfigError:
    shown = repr(value)
    shown = f"={shown}" if len(shown) <= 50 else ""
    kind = type(value).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return ConfigError(f"{name}{shown} is {article} {kind}: expected {expected}{', or None' * optional}")
