"""The result of a search: a leaderboard, and the outcome of the gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from onlineml.evaluation.render.html import Table, notebook_cell, page
from onlineml.evaluation.render.text import with_interval
from onlineml.improving.searching.trials import best_trial
from onlineml.storage import io
from onlineml.storage.codec import encode, plain

if TYPE_CHECKING:
    import pandas as pd

    from onlineml.improving.outcome import Outcome
    from onlineml.improving.searching.candidates import Candidate
    from onlineml.improving.searching.trials import Trial
    from onlineml.runs.run import Run

__all__ = ["SearchResult"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SearchResult:
    """The settings that `onlineml.search` tried, and the outcome.

    Attributes:
        candidates: the settings that were tried.
        trials: their trainings, in the order in which they ended.
        winner: index of the candidate whose model was published.
        averaged: indices of the candidates whose weights were averaged; empty if none were.
        metric: name of the score on the validation images that candidates are ranked by.
        outcome: of the gate.
        run: URL of the run of the search.
    """

    candidates: tuple[Candidate, ...]
    trials: tuple[Trial, ...]
    winner: int
    averaged: tuple[int, ...]
    metric: str
    outcome: Outcome
    run: str

    @property
    def best(self) -> Candidate:
        """The winner's settings."""
        return self.candidates[self.winner]

    def ranked(self) -> list[Trial]:
        """Return the best trial of each candidate: the winner's, then those of more rounds, then by score."""
        every = range(len(self.candidates))
        first = {t.candidate: t for t in reversed(self.trials)}  # of those that failed
        best = [best_trial(self.trials, i) or first[i] for i in every if i in first]
        return sorted(
            best,
            key=lambda t: (t.candidate != self.winner, -self._rounds(t.candidate), t.score is None, -(t.score or 0.0)),
        )

    def _rounds(self, candidate: int) -> int:
        return sum(t.candidate == candidate for t in self.trials)

    def leaderboard(self) -> pd.DataFrame:
        """Return a row per candidate, the winner first.

        Its columns are the settings, ``rounds``, ``seconds`` of all its trainings, the best score on the validation
        images with its 95 % interval ``low`` to ``high``, the ``run`` that ended with it, and ``error`` if it failed.
        """
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame([self._row(trial) for trial in self.ranked()])

    def _row(self, trial: Trial) -> dict[str, Any]:
        settings = self.candidates[trial.candidate]
        seconds = sum(t.seconds or 0.0 for t in self.trials if t.candidate == trial.candidate)
        return {
            "settings": str(settings),
            "backbone": settings.backbone,
            "size": trial.size,
            "lr_factor": settings.lr_factor,
            "augment": settings.augment,
            "rounds": self._rounds(trial.candidate),
            "seconds": round(seconds, 1),
            self.metric: trial.score,
            "low": trial.low,
            "high": trial.high,
            "run": trial.run,
            "error": trial.error,
        }

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values."""
        record: dict[str, Any] = plain(
            {
                "metric": self.metric,
                "winner": self.winner,
                "averaged": self.averaged,
                "leaderboard": [self._row(trial) for trial in self.ranked()],
                "outcome": self.outcome.to_record(),
            }
        )
        return record

    def save(self, run: Run) -> None:
        """Write ``search.json`` and ``search.html`` into a run."""
        own = Markup(self._cell() + self.outcome._repr_html_())  # noqa: S704 - templates escape; of this package
        io.write_bytes(run.location / "search.html", page(self._head(), None, (), before=own).encode())
        io.write_bytes(run.location / "search.json", encode(self.to_record(), indent=1))

    # ---- shown ----

    def _head(self) -> str:
        return f"Best of {len(self.candidates)}: {self.best}"

    def _lines(self) -> list[str]:
        note = "the highest of several scores on validation images is too high by chance"
        soup = f"the weights of {len(self.averaged)} models were averaged" if len(self.averaged) > 1 else ""
        return [line for line in (soup, note if len(self.candidates) > 1 else "") if line]

    def _table(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for trial in self.ranked():
            row = self._row(trial)
            score = "failed" if trial.error else _interval(trial)
            rows.append((row["settings"], f"{trial.size or ''}", f"{row['rounds']}", f"{row['seconds']:.0f}", score))
        return rows

    def _header(self) -> tuple[str, ...]:
        return ("settings", "px", "rounds", "s", f"{self.metric} on validation (95 %)")

    def _cell(self) -> str:
        table = Table(self._header(), self._table())
        return notebook_cell(self._head(), lines=self._lines(), columns=[[table]])

    def __str__(self) -> str:
        rows = [self._header(), *self._table()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self._head(), *lines, *(f"  {line}" for line in self._lines()), str(self.outcome)])

    def __repr__(self) -> str:
        return f"<SearchResult: {len(self.candidates)} candidates, best: {self.best}, {self.outcome.verdict}>"

    def _repr_html_(self) -> str:
        return self._cell() + self.outcome._repr_html_()


def _interval(trial: Trial) -> str:
    if trial.score is None:
        return "undefined"
    bounds = (math.nan, math.nan) if trial.low is None or trial.high is None else (trial.low, trial.high)
    return with_interval(trial.score, bounds)
