"""Photos that decide between champion and challenger where the test images do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.improving.deciding.decide import decide as decide
    from onlineml.improving.deciding.queue import deciding_queue as deciding_queue

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"decide": "decide", "deciding_queue": "queue"})
