"""Model card in Markdown: description of a model, its scores, and its limitations."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError
from onlineml.evaluation.render import text as say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.classification.tables import ClassTable

__all__ = ["CardFacts", "TaskWords", "model_card"]

_N_CLASSES = 10
_FACTS = {
    "architecture": "architecture",
    "backbone": "backbone",
    "weights_from": "started from weights of",
    "weights_licence": "licence of those weights",
    "preprocessing": "preprocessing",
    "tiles": "sees photos in tiles of",
    "manifest_hash": "trained on dataset",
    "parent": "continued from",
    "seed": "seed",
    "packages": "packages",
    "versions": "packages",
}


@dataclass(frozen=True)
class TaskWords:
    """Words for a task, in model cards, reports and galleries.

    Attributes:
        title: of a model without a name: ``"Image classifier"``.
        pipeline_tag: of the task on the Hugging Face hub.
        purpose: what the model does, with ``{classes}`` for "5 classes"; the names of the classes follow.
        limit: a sentence on what no model of the task can do.
        absent: the truth of a prediction that takes the place of no other: the last row of the confusion matrix; empty
            for a task in which each prediction has a truth.
    """

    title: str
    pipeline_tag: str
    purpose: str
    limit: str
    absent: str = ""


@dataclass(frozen=True, eq=False)
class CardFacts:
    """Part of the card that depends on the task of the scores.

    Attributes:
        sentences: what to expect of the model.
        limits: further sentences on its limits; an empty one is left out.
        confusion: clause on two confused classes, with ``{truth}`` and ``{predicted}``.
        between: the same without a verb.
    """

    sentences: str
    limits: tuple[str, ...] = ()
    confusion: str = "takes {truth} for {predicted}"
    between: str = "{truth} taken for {predicted}"


def model_card(
    descriptor: Mapping[str, Any], scores: BaseScores | None = None, *, words: TaskWords | None = None
) -> str:
    """Write a model card.

    Args:
        descriptor: content of ``model.json``; of its keys, ``name`` or ``version``, ``class_names`` and those
            facts of the model that exist (architecture, preprocessing, dataset hash, parent, seed, packages) are used.
        scores: scores of its evaluation; None if it was not evaluated, which the card then states.
        words: description of the model's task; None: that of the scores.

    Returns:
        Markdown. User-provided text is escaped, so that a class name can be neither markup nor a table cell.

    Raises:
        ConfigError: neither scores nor words are given.
    """
    if words is None:
        if scores is None:
            raise ConfigError("without scores, a card needs words= of the task, such as DetectionScores.words")
        words = scores.words
    name = descriptor.get("name") or descriptor.get("version") or words.title
    classes = tuple(descriptor.get("class_names") or (scores.class_names if scores else ()))
    purpose = words.purpose.format(classes=say.count(len(classes), "class"))
    parts = [
        f"---\nlibrary_name: onlineml\npipeline_tag: {words.pipeline_tag}\n---",
        f"# {_plain(name)}",
        f"{purpose}: {_listed(classes)}.",
        *(_evaluation(scores) if scores else ["## Evaluation", "Not evaluated: nothing is known about its accuracy."]),
        "## Limits",
        "\n".join(f"- {line}" for line in (words.limit, *_limits(scores))),
        "## Facts",
        _facts(descriptor) or "- none recorded",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(classes: tuple[str, ...]) -> str:
    more = f" and {len(classes) - 50} more" if len(classes) > 50 else ""
    return ", ".join(_plain(name) for name in classes[:50]) + more


def _facts(descriptor: Mapping[str, Any]) -> str:
    known = {key: label for key, label in _FACTS.items() if descriptor.get(key) not in (None, "", {}, [])}
    return "\n".join(f"- {label}: {_value(descriptor[key])}" for key, label in known.items())


def _plain(text: object) -> str:
    """Convert to one line of text without special characters of Markdown or HTML."""
    flat = say.shorten(str(text), 200)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#$~])", r"\\\1", flat)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def _evaluation(scores: BaseScores) -> list[str]:
    rows = ["| score | value | 95 % interval |", "|---|---|---|"]
    for name in scores.shown_scores():
        bounds = say.interval(scores.interval(name))
        rows.append(f"| {say.label(name)} | {say.decimal(scores.score(name))} | {bounds} |")
    dataset = f" Dataset {_value(scores.manifest_hash)}." if scores.manifest_hash else ""
    facts = scores.card_facts()
    return [
        "## Evaluation",
        f"On {_plain(scores.subject())}.{dataset} {facts.sentences}",
        "\n".join(rows),
        f"Lowest classes by {scores.per_class.ranking}:",
        _classes(scores.per_class),
    ]


def _classes(per: ClassTable) -> str:
    lines = [f"| class | {per.counted} | {' | '.join(per.shown)} |", "|---" * (2 + len(per.shown)) + "|"]
    for i in [i for i in per.worst_first() if per.support[i]][:_N_CLASSES]:
        numbers = " | ".join(say.decimal(float(getattr(per, name)[i])) for name in per.shown.values())
        lines.append(f"| {_plain(per.names[i])} | {per.support[i]:,} | {numbers} |")
    return "\n".join(lines)


def _limits(scores: BaseScores | None) -> list[str]:
    if scores is None or not scores.n_images:
        return []
    facts = scores.card_facts()
    lines = ["The scores hold for images like those it was evaluated on; other cameras or places may differ."]
    lines += [line for line in (scores.doubt(), *facts.limits) if line]
    absent = int((scores.per_class.support == 0).sum())
    if absent:
        number = say.count(absent, "class")
        lines.append(f"{number} had no {scores.per_class.counted} in the evaluation: nothing is known about them.")
    for pair in scores.confused_pairs(3):
        confused = facts.confusion.format(truth=_plain(pair.truth), predicted=_plain(pair.predicted))
        lines.append(f"It {confused} in {say.percent(pair.share)} of the {scores.per_class.counted} of that class.")
    return lines
