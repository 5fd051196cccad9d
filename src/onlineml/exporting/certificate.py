"""Certificate of an export: whether the exported model answers as the original does, on labelled photos."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from onlineml.arguments.checks import share
from onlineml.arguments.counted import count
from onlineml.evaluation.render.html import Section, Table, page
from onlineml.exporting.costs import Costs  # noqa: TC001 - a field
from onlineml.exporting.pieces import Agreement  # noqa: TC001 - a field
from onlineml.pages import markup
from onlineml.storage.codec import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.evaluation.comparison.result import Comparison
    from onlineml.exporting.exported import Described

__all__ = ["Certificate", "Tolerance", "certified"]


@dataclass(frozen=True)
class Tolerance:
    """Limits on what an export may lose of the original's answers.

    Args:
        score: largest loss of the main score, 0..1; half a point by default.
        equal: least share of equal answers, 0..1, see `onlineml.exporting.pieces.Agreement`.

    Raises:
        ConfigError: a value is outside its range.
    """

    score: float = 0.005
    equal: float = 0.99

    def __post_init__(self) -> None:
        share("score", self.score)
        share("equal", self.equal)


@dataclass(frozen=True, eq=False)
class Certificate:
    """Record of how an exported model answers, beside the original.

    Attributes:
        format: see `onlineml.export`.
        source: the original, without credentials.
        sha256: of the exported graph, ``model.onnx`` or ``model.xml``.
        weights_sha256: of ``model.bin``, beside ``model.xml``; ``""`` for ONNX.
        manifest_hash: of the photos.
        split: of them.
        scores: name, value of the original and of the export, difference, and the ends of its 95 % interval, paired
            over groups.
        by_class: name, number of its images or objects, score of the original and of the export.
        agreement: of single answers.
        tolerance: what was allowed.
        costs: of both.
        machine: processor, system and number of threads.
        packages: versions.
    """

    format: str
    source: str
    sha256: str
    weights_sha256: str
    manifest_hash: str
    split: str
    scores: tuple[tuple[str, float, float, float, float, float], ...]
    by_class: tuple[tuple[str, int, float, float], ...]
    agreement: Agreement
    tolerance: Tolerance
    costs: Costs
    machine: str
    packages: Mapping[str, str]

    def faults(self) -> tuple[str, ...]:
        """Return what is beyond the tolerance, in words; nothing where the export may be used."""
        name, before, after, difference, _, _ = self.scores[0]
        found = []
        if not difference >= -self.tolerance.score:
            found.append(f"{name} falls from {before:.4f} to {after:.4f}, by more than {self.tolerance.score:g}")
        if not self.agreement.equal >= self.tolerance.equal:
            n = count(self.agreement.n_answers, "answer")
            found.append(f"{self.agreement.equal:.2%} of {n} are equal, less than {self.tolerance.equal:.2%}")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON values; an undefined number is None."""
        return {**plain(self), "faults": list(self.faults())}

    def __str__(self) -> str:
        name, before, after, _, low, high = self.scores[0]
        agreement = self.agreement
        answers = count(agreement.n_answers, "answer")
        shift = f", corners by {agreement.largest_shift_px:.2g} px" if agreement.largest_shift_px else ""
        return (
            f"{name} {before:.4f} -> {after:.4f} (difference {low:+.4f} to {high:+.4f}) on "
            f"{count(agreement.n_images, 'photo')}; {agreement.equal:.2%} of {answers} equal, "
            f"scores differ by at most {agreement.largest_score:.2g}{shift}; "
            f"{self.costs}"
        )

    def to_html(self) -> str:
        """Return a page for people."""
        scores = [
            (name, f"{a:.4f}", f"{b:.4f}", f"{d:+.4f}", f"{lo:+.4f} to {hi:+.4f}")
            for name, a, b, d, lo, hi in self.scores
        ]
        classes = [(name, n, f"{a:.3f}", f"{b:.3f}") for name, n, a, b in self.by_class]
        speed = [(s.batch_size, f"{s.original_ms:.2f}", f"{s.exported_ms:.2f}") for s in self.costs.speed]
        facts = [("exported from", self.source or "a model that was not published")]
        facts += [
            ("photos", f"{self.split} of the dataset {self.manifest_hash}"),
            ("SHA-256 of the graph", self.sha256),
            *([("SHA-256 of its weights", self.weights_sha256)] if self.weights_sha256 else []),
        ]
        facts += [("measured on", self.machine), *self.packages.items()]
        lines = [str(self), *(f"Not within the tolerance: {fault}." for fault in self.faults())]
        sections = [
            Section("Answers", lines=lines),
            Section("Scores", table=Table(("score", "original", "exported", "difference", "95 % interval"), scores)),
            Section("Classes", table=Table(("class", "n", "original", "exported"), classes)),
            Section("Speed", table=Table(("photos at once", "original, ms a photo", "exported, ms a photo"), speed)),
            Section("Facts", table=Table(("", ""), facts, left=2)),
        ]
        title = "Certificate of an exported model"
        return page(title, None, sections, before=markup("<h1>{}</h1>", title))


def certified(
    comparison: Comparison,
    agreement: Agreement,
    *,
    described: Described,
    tolerance: Tolerance,
    costs: Costs,
    packages: Mapping[str, str],
) -> Certificate:
    """Draw up a certificate from the comparison of both models' scores, see `onlineml.compare`."""
    main = comparison.score(comparison.main)
    others = [one for one in comparison.scores if one.name != comparison.main]
    return Certificate(
        format=described.runtime,
        source=comparison.a.model_ref,
        sha256=described.sha256,
        weights_sha256=described.weights_sha256,
        manifest_hash=comparison.a.manifest_hash,
        split=comparison.a.split,
        scores=tuple((s.name, s.a, s.b, s.difference, s.low, s.high) for s in (main, *others)),
        by_class=tuple((part.value, part.n, part.a, part.b) for part in comparison.by_class),
        agreement=agreement,
        tolerance=tolerance,
        costs=costs,
        machine=f"{platform.machine()}, {platform.system()}, {count(torch.get_num_threads(), 'thread')}",
        packages=packages,
    )
