"""Text form of multi-label scores, for printing, pages and figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.card import CardFacts, TaskWords

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onlineml.evaluation.multilabel.result import MultilabelScores
    from onlineml.evaluation.multilabel.tables import LabelScore, WrongImage

__all__ = [
    "EXPLANATIONS",
    "WORDS",
    "caption",
    "card_facts",
    "expectation",
    "label_list",
    "scores_text",
    "shown_scores",
    "subset_sentence",
]

NO_LABEL = "no label"
WORDS = TaskWords(
    title="Multi-label image classifier",
    pipeline_tag="image-classification",
    purpose="Gives an image any number of labels, of {classes}",
    limit="It knows its classes only: an image that shows none of them should get no label.",
    absent="not shown",
)
EXPLANATIONS = {
    "macro_f1": "mean over classes of the harmonic mean of precision and recall",
    "map": "mean over classes of the area under the precision-recall curve",
    "log_loss": "surprise at the truth, in nats; 0 is perfect, sure mistakes cost most",
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


def card_facts(scores: MultilabelScores) -> CardFacts:
    """Return what a model card states about these scores."""
    return CardFacts(
        sentences=f"{expectation(scores)} {subset_sentence(scores)}".rstrip(),
        confusion="gives {predicted} in the place of {truth}",
        between="{predicted} in the place of {truth}",
    )


def expectation(scores: MultilabelScores) -> str:
    """Describe recall and precision as expected results for future images."""
    if not scores.n_images:
        return "No images were evaluated, so nothing is known about this model."
    if not scores.n_labels:
        return f"The images have no labels: all {say.count(scores.n_given, 'label')} that it gives are wrong."
    none = "" if scores.n_given else "it gives no labels"
    return say.found_and_right(scores, things="labels", given="labels", gives="gives", none=none)


def subset_sentence(scores: MultilabelScores) -> str:
    """Describe how many images have all labels right, and how many have no labels."""
    if not scores.n_images:
        return ""
    whole = f"All labels are right in {say.percent(scores.subset_accuracy)} of the images"
    if not scores.n_empty and not scores.n_given_empty:
        return f"{whole}."
    there, given = say.count(scores.n_empty, "has", "have"), say.count(scores.n_given_empty, "is", "are")
    return f"{whole}. {there} none, and {given} given none."


def shown_scores(scores: MultilabelScores) -> list[str]:
    """Return the names of scores worth a row: without those of images without labels if there are none."""
    empty = {"empty_recall", "empty_precision"}
    return [name for name in scores.score_names() if name not in empty or not math.isnan(scores.score(name))]


def label_list(names: Iterable[str]) -> str:
    """Return class names side by side, or a text for none."""
    return ", ".join(names) or NO_LABEL


def caption(image: WrongImage) -> str:
    """Describe the errors of an image: "missed cat 12 %; false dog 81 %"."""
    lists = (("missed", image.missed), ("false", image.false))
    return "; ".join(f"{word} {_with_percents(labels)}" for word, labels in lists if labels)


def _with_percents(labels: tuple[LabelScore, ...]) -> str:
    return ", ".join(f"{label.name} {say.percent(label.score)}" for label in labels)


def scores_text(scores: MultilabelScores) -> str:
    """Return a table for the terminal: scores with intervals, the worst classes, the most frequent confusions."""
    before = [text for text in (expectation(scores), subset_sentence(scores)) if text]
    pairs = f"{say.count(scores.n_wrong, 'image')} with wrong labels; most often:"
    return say.scores_text(scores, title="mAP", pairs=pairs, before=before)
