"""LabelMe (https://github.com/wkentaro/labelme), also of X-AnyLabeling: a JSON file for each image, with shapes.

Points are pixels, ``[x, y]`` from the upper left corner. A rectangle has two opposite corners in any order, or all
four; a circle its centre and a point on it: centre (10, 20) and (13, 24) are 5 pixels apart, so the box is 5, 15, 15,
25. Of other shapes the smallest box around their points is taken; points and lines have none and are left out.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images, annotated_parts, known_shapes
from onlineml.data.formats.annotation_files import decoded, files_of, folder_split, folder_splits, json_fits
from onlineml.data.formats.boxes import require_no_problems
from onlineml.data.formats.export import empty_folder, image_chunks, unique_paths, write_many
from onlineml.data.formats.format import Format
from onlineml.data.formats.inputs import contents, detect_files, inputs, remarks
from onlineml.data.formats.json_lines import size_hw
from onlineml.data.formats.locate import locate
from onlineml.data.formats.parts import with_slashes
from onlineml.data.formats.sniff import HEAD_BYTES, json_shape
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.formats.format import Place, Source
    from onlineml.data.formats.parts import Parts
    from onlineml.data.formats.sniff import JsonShape
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["LABELME", "parse_labelme", "read_labelme", "write_labelme"]

_MARKS = frozenset({"version", "flags", "imagePath", "imageData", "imageHeight", "imageWidth"})
_WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip", "lines"})
_LOOKED_AT = 32  # files
_SHAPE = re.compile(rb'"points"\s*:')
_SET = re.compile(rb'"\s*:\s*true\b')
_VERSION = "5.0.1"  # of LabelMe, whose files these are


class _Shape(msgspec.Struct):
    label: str | int | float | None = None
    points: list[tuple[float, float]] = []
    shape_type: str | None = None
    group_id: str | int | float | None = None
    description: str | None = None
    difficult: bool | None = None
    flags: dict[str, Any] | None = None
    attributes: dict[str, Any] | None = None


class _File(msgspec.Struct):
    shapes: list[_Shape]
    flags: dict[str, Any] | None = None
    imagePath: str | None = None  # noqa: N815 (LabelMe's names)
    imageHeight: int | float | str | None = None  # noqa: N815
    imageWidth: int | float | str | None = None  # noqa: N815


def _is_labelme(shape: JsonShape) -> bool:
    return shape.kind == "object" and "shapes" in shape.keys and bool(_MARKS.intersection(shape.keys))


def parse_labelme(content: bytes, where: str, counts: Counter[str]) -> AnnotatedImage:
    """Return the image of a file; its name is the one in the file, which is often that of another computer.

    Args:
        content: the JSON text.
        where: the file, for messages.
        counts: counts shapes that are left out, or are not boxes.

    Raises:
        DataError: the content is malformed; the message names the field.
    """
    file = decoded(content, _File, where)
    shapes = [found for shape in file.shapes if (found := _box(shape, counts)) is not None]
    labels = [name for name, value in (file.flags or {}).items() if value is True]
    size = size_hw(file.imageHeight, file.imageWidth)
    name = with_slashes(file.imagePath or "").strip()
    known = known_shapes(shapes, len(file.shapes), counts)
    return AnnotatedImage(name, known, size, labels=labels if file.flags else None)


def _box(shape: _Shape, counts: Counter[str]) -> Shape | None:
    kind = shape.shape_type or "polygon"
    if kind in _WITHOUT_AREA or len(shape.points) < 2:
        counts[f"shapes of the type {kind!r} were left out for want of a box"] += 1
        return None
    xs, ys = zip(*shape.points, strict=True)
    if kind == "circle":
        radius = math.dist(*shape.points[:2])
        xs, ys = (xs[0] - radius, xs[0] + radius), (ys[0] - radius, ys[0] + radius)
    if kind != "rectangle" or len(shape.points) > 4:
        counts[f"shapes of the type {kind!r} were read as the boxes around them"] += 1
    given = {"group_id": shape.group_id, "description": shape.description or None, "difficult": shape.difficult}
    attributes = {**(shape.flags or {}), **(shape.attributes or {}), **given}
    kept = {name: value for name, value in attributes.items() if isinstance(value, str | int | float)}
    label = None if shape.label in (None, "") else str(shape.label)
    return Shape(label, (min(xs), min(ys), max(xs), max(ys)), kept)


def read_labelme(source: Source, *, holds: str) -> Parts:
    """Read files of LabelMe. Images beside them without a file are not annotated."""
    wanted, notes = inputs(source, _FITS, name="labelme")
    counts, problems = Counter[str](), list[str]()
    read, paths = list[AnnotatedImage](), list[str]()
    for one, content in contents(wanted):
        if not _is_labelme(json_shape(content[:HEAD_BYTES])):
            counts["other .json files were left out"] += 1
            continue
        try:
            read.append(parse_labelme(content, one.at.url, counts))
            paths.append(posixpath.join(one.beside, one.at.name))
        except DataError as error:
            problems.append(str(error))
    require_no_problems(source.where, problems)
    images = wanted[0].listing.images
    found = _images_of(read, paths, images, notes)
    if source.files is not None:
        told = {image.name for image in found}
        folders = {*map(posixpath.dirname, told)}
        found += [AnnotatedImage(p, beside=None) for p in images if posixpath.dirname(p) in folders and p not in told]
    splits = folder_splits([image.name for image in found])
    rows = [image._replace(split=split) for image, split in zip(found, splits, strict=True)]
    source = source._replace(files=wanted[0].listing)
    return annotated_parts(rows, source, holds=holds, folder=wanted[0].root, notes=[*notes, *remarks(counts)])


def _images_of(
    read: Sequence[AnnotatedImage], files: Sequence[str], images: Sequence[str], notes: list[str]
) -> list[AnnotatedImage]:
    """Return the images under the paths of their files: of the same name beside, else as named, else the same name."""
    stems = defaultdict[str, list[str]](list)
    for path in images:
        stems[path.rpartition(".")[0].casefold()].append(path)
    beside = [stems.get(file.rpartition(".")[0].casefold(), []) for file in files]
    stated = [posixpath.basename(image.name).casefold() for image in read]
    sure = [[posixpath.basename(path).casefold() for path in own] == [n] for own, n in zip(beside, stated, strict=True)]
    named = _located(["" if done else image.name for image, done in zip(read, sure, strict=True)], files, images)
    same = _located(
        ["" if len(own) == 1 else _stem(file) for file, own in zip(files, beside, strict=True)], files, images
    )
    found, other = list[AnnotatedImage](), list[str]()
    for image, file, own, by_name, by_stem in zip(read, files, beside, named, same, strict=True):
        known = own[0] if len(own) == 1 else (by_name or by_stem)
        if by_name and by_name != known:
            other.append(file)
        if not known and "" in (by_name, by_stem):  # only an image of another split has this name
            known = f"{file.rpartition('.')[0]}.jpg"
        folder = posixpath.dirname(file)
        found.append(image._replace(name=known, beside=None) if known else image._replace(beside=folder))
    if other:
        notes.append(
            f"{count(len(other), 'file names', 'files name')} another image in imagePath; the image of their own "
            f"name was taken: {examples(other)}"
        )
    return found


def _stem(path: str) -> str:
    """Return the name of a file without folder and extension."""
    return posixpath.basename(path).rpartition(".")[0]


def _located(names: Sequence[str], files: Sequence[str], images: Sequence[str]) -> list[str | None]:
    """Return the image of each name, given with its file; ``""`` for one of another split, None for none or several."""
    found: list[str | None] = [None] * len(names)
    rows = defaultdict[str, list[int]](list)
    for row, (name, file) in enumerate(zip(names, files, strict=True)):
        if name:
            rows[posixpath.dirname(file)].append(row)
    for folder, own in rows.items():
        for row, path in zip(own, locate([names[row] for row in own], images, beside=folder).paths, strict=True):
            found[row] = path
    pairs = zip(found, files, strict=True)
    return [path and (path if _may_be_of(folder_split(path), folder_split(file)) else "") for path, file in pairs]


def _may_be_of(split: str | None, other: str | None) -> bool:
    """Return whether an image may belong to a file by the splits that their folders are named as."""
    return split == other or None in (split, other)


# ---- writing ----


def write_labelme(manifest: Manifest, at: Location) -> str:
    """Copy the images into a new folder, those of a split into a folder of its name, each with its file beside it.

    Groups are not written; an image that nobody annotated has no file.
    """
    target = empty_folder(at)
    images = annotated_images(manifest, sizes=True)
    paths = unique_paths(manifest, [image.split or "" for image in images], by_stem=True)
    for rows, copies in image_chunks(manifest):
        write_many(target, dict(zip(paths[rows], copies, strict=True)))
    told = [(p, image) for p, image in zip(paths, images, strict=True) if (image.shapes, image.labels) != (None, None)]
    for start in range(0, len(told), 1024):
        chunk = told[start : start + 1024]
        write_many(
            target, {f"{p.rpartition('.')[0]}.json": _file(p, image, manifest.class_names) for p, image in chunk}
        )
    return target.url


def _file(path: str, image: AnnotatedImage, class_names: Sequence[str]) -> bytes:
    height, width = image.size_hw or (None, None)
    document = {
        "version": _VERSION,
        "flags": {} if image.labels is None else {name: name in image.labels for name in class_names},
        "shapes": [_written(shape) for shape in image.shapes or ()],
        "imagePath": posixpath.basename(path),
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _written(shape: Shape) -> dict[str, Any]:
    x1, y1, x2, y2 = shape.box_xyxy
    return {
        "label": shape.label or "",
        "points": [[x1, y1], [x2, y2]],
        "group_id": shape.attributes.get("group_id"),
        "shape_type": "rectangle",
        "flags": {},
        "attributes": {name: value for name, value in shape.attributes.items() if name != "group_id"},
    }


_FITS = json_fits(_is_labelme)


def _detect(place: Place) -> Source | None:
    """Detect files; where the first ones have flags that are set, and no shapes, images are classified."""
    heads = [place.head(path) for path in files_of(place, _FITS)[:_LOOKED_AT]]
    flags = [len(_SET.findall(head)) for head in heads]
    kind = "labels" if max(flags, default=0) > 1 else "label"
    return detect_files(place, _FITS, holds=kind if any(flags) and not any(map(_SHAPE.search, heads)) else None)


LABELME = Format(
    "labelme",
    holds=("boxes_xyxy", "labels", "label"),
    expected="a folder with a .json file for each image, with 'shapes' and 'imagePath'",
    detect=_detect,
    read=read_labelme,
    write=write_labelme,
    takes=("images",),
)
