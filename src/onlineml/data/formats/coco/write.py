"""Writer of COCO's JSON.

Properties of a manifest that COCO does not have (a split, a group, an image without annotations) are stored under the
key ``onlineml``, which other readers ignore. Properties that COCO requires and a manifest lacks (``area``, ``iscrowd``,
ids) are filled in, and noted there, so that reading the file results in the same manifest.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.formats.boxes import further_columns, known_sizes_hw, per_box_values, safe_name
from onlineml.data.formats.coco.file import ANNOTATION_KEYS, COCO_COLUMNS, IMAGE_KEYS, MARKS, corners, written_xywh
from onlineml.data.formats.parts import absolute, image_id
from onlineml.data.images.sizes import upright_sizes_hw
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["unknown_class", "write_coco"]

_VERSION = 1
_FILLED_BOX = ("area", "crowd", "coco_annotation_id")
_FILLED = (*_FILLED_BOX, "coco_image_id")
_UNKNOWN = re.compile(r"category (-?\d+)")


def unknown_class(number: float) -> str:
    """Return the label of a box whose category is not listed."""
    return f"category {number}"


def write_coco(manifest: Manifest, at: Location, *, images: str | os.PathLike[str] | None = None) -> str:
    """Write a COCO file, see `Manifest.to_coco`."""
    source = manifest.source.get("coco", {})
    image_ids = _image_ids(manifest)
    class_ids = manifest.class_ids or tuple(range(1, len(manifest.class_names) + 1))
    annotated = _label_annotations if manifest.kind.key == "labels" else _annotations  # raises if there are no boxes
    annotations = annotated(manifest, image_ids, dict(zip(manifest.class_names, class_ids, strict=True)))
    absent = [name for name in _FILLED if name not in manifest.table.column_names]
    absent += [] if manifest.class_ids else ["class_ids"]
    kept = source.get("categories", {})
    document = {
        **source.get("top", {}),
        "categories": [
            {"id": number, "name": name, **kept.get(name, {})}
            for number, name in zip(class_ids, manifest.class_names, strict=True)
        ],
        "images": _images(manifest, image_ids, _file_names(manifest, at, images)),
        "annotations": annotations,
        MARKS: {"version": _VERSION, "absent": absent},
    }
    try:
        data = msgspec.json.encode(document)
    except TypeError as error:
        raise DataError(
            f"a further column of the manifest contains values that JSON cannot store: {error}; remove it"
        ) from error
    io.write_bytes(at, data)
    return at.url


# ---- images ----


def _images(manifest: Manifest, ids: Sequence[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    table = manifest.table
    sizes = known_sizes_hw(manifest)
    unknown = np.flatnonzero((sizes == 0).any(1))
    urls = manifest.urls()
    sizes[unknown] = upright_sizes_hw([Location(urls[row], manifest.storage_options) for row in unknown])
    columns = [name for name in further_columns(table)[0] if name not in COCO_COLUMNS]
    rows = table.select([*columns, *({"coco_image"} & set(table.column_names))]).to_pylist()
    entries = []
    for row, name, own, mark, (height, width) in zip(rows, names, ids, _marks(manifest, names), sizes, strict=True):
        entry: dict[str, Any] = {"id": own, "file_name": name}
        if height and width:
            entry |= {"width": int(width), "height": int(height)}
        rest = row.pop("coco_image", None)
        plain, hidden = _told(row, IMAGE_KEYS)
        entries.append(entry | plain | _raw(rest) | {MARKS: mark | hidden})
    return entries


def _told(values: Mapping[str, Any], understood: AbstractSet[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return further values as keys of an object and, separately, a mark of those whose names COCO uses itself."""
    told = {name: value for name, value in values.items() if value is not None}
    hidden = {name: told.pop(name) for name in understood & told.keys()}
    return told, {"further": hidden} if hidden else {}


def _file_names(manifest: Manifest, at: Location, images: str | os.PathLike[str] | None) -> list[str]:
    """Return the images' paths below a folder, as a reader resolves them: that of the images, else the file's."""
    roots = [manifest.root, io.parent(at.url)] if images is None else [absolute(images)]
    for root in roots:
        prefix = root if not root or root.endswith("/") else f"{root}/"
        names = [url.removeprefix(prefix) if prefix else url for url in manifest.urls()]
        bad = [name for name in names if safe_name(name) != name]
        if not bad:
            return names
    raise DataError(
        f"{count(len(bad), 'image is')} not below {' or '.join(filter(None, roots)) or 'one folder'}, or their "
        f"names contain backslashes: {examples(bad)}; set images=<the folder that contains all of them>"
    )


