"""`Origin`: where the weights that a model started from came from, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OWN", "RANDOM", "Origin"]


@dataclass(frozen=True)
class Origin:
    """The first weights of a model, as its card and the record of its run tell them.

    Attributes:
        source: the package, the URL without credentials, or ``"random"``; empty if unknown.
        licence: as their publisher states it; empty if unknown.
        remark: a sentence for people before the training; empty if there is nothing to say.
    """

    source: str = ""
    licence: str = ""
    remark: str = ""

    @property
    def pretrained(self) -> bool:
        """True if the weights were trained before."""
        return self.source not in {"", "random", "the network that was given"}

    def record(self) -> dict[str, str]:
        """Its part of ``model.json`` and of a run's spec."""
        known = {"weights_from": self.source, "weights_licence": self.licence}
        return {key: value for key, value in known.items() if value}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Origin:
        """Read what `record` wrote; a model of an earlier version has none."""
        return cls(str(record.get("weights_from") or ""), str(record.get("weights_licence") or ""))

    def __str__(self) -> str:
        licence = f", {self.licence}" if self.licence else ""
        return self.remark or (f"Starts from {self.source}{licence}." if self.pretrained else "")


RANDOM = Origin("random")
OWN = Origin("the network that was given")
