"""Numbers and scores as text, for printing, pages and figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.types import Interval

__all__ = ["DASH", "LABELS", "count", "decimal", "interval", "label", "percent", "shorten", "subject"]

DASH = "\u2013"
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


def count(number: int, word: str) -> str:
    """Format like "1 image", "2,062 images", "3 classes"."""
    plural = word + ("es" if word.endswith(("s", "x")) else "s")
    return f"{number:,} {word if number == 1 else plural}"


def shorten(text: str, length: int) -> str:
    """Shorten to at most `length` characters, with an ellipsis in the middle, as both ends are distinctive."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    if len(text) <= length:
        return text
    tail = (length - 1) // 3
    return text[: length - 1 - tail] + "…" + (text[-tail:] if tail else "")


def subject(scores: BaseScores) -> str:
    """Describe the evaluated data: "418 images of the test split, 10 classes"."""
    split = f" of the {scores.split} split" if scores.split else ""
    groups = f" in {count(scores.n_groups, 'group')}" if scores.n_groups != scores.n_images else ""
    return f"{count(scores.n_images, 'image')}{split}{groups}, {count(len(scores.class_names), 'class')}"
