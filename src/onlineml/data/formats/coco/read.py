"""Reader of COCO's JSON (https://cocodataset.org/#format-data), with boxes as ``[x, y, width, height]`` in pixels.

All other content of a file is kept: numbers, texts and booleans as columns, the rest (such as segmentation) as JSON
text in ``coco_image`` and ``coco_annotation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from onlineml.arguments.counted import count
from onlineml.data.formats.annotation_files import folder_splits
from onlineml.data.formats.boxes import (
    DECLARED,
    OURS,
    BoxRows,
    boxes_table,
    identified,
    parts_holding,
    require_no_problems,
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
    written_xywh,
)
from onlineml.data.formats.coco.find import is_coco
from onlineml.data.formats.coco.inputs import coco_inputs
from onlineml.data.formats.coco.json_entries import Entries, scalar_column
from onlineml.data.formats.coco.values import (
    as_number,
    find_ids,
    plain_ids,
    read_flags,
    read_numbers,
    read_xywh,
    segmentation_xywh,
)
from onlineml.data.formats.coco.write import unknown_class, write_coco
from onlineml.data.formats.format import Format, Source
from onlineml.data.formats.inputs import Input, detect_files, paths_of, united
from onlineml.data.formats.locate import absent_note
from onlineml.data.formats.parts import Parts, common_folder, unnamed
from onlineml.data.formats.plausible import require_pixels
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = ["COCO", "read_coco", "write_coco"]

_OUTLINES = frozenset({"bbox", "segmentation"})


def read_coco(source: Source, *, holds: str) -> Parts:
    """Read COCO files, see `Manifest.from_coco`."""
    wanted, notes = coco_inputs(source)
    files = [CocoFile.read(one.at) for one in wanted]
    root = common_folder([one.root for one in wanted])
    where = ", ".join(one.at.url for one in wanted)
    n_annotations = sum(int(file.lengths.sum()) for file in files)
    if n_annotations and holds == "boxes_xyxy" and not any(map(_has_boxes, files)):
        raise DataError(
            f"{where} has {count(n_annotations, 'annotation')}, none of which has a box; task='multilabel' reads their "
            "classes as labels of the images"
        )
    named = paths_of(wanted, [file.names() for file in files])
    require_no_problems(
        where, [p for file, names in zip(files, named, strict=True) for p in (*file.problems, *names.problems)]
    )
    tables = []
    for one, file, names in zip(wanted, files, named, strict=True):
        inside = one.root.removeprefix(root).lstrip("/") if root else one.root
        uris = [f"{inside}/{uri}" if inside else uri for uri in names.uris]
        tables.append(_file_table(file, uris, one.split, notes))
        if names.absent and one.listing.files:
            notes.append(absent_note(names.absent))
    require_no_problems(where, _shared(wanted, tables))
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise DataError(f"the files {where} have values of different types under one key: {error}") from error
    listing = united(wanted, root)
    table = identified(table, root, where=where, storage_options=source.options, listing=listing)
    class_names, class_ids = _classes(files)
    notes += unnamed(listing, table["uri"].to_pylist())
    n_ignored = max(0, len(listing.files) - len(table) - len(wanted)) + listing.n_junk
    parts = Parts(table, class_names, root, n_ignored, class_ids, {"coco": _source(files)}, tuple(notes))
    return parts_holding(parts, holds)


def _has_boxes(file: CocoFile) -> bool:
    """Return whether an annotation has a box, or a segmentation around which there is one; the first usually tells."""
    given = file.annotations
    return bool(_OUTLINES & given.keys()) or any(v is not None for key in _OUTLINES for v in given.values(key))


def _shared(wanted: Sequence[Input], tables: Sequence[pa.Table]) -> list[str]:
    """Return the problem of images that are in several files."""
    owners: dict[str, str] = {}
    found: dict[tuple[str, str], list[str]] = {}
    for one, table in zip(wanted, tables, strict=True):
        for uri in table["uri"].to_pylist():
            if (owner := owners.setdefault(uri, one.at.url)) != one.at.url:
                found.setdefault((owner, one.at.url), []).append(uri)
    return [
        f"{count(len(uris), 'image is')} in two files, {one} and {other}: {examples(uris)}; import one of them, "
        "or name the "
        'files, as in from_coco({"train": ..., "val": ...})'
        for (one, other), uris in found.items()
    ]


def _classes(files: Sequence[CocoFile]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names and ids; no ids if they are texts, the files disagree, or had none before they were written."""
    ids: dict[str, int | str] = {}
    for category in [category for file in files for category in file.categories]:
        ids.setdefault(category.name, category.id)
    numbers = [number for number in ids.values() if isinstance(number, int)]
    differ = len(set(numbers)) < len(ids) or any("class_ids" in file.absent for file in files)
    return tuple(ids), () if differ else tuple(numbers)


