"""COCO files below a folder, told apart from other JSON files and from COCO's files without boxes."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from onlineml.data.formats.annotation_files import json_files

if TYPE_CHECKING:
    from onlineml.data.formats.format import Place
    from onlineml.data.formats.sniff import JsonShape

__all__ = ["coco_files", "is_coco"]

_BESIDE = frozenset({"info", "licenses", "categories", "annotations"})
_OF_IMAGES = frozenset({"file_name", "coco_url", "height", "width", "id"})
_OTHER_KINDS = ("captions", "panoptic", "stuff", "person_keypoints", "image_info", "densepose")  # beside instances_*


def is_coco(shape: JsonShape) -> bool:
    """Return whether the beginning of a JSON file looks like COCO: lists of images or annotations, in any order."""
    keys = frozenset(shape.keys)
    if shape.kind != "object":
        return False
    if "images" in keys:
        return bool(keys & _BESIDE or _OF_IMAGES.intersection(shape.inner))
    return "annotations" in keys and bool(keys & _BESIDE - {"annotations"} or "image_id" in shape.inner)


def coco_files(place: Place) -> tuple[list[str], list[str]]:
    """Return the paths of the COCO files below a folder, and of those left out because others say more.

    Captions, key points and the like of images that have boxes in other files are left out.
    """
    found = json_files(place, is_coco)
    boxes = [path for path in found if not _name(path).startswith(_OTHER_KINDS)]
    boxes = boxes or [path for path in found if _name(path).startswith("person_keypoints")] or found
    return boxes, sorted({*found} - {*boxes})


def _name(path: str) -> str:
    return posixpath.basename(path).lower()
