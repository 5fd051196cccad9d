"""The gate: whether a challenger may replace the champion, and why.

Both are scored on the same labelled test images. A higher score is not enough: of two equally good models that
disagree on 8 % of 200 images, one has the higher accuracy nine times out of ten. The gate promotes on a bound of the
difference, with an error rate of at most 5 %, and is *inconclusive* if the test set is too small. Of a test set that is
looked at many times, that is the rate of all looks together, see `onlineml.improving.gate.promise`.
"""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.similar import valid_names
from onlineml.errors import ConfigError
from onlineml.evaluation.comparison.compare import compare
from onlineml.evaluation.comparison.counts import POWER
from onlineml.evaluation.comparison.samples import MIN_GROUPS
from onlineml.improving.gate import text as words
from onlineml.improving.gate.policy import Better, NotWorse
from onlineml.improving.gate.promise import FIRST_LOOK, Look
from onlineml.improving.gate.result import INCONCLUSIVE, PROMOTE, REJECT, GateResult, TestedPart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.comparison.result import Comparison, PartChange
    from onlineml.improving.gate.more import MorePhotos
    from onlineml.improving.gate.policy import Policy, Rule

__all__ = ["gate", "holm", "verdict_of"]

_DROP_LEVEL = 0.05  # of all classes and slices together
_WORTH_A_NIGHT = 0.5  # chance that another look decides, below which new test images are worth more

_BETTER = Better()


def gate(
    champion: BaseScores,
    challenger: BaseScores,
    *,
    policy: Policy = _BETTER,
    rules: Sequence[Rule] = (),
    leaked: Sequence[str] = (),
    blocks: Sequence[str] = (),
    look: Look | None = None,
    more: MorePhotos | None = None,
    score: str | None = None,
    min_support: int = 30,
    n_resamples: int = 1000,
    seed: int = 0,
) -> GateResult:
    """Decide whether the challenger is promoted.

    It is *promoted* if the policy is fulfilled and nothing blocks it, *rejected* if something blocks it or if it is
    significantly worse, and *inconclusive* otherwise. It is blocked by a significant drop in a class or slice, by test
    images that it was trained on, and by your own rules. New classes are reported but do not affect the verdict.

    Args:
        champion: result of `onlineml.evaluate` for the model in use.
        challenger: for the new one, on the same images with the same labels.
        policy: `Better` or `NotWorse`.
        rules: functions that take the `Comparison` and return a reason against promotion, which blocks it, or None.
        leaked: ids of images that the challenger was trained on; those among the test images block.
        blocks: further reasons against promotion, in sentences.
        look: of a test set's life, which spends its share of the policy's error rate. None: the only one.
        more: photos besides the test images, see `onlineml.improving.deciding`; for a score of right and wrong images.
        score: one of `onlineml.evaluation.Comparison.evidence`; None: the first, `Comparison.main`.
        min_support: minimum number of images (for a detector, objects) of a class or slice to test it for a drop. The
            tests have a family-wise error rate of 5 % (Holm 1979).
        n_resamples: see `onlineml.compare`.
        seed: of the resamples; the same seed gives the same verdict.

    Returns:
        The verdict with its reasons, and the comparison.

    Raises:
        DataError: the results are not of the same images, labels, groups and classes.
        ConfigError: the score is unknown or not for `more`, or a rule failed or returned neither text nor None.
    """
    comparison = compare(champion, challenger, n_resamples=n_resamples, seed=seed)
    name = comparison.main if score is None else score
    if name not in comparison.evidence:
        msg = f"score={name!r}: expected one of {valid_names(name, comparison.evidence)}"
        raise ConfigError(msg)
    own = set(comparison.image_ids)
    found = tuple(image_id for image_id in dict.fromkeys(leaked) if image_id in own)
    tested = _tested((*comparison.by_class, *comparison.by_slice), comparison.n_items, min_support)
    blocks = [
        *blocks,
        *words.leak_reasons(found, comparison.n_images),
        *(words.drop_reason(part) for part in tested if part.significant),
        *(text for rule in rules if (text := _objection(rule, comparison)) is not None),
    ]
    decided = _by_score(comparison, name, policy, blocks, look=look, more=more)
    falls = words.fall_reasons(comparison, name, tested) if decided.promoted else ()
    return dataclasses.replace(decided, reasons=(*decided.reasons, *falls), leaked=found, tested=tested)


