"""Entries of a log that are what its readers expect: anyone who may write a project may have written others."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.errors import StorageError
from onlineml.storage.documents import checked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onlineml.storage.location import Location
    from onlineml.storage.log.entry import LogEntry

__all__ = ["entries_of"]


def entries_of(entries: Iterable[LogEntry], kind: type[object], *, log: Location, called: str) -> list[LogEntry]:
    """Return the entries whose record is of a type; the others are left out, with one warning.

    Follow the chain of a series first (`onlineml.storage.log.log.in_effect`): an entry that is left out still has its
    place there, or nothing could ever be appended after it.

    Args:
        entries: of the log.
        kind: of the records, a `msgspec.Struct`.
        log: where they are, for the warning.
        called: what the entries should be, for the warning, such as "promotions".
    """
    found, wrong = list["LogEntry"](), list[str]()
    for entry in entries:
        try:
            checked(entry.record, kind, entry.id)
        except StorageError as error:
            wrong.append(str(error))
        else:
            found.append(entry)
    if wrong:
        told = (
            f"{count(len(wrong), f'entry of {log} is', f'entries of {log} are')} no {called}, and left out: {wrong[0]}"
        )
        warnings.warn(told, RuntimeWarning, stacklevel=4)
    return found
