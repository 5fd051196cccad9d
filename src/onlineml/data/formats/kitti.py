"""KITTI's object detection: ``image_2/000000.png`` and ``label_2/000000.txt`` with a row of 15 columns for each object.

``type truncated occluded alpha left top right bottom height width length x y z rotation_y``. Pixels are counted from 0
(readme.txt of the object development kit), and its evaluation takes ``(right - left) * (bottom - top)`` for the area
(evaluate_object.cpp), so the corners are edges, and stay as they are; Datumaro and FiftyOne read them so, too.
``DontCare`` marks a region with objects that nobody annotated: an ignored region of no class, `crowd` here. NVIDIA's
TAO and DIGITS use the same rows in ``labels/``, beside ``images/``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images, annotated_parts
from onlineml.data.formats.boxes import HASHED, require_no_problems
from onlineml.data.formats.export import empty_folder, image_chunks, unique_paths, write_many
from onlineml.data.formats.format import Format
from onlineml.data.formats.lists import split_lists, splits_by_list
from onlineml.data.formats.pairs import folder_of, pair, split_of_folder, words
from onlineml.data.formats.row_files import parse_rows, read_row_files
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Place, Source
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["KITTI", "parse_kitti", "read_kitti", "write_kitti"]

_IGNORED = "DontCare"
_LOOKED_AT = 8  # files whose beginnings are read to recognise the format
_COLUMNS = 14  # numbers after the type; a 15th is the score of a detection
# names of columns, and the numbers that stand for nothing known, as in TAO's rows and in those of DontCare
_FURTHER: dict[str, tuple[float, ...]] = {
    "truncated": (0, -1),
    "occluded": (0, -1),
    "alpha": (0, -10),
    **dict.fromkeys(("left", "top", "right", "bottom"), ()),
    **dict.fromkeys(("height_m", "width_m", "length_m"), (0, -1)),
    **dict.fromkeys(("x_m", "y_m", "z_m"), (0, -1000)),
    "rotation_y": (0, -10),
    "score": (),
}
_NAMES = tuple(_FURTHER)
_UNKNOWN = (-1, -1, -10, None, None, None, None, -1, -1, -1, -1000, -1000, -1000, -10)  # of DontCare


# ---- detection ----


def _detect(place: Place) -> Source | None:
    texts = place.listing.ending_in(".txt")
    texts = sorted(texts, key=lambda path: "label" not in _folder_words(path))[: _LOOKED_AT * 4]
    looked_at, found = 0, False
    for path in texts:
        if looked_at == _LOOKED_AT:
            break
        rows = [line.split() for line in place.head(path).decode("utf-8", "ignore").splitlines()[:5] if line.strip()]
        looked_at += bool(rows)
        found |= bool(rows) and _numbers(rows[0]) is not None
    return place.listed_source() if found else None


def _folder_words(path: str) -> set[str]:
    return {word.removesuffix("s") for word in words(folder_of(path))}


def _numbers(row: Sequence[str]) -> tuple[str, list[float]] | None:
    """Return the type and the numbers of a row; None if it is of another format. A type may have blanks in it."""
    for length in (_COLUMNS, _COLUMNS + 1):
        name, texts = " ".join(row[:-length]), row[-length:]
        try:
            values = [float(text) for text in texts]
        except ValueError:
            continue
        if name and not _is_number(row[-length - 1]) and all(map(math.isfinite, values)):
            return name, values
    return None


def _is_number(text: str) -> bool:
    try:
        return float(text) is not None
    except ValueError:
        return False


# ---- reading ----


def parse_kitti(data: bytes, where: str) -> list[Shape]:
    """Return the objects of a file.

    Args:
        data: its content.
        where: the file, for messages.

    Raises:
        DataError: a row has other columns; its line is named.
    """
    return parse_rows(data, where, _shape, expected=f"a type and {_COLUMNS} numbers")


def _shape(row: str) -> Shape | None:
    found = _numbers(row.split())
    if found is None:
        return None
    name, values = found
    left, top, right, bottom = values[3:7]
    told = {n: value for n, value in zip(_NAMES, values, strict=False) if _FURTHER[n] and value not in _FURTHER[n]}
    if len(values) > _COLUMNS:
        told["score"] = values[-1]
    ignored = name == _IGNORED
    attributes: Mapping[str, Any] = {"crowd": True} if ignored else told
    return Shape(None if ignored else name, (left, top, right, bottom), attributes)


def read_kitti(source: Source, *, holds: str) -> Parts:
    """Read folders of images and of KITTI's rows.

    Raises:
        DataError: a row cannot be read, or a file fits several images; all are named.
    """
    root, problems, notes = source.where, list[str](), list[str]()
    paths = [info.path for info in source.listing().files]
    texts = [path for path in paths if path.lower().endswith(".txt") and "calib" not in _folder_words(path)]
    labels = [path for path in texts if "label" in _folder_words(path)] or texts
    pairs = pair([path for path in paths if is_image_name(path)], labels, kind="label")
    read = read_row_files(source.at, list(pairs.image_of), parse_kitti, problems)
    problems += pairs.untold()
    annotated = {image: read[label] for label, image in pairs.image_of.items() if label in read}
    homes = {io.name(folder_of(image)) for image in annotated}
    images = sorted(path for path in paths if is_image_name(path) and io.name(folder_of(path)) in homes)
    splits = _splits(source.at, paths, sorted(annotated), problems, notes)
    require_no_problems(root, problems)
    ignored = sum(shape.label is None for shapes in annotated.values() for shape in shapes)
    if ignored:
        notes.append(
            f"{count(ignored, f'box of {_IGNORED} is an ignored region', f'boxes of {_IGNORED} are ignored regions')}"
        )
    found = [AnnotatedImage(image, annotated.get(image), split=splits.get(image)) for image in images]
    notes = [f"read as KITTI from {', '.join(sorted({folder_of(own) or '.' for own in read}))}", *notes]
    return annotated_parts(found, source, holds=holds, folder=root, notes=[*notes, *pairs.notes("label files")])


def _splits(
    at: Location, paths: Sequence[str], annotated: Sequence[str], problems: list[str], notes: list[str]
) -> dict[str, str]:
    """Return the splits of annotated images: from lists, or folders; KITTI's ``training`` holds all it annotated."""
    lists = [one for one in split_lists(paths) if one.split != "test"]
    if lists:
        return splits_by_list(lists, annotated, at, problems, notes)
    splits = {image: split_of_folder(folder_of(image)) for image in annotated}
    if None in splits.values() or all("training" in folder_of(image).split("/") for image in annotated):
        return dict.fromkeys(annotated, HASHED)
    return {image: split for image, split in splits.items() if split is not None}


