"""Numbers and scores as text, for printing, pages and figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.evaluation.classification.result import ClassificationScores

if TYPE_CHECKING:
    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.types import Interval

__all__ = [
    "DETECTION_EXPLANATIONS",
    "EXPLANATIONS",
    "LABELS",
    "calibration_sentence",
    "count",
    "decimal",
    "expectation",
    "explanation",
    "interval",
    "label",
    "majority_share",
    "percent",
    "scores_text",
    "shorten",
    "shown_scores",
    "subject",
]  # fmt: skip

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
EXPLANATIONS = {
    "accuracy": "share of images whose predicted class is right",
    "balanced_accuracy": "mean over classes of the share found: rare classes count as much as common ones",
    "macro_precision": "mean over classes: of the images called so, how many are",
    "macro_recall": "mean over classes: of the images that are, how many were found",
    "macro_f1": "mean over classes of the harmonic mean of precision and recall",
    "weighted_precision": "precision, classes weighted by their images",
    "weighted_f1": "F1, classes weighted by their images",
    "map": "mean over classes of the area under the precision-recall curve",
    "auroc_macro": "mean over classes: chance that an image of the class scores above another image",
    "log_loss": "surprise at the truth, in nats; 0 is perfect, sure mistakes cost most",
    "brier": "squared distance of the probabilities from the truth; 0 is perfect, 2 the worst",
    "ece": "mean distance between confidence and accuracy; 0: a confidence can be read as a chance",
    "subset_accuracy": "share of images whose labels are all right: none missed, none too many",
    "hamming_loss": "share of wrong decisions, one an image and class; small where labels are rare",
    "micro_ap": "area under the precision-recall curve of all classes together",
    "micro_precision": "share of the given labels that are right",
    "micro_recall": "share of the labels there are that are given",
    "micro_f1": "harmonic mean of the two",
    "samples_f1": "mean over images of their F1, of images with any label, true or given",
    "empty_recall": "share of the images without any label for which none is given",
    "empty_precision": "share of the images without any given label that have none",
}
DETECTION_EXPLANATIONS = {
    "map_50_95": "COCO's mean average precision: over the classes, and IoU 0.50 to 0.95",
    "map_50": "mean average precision where half an overlap (IoU 0.50) suffices",
    "map_75": "mean average precision where the boxes must be tight (IoU 0.75)",
    "map_small": "objects below 32 x 32 pixels",
    "map_medium": "objects from 32 x 32 to 96 x 96 pixels",
    "map_large": "objects above 96 x 96 pixels",
    "ar_1": "COCO's average recall: with the surest box of each class in an image",
    "ar_10": "with the 10 surest boxes of each class in an image",
    "ar_100": "with the 100 surest boxes of each class in an image",
    "ar_small": "objects below 32 x 32 pixels",
    "ar_medium": "objects from 32 x 32 to 96 x 96 pixels",
    "ar_large": "objects above 96 x 96 pixels",
    "micro_precision": "share of the boxes at the thresholds that are right (IoU 0.50)",
    "micro_recall": "share of the objects that are found at the thresholds",
    "micro_f1": "harmonic mean of the two",
    "macro_precision": "mean over classes: of the boxes called so, how many are right",
    "macro_recall": "mean over classes: of the objects, how many are found",
    "macro_f1": "mean over classes of the harmonic mean of precision and recall",
}
_SAME_AS_ACCURACY = {"micro_precision", "micro_recall", "micro_f1", "weighted_recall"}


def label(name: str) -> str:
    """Return a score's display name."""
    if name.startswith("top_"):
        return f"top-{name[4:]} accuracy"
    return LABELS.get(name, name.replace("_f1", " F1").replace("_", " "))


def explanation(name: str, *, objects: bool = False) -> str:
    """Return a clause that explains a score, for images or for objects."""
    if objects:
        return DETECTION_EXPLANATIONS.get(name, "")
    if name.startswith("top_"):
        return f"share of images whose class is among the {name[4:]} first guesses"
    return EXPLANATIONS.get(name, "")


