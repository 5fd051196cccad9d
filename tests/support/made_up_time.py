"""A time that passes only when a test says so, for what would otherwise depend on how fast a machine is."""

from __future__ import annotations

import time


class MadeUpTime:
    """Stands for the module `time`: `monotonic()` is what the test made it, everything else is real."""

    def __init__(self) -> None:
        self.s = 1000.0

    def monotonic(self) -> float:
        return self.s

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)
