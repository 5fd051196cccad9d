"""Whether a new model takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.improving.gate.decide import Better as Better
    from onlineml.improving.gate.decide import NotWorse as NotWorse
    from onlineml.improving.gate.decide import gate as gate
    from onlineml.improving.gate.result import GateResult as GateResult
    from onlineml.improving.gate.result import TestedPart as TestedPart

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Better": "decide",
        "GateResult": "result",
        "NotWorse": "decide",
        "TestedPart": "result",
        "gate": "decide",
    },
)
