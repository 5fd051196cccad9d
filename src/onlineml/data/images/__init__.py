"""Image files: headers, decoding, policies, thumbnails, archives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.images.policies import POLICIES as POLICIES

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "POLICIES": "policies",
    },
)
