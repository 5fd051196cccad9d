"""People's data as it lies there: small trees of files, and what an import of each must find, or refuse."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from onlineml.data.manifest.splits import SPLITS
from picture_files import plain, png

if TYPE_CHECKING:
    from pathlib import Path

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["HEIGHT", "WIDTH", "Layout", "coco", "found_rows", "picture", "plant", "voc", "wanted_rows"]

WIDTH, HEIGHT = 10, 8  # of all pictures


class Layout(NamedTuple):
    """A tree of files and its import.

    Attributes:
        name: of the data set, or of the layout.
        rows: a line ``path | split | annotation`` for each image that is imported. The split ``#`` is one chosen by a
            hash, ``-`` is none. The annotation is a label, labels, or boxes (``cat 1 2 5 6, dog 0 0 10 8``) in
            pixels; ``?`` is an image that nobody annotated, nothing an image without objects.
        others: the content of other files: a text, bytes, or an object that is written as JSON.
        also: paths of images that are not imported.
        task: that is found.
        classes: in order; None: not looked at.
        at: the file or folder below the tree that is imported.
        refused: the essential words of the message; empty: it is not refused.
        says: the essential words of the notes.
    """

    name: str
    rows: str = ""
    others: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    also: str = ""
    task: str = "detection"
    classes: str | None = None
    at: str = ""
    refused: tuple[str, ...] = ()
    says: tuple[str, ...] = ()


@cache
def picture(path: str) -> bytes:
    """Return the picture that is planted at a path."""
    return png(plain(crc32(path.encode()) % 256, (HEIGHT, WIDTH)))


def plant(layout: Layout, folder: Path) -> str:
    """Write the tree below a folder, and return the address to import."""
    pictures = {path: picture(path) for path in [*wanted_rows(layout), *layout.also.split()]}
    for path, content in (pictures | layout.others).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_bytes(content))
    return str(folder / layout.at) if layout.at else str(folder)


def _bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else json.dumps(content)).encode()


def wanted_rows(layout: Layout) -> dict[str, str]:
    """Return the split and annotation of each image, by its path."""
    lines = [line.split(" | ", 1) for line in map(str.strip, layout.rows.splitlines()) if line]
    return dict(lines)


def found_rows(manifest: Manifest, folder: Path, wanted: dict[str, str]) -> dict[str, str]:
    """Return what a manifest has, in the form of `wanted_rows`."""
    found = {}
    for url, row in zip(manifest.urls(), manifest.table.to_pylist(), strict=True):
        path = url.removeprefix(f"{folder}/")
        by_hash = wanted.get(path, "").startswith("#") and row["split"] in SPLITS
        found[path] = f"{'#' if by_hash else row['split'] or '-'} | {_annotation(row)}".rstrip()
    return found


def _annotation(row: dict[str, Any]) -> str:
    if "boxes_xyxy" not in row:
        names = row["labels"] if "labels" in row else row["label"]
        return "?" if names is None else names if isinstance(names, str) else ", ".join(names)
    if row["boxes_xyxy"] is None:
        return "?"
    boxes = zip(row["labels"], row["boxes_xyxy"], strict=True)
    return ", ".join(" ".join([str(label), *(f"{value:.6g}" for value in box)]) for label, box in boxes)


def voc(filename: str, *objects: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    """Return Pascal VOC's XML: objects such as ``cat 2 3 5 6``, counted from 1."""
    found = ""
    for name, *corners in (one.rsplit(" ", 4) for one in objects):
        tags = "".join(f"<{t}>{v}</{t}>" for t, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
        found += f"<object><name>{name}</name><bndbox>{tags}</bndbox></object>"
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{sides}{found}</annotation>"


def coco(boxes: dict[str, list[str]], *, classes: str = "cat dog") -> dict[str, Any]:
    """Return a COCO document: for each file name its objects, such as ``cat 1 2 4 4`` (x, y, width, height)."""
    names = classes.split()
    images = [{"id": i, "file_name": n, "width": WIDTH, "height": HEIGHT} for i, n in enumerate(boxes, 1)]
    objects = [(i, *one.split()) for i, own in enumerate(boxes.values(), 1) for one in own]
    annotations = [
        {"id": i, "image_id": image, "category_id": names.index(name) + 1, "bbox": [*map(float, xywh)], "iscrowd": 0}
        for i, (image, name, *xywh) in enumerate(objects, 1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}
