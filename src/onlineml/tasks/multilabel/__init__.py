"""Multi-label classification: any number of classes per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.tasks.multilabel.module import MultilabelClassifier as MultilabelClassifier

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"MultilabelClassifier": "module"})