def shown_scores(scores: BaseScores) -> list[str]:
    """Return the scores worth a row: not those equal to the accuracy by definition, nor a top-k of all classes."""
    if not isinstance(scores, ClassificationScores):
        return scores.score_names()
    too_many = {f"top_{k}" for k in scores.top_k if k >= len(scores.class_names)}
    return [name for name in scores.score_names() if name not in _SAME_AS_ACCURACY | too_many]


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


def expectation(scores: ClassificationScores) -> str:
    """Describe the accuracy as the expected result for future images."""
    if not scores.n_images:
        return "No images were evaluated, so nothing is known about this model."
    low, high = scores.intervals.get("accuracy", (math.nan, math.nan))
    digits = int(f"{100 * low:.0f}" == f"{100 * high:.0f}")
    right = f"Of 100 images like these, expect about {100 * scores.accuracy:.{digits}f} to be right"
    if math.isnan(low):
        return f"{right}; how sure that is cannot be told from {count(scores.n_groups, 'independent group')}."
    return f"{right}; between {100 * low:.{digits}f} and {100 * high:.{digits}f} with 95 % confidence."


def calibration_sentence(scores: ClassificationScores) -> str:
    """Describe whether a confidence can be interpreted as a probability."""
    if not scores.n_images:
        return ""
    mean = float(scores.confidences.mean())
    said = f"It is {percent(mean)} sure on average and right {percent(scores.accuracy)} of the time"
    if abs(mean - scores.accuracy) < 0.02:  # not relevant for a reader's decisions
        return f"{said}: its confidence is honest on average."
    return f"{said}: it is {'over' if mean > scores.accuracy else 'under'}confident."


def subject(scores: BaseScores) -> str:
    """Describe the evaluated data: "418 images of the test split, 10 classes"."""
    split = f" of the {scores.split} split" if scores.split else ""
    groups = f" in {count(scores.n_groups, 'group')}" if scores.n_groups != scores.n_images else ""
    return f"{count(scores.n_images, 'image')}{split}{groups}, {count(len(scores.class_names), 'class')}"


def majority_share(scores: ClassificationScores) -> float:
    """Return the accuracy of always predicting the most common class."""
    return float(scores.per_class.support.max() / scores.n_images) if scores.n_images else math.nan


def scores_text(scores: ClassificationScores, *, n_classes: int = 5, n_pairs: int = 3) -> str:
    """Return a table for the terminal: scores with intervals, the worst classes, the most frequent confusions."""
    head = f"accuracy {decimal(scores.accuracy)}"
    bounds = interval(scores.intervals.get("accuracy", (math.nan, math.nan)))
    lines = [f"{head} (95 %: {bounds}) on {subject(scores)}", "", f"{'score':<26}{'value':>8}   95 % interval"]
    for name in shown_scores(scores)[1:]:
        bounds = interval(scores.intervals.get(name, (math.nan, math.nan)))
        lines.append(f"{label(name):<26}{decimal(scores.score(name)):>8}   {bounds}")
    classes = [i for i in scores.per_class.worst_first()[:n_classes] if scores.per_class.support[i]]
    if classes:
        lines += ["", f"{'lowest classes by F1':<26}{'F1':>8}{'precision':>11}{'recall':>9}{'images':>9}"]
    for i in classes:
        row = scores.per_class
        numbers = f"{decimal(row.f1[i]):>8}{decimal(row.precision[i]):>11}{decimal(row.recall[i]):>9}"
        lines.append(f"{shorten(row.names[i], 25):<26}{numbers}{row.support[i]:>9,}")
    pairs = scores.confused_pairs(n_pairs)
    if pairs:
        lines += ["", f"{count(scores.n_mistakes, 'mistake')}; most often:"]
        lines += [f"  {shorten(p.truth, 30)} taken for {shorten(p.predicted, 30)}: {count(p.n, 'time')}" for p in pairs]
    return "\n".join(lines)
