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
    from onlineml.evaluation.types import Interval

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
    per = scores.per_class
    columns = {"AP": per.ap, "recall": per.recall, "precision": per.precision, "F1": per.f1}
    return CardFacts(
        sentences=f"{expectation(scores)} {subset_sentence(scores)}".rstrip(),
        columns={**columns, "threshold": per.threshold},
        confusion="gives {predicted} in the place of {truth}",
    )


def _between(bounds: Interval) -> str:
    if math.isnan(bounds[0]):
        return ""
    digits = int(f"{100 * bounds[0]:.0f}" == f"{100 * bounds[1]:.0f}")
    return f" (between {100 * bounds[0]:.{digits}f} and {100 * bounds[1]:.{digits}f} with 95 % confidence)"


def expectation(scores: MultilabelScores) -> str:
    """Describe recall and precision as expected results for future images."""
    if not scores.n_images:
        return "No images were evaluated, so nothing is known about this model."
    if not scores.n_labels:
        return f"The images have no labels: all {say.count(scores.n_given, 'label')} that it gives are wrong."
    found = f"Of 100 labels like these, expect about {100 * scores.micro_recall:.0f} to be found"
    found += _between(scores.interval("micro_recall"))
    if not scores.n_given:
        return f"{found}; it gives no labels."
    right = f"of 100 labels that it gives, about {100 * scores.micro_precision:.0f} to be right"
    return f"{found}; {right}{_between(scores.interval('micro_precision'))}."


def subset_sentence(scores: MultilabelScores) -> str:
    """Describe how many images have all labels right, and how many have no labels."""
    if not scores.n_images:
        return ""
    whole = f"All labels are right in {say.percent(scores.subset_accuracy)} of the images"
    if not scores.n_empty and not scores.n_given_empty:
        return f"{whole}."
    return f"{whole}. {scores.n_empty:,} have none, and {scores.n_given_empty:,} are given none."


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


def scores_text(scores: MultilabelScores, *, n_classes: int = 5, n_pairs: int = 3) -> str:
    """Return a table for the terminal: scores with intervals, the worst classes, the most frequent confusions."""
    bounds = say.interval(scores.interval("map"))
    lines = [f"mAP {say.decimal(scores.map)} (95 %: {bounds}) on {say.subject(scores)}"]
    lines += [text for text in (expectation(scores), subset_sentence(scores)) if text]
    lines += ["", f"{'score':<26}{'value':>8}   95 % interval"]
    for name in shown_scores(scores)[1:]:
        value, bounds = say.decimal(scores.score(name)), say.interval(scores.interval(name))
        lines.append(f"{say.label(name):<26}{value:>8}   {bounds}")
    row = scores.per_class
    classes = [i for i in row.worst_first()[:n_classes] if row.support[i]]
    if classes:
        lines += ["", f"{'lowest classes by F1':<26}{'F1':>8}{'precision':>11}{'recall':>9}{'AP':>8}{'images':>9}"]
    for i in classes:
        numbers = f"{say.decimal(row.f1[i]):>8}{say.decimal(row.precision[i]):>11}{say.decimal(row.recall[i]):>9}"
        lines.append(f"{say.shorten(row.names[i], 25):<26}{numbers}{say.decimal(row.ap[i]):>8}{row.support[i]:>9,}")
    pairs = scores.confused_pairs(n_pairs)
    if pairs:
        lines += ["", f"{say.count(scores.n_wrong, 'image')} with wrong labels; most often:"]
        lines += [f"  {say.shorten(p.predicted, 30)} in the place of {say.shorten(p.truth, 30)}: "
                  f"{say.count(p.n, 'time')}" for p in pairs]  # fmt: skip
    return "\n".join(lines)
