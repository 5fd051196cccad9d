"""The outcome of an attempt to improve: a frozen value that prints itself and is stored in its run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from onlineml.errors import ConfigError
from onlineml.evaluation.render.html import page
from onlineml.evaluation.render.text import label, with_interval
from onlineml.improving.gate.result import PROMOTE
from onlineml.storage import io
from onlineml.storage.codec import encode, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.comparison.result import Comparison
    from onlineml.improving.gate.result import GateResult
    from onlineml.runs.run import Run

__all__ = ["FIRST", "RENAMED", "UNCHANGED", "Outcome"]

FIRST, UNCHANGED, RENAMED = "first", "unchanged", "renamed"
_HEADS = {
    FIRST: "The first model",
    UNCHANGED: "Nothing to do",
    RENAMED: "The same model with other names",
    "promote": "Promoted",
    "reject": "Rejected",
    "inconclusive": "Inconclusive",
}


@dataclass(frozen=True, eq=False, repr=False)
class Outcome:
    """The actions of `onlineml.improve` and the reasons for them.

    Attributes:
        verdict: ``"promote"``, ``"reject"`` or ``"inconclusive"`` of the gate; ``"first"`` if there was no champion;
            ``"unchanged"`` if there is nothing to learn; ``"renamed"`` if only names of classes changed.
        promoted: whether the challenger is the champion now.
        reasons: sentences, the most important first.
        how: how the challenger was trained, see `onlineml.Recipe`; ``""`` if none was.
        task: of the project.
        champion: version of the champion at the start; ``""`` for none.
        challenger: the published version; ``""`` for none.
        dataset: hash of the dataset for training the challenger and scoring both.
        champion_dataset: hash of the dataset that the champion was trained on; ``""`` if unknown.
        changes: number of images that are new, gone, relabelled and moved between the two; empty if unknown.
        new_classes: names of classes that the champion does not know.
        run: URL of the run; ``""`` if there was nothing to do.
        trained: values chosen by training: the interpolation factor, loss or scores on the validation images.
        gate: the decision with its evidence; None if there was nothing to decide.
        scores: of the challenger on the test images; None if there are none.
    """

    verdict: str
    promoted: bool
    reasons: tuple[str, ...]
    how: str
    task: str
    champion: str
    challenger: str
    dataset: str
    champion_dataset: str
    changes: Mapping[str, int] = field(default_factory=dict)
    new_classes: tuple[str, ...] = ()
    run: str = ""
    trained: Mapping[str, Any] = field(default_factory=dict)
    gate: GateResult | None = None
    scores: BaseScores | None = None

    @property
    def comparison(self) -> Comparison | None:
        """Champion and challenger, image by image; None if there was nothing to compare."""
        return None if self.gate is None else self.gate.comparison

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the available figures."""
        diff = self.comparison
        if diff is None:
            return ()
        own = {"slices": bool(diff.by_slice), "broken": bool(diff.broken_ids), "fixed": bool(diff.fixed_ids)}
        return ("classes", *(name for name, there in own.items() if there))

    def figure(self, name: str) -> Figure:
        """A figure of the comparison by name, see `figures`.

        Raises:
            ConfigError: the figure does not exist, or nothing was compared.
        """
        if self.comparison is None:
            raise ConfigError(f"there is no figure {name!r}: nothing was compared ({self.verdict})")
        return self.comparison.figure(name)

    def to_record(self) -> dict[str, Any]:
        """The outcome as plain JSON values; undefined numbers are None."""
        apart = {"gate": self.gate and self.gate.to_record(), "scores": self.scores and self.scores.summary()}
        record: dict[str, Any] = plain({f.name: getattr(self, f.name) for f in fields(self)} | apart)
        return record

    def to_json(self) -> str:
        """`to_record` as JSON."""
        return encode(self.to_record(), indent=1).decode()

    def save(self, run: Run) -> None:
        """Write ``outcome.json`` and ``outcome.html`` into a run."""
        for name, text in (("outcome.html", self.to_html()), ("outcome.json", self.to_json())):
            io.write_bytes(run.location / name, text.encode())

    def to_html(self) -> str:
        """Return one self-contained page with the verdict and the comparison with its images."""
        own = Markup(self._repr_html_())  # noqa: S704 - the template escapes
        if self.comparison is not None:
            return self.comparison.to_html(before=own)
        return page(self._head(), None, (), before=own)

    # ---- shown ----

    def _facts(self) -> list[tuple[str, str]]:
        changes = ", ".join(f"{n:,} {kind}" for kind, n in self.changes.items() if n)
        facts = [
            ("champion", self.champion or "none yet"),
            ("challenger", " ".join(filter(None, [self.challenger or "none", self.how and f"({self.how})"]))),
            ("dataset", self.dataset[:12]),
            ("since the champion's", changes),
            ("new classes", ", ".join(self.new_classes)),
            ("on test images", "" if self.scores is None else _in_words(self.scores)),
            ("run", self.run),
        ]
        return [(name, value) for name, value in facts if value]

    def _head(self) -> str:
        if self.verdict == PROMOTE and not self.promoted:
            return "Promote (not applied)"
        return _HEADS[self.verdict]

    def __str__(self) -> str:
        lines = [f"{self._head()}: {self.reasons[0] if self.reasons else ''}"]
        lines += [f"  {reason}" for reason in self.reasons[1:]]
        lines += [f"  {name:21}{value}" for name, value in self._facts()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Outcome: {self.verdict}, challenger {self.challenger or 'none'}, champion {self.champion or 'none'}>"

    def _repr_html_(self) -> str:
        from onlineml.evaluation.render.html import Table, notebook_cell  # noqa: PLC0415

        return notebook_cell(self._head(), reasons=self.reasons, columns=[[Table(("", ""), self._facts())]])


def _in_words(scores: BaseScores) -> str:
    """The most important score with its interval: "accuracy 0.981 (0.964 to 0.991)"."""
    name = scores.headline[0]
    return f"{label(name)} {with_interval(scores.score(name), scores.interval(name))}"
