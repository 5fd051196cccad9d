"""`Trial`: one training of one candidate, and the list of them that a search keeps in its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onlineml.errors import NotFoundError
from onlineml.storage import io
from onlineml.storage.documents import decoded
from onlineml.storage.reading import read_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.runs.run import Run

__all__ = ["Trial", "best_trial", "read_trials", "write_trials"]

_FILE = "trials.json"


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One training of one candidate, from where its best one ended.

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


def best_trial(trials: Sequence[Trial], candidate: int) -> Trial | None:
    """Return a candidate's trial of the highest score, of equal ones the latest; None if none has a score.

    A longer training may end below a shorter one, by chance or where it learns by heart.
    """
    scored = [(t.score, t.round, t) for t in trials if t.candidate == candidate and t.score is not None]
    return max(scored, key=lambda one: one[:2])[2] if scored else None


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
