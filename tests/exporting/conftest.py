"""What the tests of exports share."""

from __future__ import annotations

from tiny import decoded_photos, manifest, photos
from tiny_boxes import trained

__all__ = ["decoded_photos", "manifest", "photos", "trained"]
