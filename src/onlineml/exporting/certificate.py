"""Certificate of an export: whether the exported model answers as the original does, on labelled photos."""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from onlineml.arguments.checks import share
from onlineml.arguments.counted import count
from onlineml.evaluation.render.html import Section, Table, page
from onlineml.exporting.pieces import Agreement  # noqa: TC001 - a field
from onlineml.pages import markup
from onlineml.storage.codec import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onlineml.evaluation.comparison.result import Comparison
    from onlineml.tasks.base import VisionModule

__all__ = ["Certificate", "Speed", "Tolerance", "certified", "measured_speed"]

_MOST_S = 1.0  # of each measurement
_LEAST_RUNS = 3
_BATCHES = (1, 32)


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


@dataclass(frozen=True)
class Speed:
    """Milliseconds a photo of both models on the same machine, from uint8 pixels to answers; the median of some runs.

    Attributes:
        batch_size: photos in one run.
        original_ms: of the original, in torch.
        exported_ms: of the export.
    """

    batch_size: int
    original_ms: float
    exported_ms: float


@dataclass(frozen=True, eq=False)
class Certificate:
    """Record of how an exported model answers, beside the original.

    Attributes:
        runtime: ``"onnx"``.
        source: the original, without credentials.
        sha256: of the exported graph.
        manifest_hash: of the photos.
        split: of them.
        scores: name, value of the original and of the export, difference, and the ends of its 95 % interval, paired
            over groups.
        by_class: name, number of its images or objects, score of the original and of the export.
        agreement: of single answers.
        tolerance: what was allowed.
        speed: by batch size.
        original_bytes: size of the original's weights.
        exported_bytes: size of the graph.
        machine: processor, system and number of threads.
        packages: versions.
    """

    runtime: str
    source: str
    sha256: str
    manifest_hash: str
    split: str
    scores: tuple[tuple[str, float, float, float, float, float], ...]
    by_class: tuple[tuple[str, int, float, float], ...]
    agreement: Agreement
    tolerance: Tolerance
    speed: tuple[Speed, ...]
    original_bytes: int
    exported_bytes: int
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
            + ", ".join(
                f"batch {s.batch_size}: {s.original_ms:.1f} -> {s.exported_ms:.1f} ms a photo" for s in self.speed
            )
            + f"; {self.original_bytes / 1e6:.1f} -> {self.exported_bytes / 1e6:.1f} MB"
        )

    def to_html(self) -> str:
        """Return a page for people."""
        scores = [
            (name, f"{a:.4f}", f"{b:.4f}", f"{d:+.4f}", f"{lo:+.4f} to {hi:+.4f}")
            for name, a, b, d, lo, hi in self.scores
        ]
        classes = [(name, n, f"{a:.3f}", f"{b:.3f}") for name, n, a, b in self.by_class]
        speed = [(s.batch_size, f"{s.original_ms:.2f}", f"{s.exported_ms:.2f}") for s in self.speed]
        facts = [("exported from", self.source or "a model that was not published")]
        facts += [
            ("photos", f"{self.split} of the dataset {self.manifest_hash}"),
            ("SHA-256 of the graph", self.sha256),
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
    tolerance: Tolerance,
    speed: tuple[Speed, ...],
    original_bytes: int,
    exported_bytes: int,
    sha256: str,
    packages: Mapping[str, str],
) -> Certificate:
    """Draw up a certificate from the comparison of both models' scores, see `onlineml.compare`."""
    main = comparison.score(comparison.main)
    others = [one for one in comparison.scores if one.name != comparison.main]
    return Certificate(
        runtime="onnx",
        source=comparison.a.model_ref,
        sha256=sha256,
        manifest_hash=comparison.a.manifest_hash,
        split=comparison.a.split,
        scores=tuple((s.name, s.a, s.b, s.difference, s.low, s.high) for s in (main, *others)),
        by_class=tuple((part.value, part.n, part.a, part.b) for part in comparison.by_class),
        agreement=agreement,
        tolerance=tolerance,
        speed=speed,
        original_bytes=original_bytes,
        exported_bytes=exported_bytes,
        machine=f"{platform.machine()}, {platform.system()}, {count(torch.get_num_threads(), 'thread')}",
        packages=packages,
    )


def measured_speed(model: VisionModule, exported: Any) -> tuple[Speed, ...]:
    """Measure both on random pixels, in turn, after one run of each.

    Args:
        model: the original, in evaluation mode.
        exported: an `onlineml.exporting.exported.ExportedModel`.
    """
    found = []
    for size in _BATCHES:
        pixels = torch.randint(0, 256, (size, *exported.input_size_hw(), 3), dtype=torch.uint8)
        image, rows = pixels.permute(0, 3, 1, 2), pixels.numpy()
        with torch.inference_mode():
            times = _in_turn((partial(model, image), partial(exported.run, rows)))
        found.append(Speed(size, *(1000 * statistics.median(of) / size for of in times)))
    return tuple(found)


def _in_turn(sides: tuple[Callable[[], object], ...]) -> list[list[float]]:
    for side in sides:
        side()
    times: list[list[float]] = [[] for _ in sides]
    end = time.perf_counter() + _MOST_S * len(sides)
    while len(times[0]) < _LEAST_RUNS or time.perf_counter() < end:
        for side, seconds in zip(sides, times, strict=True):
            begin = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - begin)
    return times
