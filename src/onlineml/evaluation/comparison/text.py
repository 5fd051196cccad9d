"""Text form of a comparison, for printing and pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.evaluation.render import text as say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.comparison.result import Comparison, PartChange

__all__ = [
    "between",
    "comparison_text",
    "flips_sentence",
    "most_changed",
    "new_class_lines",
    "signed",
    "subject",
    "verdict_sentence",
]

_MINUS = "\N{MINUS SIGN}"
_N_PARTS = 5


def signed(value: float, *, digits: int = 3) -> str:
    """Format like +0.021, or a dash if undefined."""
    return say.DASH if math.isnan(value) else f"{value:+.{digits}f}".replace("-", _MINUS)


def between(low: float, high: float, *, digits: int = 3) -> str:
    """Format like "+0.004 to +0.038", or a dash."""
    return say.DASH if math.isnan(low) else f"{signed(low, digits=digits)} to {signed(high, digits=digits)}"


def p_text(p: float) -> str:
    """Format like "0.021", or "< 0.001"."""
    return "<\N{NO-BREAK SPACE}0.001" if p < 0.001 else say.decimal(p)


def said_shortly(said: str, length: int) -> str:
    """Return a prediction as text, shortened, without separating its number from the percent sign."""
    return say.shorten(said, length).replace(" %", "\N{NO-BREAK SPACE}%")


def subject(comparison: Comparison) -> str:
    """Describe the compared data: "418 images of the test split in 40 groups"."""
    split = f" of the {comparison.b.split} split" if comparison.b.split else ""
    in_groups = comparison.n_groups != comparison.n_images
    groups = f" in {say.count(comparison.n_groups, 'group')}" if in_groups else ""
    found = f"{say.count(comparison.n_items, 'object')} in " if comparison.of_objects else ""
    return f"{found}{say.count(comparison.n_images, 'image')}{split}{groups}"


def verdict_sentence(comparison: Comparison) -> str:
    """Return a sentence on whether the difference is more than chance."""
    change = comparison.score(comparison.main)
    if math.isnan(change.difference):
        return "Nothing was compared: there are no images." if not comparison.n_images else "There is no score."
    points = f"{abs(100 * change.difference):.1f} points"
    said = f"The second model is {points} {'better' if change.difference > 0 else 'worse'}"
    if math.isnan(change.low):
        return f"{said}; how sure that is cannot be told from {say.count(comparison.n_groups, 'group')}."
    if change.low > 0 or change.high < 0:
        return f"{said}, which is more than chance."
    if change.difference == 0:
        said = "The two models are equally good"
    ends = " and ".join(f"{signed(100 * x, digits=1)}" for x in (change.low, change.high))
    return f"{said} on these images; the true difference is somewhere between {ends} points."


def flips_sentence(comparison: Comparison) -> str:
    """Return a sentence on the numbers of fixed and broken items."""
    word = "object" if comparison.of_objects else "image"
    wrong = comparison.n_items - comparison.n_right - comparison.n_fixed - comparison.n_broken
    p = comparison.mcnemar.p_mid
    return (
        f"{comparison.n_fixed:,} fixed, {comparison.n_broken:,} broken, {comparison.n_right:,} right and {wrong:,} "
        f"wrong as before, of {say.count(comparison.n_items, word)}; negative flips "
        f"{say.percent(comparison.negative_flip_rate)}; McNemar's p {p_text(p)}"
    )


def most_changed(parts: Sequence[PartChange]) -> list[PartChange]:
    """Return the parts, largest drop first, then by number of changed items; without parts that have no items."""
    known = [part for part in parts if part.n]
    return sorted(known, key=lambda p: (0.0 if math.isnan(p.difference) else p.difference, -p.fixed - p.broken))


def new_class_lines(comparison: Comparison) -> list[str]:
    """Return one line for each class that the second model adds."""
    what = "object" if comparison.of_objects else "image"
    name = "AP 50\u201395" if comparison.of_objects else "recall"
    return [
        f"{say.shorten(new.name, 30)}: {name} {say.decimal(new.score)} "
        f"({say.interval((new.low, new.high))}) on {say.count(new.n, what)}"
        for new in comparison.new_classes
    ]


def comparison_text(comparison: Comparison) -> str:
    """Return a table for the terminal: scores, numbers of fixed and broken items, most changed classes and slices."""
    change = comparison.score(comparison.main)
    head = (
        f"{say.label(change.name)} {say.decimal(change.a)} \N{RIGHTWARDS ARROW} {say.decimal(change.b)}, "
        f"{signed(change.difference)} (95 %: {between(change.low, change.high)}) on {subject(comparison)}"
    )
    lines = [head, verdict_sentence(comparison), flips_sentence(comparison), ""]
    lines.append(f"{'score':<26}{'first':>8}{'second':>8}{'change':>9}   95 % interval")
    for row in comparison.scores[1:]:
        numbers = f"{say.decimal(row.a):>8}{say.decimal(row.b):>8}{signed(row.difference):>9}"
        lines.append(f"{say.label(row.name):<26}{numbers}   {between(row.low, row.high)}")
    for title, parts in (("classes, largest drop first", comparison.by_class), ("slices", comparison.by_slice)):
        shown = most_changed(parts)[:_N_PARTS]
        if shown:
            lines += ["", f"{title:<28}{'n':>7}{'fixed':>7}{'broken':>8}{'change':>9}   95 % interval"]
        for part in shown:
            numbers = f"{part.n:>7,}{part.fixed:>7,}{part.broken:>8,}{signed(part.difference):>9}"
            lines.append(f"{say.shorten(part.name, 27):<28}{numbers}   {between(part.low, part.high)}")
    if comparison.new_classes:
        lines += ["", "new classes, no part of the comparison:", *(f"  {x}" for x in new_class_lines(comparison))]
    return "\n".join(lines)