def _source(files: Sequence[CocoFile]) -> dict[str, Any]:
    """Return the content that is not per row; of several files, the first takes precedence."""
    top: dict[str, Any] = {}
    categories: dict[str, Any] = {}
    for file in files:
        top = {**file.top, **top}
        categories = {**{c.name: dict(c.further) for c in file.categories if c.further}, **categories}
    return {"top": top, "categories": categories, "files": len(files)}


def _file_table(file: CocoFile, uris: Sequence[str], split: str | None, notes: list[str]) -> pa.Table:
    """Return the rows of one file, whose images are at these paths; tell what is not as it stands there."""
    marks = objects(file.images.values(MARKS))
    boxes, labels, per_box = _boxes(file, notes)
    if file.n_unlisted:
        notes.append(f"left out {count(file.n_unlisted, 'annotation')} of images that {file.where} does not list")
    silent = np.array([not file.annotated or mark.get("annotated") is False for mark in marks], dtype=bool)
    rows = BoxRows(
        uris=uris,
        lengths=file.lengths,
        missing=silent & (file.lengths == 0),
        boxes_xyxy=boxes,
        labels=labels,
        splits=[
            split or (_said(mark, "split") if "split" in mark else other)
            for mark, other in zip(marks, folder_splits(uris), strict=True)
        ],
        groups=[_said(mark, "group") for mark in marks],
        per_box=per_box,
        per_image=_per_image(file, marks, reserved=OURS | COCO_COLUMNS | per_box.keys()),
    )
    return boxes_table(rows)


def _per_image(file: CocoFile, marks: Sequence[Mapping[str, Any]], *, reserved: frozenset[str]) -> dict[str, pa.Array]:
    images = file.images
    columns = {"image_id": pa.array([_said(mark, "image_id") for mark in marks], pa.string())}
    made = ["coco_image_id" in file.absent or "coco_image_id" in absences(mark) for mark in marks]
    columns["coco_image_id"] = _id_column(images.values("id"), np.array(made, dtype=bool))
    for name, key in zip(DECLARED, ("height", "width"), strict=True):
        columns[name] = pa.array([_side(value) for value in images.values(key)], pa.int64())
    further = images.further(understood=IMAGE_KEYS, reserved=reserved)
    columns["coco_image"] = _texts(images.rest(understood=IMAGE_KEYS | further.keys()))
    return columns | further | _marked_columns(marks)


def _side(value: Any) -> int | None:
    number = as_number(value)
    return int(number) if number is not None and 1 <= number < 2**31 else None


