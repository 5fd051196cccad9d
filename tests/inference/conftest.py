"""What the tests of predictions share."""

from __future__ import annotations

from tiny import decoded_photos, manifest, photos

__all__ = ["decoded_photos", "manifest", "photos"]
