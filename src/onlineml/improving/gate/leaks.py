"""Test images that are also training images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["leaked_images", "trained_hashes"]


def leaked_images(data: Manifest, *, split: str = "test", trained_on: Sequence[str] = ("train",)) -> tuple[str, ...]:
    """Ids of the images of a split whose bytes are also among the training images, in the order of the manifest.

    Images are compared by the hash of their bytes, which is unknown for images that were never read.

    Args:
        data: the manifest that the challenger was trained on.
        split: the scored split.
        trained_on: the splits used in training.
    """
    hashes, splits = (np.asarray(data.column(name), dtype=object) for name in ("sha256", "split"))
    seen = trained_hashes(data, trained_on=trained_on)
    ids = data.column("image_id")
    return tuple(str(ids[i]) for i in np.flatnonzero(splits == split) if hashes[i] in seen)


def trained_hashes(data: Manifest, *, trained_on: Sequence[str] = ("train",)) -> set[str]:
    """Hashes of the bytes of the training images, as far as they are known."""
    pairs = zip(data.column("sha256"), data.column("split"), strict=True)
    return {content for content, own in pairs if own in trained_on and content}
