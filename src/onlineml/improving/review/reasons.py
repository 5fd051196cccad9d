"""The reasons of a review queue as sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onlineml.improving.review.result import Why

__all__ = ["first_few", "sentence", "without_prefix"]

_N_SHOWN = 3  # reasons of an image: a detector that has learned little gives dozens

_WITH, _WITHOUT = "with ", "without "
_ERRORS = {"label error", "doubtful label", "swapped box"}  # the label and the model's word say it all
_FIXED = {
    "conflict": "people contradict each other",
    "decides": "two models differ, and the answer decides between them",
    "typical": "no label: many photos look like it, none with an answer",
}


def sentence(why: Why) -> str:
    """Return a reason in words: "labelled lemon, model says apple, 93 %"."""
    if why.reason in _FIXED:
        return _FIXED[why.reason]
    sure = "" if math.isnan(why.confidence) else f", {why.confidence:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    model = f"model of {why.n_answers:,} answers" if why.n_answers else "model"
    said = f"{model} says {_said(why)}{sure}" if why.suggestion else ""
    if why.reason == "missed box":
        return f"no box here, {said}"
    if why.reason == "badly placed box":
        return f"box of {why.label or why.suggestion} lies elsewhere, {said}"
    labelled = {None: "", "": "no label"}.get(why.label, f"labelled {why.label}")
    parts = ", ".join(filter(None, [labelled, said]))
    return parts if labelled and why.reason in _ERRORS else ": ".join(filter(None, [why.reason, parts]))


def first_few(sentences: Iterable[str]) -> list[str]:
    """Return the first of the different sentences about an image, and the number of the others."""
    different = list(dict.fromkeys(sentences))
    more = [f"and {len(different) - _N_SHOWN:,} more"] if len(different) > _N_SHOWN else []
    return [*different[:_N_SHOWN], *more]


def without_prefix(suggestion: str) -> tuple[str, bool | None]:
    """Return the class of a suggestion about one of several labels, and whether it applies; None: not of this kind."""
    for prefix, applies in ((_WITH, True), (_WITHOUT, False)):
        if suggestion.startswith(prefix):
            return suggestion.removeprefix(prefix), applies
    return suggestion, None


def _said(why: Why) -> str:
    name, applies = without_prefix(why.suggestion)
    return name if applies is None else f"also {name}" if applies else f"not {name}"
