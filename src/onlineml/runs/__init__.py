"""Records of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.runs.run import Run as Run
    from onlineml.runs.run import new_run_id as new_run_id

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Run": "run",
        "new_run_id": "run",
    },
)
