"""Verdicts judged again from what a log holds, to check that the log and the code agree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from onlineml.evaluation.comparison.counts import PairedCounts
from onlineml.improving.gate.decide import verdict_of
from onlineml.improving.gate.policy import Better, NotWorse
from onlineml.improving.gate.promise import Look
from onlineml.improving.gate.result import REJECT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["replayed"]


def replayed(record: Mapping[str, Any]) -> str:
    """Judge a record of the gate again, and return the verdict.

    Of right and wrong images the bounds are computed again from the counts of all groups; of average precision, and in
    records without counts, they are taken from the record.

    Args:
        record: as `onlineml.improving.gate.GateResult.to_record` returns it, or an earlier version did.
    """
    told = {**record["policy"]}
    policy = {"better": Better, "not_worse": NotWorse}[told.pop("name")](**told)
    lower, upper = (_number(record[name]) for name in ("lower", "upper"))
    evidence = record.get("evidence") or {}
    if evidence.get("kind") == "counts" and evidence["groups"]:
        counts, once = PairedCounts.from_record(evidence), 1 - policy.level
        share = Look(record["look"]).share if record.get("look") else 1.0
        lower, upper = counts.bounds(once * share)[0], counts.bounds(once)[1]
    verdict = verdict_of(policy, _number(record["difference"]), lower, upper)[0]
    return REJECT if _blocked(record) else verdict


def _blocked(record: Mapping[str, Any]) -> bool:
    """Return whether something stood in the way; a record without the number has reasons that block before the last."""
    if "n_blocks" in record:
        return bool(record["n_blocks"])
    return record["verdict"] == REJECT and len(record["reasons"]) > 1


def _number(value: float | None) -> float:
    return math.nan if value is None else value
