"""COCO files below a folder, told apart from other JSON files and from COCO's files without boxes."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from onlineml.data.formats.annotation_files import json_fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.formats.sniff import JsonShape

__all__ = ["is_coco", "without_rivals"]

_BESIDE = frozenset({"info", "licenses", "categories", "annotations"})
_OF_IMAGES = frozenset({"file_name", "coco_url", "height", "width", "id"})
_OTHER_KINDS = ("captions", "panoptic", "stuff", "person_keypoints", "image_info", "densepose", "truth")  # beside boxes


def _is_coco(shape: JsonShape) -> bool:
    """Return whether the beginning of a JSON file looks like COCO: lists of images or annotations, in any order."""
    keys = frozenset(shape.keys)
    if shape.kind != "object":
        return False
    if "images" in keys:
        return bool(keys & _BESIDE or _OF_IMAGES.intersection(shape.inner))
    return "annotations" in keys and bool(keys & _BESIDE - {"annotations"} or "image_id" in shape.inner)


is_coco = json_fits(_is_coco)


def without_rivals(paths: Sequence[str]) -> frozenset[str]:
    """Return COCO files without those of captions, key points and the like, if there are others with boxes."""
    boxes = [path for path in paths if not _name(path).startswith(_OTHER_KINDS)]
    return frozenset(boxes or [path for path in paths if _name(path).startswith("person_keypoints")] or paths)


def _name(path: str) -> str:
    return posixpath.basename(path).lower()