def _boxes(file: CocoFile, notes: list[str]) -> tuple[npt.NDArray[np.float64], list[str | None], dict[str, pa.Array]]:
    """Return the boxes of the annotations, their labels and their further columns."""
    entries, problems = file.annotations, list[str]()
    marks = objects(entries.values(MARKS))
    xywh = read_xywh(_given_xywh(entries, notes), problems)
    area = read_numbers(entries.values("area"), "area", problems)
    crowd = read_flags(entries.values("iscrowd"), "iscrowd", problems)
    labels = _labels(file, marks, problems)
    require_no_problems(file.where, problems)
    boxes = corners(xywh, marks)
    require_pixels(boxes, file.where)

    def filled(name: str) -> npt.NDArray[np.bool_]:  # values that only the writer filled in
        return np.array([name in file.absent or name in absences(mark) for mark in marks], dtype=bool)

    with np.errstate(over="ignore", invalid="ignore"):  # invalid boxes are reported by the check
        made_area = filled("area") & (area == xywh[:, 2] * xywh[:, 3])
    made_crowd = filled("crowd") & np.array([not value for value in crowd], dtype=bool)
    columns = {
        "area": pa.array(area, mask=made_area | np.isnan(area)),
        "crowd": pa.array([None if made else value for made, value in zip(made_crowd, crowd, strict=True)], pa.bool_()),
    }
    columns["coco_annotation_id"] = _id_column(entries.values("id"), filled("coco_annotation_id"))
    further = entries.further(understood=ANNOTATION_KEYS, reserved=OURS | COCO_COLUMNS)
    rest = entries.rest(understood=ANNOTATION_KEYS | further.keys())
    told = (written_xywh(boxes) == xywh) | np.isnan(xywh)
    # digits that corners cannot represent: kept, so that they are written again
    for row in np.flatnonzero(~told.all(1)):
        rest[row]["bbox"] = msgspec.Raw(msgspec.json.encode(xywh[row].tolist()))
    columns["coco_annotation"] = _texts(rest)
    return boxes, labels, columns | further | _marked_columns(marks)


def _given_xywh(entries: Entries, notes: list[str]) -> list[Any]:
    """Return the boxes of a file; those around the segmentations where there are none."""
    boxes = entries.values("bbox")
    rows = [row for row, box in enumerate(boxes) if box is None or box == []]
    n_made = 0
    for row, segmentation in zip(rows, entries.values("segmentation", rows) if rows else (), strict=True):
        made = segmentation_xywh(segmentation)
        boxes[row] = made if made is not None else boxes[row]
        n_made += made is not None
    if n_made:
        notes.append(f"{count(n_made, 'box is')} those around segmentations")
    return boxes


def _labels(file: CocoFile, marks: Sequence[Mapping[str, Any]], problems: list[str]) -> list[str | None]:
    names = [category.name for category in file.categories]
    numbers = file.annotations.values("category_id")
    places = find_ids(numbers, {category.id: place for place, category in enumerate(file.categories)})
    labels: list[str | None] = []
    wrong = []
    for number, place, mark in zip(numbers, places, marks, strict=True):
        if place >= 0:
            labels.append(names[place])
        elif number is None:
            labels.append(_said(mark, "label"))
        elif type(number) in {int, float}:
            labels.append(unknown_class(number))
        else:
            wrong.append(number)
    if wrong:
        problems.append(
            f"{count(len(wrong), 'value of category_id is', 'values of category_id are')} neither an integer nor a "
            f"listed text: {examples(wrong)}"
        )
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


def _id_column(values: Sequence[Any], made: npt.NDArray[np.bool_]) -> pa.Array:
    """Return ids as integers, or as texts if any is none, or has more than 64 bits."""
    given = [None if new else value for value, new in zip(plain_ids(values), made, strict=True)]
    try:
        return pa.array(given)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if value is None else str(value) for value in given], pa.string())


def _texts(objects_: Sequence[Mapping[str, Any]]) -> pa.Array:
    return pa.array([msgspec.json.encode(one).decode() if one else None for one in objects_], pa.string())


COCO = Format(
    "coco",
    holds=("boxes_xyxy", "labels"),
    expected="a .json file with the lists 'images', 'annotations' and 'categories', or a folder with such files",
    detect=lambda place: detect_files(place, is_coco),
    read=read_coco,
    write=write_coco,
    takes=("images",),
)
