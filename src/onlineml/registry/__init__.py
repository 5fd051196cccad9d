"""Published versions of models, their aliases and promotions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.registry.promotions import promotion_history as promotion_history
    from onlineml.registry.versions import ModelVersion as ModelVersion
    from onlineml.registry.versions import aliases as aliases
    from onlineml.registry.versions import list_versions as list_versions
    from onlineml.registry.versions import promote as promote
    from onlineml.registry.versions import publish_to as publish_to
    from onlineml.registry.versions import publish_version as publish_version
    from onlineml.registry.versions import resolve as resolve
    from onlineml.registry.versions import rollback as rollback

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ModelVersion": "versions",
        "aliases": "versions",
        "list_versions": "versions",
        "promote": "versions",
        "promotion_history": "promotions",
        "publish_to": "versions",
        "publish_version": "versions",
        "resolve": "versions",
        "rollback": "versions",
    },
)
