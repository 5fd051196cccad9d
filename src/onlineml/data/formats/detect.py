"""Detection of the format at a URL from names only: an extension, or a format's typical files and folders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Layout", "boxes_layout", "images_layout"]

_ENDINGS = {".json": "coco", ".yaml": "yolo", ".yml": "yolo", ".csv": "boxes", ".tsv": "boxes", ".parquet": "boxes",
            ".pq": "boxes"}  # fmt: skip
_TABLES = (".csv", ".tsv", ".parquet", ".pq")
_ROBOFLOW = "_annotations.coco.json"
_INSTANCES = re.compile(r"instances_(([a-z]+)\d*)\.json")


class Layout(NamedTuple):
    """A format, and its reader's input: a file, or one file per split with its folder of images."""

    kind: Literal["folders", "table", "coco", "voc", "yolo", "boxes"]
    url: str | dict[str, str]
    images: dict[str, str] | None = None


def images_layout(where: str) -> Layout:
    """Return the layout for classification: a table with one row per image, by its extension, or class folders."""
    return Layout("table" if _ending(where) in _TABLES else "folders", where)


def boxes_layout(where: str, storage_options: Mapping[str, Any] | None) -> Layout:
    """Detect the format of annotated boxes.

    Raises:
        DataError: the format is unknown.
    """
    if (ending := _ending(where)) in _ENDINGS:
        return Layout(_ENDINGS[ending], where)  # type: ignore[arg-type]
    return _of_folder(where, storage_options)


def _ending(where: str) -> str:
    return where[where.rfind(".") :].lower() if "." in io.name(where) else ""


def _of_folder(where: str, storage_options: Mapping[str, Any] | None) -> Layout:
    def there(*parts: str) -> bool:
        return io.exists(io.join(where, *parts), storage_options=storage_options)

    if there("Annotations"):
        return Layout("voc", where)
    if there("data.yaml"):
        return Layout("yolo", where)
    if there("annotations.json"):
        return Layout("coco", io.join(where, "annotations.json"))
    if found := [name for name in ("train", "valid", "test") if there(name, _ROBOFLOW)]:
        return Layout("coco", {str(normalised_split(name)): io.join(where, name, _ROBOFLOW) for name in found})
    files = io.list_files(io.join(where, "annotations"), recursive=False, storage_options=storage_options)
    urls, images = {}, {}
    for match in filter(None, (_INSTANCES.fullmatch(info.path) for info in files)):
        if split := normalised_split(match[2]):
            urls[split] = io.join(where, "annotations", match[0])
            images[split] = io.join(where, *(["images"] if there("images", match[1]) else []), match[1])
    if urls:
        return Layout("coco", urls, images)
    raise DataError(
        f"found no annotations of boxes in {where}: expected annotations.json or annotations/instances_*.json (COCO), "
        f"train/{_ROBOFLOW} (COCO, by Roboflow), Annotations/*.xml (Pascal VOC) or data.yaml (YOLO); or give "
        "the URL of a .json, .yaml, .csv or .parquet file"
    )
