"""Model card in Markdown: description of a model, its scores, and its limitations."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from onlineml.evaluation.detection import text as words
from onlineml.evaluation.detection.result import DetectionScores
from onlineml.evaluation.render import text as say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.evaluation.types import AnyScores, Floats

__all__ = ["model_card"]

_N_CLASSES = 10
_FACTS = {
    "architecture": "architecture",
    "backbone": "backbone",
    "preprocessing": "preprocessing",
    "manifest_hash": "trained on dataset",
    "parent": "continued from",
    "seed": "seed",
    "packages": "packages",
    "versions": "packages",
}


def model_card(descriptor: Mapping[str, Any], scores: AnyScores | None = None) -> str:
    """Write a model card.

    Args:
        descriptor: content of ``model.json``; of its keys, ``name`` or ``version``, ``task``, ``class_names`` and those
            facts of the model that exist (architecture, preprocessing, dataset hash, parent, seed, packages) are used.
        scores: scores of its evaluation; None if it was not evaluated, which the card then states.

    Returns:
        Markdown. User-provided text is escaped, so that a class name can be neither markup nor a table cell.
    """
    detector = descriptor.get("task") == "detection" or isinstance(scores, DetectionScores)
    kind = "Object detector" if detector else "Image classifier"
    name = descriptor.get("name") or descriptor.get("version") or kind
    classes = tuple(descriptor.get("class_names") or (scores.class_names if scores else ()))
    facts = [
        f"- {label}: {_value(descriptor[key])}"
        for key, label in _FACTS.items()
        if descriptor.get(key) not in (None, "", {}, [])
    ]
    listed = ", ".join(_plain(c) for c in classes[:50]) + (
        f" and {len(classes) - 50} more" if len(classes) > 50 else ""
    )
    number = say.count(len(classes), "class")
    parts = [
        f"---\nlibrary_name: onlineml\npipeline_tag: {'object-detection' if detector else 'image-classification'}\n---",
        f"# {_plain(name)}",
        f"Finds objects of {number}: {listed}." if detector else f"Tells {number} of images apart: {listed}.",
        *(_evaluation(scores) if scores else ["## Evaluation", "Not evaluated: nothing is known about its accuracy."]),
        "## Limits",
        _limits(scores, detector=detector),
        "## Facts",
        "\n".join(facts) or "- none recorded",
    ]
    return "\n\n".join(parts) + "\n"


def _plain(text: object) -> str:
    """Convert to one line of text without special characters of Markdown or HTML."""
    flat = say.shorten(str(text), 200)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#$~])", r"\\\1", flat)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def _evaluation(scores: AnyScores) -> list[str]:
    rows = ["| score | value | 95 % interval |", "|---|---|---|"]
    for name in say.shown_scores(scores):
        bounds = say.interval(scores.interval(name))
        rows.append(f"| {say.label(name)} | {say.decimal(scores.score(name))} | {bounds} |")
    dataset = f" Dataset {_value(scores.manifest_hash)}." if scores.manifest_hash else ""
    if isinstance(scores, DetectionScores):
        subject, expectation, by = words.subject(scores), words.expectation(scores), "AP"
        note = f" {words.threshold_note(scores)}"
    else:
        subject, expectation, by, note = say.subject(scores), say.expectation(scores), "F1", ""
    return [
        "## Evaluation",
        f"On {_plain(subject)}.{dataset} {expectation}{note}",
        "\n".join(rows),
        f"Lowest classes by {by}:",
        _classes(scores),
    ]


def _classes(scores: AnyScores) -> str:
    per = scores.per_class
    columns: dict[str, Floats] = {"recall": per.recall, "precision": per.precision, "F1": per.f1}
    counted = "images"
    if isinstance(scores, DetectionScores):
        counted = "objects"
        columns = {"AP": scores.ap, "AP 50": scores.ap_50, **columns, "threshold": scores.per_class.threshold}
    lines = [f"| class | {counted} | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
    for i in [i for i in per.worst_first() if per.support[i]][:_N_CLASSES]:
        numbers = " | ".join(say.decimal(float(values[i])) for values in columns.values())
        lines.append(f"| {_plain(per.names[i])} | {per.support[i]:,} | {numbers} |")
    return "\n".join(lines)


def _limits(scores: AnyScores | None, *, detector: bool) -> str:
    lines = ["- It answers with one of its classes for every image, also for one that shows none of them."]
    if detector:
        lines = ["- It knows its classes only: other objects are passed over, or taken for one of them."]
    if scores is None or not scores.n_images:
        return lines[0]
    lines.append("- The scores hold for images like those it was evaluated on; other cameras or places may differ.")
    if not isinstance(scores, DetectionScores):
        lines.append(f"- {say.calibration_sentence(scores)}")
    elif words.costliest(scores):
        lines.append(f"- {words.costliest(scores)}")
    what = "objects" if detector else "images"
    absent = int((scores.per_class.support == 0).sum())
    if absent:
        lines.append(f"- {say.count(absent, 'class')} had no {what} in the evaluation: nothing is known about them.")
    for pair in scores.confused_pairs(3):
        taken = f"takes {_plain(pair.truth)} for {_plain(pair.predicted)}"
        lines.append(f"- It {taken} in {say.percent(pair.share)} of the {what} of that class.")
    return "\n".join(lines)