def _by_score(
    comparison: Comparison,
    name: str,
    policy: Policy,
    blocks: Sequence[str],
    *,
    look: Look | None,
    more: MorePhotos | None,
) -> GateResult:
    """The verdict by one score, unless something blocks it."""
    evidence, change = comparison.evidence[name], comparison.score(name)
    n_images = comparison.n_images
    if more is not None:
        evidence = more.joined(evidence, score=name)
        n_images, change = evidence.n_images, dataclasses.replace(change, difference=evidence.value)
    once = 1 - policy.level
    tail = once * (1.0 if look is None else look.share)
    lower, upper = evidence.bounds(tail)[0], evidence.bounds(once)[1]
    smallest = evidence.minimum_detectable_effect(tail=tail)
    needed = _needed(policy, change.difference, smallest, n_images)
    verdict, reason = verdict_of(policy, change.difference, lower, upper)
    reasons = [
        words.reason(
            reason, name, change, lower, upper, policy=policy, smallest=smallest, needed=needed, more=more is not None
        )
    ]
    if verdict == PROMOTE and lower <= 0 and (doubts := words.floor_reason(comparison, policy)):
        verdict, reasons = INCONCLUSIVE, [*doubts, *reasons]
    reasons += [] if more is None else [more.in_words(comparison.n_images)]
    result = GateResult(
        verdict=REJECT if blocks else verdict,
        reasons=(*blocks, *reasons),
        policy=policy,
        score=name,
        champion=change.a,
        challenger=change.b,
        difference=change.difference,
        lower=lower,
        upper=upper,
        minimum_detectable_effect=smallest,
        required_sample_size=needed,
        leaked=(),
        tested=(),
        comparison=comparison,
        evidence=evidence,
        look=look,
        n_blocks=len(blocks),
        more=more,
    )
    if look is None:
        return result
    return dataclasses.replace(result, reasons=(*result.reasons, *_of_many(result, look, n_images)))


def _of_many(result: GateResult, look: Look, n_images: int) -> list[str]:
    """Sentences on what is spent of the promise, and whether new images are worth more than another night."""
    policy = result.policy
    told = [words.look_reason(look, policy)]
    told += words.drift_reason(look, policy) if isinstance(policy, NotWorse) else []
    target = result.difference - policy.floor
    if result.verdict != INCONCLUSIVE or not target > 0 or math.isnan(result.lower):
        return told
    evidence = result.evidence
    once = 1 - policy.level
    tail = once * Look(look.number + 1).share
    spread = evidence.minimum_detectable_effect(tail=tail) / (_normal(1 - tail) + _normal(POWER))
    chance = NormalDist().cdf(target / spread - _normal(1 - tail))
    if chance >= _WORTH_A_NIGHT:
        return told
    anew = evidence.minimum_detectable_effect(tail=once * FIRST_LOOK.share)
    more = max(math.ceil(n_images * (anew / target) ** 2), 2 * n_images) - n_images
    return [*told, *words.photos_reason(chance, more, policy)]


def _normal(share: float) -> float:
    return NormalDist().inv_cdf(share)


def verdict_of(policy: Policy, difference: float, lower: float, upper: float) -> tuple[str, str]:
    """Return the verdict and the kind of its reason."""
    if math.isnan(difference) or math.isnan(lower):
        return INCONCLUSIVE, "nothing"
    if upper < 0:
        return REJECT, "worse"
    if lower > policy.floor and difference >= 0:
        return PROMOTE, "fulfilled"
    return INCONCLUSIVE, "below" if difference < 0 else "unsure"


def _needed(policy: Policy, difference: float, smallest: float, n_images: int) -> int | None:
    """The required number of images: the standard error falls with the square root of their number."""
    target = difference - policy.floor
    if math.isnan(smallest) or not target > 0:
        return None
    return math.ceil(n_images * (smallest / target) ** 2)


def _tested(parts: Sequence[PartChange], n_items: int, min_support: int) -> tuple[TestedPart, ...]:
    """Test all classes and slices with enough support, the smallest p first; slices of all images are left out."""
    enough = [
        part
        for part in parts
        if min_support <= part.n
        and part.n_groups >= MIN_GROUPS
        and not math.isnan(part.p_drop)
        and (part.column == "class" or part.n < n_items)
    ]
    adjusted = holm([part.p_drop for part in enough])
    rows = [TestedPart(part, float(p), bool(p <= _DROP_LEVEL)) for part, p in zip(enough, adjusted, strict=True)]
    return tuple(sorted(rows, key=lambda row: (row.p_holm, row.part.p_drop)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of several tests for their family-wise error rate (Holm 1979).

    Args:
        p_values: in [0, 1].

    Returns:
        In [0, 1], in the order given.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1.0)
    return [float(value) for value in adjusted]


def _objection(rule: Rule, comparison: Comparison) -> str | None:
    """Return the objection of a rule, or None.

    Raises:
        ConfigError: the rule failed, or returned neither text nor None.
    """
    name = getattr(rule, "__name__", repr(rule))
    try:
        text = rule(comparison)
    except Exception as error:
        msg = f"the rule {name} failed with {type(error).__name__}: {error}; its argument is an onlineml Comparison"
        raise ConfigError(msg) from error
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip():
        msg = f"the rule {name} returned {text!r}; expected a reason against promotion, as text, or None"
        raise ConfigError(msg)
    return f"rule {name}: {text.strip()}"
