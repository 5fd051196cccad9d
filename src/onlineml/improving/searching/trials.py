"""`Trial`: one training of one candidate, and the list of them that a search keeps in its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onlineml.errors import NotFoundError
from onlineml.storage import io
from onlineml.storage.documents import decoded
from onlineml.storage.reading import read_bytes

if TYPE_CHECKING:
    from onlineml.runs.run import Run

__all__ = ["Trial", "read_trials", "write_trials"]

_FILE = "trials.json"


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One training of one candidate, from the state in which its last one ended.

    Attributes:
        candidate: index of its settings.
        round: of the search, from 0.
        run: id of its run.
        budget_s: seconds that it was given.
        seconds: that training and scoring took; None if it has not ended.
        size: side length of the network's input in pixels.
        score: on the validation images; None if it has not ended, or failed, or the score is undefined.
        low, high: 95 % interval of the score.
        error: why it failed; empty if it did not.
    """

    candidate: int
    round: int
    run: str
    budget_s: float
    seconds: float | None = None
    size: int | None = None
    score: float | None = None
    low: float | None = None
    high: float | None = None
    error: str = ""

    @property
    def ended(self) -> bool:
        """True once it was trained and scored, or failed."""
        return self.seconds is not None


def read_trials(run: Run) -> list[Trial]:
    """Read the trials of a search that was begun; none of a new one."""
    try:
        data = read_bytes(run.location / _FILE)
    except NotFoundError:
        return []
    return decoded(data, list[Trial], run.location / _FILE)


def write_trials(run: Run, trials: list[Trial]) -> None:
    """Store the trials so far."""
    io.write_bytes(run.location / _FILE, msgspec.json.format(msgspec.json.encode(trials), indent=1))
