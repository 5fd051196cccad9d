"""The files of a job's folder, decoded with the types and ranges that are used; anyone may have written them."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 (msgspec reads the annotations)
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from onlineml.errors import StorageError
from onlineml.runs.records import Heartbeat, Process, Seconds
from onlineml.storage.documents import checked, json_value

__all__ = ["KINDS", "decoded"]


class _Job(msgspec.Struct):
    function: str
    arguments: dict[str, Any]


class _Spec(msgspec.Struct):
    job: _Job | None = None


class _Status(msgspec.Struct):
    state: str = ""
    attempt: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    time: datetime | None = None


class _Claim(msgspec.Struct):
    time: Seconds = 0.0
    host: str = ""
    executor: str = ""


KINDS: tuple[type[msgspec.Struct], ...] = (_Spec, _Status, Heartbeat, _Claim, Process)


def decoded(content: bytes | OSError, kind: type[msgspec.Struct], name: str) -> tuple[dict[str, Any], str]:
    """Decode a file of a job.

    Args:
        content: of the file, or why it could not be read.
        kind: one of `KINDS`.
        name: of the file.

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
        values = json_value(content)
        checked(values, kind, name)
    except StorageError as error:
        return {}, str(error)
    except ValueError:
        return {}, ""
    except RecursionError:
        return {}, f"{name} is nested too deeply"
    return values, ""
