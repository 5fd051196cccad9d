"""The log of promotions: which version an alias such as ``champion`` stood for, since when, by whom and why.

An alias is the fold of ``log/promotions``. Each record says which record it follows, and only one may follow each: two
schedulers that both promote in place of the same champion cannot both succeed (see `AppendLog.append_after`).
"""

from __future__ import annotations

import getpass
import os
import re
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError, ConflictError
from onlineml.storage import io
from onlineml.storage.log.log import AppendLog, LogEntry, in_effect
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ALIAS", "AliasState", "aliases", "check_alias", "default_author", "promotion_history"]

ALIAS = re.compile(r"[a-z][a-z0-9_-]*")


def aliases(project_url: str, *, storage_options: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What each alias stands for: the name of a version by alias."""
    entries = _log(project_url, storage_options).read()
    names = sorted({entry.record["alias"] for entry in entries})
    return {name: _stack(in_effect(entries, series=name))[-1] for name in names}


def promotion_history(project_url: str, *, storage_options: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """All promotions and rollbacks in order.

    Returns:
        For each: id, time (ISO, UTC), event, alias, version, previous, reason, author, and in_effect: false for one
        that lost against another that was made at the same moment, on a store that cannot refuse it.
    """
    entries = _log(project_url, storage_options).read()
    names = {entry.record["alias"] for entry in entries}
    counting = {entry.id for name in names for entry in in_effect(entries, series=name)}
    shown = ("event", "alias", "version", "previous", "reason", "author")
    return [
        {
            "id": entry.id,
            "time": entry.time.isoformat(timespec="seconds"),
            **{name: entry.record[name] for name in shown},
            "in_effect": entry.id in counting,
        }
        for entry in entries
    ]


class AliasState:
    """What an alias stands for now, and the one way to change it.

    Attributes:
        versions: the versions that it stood for, the present one last; those rolled back are gone.
    """

    def __init__(self, project_url: str, alias: str, *, storage_options: Mapping[str, Any] | None = None) -> None:
        self._project_url, self._alias, self._options = project_url, alias, storage_options
        self._log = _log(project_url, storage_options)
        self._entries = in_effect(self._log.read(), series=alias)
        self.versions = _stack(self._entries)

    def follow(self, *, event: str, version: str, reason: str, author: str | None) -> None:
        """Say what the alias stands for from now on.

        Raises:
            ConflictError: somebody else said it since this state was read.
        """
        record = {
            "event": event,
            "alias": self._alias,
            "version": version,
            "previous": self.versions[-1] if self.versions else None,
            "reason": reason,
            "author": default_author() if author is None else author,
        }
        after = self._entries[-1].id if self._entries else None
        try:
            self._log.append_after(record, series=self._alias, after=after)
        except ConflictError as err:
            now = aliases(self._project_url, storage_options=self._options).get(self._alias)
            raise ConflictError(
                f"{redacted(self._project_url)}: {version} was not made {self._alias!r}, for somebody else made it "
                f"{now} at the same moment; compare with that one, and promote again if yours is better"
            ) from err


def _log(project_url: str, storage_options: Mapping[str, Any] | None) -> AppendLog:
    return AppendLog(io.join(project_url, "log/promotions"), storage_options=storage_options)


def _stack(entries: Sequence[LogEntry]) -> list[str]:
    """The versions that an alias stood for, the present one last."""
    stack: list[str] = []
    for record in (entry.record for entry in entries):
        version = record["version"]
        if record["event"] == "rolled_back" and version in stack:
            while stack[-1] != version:
                stack.pop()
        elif not stack or stack[-1] != version:
            stack.append(version)
    return stack


def check_alias(alias: str) -> None:
    """Refuse what cannot be an alias.

    Raises:
        ConfigError: it is none.
    """
    if not ALIAS.fullmatch(alias):
        raise ConfigError(f"{alias!r} is no alias; expected lower-case letters, digits, '-' and '_', a letter first")


def default_author() -> str:
    """The user of the notebook hub, else of the machine; ``unknown`` where neither has a name."""
    try:
        return os.environ.get("JUPYTERHUB_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry
        return "unknown"
