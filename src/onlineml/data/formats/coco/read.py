"""Reader of COCO's JSON (https://cocodataset.org/#format-data), with boxes as ``[x, y, width, height]`` in pixels.

All other content of a file is kept: numbers, texts and booleans as columns, the rest (such as segmentation) as JSON
text in ``coco_image`` and ``coco_annotation``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from onlineml.data.formats.boxes import (
    DECLARED,
    HASHED,
    OURS,
    BoxRows,
    boxes_table,
    identified,
    parts_holding,
    require_no_problems,
    safe_name,
)
from onlineml.data.formats.coco.file import (
    ANNOTATION_KEYS,
    COCO_COLUMNS,
    IMAGE_KEYS,
    MARKS,
    CocoFile,
    absences,
    corners,
    objects,
    read_flags,
    read_numbers,
    read_xywh,
    written_xywh,
)
from onlineml.data.formats.coco.json_entries import scalar_column
from onlineml.data.formats.coco.write import unknown_class, write_coco
from onlineml.data.formats.format import Format, Place, Source
from onlineml.data.formats.parts import Parts, absolute, common_folder
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["COCO", "read_coco", "write_coco"]

Url = str | os.PathLike[str]

_ROBOFLOW = "_annotations.coco.json"
_INSTANCES = re.compile(r"instances_(([a-z]+)\d*)\.json")


def _detect(place: Place) -> Source | None:
    if place.ending == ".json":
        return place.source()
    paths = frozenset(place.paths)
    if "annotations.json" in paths:
        return Source(io.join(place.url, "annotations.json"), options=place.options)
    found = [name for name in ("train", "valid", "test") if f"{name}/{_ROBOFLOW}" in paths]
    urls: dict[str, Url] = {str(normalised_split(name)): io.join(place.url, name, _ROBOFLOW) for name in found}
    if urls:
        return Source(urls, options=place.options)
    images = dict[str, Url]()
    for match in filter(None, (_INSTANCES.fullmatch(path.removeprefix("annotations/")) for path in place.others)):
        if split := normalised_split(match[2]):
            urls[split] = io.join(place.url, "annotations", match[0])
            below = any(path.startswith(f"images/{match[1]}/") for path in place.images)
            images[split] = io.join(place.url, *(["images"] if below else []), match[1])
    return Source(urls, images, options=place.options) if urls else None


def read_coco(source: Source, *, holds: str) -> Parts:
    """Read COCO files, see `Manifest.from_coco`."""
    storage_options = source.options
    wanted = _wanted(source.url, source.images, source.split)
    root = common_folder([folder for _, _, folder in wanted])
    files = [CocoFile.read(where, storage_options=storage_options) for _, where, _ in wanted]
    where = ", ".join(file.where for file in files)
    tables = []
    for (given, _, folder), file in zip(wanted, files, strict=True):
        inside = folder.removeprefix(root).lstrip("/") if root else folder
        tables.append(_file_table(file, f"{inside}/" if inside else "", given))
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise DataError(f"the files {where} have values of different types under one key: {error}") from error
    table = identified(table, root, where=where, storage_options=storage_options)
    names, ids = _classes(files)
    parts = Parts(table, names, root, class_ids=ids, source={"coco": _source(files)})
    return parts_holding(parts, holds)


def _wanted(
    url: Url | Mapping[str, Url], images: Url | Mapping[str, Url] | None, split: str | None
) -> list[tuple[str | None, str, str]]:
    """Return the split, the file and the folder of images of each file."""
    if isinstance(url, Mapping):
        if split is not None:
            raise ConfigError("split= is for a single file; for several files, the keys of url are the splits")
        files: dict[Any, Url] = dict(url)
        folders: Mapping[Any, Url | None] = images if isinstance(images, Mapping) else dict.fromkeys(url, images)
    else:
        if isinstance(images, Mapping):
            raise ConfigError('images= may be one folder per split only if url is one file per split: {"train": ...}')
        files, folders = {split: url}, {split: images}
    wrong = [name for name in files if name is not None and not normalised_split(name)]
    if wrong or not files:
        raise ConfigError(f"expected files for the splits train, val and test; found {examples(wrong) or 'none'}")
    lacking = [name for name in files if name not in folders]
    if lacking:
        raise ConfigError(f"images= has no folder for {examples(lacking)}")
    wanted = []
    for name, file in files.items():
        where, folder = absolute(file), folders[name]
        home = io.parent(where) if folder is None else absolute(folder)
        wanted.append((None if name is None else normalised_split(name), where, home))
    return wanted


def _classes(files: Sequence[CocoFile]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names and ids; no ids if the files disagree on them, or had none before they were written."""
    ids: dict[str, int] = {}
    for category in [category for file in files for category in file.categories]:
        ids.setdefault(category.name, category.id)
    differ = len(set(ids.values())) < len(ids) or any("class_ids" in file.absent for file in files)
    return tuple(ids), () if differ else tuple(ids.values())


def _source(files: Sequence[CocoFile]) -> dict[str, Any]:
    """Return the content that is not per row; of several files, the first takes precedence."""
    top: dict[str, Any] = {}
    categories: dict[str, Any] = {}
    for file in files:
        top = {**file.top, **top}
        categories = {**{c.name: dict(c.further) for c in file.categories if c.further}, **categories}
    return {"top": top, "categories": categories, "files": len(files)}


