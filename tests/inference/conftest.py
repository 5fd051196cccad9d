"""What the tests of predictions share."""

from __future__ import annotations

from knowing import known, labelled
from tiny import decoded_photos, manifest, photos
from tiny_boxes import boxes, trained

__all__ = ["boxes", "decoded_photos", "known", "labelled", "manifest", "photos", "trained"]