# ---- writing ----


def write_kitti(manifest: Manifest, at: Location) -> str:
    """Copy the images to ``<split>/image_2`` and write ``<split>/label_2``; columns of the names of `read_kitti`, too.

    A box of no known class, or of a crowd, is written as ``DontCare``. An image that nobody annotated gets no file.

    Raises:
        AlreadyExistsError: the folder holds files already.
        DataError: an image has no split, a class has blanks in its name, or a box corners that are not finite.
        StorageError: an image cannot be read or written.
    """
    images = annotated_images(manifest)
    _require_writable(images)
    names = unique_paths(manifest, [f"{image.split}/image_2" for image in images], by_stem=True)
    target = empty_folder(at)
    for rows, contents in image_chunks(manifest):
        files = dict(zip(names[rows], contents, strict=True))
        for image, name in zip(images[rows], names[rows], strict=True):
            if image.shapes is not None:
                path = name.rpartition(".")[0].replace("/image_2/", "/label_2/", 1)
                files[f"{path}.txt"] = "".join(map(_row, image.shapes)).encode()
        write_many(target, files)
    return target.url


def _require_writable(images: Sequence[AnnotatedImage]) -> None:
    unfit = [image.name for image in images if image.split is None]
    if unfit:
        raise DataError(
            f"{count(len(unfit), 'image has')} no split: {examples(unfit)}; assign one, or select the others"
        )
    shapes = [(image.name, shape) for image in images for shape in image.shapes or ()]
    blank = sorted({shape.label for _, shape in shapes if shape.label and len(shape.label.split()) != 1})
    if blank:
        raise DataError(f"KITTI parts columns by blanks, and the classes {examples(blank)} have some; rename them")
    broken = [name for name, shape in shapes if not all(map(math.isfinite, shape.box_xyxy))]
    if broken:
        raise DataError(
            f"{count(len(broken), 'box has')} corners that are not numbers: {examples(broken)}; "
            "data.check().manifest is without such"
        )


def _row(shape: Shape) -> str:
    ignored = shape.label is None or shape.attributes.get("crowd") is True
    values: list[Any] = list(_UNKNOWN) if ignored else [shape.attributes.get(name, 0) for name in _NAMES[:_COLUMNS]]
    values[3:7] = shape.box_xyxy
    score = [] if ignored or "score" not in shape.attributes else [shape.attributes["score"]]
    numbers = [int(value) if value == int(value) else value for value in [*values, *score]]
    return " ".join([_IGNORED if ignored else str(shape.label), *map(str, numbers)]) + "\n"


KITTI = Format(
    "kitti",
    holds=("boxes_xyxy", "labels"),
    expected="a folder with label_2/*.txt beside image_2, of 15 columns",
    detect=_detect,
    read=read_kitti,
    write=write_kitti,
)
