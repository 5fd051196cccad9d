"""Image classification: one class per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.tasks.classification.module import ImageClassifier as ImageClassifier

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"ImageClassifier": "module"})
