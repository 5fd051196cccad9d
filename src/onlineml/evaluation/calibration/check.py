"""Miss rates of calibrated thresholds on other photos, by class and by group."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.evaluation.intervals import percentile_interval, resample_weights, sums_by_code, with_exact
from onlineml.evaluation.metrics import ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from onlineml.evaluation.calibration.evidence import Evidence
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["check_evidence"]


def check_evidence(
    evidence: Evidence,
    thresholds: Mapping[str, float],
    *,
    by: str,
    groups: Sequence[object] | Array,
    n_bootstrap: int,
    seed: int,
) -> pd.DataFrame:
    """Measure what is missed in photos at thresholds.

    Args:
        evidence: of N photos.
        thresholds: of the classes, in order.
        by: name of the groups.
        groups: (N,) values to group the photos by; a value of one photo alone, None, nan and "" are no group.
        n_bootstrap: resamples of the intervals.
        seed: of the resamples.

    Returns:
        The table of `onlineml.check_calibration`.
    """
    import pandas as pd  # noqa: PLC0415

    least = np.array(list(thresholds.values()))
    hit = evidence.scores >= least[evidence.label_ids]
    in_photo, counts = evidence.counts(least.tolist())
    false = in_photo - np.bincount(evidence.photos[hit], minlength=evidence.n_photos)

    def row(of: str, name: str, own: Array, photos: Array, false_answers: float) -> dict[str, Any]:
        units = np.unique(evidence.units[evidence.photos[own]], return_inverse=True)[1]
        labels = evidence.label_ids[own]
        missed, low, high = _miss_rate(~hit[own], units, labels, n_bootstrap=n_bootstrap, seed=seed)
        n = in_photo[photos]
        sizes = [_mean(values) for values in (n, n == 1, n == 0)]
        head = {"of": of, "name": name, "shown": int(own.sum()), "missed": missed, "low": low, "high": high}
        return head | dict(zip(("size", "one", "none"), sizes, strict=True)) | {"false": false_answers}

    rows = [row("all", "", np.ones(len(hit), bool), np.ones(evidence.n_photos, bool), _mean(false))]
    for i, name in enumerate(thresholds):
        own = evidence.label_ids == i
        photos = np.isin(np.arange(evidence.n_photos), evidence.photos[own])
        rows.append(row("class", name, own, photos, (counts[i] - int((hit & own).sum())) / max(1, len(in_photo))))
    values = np.array(["" if v is None or v != v else str(v) for v in groups], dtype=object)  # noqa: PLR0124 - nan
    named, counted = np.unique(values.astype(str), return_counts=True)
    for name in named[(counted > 1) & (named != "")].tolist():
        photos = values == name
        rows.append(row(by, name, photos[evidence.photos], photos, _mean(false[photos])))
    return pd.DataFrame(rows)


def _mean(values: Ints) -> float:
    return float(values.mean()) if len(values) else math.nan


def _miss_rate(missed: Array, units: Ints, labels: Ints, *, n_bootstrap: int, seed: int) -> tuple[float, float, float]:
    """Return the mean share that is missed of a class that a unit shows, and its 95 % interval.

    A unit that shows two classes counts for both: this is the mean of the classes' rates, by how many units show each.
    """
    if not len(units):
        return math.nan, math.nan, math.nan
    pairs, codes = np.unique(np.stack([units, labels], axis=1), axis=0, return_inverse=True)
    shares = np.bincount(codes.ravel(), weights=missed) / np.bincount(codes.ravel())
    sums, counts = np.bincount(pairs[:, 0], weights=shares), np.bincount(pairs[:, 0])
    alone, first = np.arange(len(sums)), np.zeros(len(sums), np.int64)
    samples: list[Floats] = [
        ratio(*(sums_by_code(weights * values, first, n_codes=1) for values in (sums, counts)))
        for weights in resample_weights(n_groups=len(sums), n_bootstrap=n_bootstrap, seed=seed)
    ]
    value = float(sums.sum() / counts.sum())
    bounds = percentile_interval(np.concatenate(samples)) if samples else None
    low, high = with_exact(np.array([value]), bounds, first, alone)[0]
    return value, float(low), float(high)
