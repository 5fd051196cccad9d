"""Log of promotions: the version that an alias such as ``champion`` refers to, since when, by whom and why.

An alias is computed from the records of ``log/promotions``. Each record names the record it follows, and only one may
follow each: of two schedulers that both replace the same champion, only one succeeds (see `AppendLog.append_after`).
"""

from __future__ import annotations

import getpass
import os
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from onlineml.errors import ConfigError, ConflictError
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.log.log import AppendLog, LogEntry, in_effect
from onlineml.storage.log.typed import entries_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ALIAS", "AliasState", "aliases", "check_alias", "default_author", "promotion_history"]

ALIAS = re.compile(r"[a-z][a-z0-9_-]*")


class _Promotion(msgspec.Struct):
    """A record of the log."""

    event: str
    alias: Annotated[str, Meta(pattern=f"^{ALIAS.pattern}$")]
    version: str
    previous: str | None
    reason: str
    author: str
    series: str

    def __post_init__(self) -> None:
        if self.alias != self.series:
            raise ValueError("Expected `series` to be the alias")


def aliases(project: Url) -> dict[str, str]:
    """Return the current version's name of each alias of the project in a folder."""
    _, chains = _chains(_log(Location.of(project)))
    stacks = {name: _stack(chain) for name, chain in chains.items()}
    return {name: stack[-1] for name, stack in stacks.items() if stack}


def promotion_history(project_url: Url, *, storage_options: Options = None) -> list[dict[str, Any]]:
    """Return all promotions and rollbacks in order.

    Returns:
        For each: id, time (ISO, UTC), event, alias, version, previous, reason, author, and in_effect, which is false
        for a promotion that lost against a concurrent one, on a store that cannot refuse it.
    """
    promotions, chains = _chains(_log(Location.of(project_url, storage_options)))
    counting = {entry.id for chain in chains.values() for entry in chain}
    shown = ("event", "alias", "version", "previous", "reason", "author")
    return [
        {
            "id": entry.id,
            "time": entry.time.isoformat(timespec="seconds"),
            **{name: entry.record[name] for name in shown},
            "in_effect": entry.id in counting,
        }
        for entry in promotions
    ]


class AliasState:
    """Current state of an alias, and the method to change it.

    Attributes:
        versions: the versions that the alias referred to, the current one last; without those rolled back.
    """

    def __init__(self, project: Location, alias: str) -> None:
        self._project, self._alias = project, alias
        self._log = _log(project)
        self._entries = in_effect(self._log.read(), series=alias)
        self.versions = _stack(_promotions(self._entries, self._log))

    def follow(self, *, event: str, version: str, reason: str, author: str | None) -> None:
        """Point the alias to another version.

        Raises:
            ConflictError: another process changed the alias since this state was read.
        """
        record = {
            "event": event,
            "alias": self._alias,
            "version": version,
            "previous": self.versions[-1] if self.versions else None,
            "reason": reason,
            "author": default_author(author),
        }
        after = self._entries[-1].id if self._entries else None
        try:
            self._log.append_after(record, series=self._alias, after=after)
        except ConflictError as err:
            now = aliases(self._project).get(self._alias)
            raise ConflictError(
                f"{self._project}: {version} was not made {self._alias!r}: another process promoted "
                f"{now} at the same moment; compare the two, and promote again if yours is better"
            ) from err


def _log(project: Location) -> AppendLog:
    return AppendLog(project / "log/promotions")


def _promotions(entries: Sequence[LogEntry], log: AppendLog) -> list[LogEntry]:
    return entries_of(entries, _Promotion, log=log.location, called="promotions")


def _chains(log: AppendLog) -> tuple[list[LogEntry], dict[str, list[LogEntry]]]:
    """Return all promotions of a log, and those that are in effect, in order, by alias."""
    entries = log.read()
    promotions = {entry.id: entry for entry in _promotions(entries, log)}
    names = sorted({entry.record["alias"] for entry in promotions.values()})
    return list(promotions.values()), {
        name: [entry for entry in in_effect(entries, series=name) if entry.id in promotions] for name in names
    }


def _stack(entries: Sequence[LogEntry]) -> list[str]:
    """Return the versions that an alias referred to, the current one last."""
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
    """Check the name of an alias.

    Raises:
        ConfigError: the name is invalid.
    """
    if not ALIAS.fullmatch(alias):
        raise ConfigError(
            f"{alias!r} is not a valid alias; expected lower-case letters, digits, '-' and '_', starting with a letter"
        )


def default_author(author: str | None = None) -> str:
    """Return the given author, else the user of the notebook hub or the machine; ``unknown`` if neither has a name."""
    if author is not None:
        return author
    try:
        return os.environ.get("JUPYTERHUB_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no passwd entry
        return "unknown"
