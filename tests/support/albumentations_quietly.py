"""albumentations as ``a``, imported when a test first needs it and without the warnings of what it imports."""

from __future__ import annotations

import os
import warnings
from typing import Any

from late import Late

__all__ = ["a"]


class _Quietly(Late):
    def __getattr__(self, attribute: str) -> Any:
        with warnings.catch_warnings():  # albumentations imports pydantic pieces that other releases deprecate
            warnings.simplefilter("ignore")
            os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
            return super().__getattr__(attribute)


a = _Quietly("albumentations")
