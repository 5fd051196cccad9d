"""The model card: what a model is, how good, and when not to use it, in Markdown."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from onlineml.evaluation import _text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.evaluation.scores import ClassificationScores

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


def model_card(descriptor: Mapping[str, Any], scores: ClassificationScores | None = None) -> str:
    """Write a model card.

    Args:
        descriptor: content of ``model.json``; of its keys, ``name`` or ``version``, ``class_names`` and those facts of
            the model that are there (architecture, preprocessing, dataset hash, parent, seed, packages) are used.
        scores: of its evaluation; None if it was not evaluated, which the card then says.

    Returns:
        Markdown. Text of users is escaped, so that a class name can be neither markup nor a table cell.
    """
    name = descriptor.get("name") or descriptor.get("version") or "Image classifier"
    classes = tuple(descriptor.get("class_names") or (scores.class_names if scores else ()))
    facts = [
        f"- {label}: {_value(descriptor[key])}"
        for key, label in _FACTS.items()
        if descriptor.get(key) not in (None, "", {}, [])
    ]
    listed = ", ".join(_plain(c) for c in classes[:50]) + (
        f" and {len(classes) - 50} more" if len(classes) > 50 else ""
    )
    parts = [
        "---\nlibrary_name: onlineml\npipeline_tag: image-classification\n---",
        f"# {_plain(name)}",
        f"Tells {_text.count(len(classes), 'class')} of images apart: {listed}.",
        *(_evaluation(scores) if scores else ["## Evaluation", "Not evaluated: nothing is known about its accuracy."]),
        "## Limits",
        _limits(scores),
        "## Facts",
        "\n".join(facts) or "- none recorded",
    ]
    return "\n\n".join(parts) + "\n"


def _plain(text: object) -> str:
    """Text on one line without meaning in Markdown or HTML."""
    flat = _text.shorten(str(text), 200)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#$~])", r"\\\1", flat)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def _evaluation(scores: ClassificationScores) -> list[str]:
    rows = ["| score | value | 95 % interval |", "|---|---|---|"]
    for name in _text.shown_scores(scores):
        bounds = _text.interval(scores.intervals.get(name, (math.nan, math.nan)))
        rows.append(f"| {_text.label(name)} | {_text.decimal(scores.score(name))} | {bounds} |")
    per = scores.per_class
    classes = ["| class | images | recall | precision | F1 |", "|---|---|---|---|---|"]
    for i in [i for i in per.worst_first() if per.support[i]][:_N_CLASSES]:
        numbers = " | ".join(_text.decimal(float(v[i])) for v in (per.recall, per.precision, per.f1))
        classes.append(f"| {_plain(per.names[i])} | {per.support[i]:,} | {numbers} |")
    dataset = f" Dataset {_value(scores.manifest_hash)}." if scores.manifest_hash else ""
    return [
        "## Evaluation",
        f"On {_plain(_text.subject(scores))}.{dataset} {_text.expectation(scores)}",
        "\n".join(rows),
        "Lowest classes by F1:",
        "\n".join(classes),
    ]


def _limits(scores: ClassificationScores | None) -> str:
    lines = ["- It answers with one of its classes for every image, also for one that shows none of them."]
    if scores is None or not scores.n_images:
        return lines[0]
    lines.append("- The scores hold for images like those it was evaluated on; other cameras or places may differ.")
    lines.append(f"- {_text.calibration_sentence(scores)}")
    absent = int((scores.per_class.support == 0).sum())
    if absent:
        lines.append(f"- {_text.count(absent, 'class')} had no images in the evaluation: nothing is known about them.")
    for pair in scores.confused_pairs(3):
        taken = f"takes {_plain(pair.truth)} for {_plain(pair.predicted)}"
        lines.append(f"- It {taken} in {_text.percent(pair.share)} of the images of that class.")
    return "\n".join(lines)
