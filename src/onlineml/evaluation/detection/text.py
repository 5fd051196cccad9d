"""Text form of a detector's scores, for printing, pages and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.evaluation.render import text as say
from onlineml.evaluation.render.card import CardFacts, TaskWords
from onlineml.evaluation.render.text import decimal, shorten

if TYPE_CHECKING:
    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.evaluation.detection.tables import SeenBox

__all__ = [
    "ERROR_WORDS",
    "EXPLANATIONS",
    "WORDS",
    "box_words",
    "card_facts",
    "costliest",
    "errors_in_matrix",
    "expectation",
    "scores_text",
    "subject",
    "threshold_note",
]

ERROR_WORDS = {
    "class": ("wrong class", "in the right place, but called another class"),
    "localisation": ("imprecise box", "right class, but it overlaps the object by less than half"),
    "both": ("wrong class and imprecise", "near an object of another class"),
    "duplicate": ("duplicate", "one more box on an object that a surer box found"),
    "background": ("nothing there", "on no object; often an object that nobody annotated"),
    "missed": ("missed", "an object without any box on it or near it of its class"),
}

EXPLANATIONS = {
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
WORDS = TaskWords(
    title="Object detector",
    pipeline_tag="object-detection",
    purpose="Finds objects of {classes}",
    limit="It knows its classes only: other objects are passed over, or taken for one of them.",
    absent="no object",
)


def card_facts(scores: DetectionScores) -> CardFacts:
    """Return what a model card states about these scores."""
    return CardFacts(
        sentences=f"{expectation(scores)} {threshold_note(scores)}",
        limits=(costliest(scores),),
    )


def subject(scores: DetectionScores) -> str:
    """Describe the evaluated data: "1,024 objects in 72 images of the test split, 3 classes"."""
    return say.subject(scores, found=f"{count(scores.n_objects, 'object')} in ")


def expectation(scores: DetectionScores) -> str:
    """Describe recall and precision as expected results for future images."""
    if not scores.n_images:
        return "No images were evaluated, so nothing is known about this model."
    if not scores.n_objects:
        return f"The images show no objects: all {count(scores.n_boxes, 'box')} that it drew are wrong."
    none = "" if scores.n_boxes else "it drew no boxes"
    return say.found_and_right(scores, things="objects", given="boxes", gives="draws", none=none)


def threshold_note(scores: DetectionScores) -> str:
    """Describe the source of the thresholds."""
    if scores.thresholds_given:
        return "A box counts from its class's threshold on, which was chosen on other images."
    return (
        "A box counts from its class's threshold on. The thresholds were chosen on these very images, which flatters "
        "precision and recall."
    )


def costliest(scores: DetectionScores) -> str:
    """Name the type of error with the highest cost, as a sentence; "" if none has a cost."""
    known = [error for error in scores.errors if error.ap_50_cost > 0]
    if not known:
        return ""
    worst = max(known, key=lambda error: error.ap_50_cost)
    name, meaning = ERROR_WORDS[worst.name]
    cost = f"{100 * worst.ap_50_cost:.1f}"
    return f"Costliest: {name} ({meaning}). Without such errors, mAP 50 would be {cost} points higher."


def errors_in_matrix(scores: DetectionScores) -> str:
    """Tell where the confusion matrix counts the boxes and objects that the types of errors count."""
    n, matrix = {error.name: error.n for error in scores.errors}, scores.confusion
    confused = int(matrix[:-1, :-1].sum()) - scores.n_hits
    without = count(int(matrix[:, -1].sum()), "object")
    return (
        f"Of the {sum(n.values()) - n['missed']:,} wrong boxes among the errors, {confused:,} cover an object of "
        f"another class that no other box has; {int(matrix[-1].sum()):,} have no object of their own, because they are "
        f"imprecise, duplicates or on nothing: the row \u201c{WORDS.absent}\u201d. {without} without a box: the column "
        f"\u201cmissed\u201d. The errors only call missed what has no box near it either: {n['missed']:,}."
    )


def box_words(box: SeenBox) -> str:
    """Describe a drawn box: "RBC 0.83: nothing there", "RBC missed"."""
    if box.kind == "missed":
        return f"{shorten(box.label, 30)} missed"
    said = f"{shorten(box.label, 30)} {decimal(box.score, digits=2)}"
    if box.kind == "hit":
        return f"{said}: right"
    truth = f" (is {shorten(box.truth, 30)})" if box.truth and box.truth != box.label else ""
    return f"{said}: {ERROR_WORDS[box.kind][0]}{truth}"


def scores_text(scores: DetectionScores) -> str:
    """Return a table for the terminal: scores with intervals, the worst classes, the types of errors."""
    errors = [f"{ERROR_WORDS[e.name][0]:<26}{e.n:>8,}   {decimal(e.ap_50_cost)}" for e in scores.errors]
    after = ["", f"{'errors':<26}{'number':>8}   AP50 lost", *errors]
    text = say.scores_text(
        scores, title="mAP 50\u201395", pairs="most often confused:", before=[expectation(scores)], after=after
    )
    return text if scores.thresholds_given else f"{text}\n\n{threshold_note(scores)}"
