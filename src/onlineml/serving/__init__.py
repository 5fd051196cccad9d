"""A server: the model that an alias stands for, over HTTP, following promotions and rollbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.serving.server import Limits as Limits
    from onlineml.serving.server import create_app as create_app
    from onlineml.serving.server import serve as serve

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Limits": "server",
        "create_app": "server",
        "serve": "server",
    },
)
