"""What the tests of training share."""

from __future__ import annotations

from tiny import decoded_photos, manifest, photos
from tiny_boxes import boxes, trained

__all__ = ["boxes", "decoded_photos", "manifest", "photos", "trained"]