def _marks(manifest: Manifest, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return onlineml's own properties of each image."""
    table = manifest.table
    facts = table.select(["image_id", "version", "split", "group"]).to_pylist()
    annotated = manifest.kind.is_annotated(table).tolist()
    known_ids = table["coco_image_id"].is_valid().to_pylist() if "coco_image_id" in table.column_names else None
    marks = []
    for row, (fact, name) in enumerate(zip(facts, names, strict=True)):
        mark: dict[str, Any] = {"split": fact["split"]}
        if fact["group"] != fact["image_id"]:
            mark["group"] = fact["group"]
        if fact["image_id"] != image_id(name, fact["version"]):
            mark["image_id"] = fact["image_id"]
        if not annotated[row]:
            mark["annotated"] = False
        if known_ids is not None and not known_ids[row]:
            mark["absent"] = ["coco_image_id"]
        marks.append(mark)
    return marks


# ---- annotations ----


def _label_annotations(
    manifest: Manifest, image_ids: Sequence[Any], class_ids: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return annotations without boxes: one for each label of an image."""
    sets = zip(image_ids, manifest.table["labels"].to_pylist(), strict=True)
    pairs = [(image, class_ids[name]) for image, own in sets for name in own or ()]
    return [{"id": n, "image_id": image, "category_id": number} for n, (image, number) in enumerate(pairs, start=1)]


def _annotations(manifest: Manifest, image_ids: Sequence[Any], class_ids: Mapping[str, int]) -> list[dict[str, Any]]:
    table, boxes = manifest.table, manifest.boxes()
    xywh = written_xywh(boxes.boxes_xyxy)
    exact = ((corners(xywh, []) == boxes.boxes_xyxy) | np.isnan(boxes.boxes_xyxy)).all(1)
    names = [name for name in further_columns(table)[1] if name not in COCO_COLUMNS]
    further = {name: per_box_values(table, name) for name in names}
    rest = per_box_values(table, "coco_annotation") if "coco_annotation" in table.column_names else [None] * len(boxes)
    labels = per_box_values(table, "labels")
    filled = {name: per_box_values(table, name) for name in _FILLED_BOX if name in table.column_names}
    ids = _annotation_ids(manifest, len(boxes))
    # converted to lists: accessing single numpy elements takes a microsecond each
    columns = (boxes.image_index, boxes.boxes_xyxy, xywh, boxes.area, boxes.crowd.astype(int), exact)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    entries = []
    for row, (image, box, own, area, crowd, told) in enumerate(rows):
        others = _raw(rest[row])
        bbox = _own_digits(others.pop("bbox", None), box) or own
        number, mark = _category(labels[row], class_ids)
        if not told:
            mark["boxes_xyxy"] = box
        entry = {
            "id": ids[row],
            "image_id": image_ids[image],
            "category_id": number,
            "bbox": bbox,
            "area": bbox[2] * bbox[3] if math.isnan(area) else area,
            "iscrowd": crowd,
        }
        plain, hidden = _told({name: values[row] for name, values in further.items()}, ANNOTATION_KEYS)
        absent = [name for name, values in filled.items() if values[row] is None]
        mark |= hidden | ({"absent": absent} if absent else {})
        entries.append(entry | plain | others | ({MARKS: mark} if mark else {}))
    return entries


def _own_digits(raw: msgspec.Raw | None, box_xyxy: Any) -> list[float] | None:
    """Return the numbers of the original file, if they still represent this box."""
    if raw is None:
        return None
    values: list[float | None] = msgspec.json.decode(raw)
    numbers = np.array([values], dtype=np.float64)
    same = (corners(numbers, [])[0] == box_xyxy) | np.isnan(box_xyxy)
    return numbers[0].tolist() if same.all() else None


def _category(label: str | None, class_ids: Mapping[str, int]) -> tuple[int | None, dict[str, Any]]:
    """Return the id of a class, and the mark of one that is not listed."""
    if label is None or label in class_ids:
        return (None if label is None else class_ids[label]), {}
    number = _UNKNOWN.fullmatch(label)
    if number and int(number[1]) not in class_ids.values():
        return int(number[1]), {}
    return None, {"label": label}


# ---- ids ----


def _image_ids(manifest: Manifest) -> list[Any]:
    """Return the ids of the file; new ones for all if two images share one, as after joining manifests."""
    if "coco_image_id" not in manifest.table.column_names:
        return list(range(1, len(manifest) + 1))
    given = manifest.table["coco_image_id"].to_pylist()
    known = [value for value in given if value is not None]
    return _completed(given if len(set(known)) == len(known) else [None] * len(given))


def _annotation_ids(manifest: Manifest, n: int) -> list[Any]:
    """Return the ids of the file, including duplicates in it; new ones if several files share ids."""
    if "coco_annotation_id" not in manifest.table.column_names:
        return list(range(1, n + 1))
    given = per_box_values(manifest.table, "coco_annotation_id")
    if manifest.source.get("coco", {}).get("files", 1) > 1:
        splits = manifest.table["split"].to_pylist()
        owners: dict[Any, str | None] = {}
        pairs = zip(given, manifest.boxes().image_index, strict=True)
        if any(owners.setdefault(value, splits[image]) != splits[image] for value, image in pairs if value is not None):
            given = [None] * n
    return _completed(given)


def _completed(given: Sequence[Any]) -> list[Any]:
    """Complete ids: missing ones get the next free numbers, as texts if the others are texts."""
    known = {value for value in given if value is not None}
    as_text = any(isinstance(value, str) for value in known)
    start = max((value for value in known if isinstance(value, int)), default=0) + 1
    numbers = (str(number) if as_text else number for number in itertools.count(max(start, 1)))
    free = (number for number in numbers if number not in known)
    return [next(free) if value is None else value for value in given]


def _raw(text: str | None) -> dict[str, Any]:
    """Return the raw values of a JSON object by key."""
    return {} if text is None else msgspec.json.decode(text, type=dict[str, msgspec.Raw])
