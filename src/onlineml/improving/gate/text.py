"""The gate's reasons as sentences, for printing and notebooks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count, part_of
from onlineml.data.manifest.examples import examples
from onlineml.evaluation.comparison.counts import POWER
from onlineml.evaluation.comparison.text import flips_sentence, new_class_lines, p_text, signed, subject
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.html import Table, notebook_cell
from onlineml.evaluation.render.style import ALARM, CALM, WARM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.evaluation.comparison.result import Comparison, ScoreChange
    from onlineml.improving.gate.policy import NotWorse, Policy
    from onlineml.improving.gate.promise import Look
    from onlineml.improving.gate.result import GateResult, TestedPart

__all__ = [
    "drift_reason",
    "drop_reason",
    "fall_reasons",
    "floor_reason",
    "gate_html",
    "gate_text",
    "leak_reasons",
    "look_reason",
    "photos_reason",
    "points",
    "reason",
]

_N_TESTED = 5
_N_FALLS = 2
_CLASS_FALL = 0.02
_LEAST_FALL = 0.005  # of a score: half a point, of which nobody asks why
_TOO_MANY = 10_000_000  # images: an extrapolation beyond this is meaningless
_COLOURS = {"promote": CALM, "reject": ALARM, "inconclusive": WARM}  # of large letters


def points(value: float) -> str:
    """Format a difference as "1 point" or "2.4 points"."""
    text = f"{100 * value:.1f}".removesuffix(".0")
    return f"{text} point{'' if text == '1' else 's'}"


def leak_reasons(leaked: Sequence[str], n_images: int) -> list[str]:
    """Return one sentence if there are leaked images."""
    if not leaked:
        return []
    found = f"{part_of(len(leaked), n_images, 'test image is')} also training images ({examples(leaked)})"
    return [f"{found}: the scores on them are meaningless; move them to one split and evaluate again"]


def drop_reason(tested: TestedPart) -> str:
    """Return a sentence on a part that became worse, with its p value."""
    part = tested.part
    name = f"class {part.value!r}" if part.column == "class" else f"{part.column} {part.value!r}"
    return (
        f"{name} became worse: {say.decimal(part.a)} to {say.decimal(part.b)} on {part.n:,}, {part.broken:,} "
        f"broken and {part.fixed:,} fixed (p {tested.p_holm:.2g} after Holm's correction)"
    )


def fall_reasons(comparison: Comparison, name: str, tested: Sequence[TestedPart]) -> list[str]:
    """Return sentences on the scores, and the class, that fell although the challenger is promoted by another score.

    Args:
        comparison: of champion and challenger.
        name: of the deciding score.
        tested: the classes and slices that were tested for a drop; none is significant.
    """
    known = {change.name: change for change in comparison.scores}
    falls = [
        change
        for change in comparison.scores
        if change.name != name
        and _gain(change) < -_LEAST_FALL
        and change.name.replace("macro_", "micro_") not in {*known} - {change.name}  # said of all objects together
    ]
    falls.sort(key=_gain)
    said = [_fall(comparison, change, known, name) for change in falls[:_N_FALLS]]
    dropped = min(
        (p for p in comparison.by_class if p.difference < -_CLASS_FALL), key=lambda p: p.difference, default=None
    )
    if dropped is not None:
        p_holm = {t.part.value: t.p_holm for t in tested if t.part.column == "class"}.get(dropped.value)
        why = (
            "too few to test" if p_holm is None else f"no significant drop, p {p_text(p_holm)} after Holm's correction"
        )
        said.append(
            f"class {dropped.value!r} fell all the same, {say.decimal(dropped.a)} to {say.decimal(dropped.b)} on "
            f"{dropped.n:,}: {why}"
        )
    return said


def _gain(change: ScoreChange) -> float:
    return -change.difference if change.name in say.LESS_IS_BETTER else change.difference


def _fall(comparison: Comparison, change: ScoreChange, known: Mapping[str, ScoreChange], name: str) -> str:
    sure = "more than chance" if change.low > 0 or change.high < 0 else "which may be chance"
    went = "rose" if change.difference > 0 else "fell"
    moved = f"{say.label(change.name)} {went} all the same, {say.decimal(change.a)} to {say.decimal(change.b)} ({sure})"
    told = f"{moved}: {comparison.b.explanation(change.name)}. The gate decides by {say.label(name)}"
    pair = {"micro_recall": "micro_precision", "micro_precision": "micro_recall"}.get(change.name, "")
    if not comparison.of_objects or pair not in known:
        return told
    other = known[pair]
    told += ", which counts every threshold"
    if other.difference <= 0:
        return told
    which = "higher" if pair == "micro_precision" else "lower"
    return (
        f"{told}; {say.label(pair)} rose by {points(other.difference)}, as from {which} thresholds. "
        "Other thresholds can be set with model.thresholds"
    )


def reason(
    kind: str,
    name: str,
    change: ScoreChange,
    lower: float,
    upper: float,
    *,
    policy: Policy,
    smallest: float,
    needed: int | None,
    more: bool = False,
) -> str:
    """The sentence on the policy.

    Args:
        kind: nothing, worse, fulfilled, below or unsure.
        name: of the score.
        change: of the score.
        lower: bound of the difference.
        upper: bound.
        policy: the policy to fulfil.
        smallest: minimum detectable effect.
        needed: required sample size.
        more: whether photos besides the test images count, whose scores are unknown.
    """
    if kind == "nothing":
        return f"{say.label(name)} cannot be compared: too few images, groups or objects"
    sure = f"with {100 * policy.level:.0f} % confidence"
    by = f"{signed(100 * change.difference, digits=1)} points{' with the further photos' if more else ''}"
    moved = f"{say.label(name)} {say.decimal(change.a)} to {say.decimal(change.b)} ({by})"
    if kind == "worse":
        return f"{moved}: worse, by {points(-upper)} or more {sure}"
    if kind == "fulfilled" and lower > 0:
        return f"{moved}: better, by {points(lower)} or more {sure}"
    if kind == "fulfilled":
        return f"{moved}: not worse by {points(policy.floor * -1)} or more, {sure}"
    claim = "it is better" if not policy.floor else f"it is not worse by {points(-policy.floor)}"
    why = f"{moved}: the images do not show that {claim}; the lower bound is {signed(100 * lower, digits=1)} points"
    if kind == "below" and lower > policy.floor:
        why = f"{moved}: it is within the margin, but not as good on these images"
    could = f"these images detect a difference of {points(smallest)} with 80 % power"
    if needed is None or needed > _TOO_MANY or kind == "below":
        return f"{why}; {could}"
    goal = "this gain" if not policy.floor else "a proof at this difference"
    return f"{why}; {could}; {goal} needs about {float(f'{needed:.2g}'):,.0f} images"


def floor_reason(comparison: Comparison, policy: Policy) -> list[str]:
    """Return a sentence if the challenger may have learned nothing, as then "not worse" is no praise."""
    why = comparison.b.doubt()
    return [f"{policy} is no reason to promote this model: {why}"] if why else []


def look_reason(look: Look, policy: Policy) -> str:
    """Return a sentence on the share of the promise that is spent."""
    rate = f"{100 * (1 - policy.level):.2g} %"
    return (
        f"look {look.number:,} at these test images, after which {100 * look.spent:.0f} % of the promise is spent: at "
        f"most {rate} of projects see a wrong promotion on one test set"
    )


def drift_reason(look: Look, policy: NotWorse) -> list[str]:
    """Return a sentence on earlier promotions that may each have lost up to the margin."""
    n = look.n_not_worse
    if not n:
        return []
    each, together = points(policy.margin), points((n + 1) * policy.margin)
    return [f"{n + 1:,} models in a row would be not worse than the one before by {each}: together, up to {together}"]


def photos_reason(chance: float, more: int, policy: Policy) -> list[str]:
    """Return a sentence on new test photos, which are worth more than another night; none if nobody has so many."""
    if more > _TOO_MANY:
        return []
    goal = "a true gain of this size" if not policy.floor else "that it is not worse, at this difference,"
    night = f"one more night shows {goal} with a chance of {100 * chance:.0f} %"
    photos = f"about {float(f'{more:.2g}'):,.0f} more photos with {100 * POWER:.0f} %"
    return [f"new test photos are worth more than another night: {night}, {photos}"]


def gate_text(result: GateResult) -> str:
    """The verdict, its reasons, and the tests with the smallest p values."""
    comparison = result.comparison
    head = f"{result.verdict.upper()} (policy: {result.policy}) on {subject(comparison)}"
    lines = [head, *(f"  - {text}" for text in result.reasons), flips_sentence(comparison)]
    if result.tested:
        lines.append(f"{count(len(result.tested), 'class')} and slices tested for a drop; the smallest p values:")
    for tested in result.tested[:_N_TESTED]:
        part = tested.part
        lines.append(
            f"  {say.shorten(part.name, 27):<28}{part.n:>7,}{signed(part.difference):>9}   p {p_text(tested.p_holm)}"
        )
    if comparison.new_classes:
        lines += ["new classes, not part of the verdict:", *(f"  {line}" for line in new_class_lines(comparison))]
    return "\n".join(lines)


def gate_html(result: GateResult) -> str:
    """Return HTML for a notebook cell, with inline styles for light and dark notebooks."""
    rows = [
        (say.shorten(t.part.name, 40), f"{t.part.n:,}", signed(t.part.difference), p_text(t.p_holm))
        for t in result.tested[:_N_TESTED]
    ]
    bound = "" if math.isnan(result.lower) else f" (lower bound {signed(result.lower)})"
    moved = f"{say.label(result.score)} {signed(result.difference)}{bound}"
    new = [f"New class {line}" for line in new_class_lines(result.comparison)]
    on = subject(result.comparison)
    on += "" if result.more is None else f" and {count(len(result.more.image_ids), 'further photo')}"
    return notebook_cell(
        result.verdict,
        f"{moved} on {on}; policy: {result.policy}",
        color=_COLOURS[result.verdict],
        reasons=result.reasons,
        lines=[flips_sentence(result.comparison), *new],
        columns=[[Table(("tested for a drop", "n", "change", "p (Holm)"), rows)]] if rows else [],
    )
