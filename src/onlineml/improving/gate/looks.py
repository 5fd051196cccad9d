"""Log of looks: each verdict on a test set with its evidence, in order, of which the rate of the next look follows.

A test set lives as long as at least half of its images were in it at its first look; images that are added or removed,
labels that are corrected, and promotions do not end its life. One that has doubled, or was replaced, begins a new one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.errors import ConflictError
from onlineml.improving.gate.promise import Look
from onlineml.improving.gate.result import PROMOTE
from onlineml.storage.location import Location
from onlineml.storage.log.log import AppendLog, LogEntry, in_effect
from onlineml.storage.log.typed import entries_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onlineml.improving.gate.result import GateResult
    from onlineml.storage.location import Options, Url

__all__ = ["LookLog", "look_history"]

_SERIES = "looks"
_SAMPLED = 400  # images, by which a test set is recognized: the share of those that it kept is exact to 2.5 points
_DIGITS = 12
_RENEWED = 0.5  # share of images that were not in it at the first look, from which on a test set is a new one


def look_history(project: Url, *, storage_options: Options = None) -> list[dict[str, Any]]:
    """Return all looks of the gate of a project, in order.

    Args:
        project: its folder.
        storage_options: options of the filesystem.

    Returns:
        For each: id, time (ISO, UTC), number (of the look in the life of the test set), champion, challenger, dataset,
        test_hash, and gate: the record of `onlineml.improving.gate.GateResult.to_record`, which `replayed` judges
        again.
    """
    entries = LookLog(Location.of(project, storage_options)).entries()
    return [
        {"id": entry.id, "time": entry.time.isoformat(timespec="seconds"), "number": entry.record["gate"]["look"]}
        | {name: entry.record[name] for name in ("champion", "challenger", "dataset", "test_hash", "gate")}
        for entry in entries
    ]


class _Policy(msgspec.Struct):
    name: str


class _Gate(msgspec.Struct):
    verdict: str
    policy: _Policy
    lower: float | None
    look: int


class _Look(msgspec.Struct):
    """A record of the log."""

    champion: str
    challenger: str
    dataset: str
    test_hash: str
    life: str
    gate: _Gate
    images: list[str] = []

    def __post_init__(self) -> None:
        if not self.life and not self.images:
            raise ValueError("Expected `images` of the first look at a test set")


class LookLog:
    """The looks of a project's gate, in ``log/looks``."""

    def __init__(self, project: Location) -> None:
        self._log = AppendLog(project / "log/looks")

    def entries(self) -> list[LogEntry]:
        """The looks that count, in order."""
        return self._read()[0]

    def _read(self) -> tuple[list[LogEntry], str | None]:
        """The looks that count, and the id of the entry that the next one follows."""
        chain = in_effect(self._log.read(), series=_SERIES)
        looks = entries_of(chain, _Look, log=self._log.location, called="looks")
        return looks, chain[-1].id if chain else None

    def taken(
        self, judge: Callable[[Look], GateResult], *, image_ids: Sequence[str], key: Mapping[str, str]
    ) -> GateResult:
        """Take the next look and record it, before anything follows from it.

        The same question is not asked twice: a resumed attempt gets the number that it had.

        Args:
            judge: applies the gate at a look.
            image_ids: of the test images.
            key: champion, challenger, dataset and test_hash.
        """
        while True:
            entries, last = self._read()
            life = _life_of(entries, image_ids)
            own = [entry for entry in entries if (entry.record["life"] or entry.id) == life]
            same = [place for place, entry in enumerate(own) if all(entry.record[k] == key[k] for k in key)]
            before = own[: same[0]] if same else own
            decided = judge(Look(len(before) + 1, n_not_worse=sum(map(_only_not_worse, before))))
            if same:
                return decided
            record = {**key, "life": life, "gate": decided.to_record()}
            if not life:
                record["images"] = _sample(image_ids)
            try:
                self._log.append_after(record, series=_SERIES, after=last)
            except ConflictError:  # another look came first: this one is the next
                continue
            return decided


def _only_not_worse(entry: LogEntry) -> bool:
    gate = entry.record["gate"]
    return bool(gate["verdict"] == PROMOTE and gate["policy"]["name"] == "not_worse" and not gate["lower"] > 0)


def _life_of(entries: Sequence[LogEntry], image_ids: Sequence[str]) -> str:
    """The id of the first look of the life that a test set is in; ``""`` if it begins one."""
    kept = {entry.id: _kept(entry.record["images"], image_ids) for entry in entries if not entry.record["life"]}
    best = max(kept, key=lambda life: (kept[life], life), default="")
    return best if best and kept[best] > 1 - _RENEWED else ""


def _hashed(image_ids: Sequence[str]) -> list[str]:
    return sorted(sha256(image_id.encode()).hexdigest()[:_DIGITS] for image_id in image_ids)


def _sample(image_ids: Sequence[str]) -> list[str]:
    """Hashes of the images, or of a random sample of them that other test sets share: the smallest."""
    return _hashed(image_ids)[:_SAMPLED]


def _kept(sample: Sequence[str], image_ids: Sequence[str]) -> float:
    """Share of the images that were in the sampled test set, estimated below the largest hash of the sample."""
    now = _hashed(image_ids)
    if len(sample) == _SAMPLED:
        now = [value for value in now if value <= sample[-1]]
    return len(set(sample).intersection(now)) / len(now) if now else 0.0
