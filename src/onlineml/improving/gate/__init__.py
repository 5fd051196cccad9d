"""The decision whether a new model takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.improving.gate.decide import gate as gate
    from onlineml.improving.gate.looks import look_history as look_history
    from onlineml.improving.gate.policy import Better as Better
    from onlineml.improving.gate.policy import Gate as Gate
    from onlineml.improving.gate.policy import NotWorse as NotWorse
    from onlineml.improving.gate.promise import Look as Look
    from onlineml.improving.gate.replay import replayed as replayed
    from onlineml.improving.gate.result import GateResult as GateResult
    from onlineml.improving.gate.result import TestedPart as TestedPart

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Better": "policy",
        "Gate": "policy",
        "GateResult": "result",
        "Look": "promise",
        "look_history": "looks",
        "replayed": "replay",
        "NotWorse": "policy",
        "TestedPart": "result",
        "gate": "decide",
    },
)
