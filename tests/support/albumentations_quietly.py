"""albumentations as ``a``, imported without the warnings of what it imports."""

from __future__ import annotations

import os
import warnings

with warnings.catch_warnings():  # albumentations imports pydantic pieces that other releases deprecate
    warnings.simplefilter("ignore")
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations as a

__all__ = ["a"]
