"""Processor time and memory of each step by the number of photos, from what `benchmarks/scale.py` measured.

A step takes a fixed time, and one that grows with a power of the number of photos near 1; its memory is a fixed one and
so much for each photo. Both are fitted to the measured points; `plan.py --check` compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
_POWERS = tuple(np.arange(0.95, 1.171, 0.01))  # more would be the load of the machine


@dataclass(frozen=True)
class Curve:
    """A value by the number of photos: ``fixed + each * n ** power``."""

    fixed: float
    each: float
    power: float

    def at(self, n: float) -> float:
        return float(self.fixed + self.each * n**self.power)


@dataclass(frozen=True)
class Step:
    """A step, measured at each of `SIZES`.

    Attributes:
        cpu: seconds of the processor.
        memory: the most, in GB.
    """

    cpu: tuple[float, ...]
    memory: tuple[float, ...]

    @cached_property
    def cpu_curve(self) -> Curve:
        return min((_fitted(self.cpu, power) for power in _POWERS), key=lambda one: _most_off(one, self.cpu))

    @cached_property
    def memory_curve(self) -> Curve:
        return _fitted(self.memory, 1.0)

    def cpu_s(self, n: float) -> float:
        return self.cpu_curve.at(n)

    def memory_gb(self, n: float) -> float:
        return self.memory_curve.at(n)


def _fitted(values: tuple[float, ...], power: float) -> Curve:
    """The curve of a power whose relative errors have the smallest squares."""
    known, n = np.array(values), np.array(SIZES, dtype=float) ** power
    terms = np.stack([1 / known, n / known], axis=1)
    fixed, each = np.linalg.lstsq(terms, np.ones(len(known)), rcond=None)[0]
    return Curve(float(fixed), float(each), float(power))


def _most_off(curve: Curve, values: tuple[float, ...]) -> float:
    return max(abs(curve.at(n) / value - 1) for n, value in zip(SIZES, values, strict=True))


# `python benchmarks/scale.py --sizes 10000 30000 100000 300000 1000000`: November 2026, two hyperthreads of one core,
# beside other work (a load of 6 to 13), which makes the same work cost up to a fifth more or less
STEPS = {
    "import": Step((0.64, 1.05, 2.32, 6.39, 27.48), (0.155, 0.173, 0.266, 0.446, 0.926)),
    "add": Step((0.10, 0.23, 0.84, 2.08, 8.48), (0.173, 0.190, 0.289, 0.486, 1.004)),
    "freeze": Step((0.80, 1.19, 3.59, 9.17, 37.66), (0.213, 0.259, 0.456, 0.940, 2.417)),
    "sync of one new": Step((0.63, 1.01, 3.28, 11.33, 42.32), (0.182, 0.211, 0.372, 0.683, 1.749)),
    "freeze again": Step((0.80, 1.34, 3.82, 10.28, 38.99), (0.218, 0.270, 0.489, 1.022, 2.658)),
    "fold": Step((0.36, 0.50, 1.09, 2.19, 7.06), (0.179, 0.197, 0.284, 0.524, 1.192)),
    "first batch, 0 workers": Step((0.06, 0.11, 0.30, 0.75, 2.53), (0.710, 0.773, 0.878, 1.185, 1.791)),
    "gallery opened": Step((0.19, 0.30, 1.23, 3.90, 16.72), (0.711, 0.764, 0.987, 1.513, 3.216)),
}

# `python benchmarks/_plan_measuring.py`, on the same machine
CHECK_S = 0.0011  # of the processor for a photo of 640 x 480 pixels and 57 KB that `freeze` opens
DECODE_S = 0.0038  # for one that training decodes at 224 pixels
LISTED_BYTES = 1900  # of memory for a photo that is imported by listing S3; on a local disk it is half of that

ARROW_BYTES = 2**31 - 1  # of the texts of one piece of a column; https://arrow.apache.org/docs/format/Columnar.html
DIGEST_BYTES = 64  # of a sha256 as text, the longest text that every image has
