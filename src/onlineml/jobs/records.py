"""The files of a job's folder, decoded with the types and ranges that are used; anyone may have written them."""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003 (msgspec reads the annotations)
from typing import Annotated, Any

import msgspec
from msgspec import Meta

__all__ = ["KINDS", "decoded"]

_Seconds = Annotated[float, Meta(ge=0, le=250_000_000_000)]  # since 1970, up to a year that datetime has
_Attempt = Annotated[int, Meta(ge=0, lt=2**31)]


class _Job(msgspec.Struct):
    function: str
    arguments: dict[str, Any]


class _Spec(msgspec.Struct):
    job: _Job | None = None


class _Status(msgspec.Struct):
    state: str = ""
    attempt: _Attempt = 0
    time: datetime | None = None


class _Heartbeat(msgspec.Struct):
    attempt: _Attempt = 0
    time: _Seconds = 0.0
    host: str = ""
    pid: int | None = None
    row: dict[str, Any] | None = None


class _Claim(msgspec.Struct):
    time: _Seconds = 0.0
    host: str = ""
    executor: str = ""


class _Handle(msgspec.Struct):
    host: str = ""
    pid: int | None = None


KINDS = (_Spec, _Status, _Heartbeat, _Claim, _Handle)


def decoded(content: bytes | OSError, kind: type[msgspec.Struct]) -> tuple[dict[str, Any], str]:
    """Decode a file of a job.

    Args:
        content: of the file, or why it could not be read.
        kind: one of `KINDS`.

    Returns:
        Its values, empty if it is missing or damaged; and what is wrong with it, else ``""``. A file that is cut off
        counts as missing: a store without atomic writes shows it so while it is written.

    Raises:
        OSError: it could not be read.
    """
    if isinstance(content, FileNotFoundError):
        return {}, ""
    if isinstance(content, OSError):
        raise content
    try:
        values = json.loads(content)
    except ValueError:
        return {}, ""
    except RecursionError:
        return {}, "nested too deeply"
    try:
        msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        return {}, str(error)
    return values, ""