def _file_table(file: CocoFile, inside: str, split: str | None) -> pa.Table:
    """Return the rows of one file; `inside` is the folder of its images below the root, with a slash."""
    marks = objects(file.images.values(MARKS))
    boxes, labels, per_box = _boxes(file)
    silent = np.array([not file.annotated or mark.get("annotated") is False for mark in marks], dtype=bool)
    rows = BoxRows(
        uris=[f"{inside}{safe_name(name)}" for name in file.images.values("file_name")],
        lengths=file.lengths,
        missing=silent & (file.lengths == 0),
        boxes_xyxy=boxes,
        labels=labels,
        splits=[split or (_said(mark, "split") if "split" in mark else HASHED) for mark in marks],
        groups=[_said(mark, "group") for mark in marks],
        per_box=per_box,
        per_image=_per_image(file, marks, reserved=OURS | COCO_COLUMNS | per_box.keys()),
    )
    return boxes_table(rows)


def _per_image(file: CocoFile, marks: Sequence[Mapping[str, Any]], *, reserved: frozenset[str]) -> dict[str, pa.Array]:
    images = file.images
    columns = {"image_id": pa.array([_said(mark, "image_id") for mark in marks], pa.string())}
    made = ["coco_image_id" in file.absent or "coco_image_id" in absences(mark) for mark in marks]
    columns["coco_image_id"] = _id_column(images.values("id"), np.array(made, dtype=bool), file.where)
    for name, key in zip(DECLARED, ("height", "width"), strict=True):
        sizes = [value if type(value) in {int, float} and 1 <= value < 2**31 else None for value in images.values(key)]
        columns[name] = pa.array([None if size is None else int(size) for size in sizes], pa.int64())
    further = images.further(understood=IMAGE_KEYS, reserved=reserved)
    columns["coco_image"] = _texts(images.rest(understood=IMAGE_KEYS | further.keys()))
    return columns | further | _marked_columns(marks)


def _boxes(file: CocoFile) -> tuple[npt.NDArray[np.float64], list[str | None], dict[str, pa.Array]]:
    """Return the boxes of the annotations, their labels and their further columns."""
    entries, problems = file.annotations, list[str]()
    marks = objects(entries.values(MARKS))
    xywh = read_xywh(entries.values("bbox"), problems)
    area = read_numbers(entries.values("area"), "area", problems)
    crowd = read_flags(entries.values("iscrowd"), "iscrowd", problems)
    labels = _labels(file, marks, problems)
    require_no_problems(file.where, problems)
    boxes = corners(xywh, marks)

    def filled(name: str) -> npt.NDArray[np.bool_]:  # values that only the writer filled in
        return np.array([name in file.absent or name in absences(mark) for mark in marks], dtype=bool)

    with np.errstate(over="ignore", invalid="ignore"):  # invalid boxes are reported by the check
        made_area = filled("area") & (area == xywh[:, 2] * xywh[:, 3])
    made_crowd = filled("crowd") & np.array([not value for value in crowd], dtype=bool)
    columns = {
        "area": pa.array(area, mask=made_area | np.isnan(area)),
        "crowd": pa.array([None if made else value for made, value in zip(made_crowd, crowd, strict=True)], pa.bool_()),
    }
    columns["coco_annotation_id"] = _id_column(entries.values("id"), filled("coco_annotation_id"), file.where)
    further = entries.further(understood=ANNOTATION_KEYS, reserved=OURS | COCO_COLUMNS)
    rest = entries.rest(understood=ANNOTATION_KEYS | further.keys())
    told = (written_xywh(boxes) == xywh) | np.isnan(xywh)
    # digits that corners cannot represent: kept, so that they are written again
    for row in np.flatnonzero(~told.all(1)):
        rest[row]["bbox"] = msgspec.Raw(msgspec.json.encode(xywh[row].tolist()))
    columns["coco_annotation"] = _texts(rest)
    return boxes, labels, columns | further | _marked_columns(marks)


def _labels(file: CocoFile, marks: Sequence[Mapping[str, Any]], problems: list[str]) -> list[str | None]:
    names: dict[Any, str] = {category.id: category.name for category in file.categories}
    labels: list[str | None] = []
    wrong = []
    for number, mark in zip(file.annotations.values("category_id"), marks, strict=True):
        if number is None:
            labels.append(_said(mark, "label"))
        elif type(number) in {int, float}:
            labels.append(names.get(number) or unknown_class(number))
        else:
            wrong.append(number)
    if wrong:
        problems.append(f"{len(wrong):,} values of category_id are not integers: {examples(wrong)}")
    return labels


def _marked_columns(marks: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """Return the manifest's columns whose names have a meaning in COCO."""
    kept = objects([mark.get("further") for mark in marks])
    columns = {
        name: scalar_column([one.get(name) for one in kept]) for name in dict.fromkeys(k for o in kept for k in o)
    }
    return {name: column for name, column in columns.items() if column is not None}


def _said(mark: Mapping[str, Any], key: str) -> str | None:
    value = mark.get(key)
    return value if isinstance(value, str) and value else None


def _id_column(values: list[Any], made: npt.NDArray[np.bool_], where: str) -> pa.Array:
    try:
        return pa.array([None if new else value for value, new in zip(values, made, strict=True)])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(f"the ids in {where} must be all integers of 64 bits, or all texts: {error}") from error


def _texts(objects_: Sequence[Mapping[str, Any]]) -> pa.Array:
    return pa.array([msgspec.json.encode(one).decode() if one else None for one in objects_], pa.string())


COCO = Format(
    "coco",
    holds=("boxes_xyxy", "labels"),
    expected=f"a .json file, or a folder with annotations.json, annotations/instances_*.json or train/{_ROBOFLOW}",
    detect=_detect,
    read=read_coco,
    write=write_coco,
    takes=("images",),
)
