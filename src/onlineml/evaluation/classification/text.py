"""Text form of a classifier's scores, for printing, pages and figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.card import CardFacts, TaskWords

if TYPE_CHECKING:
    from onlineml.evaluation.classification.result import ClassificationScores

__all__ = [
    "EXPLANATIONS",
    "WORDS",
    "calibration_sentence",
    "card_facts",
    "expectation",
    "majority_share",
    "scores_text",
    "shown_scores",
]

WORDS = TaskWords(
    title="Image classifier",
    pipeline_tag="image-classification",
    purpose="Tells {classes} of images apart",
    limit="It answers with one of its classes for every image, also for one that shows none of them.",
)
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
}
_SAME_AS_ACCURACY = {"micro_precision", "micro_recall", "micro_f1", "weighted_recall"}


def shown_scores(scores: ClassificationScores) -> list[str]:
    """Return the scores worth a row: not those equal to the accuracy by definition, nor a top-k of all classes."""
    too_many = {f"top_{k}" for k in scores.top_k if k >= len(scores.class_names)}
    return [name for name in scores.score_names() if name not in _SAME_AS_ACCURACY | too_many]


def card_facts(scores: ClassificationScores) -> CardFacts:
    """Return what a model card states about these scores."""
    return CardFacts(
        sentences=expectation(scores),
        limits=(calibration_sentence(scores),),
    )


def expectation(scores: ClassificationScores) -> str:
    """Describe the accuracy as the expected result for future images."""
    if not scores.n_images:
        return "No images were evaluated, so nothing is known about this model."
    low, high = scores.intervals.get("accuracy", (math.nan, math.nan))
    digits = int(f"{100 * low:.0f}" == f"{100 * high:.0f}")
    right = f"Of 100 images like these, expect about {100 * scores.accuracy:.{digits}f} to be right"
    if math.isnan(low):
        return f"{right}; how sure that is cannot be told from {say.count(scores.n_groups, 'independent group')}."
    return f"{right}; between {100 * low:.{digits}f} and {100 * high:.{digits}f} with 95 % confidence."


def calibration_sentence(scores: ClassificationScores) -> str:
    """Describe whether a confidence can be interpreted as a probability."""
    if not scores.n_images:
        return ""
    mean = float(scores.confidences.mean())
    said = f"It is {say.percent(mean)} sure on average and right {say.percent(scores.accuracy)} of the time"
    if abs(mean - scores.accuracy) < 0.02:  # not relevant for a reader's decisions
        return f"{said}: its confidence is honest on average."
    return f"{said}: it is {'over' if mean > scores.accuracy else 'under'}confident."


def majority_share(scores: ClassificationScores) -> float:
    """Return the accuracy of always predicting the most common class."""
    return float(scores.per_class.support.max() / scores.n_images) if scores.n_images else math.nan


def scores_text(scores: ClassificationScores) -> str:
    """Return a table for the terminal: scores with intervals, the worst classes, the most frequent confusions."""
    pairs = f"{say.count(scores.n_mistakes, 'mistake')}; most often:"
    return say.scores_text(scores, title="accuracy", pairs=pairs)
