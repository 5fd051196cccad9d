"""Patience with a store that refuses requests, breaks connections or never answers: of a person, and of work.

Work waits ``ONLINEML_PATIENCE_S`` seconds (120 by default) for each request. A person who clicks waits
``ONLINEML_CLICK_S`` seconds (30, and at most as long as work), counted from the store's last answer, whatever the click
requests.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["answered", "at_most", "background", "click", "left_s", "limit_s"]

_WORK_S, _CLICK_S = 120.0, 30.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class _Click:
    """One click of a person, shared by the threads that work for it."""

    limit_s: float
    answered_at: float


_now: ContextVar[_Click | None] = ContextVar("onlineml_patience", default=None)
_working: ContextVar[bool] = ContextVar("onlineml_background", default=False)


def limit_s() -> float:
    """Return the seconds for which an unavailable store is waited for here."""
    click = _now.get()
    return _seconds("ONLINEML_PATIENCE_S", _WORK_S) if click is None else click.limit_s


def left_s() -> float:
    """Return the seconds that remain of a click; infinite for work, whose requests have ``limit_s`` each."""
    click = _now.get()
    return math.inf if click is None else click.answered_at + click.limit_s - time.monotonic()


def answered() -> None:
    """Note that the store has done what was requested: a click that gets on may take longer."""
    click = _now.get()
    if click is not None:
        click.answered_at = time.monotonic()


def click(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate what a person waits for: unless it is part of work, or of another click, it has a person's patience."""

    @functools.wraps(function)
    def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        if _working.get() or _now.get() is not None:
            return function(*args, **kwargs)
        with at_most(_seconds("ONLINEML_CLICK_S", _CLICK_S)):
            return function(*args, **kwargs)

    return patient


@contextlib.contextmanager
def background() -> Iterator[None]:
    """Give everything within the block, or the decorated function, the patience of work."""
    tokens = _working.set(True), _now.set(None)
    try:
        yield
    finally:
        _working.reset(tokens[0])
        _now.reset(tokens[1])


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Wait at most so many seconds within the block, counted from the store's last answer."""
    token = _now.set(_Click(max(0.0, min(seconds, limit_s(), left_s())), time.monotonic()))
    try:
        yield
    finally:
        _now.reset(token)


def _seconds(variable: str, default: float) -> float:
    try:
        return float(os.environ.get(variable) or default)
    except ValueError:
        return default
