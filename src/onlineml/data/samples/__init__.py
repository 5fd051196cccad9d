"""Generated photos for demonstrations and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.samples.samples import make_samples as make_samples

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "make_samples": "samples",
    },
)
