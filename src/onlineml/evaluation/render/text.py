"""Numbers and scores as text, for printing, pages and figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.types import Interval

__all__ = [
    "DASH",
    "LABELS",
    "LESS_IS_BETTER",
    "count",
    "decimal",
    "doubt",
    "found_and_right",
    "interval",
    "label",
    "percent",
    "scores_text",
]
__all__ += ["shorten", "subject", "with_interval"]

DASH = "\u2013"
_N_CLASSES, _N_PAIRS = 5, 3  # in a terminal
LESS_IS_BETTER = frozenset({"brier", "ece", "hamming_loss", "log_loss"})
LABELS = {
    "auroc_macro": "AUROC (macro)",
    "map": "mean average precision",
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "log_loss": "log loss",
    "balanced_accuracy": "balanced accuracy",
    "map_50_95": "mAP 50\u201395",
    "map_50": "mAP 50",
    "map_75": "mAP 75",
    "map_small": "mAP small",
    "map_medium": "mAP medium",
    "map_large": "mAP large",
    "ar_1": "recall with 1 box",
    "ar_10": "recall with 10 boxes",
    "ar_100": "recall with 100 boxes",
    "ar_small": "recall small",
    "ar_medium": "recall medium",
    "ar_large": "recall large",
    "micro_precision": "precision",
    "micro_recall": "recall",
    "micro_f1": "F1",
    "micro_ap": "average precision, pooled",
    "empty_recall": "no label: recall",
    "empty_precision": "no label: precision",
}


def label(name: str) -> str:
    """Return a score's display name."""
    if name.startswith("top_"):
        return f"top-{name[4:]} accuracy"
    return LABELS.get(name, name.replace("_f1", " F1").replace("_", " "))


def decimal(value: float, *, digits: int = 3) -> str:
    """Format like 0.923, or a dash if undefined."""
    return DASH if math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """Format like 92.3 %, or a dash if undefined; 100 % only if the value is exactly 1."""
    if math.isnan(value):
        return DASH
    shown = min(value, 0.9994) if value < 1 else value
    text = f"{100 * shown:.1f}" if 0 < shown < 1 else f"{100 * shown:.0f}"
    return text + "\N{NO-BREAK SPACE}%"


def interval(bounds: Interval, *, digits: int = 3) -> str:
    """Format like "0.895 to 0.947", or a dash."""
    return DASH if math.isnan(bounds[0]) else f"{bounds[0]:.{digits}f} to {bounds[1]:.{digits}f}"


def shorten(text: str, length: int) -> str:
    """Shorten to at most `length` characters, with an ellipsis in the middle, as both ends are distinctive."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    if len(text) <= length:
        return text
    tail = (length - 1) // 3
    return text[: length - 1 - tail] + "…" + (text[-tail:] if tail else "")


def with_interval(value: float, bounds: Interval) -> str:
    """Format like "0.981 (0.964 to 0.991)"; the value alone if its interval is undefined."""
    return decimal(value) + ("" if math.isnan(bounds[0]) else f" ({interval(bounds)})")


def subject(scores: BaseScores, *, found: str = "") -> str:
    """Describe the evaluated data: "418 images of the test split, 10 classes", with what was found in them before."""
    split = f" of the {scores.split} split" if scores.split else ""
    groups = f" in {count(scores.n_groups, 'group')}" if scores.n_groups != scores.n_images else ""
    return f"{found}{count(scores.n_images, 'image')}{split}{groups}, {count(len(scores.class_names), 'class')}"


def found_and_right(scores: BaseScores, *, things: str, given: str, gives: str, none: str) -> str:
    """Describe recall and precision as expected results for future images.

    Args:
        scores: with ``micro_recall`` and ``micro_precision``.
        things: to be found, such as ``"objects"``.
        given: by the model, such as ``"boxes"``.
        gives: the verb, such as ``"draws"``.
        none: what is said instead of precision if there are none; "" otherwise.
    """
    found = f"Of 100 {things} like these, expect about {100 * scores.score('micro_recall'):.0f} to be found"
    found += _between(scores.interval("micro_recall"))
    if none:
        return f"{found}; {none}."
    right = f"of 100 {given} that it {gives}, about {100 * scores.score('micro_precision'):.0f} to be right"
    return f"{found}; {right}{_between(scores.interval('micro_precision'))}."


def _between(bounds: Interval) -> str:
    if math.isnan(bounds[0]):
        return ""
    digits = int(f"{100 * bounds[0]:.0f}" == f"{100 * bounds[1]:.0f}")
    return f" (between {100 * bounds[0]:.{digits}f} and {100 * bounds[1]:.{digits}f} with 95 % confidence)"


def doubt(scores: BaseScores) -> str:
    """Return a sentence if these scores may as well be those of a model that has learned nothing; else ``""``.

    They may if the 95 % interval of the score reaches down to `BaseScores.without_knowledge`; without an interval, if
    the score itself does.
    """
    known = scores.without_knowledge() if scores.n_images else None
    if known is None:
        return ""
    name, nothing = known
    value, (low, high) = scores.score(name), scores.interval(name)
    if math.isnan(value) or (value if math.isnan(low) else low) > nothing:
        return ""
    bounds = "" if math.isnan(low) else f" (95 %: {interval((low, high))})"
    found = f"{label(name)} {decimal(value)}{bounds} on {scores.subject()}"
    if value <= nothing:
        return (
            f"{found}: no better than a model that has learned nothing, which has up to {decimal(nothing)}; train "
            "it longer, on more images, or from pretrained weights"
        )
    return (
        f"{found}: too few test images to tell it from a model that has learned nothing, which has up to "
        f"{decimal(nothing)}; add some, with split='test'"
    )


def scores_text(
    scores: BaseScores, *, title: str, pairs: str, before: Sequence[str] = (), after: Sequence[str] = ()
) -> str:
    """Return a table for the terminal: scores with intervals, the worst classes, the most frequent confusions.

    Args:
        scores: of any task.
        title: name of the first headline.
        pairs: heading of the confusions.
        before: lines below the first.
        after: lines below the classes.
    """
    per, main = scores.per_class, scores.headline[0]
    head = f"{title} {decimal(scores.score(main))} (95 %: {interval(scores.interval(main))}) on {scores.subject()}"
    lines = [head, *filter(None, [doubt(scores)]), *before, "", f"{'score':<26}{'value':>8}   95 % interval"]
    lines += [
        f"{label(name):<26}{decimal(scores.score(name)):>8}   {interval(scores.interval(name))}"
        for name in scores.shown_scores()[1:]
    ]
    widths = {name: max(8, len(name) + 2) for name in per.lowest}
    worst = [i for i in per.worst_first()[:_N_CLASSES] if per.support[i]]
    if worst:
        header = "".join(f"{name:>{width}}" for name, width in widths.items())
        lines += ["", f"{f'lowest classes by {per.ranking}':<26}{header}{per.counted:>9}"]
    for i in worst:
        numbers = "".join(f"{decimal(getattr(per, per.lowest[n])[i]):>{width}}" for n, width in widths.items())
        lines.append(f"{shorten(per.names[i], 25):<26}{numbers}{per.support[i]:>9,}")
    lines += after
    confused = scores.confused_pairs(_N_PAIRS)
    lines += ["", pairs] if confused else []
    between = scores.card_facts().between
    for pair in confused:
        shown = between.format(truth=shorten(pair.truth, 30), predicted=shorten(pair.predicted, 30))
        lines.append(f"  {shown}: {count(pair.n, 'time')}")
    return "\n".join(lines)
