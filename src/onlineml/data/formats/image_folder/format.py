"""ImageFolder of Hugging Face's `datasets`: images with a ``metadata.csv``, ``.jsonl`` or ``.parquet`` beside them.

``file_name`` is relative to the folder of its own file; ``label`` is a class, ``objects`` are boxes, see
`onlineml.data.formats.objects` (https://huggingface.co/docs/datasets/image_dataset).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from onlineml.arguments.counted import count
from onlineml.data.formats.addresses import in_pixels, placed
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images, annotated_parts
from onlineml.data.formats.boxes import HASHED, require_no_problems
from onlineml.data.formats.columns import label_key
from onlineml.data.formats.encodings import utf8
from onlineml.data.formats.export import empty_folder, image_chunks, unique_paths, write_many
from onlineml.data.formats.format import Format, Source
from onlineml.data.formats.image_folder.metadata import FILE_NAME, METADATA, card_names, parse_rows, read_rows
from onlineml.data.formats.json_lines import lines_bytes, whole_lines
from onlineml.data.formats.objects import corners_instead, numbers_note, used_names
from onlineml.data.images.policies import is_archive_name
from onlineml.data.images.sizes import upright_sizes_hw
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.documents import reading_parquet
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.formats.addresses import Placed
    from onlineml.data.formats.format import Place
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["IMAGE_FOLDER", "read_image_folder", "write_image_folder"]

_CARD = "README.md"
_SHARES = 1.01  # up to here, as they are rounded
_LOOKED_AT = 256  # images, to tell corners from sides


# ---- reading ----


def _is_metadata(path: str) -> bool:
    return path.rpartition("/")[2] in METADATA


def _detect(place: Place) -> Source | None:
    paths = [""] if _is_metadata(place.url) else [path for path in place.others if _is_metadata(path)]
    found = [kind for kind in (_kind(place, path) for path in paths) if kind is not None]
    if not found:
        return None
    if paths == [""]:
        return place.source(holds=found[0] or None)
    return Source(place.url, None, place.url, options=place.options, files=place.listing, holds=found[0] or None)


def _kind(place: Place, path: str) -> str | None:
    """Return the kind of annotation that a file of metadata has, ``""`` if none is seen; None for another format."""
    if (path or place.url).endswith(".parquet"):
        try:
            with reading_parquet(path, error=DataError), io.open_file(place.at / path if path else place.at) as file:
                columns = set(pq.read_schema(file).names)
        except DataError:
            return None
        first: dict[str, Any] = {}
    else:
        try:
            lines = read_rows(whole_lines(place.head(path)), path or place.url)
        except DataError:
            return None
        first = lines[0].content if lines else {}
        columns = {key for line in lines for key in line.content}
    if not any(name.endswith(FILE_NAME) for name in columns):
        return None
    if "objects" in columns:
        return "boxes_xyxy"
    label = label_key(tuple(columns))
    return "" if label is None else "labels" if isinstance(first.get(label), list) else "label"


def read_image_folder(source: Source, *, holds: str) -> Parts:
    """Read an ImageFolder with metadata."""
    single = _is_metadata(source.where)
    listing = source.listing()
    paths = [io.name(source.where)] if single else [info.path for info in listing.files if _is_metadata(info.path)]
    folder = source.at.parent if single else source.at
    names = tuple(source.class_names or ()) or _names_of_card(folder, [info.path for info in listing.files])
    problems, images = list[str](), list[AnnotatedImage]()
    for path in paths:
        data = io.read_bytes(folder / path)
        lines = read_rows(data if path.endswith(".parquet") else utf8(data, path), path)
        own = parse_rows(lines, path, names, problems, label=source.label)
        images += [_in_folder(image, path.rpartition("/")[0]) for image in own]
    require_no_problems(source.where, problems)
    archives = [info.path for info in listing.files if is_archive_name(info.path)]
    if archives and not listing.images:
        raise DataError(f"the images of {source.where} are in archives: {examples(archives)}; unpack them beside it")
    found = _as_sides(_unscaled(placed(images, source)))
    used = {label for image in found.images for label in image.labels or ()}
    used |= {shape.label for image in found.images for shape in image.shapes or () if shape.label is not None}
    told = used_names(used, names)
    parts = annotated_parts(found.images, found.source, holds=holds, folder=found.folder, class_names=told)
    read = f"read as ImageFolder from {examples(paths)}"
    notes = (read, *found.notes, *parts.notes, *numbers_note(parts.class_names), *_left_out(parts, found.source))
    return replace(parts, notes=notes)


def _in_folder(image: AnnotatedImage, folder: str) -> AnnotatedImage:
    """Return an image with its path below the root, and the split that it says or that is the name of a folder."""
    path = f"{folder}/{image.name}" if folder else image.name
    named = filter(None, map(normalised_split, path.split("/")[:-1]))
    return image._replace(name=path, split=normalised_split(str(image.split)) or next(named, HASHED))


def _names_of_card(folder: Location, paths: Sequence[str]) -> tuple[str, ...]:
    return card_names(io.read_bytes(folder / _CARD)) if _CARD in paths else ()


def _unscaled(found: Placed) -> Placed:
    """Return boxes in pixels where all are shares of the sides, which would be a pixel at most."""
    boxes = [shape.box_xyxy for image in found.images for shape in image.shapes or ()]
    if not boxes or not all(0 <= side <= _SHARES for box in boxes for side in box):
        return found
    return in_pixels(found._replace(notes=(*found.notes, "the boxes are shares of the width and height, not pixels")))


def _as_sides(found: Placed) -> Placed:
    """Return boxes that were read as sides but are corners as these; only such are, of which nothing else fits."""
    boxed = [image for image in found.images if image.shapes][:_LOOKED_AT]
    shapes = [shape for image in boxed for shape in image.shapes or ()]
    if not shapes or not all(_may_be_corners(shape) for shape in shapes):
        return found
    urls = {info.path: info.url for info in found.source.listing().files}
    there = [image for image in boxed if image.name in urls]
    sizes = upright_sizes_hw([Location(urls[image.name], found.source.options) for image in there])
    known = [(height, width) if height and width else None for height, width in sizes.tolist()]
    if not corners_instead([image.shapes or () for image in there], known):
        return found
    note = "the boxes are x1, y1, x2, y2, not x, y, width, height: only so are they inside their images"
    return found._replace(images=[_with_corners(image) for image in found.images], notes=(*found.notes, note))


def _may_be_corners(shape: Shape) -> bool:
    x1, y1, x2, y2 = shape.box_xyxy
    return x2 - x1 > x1 and y2 - y1 > y1


def _with_corners(image: AnnotatedImage) -> AnnotatedImage:
    if not image.shapes:
        return image
    boxes = [shape.box_xyxy for shape in image.shapes]
    sides = [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]
    return image._replace(shapes=[s._replace(box_xyxy=box) for s, box in zip(image.shapes, sides, strict=True)])


def _left_out(parts: Parts, source: Source) -> list[str]:
    named = set(parts.table["uri"].to_pylist())
    others = [path for path in source.listing().images if path not in named]
    return (
        [f"{count(len(others), 'image is')} in no file of metadata and left out: {examples(others)}"] if others else []
    )


# ---- writing ----


def write_image_folder(manifest: Manifest, at: Location) -> str:
    """Copy the images to ``<url>/<split>/<name>`` and write ``metadata.jsonl`` beside them, with names of classes.

    Groups are not written.

    Raises:
        AlreadyExistsError: the folder holds files already.
        StorageError: an image cannot be read or written.
    """
    images = annotated_images(manifest)
    folders = [image.split or "" for image in images]
    paths = unique_paths(manifest, folders, by_stem=False)
    target = empty_folder(at)
    for rows, contents in image_chunks(manifest):
        write_many(target, dict(zip(paths[rows], contents, strict=True)))
    for folder in dict.fromkeys(folders):
        lines = [
            _written(image, path.removeprefix(f"{folder}/"), manifest.kind.key)
            for image, path, own in zip(images, paths, folders, strict=True)
            if own == folder
        ]
        io.write_bytes(target / f"{folder}/{METADATA[1]}".lstrip("/"), lines_bytes(lines))
    return target.url


def _written(image: AnnotatedImage, path: str, holds: str) -> dict[str, Any]:
    row: dict[str, Any] = {FILE_NAME: path}
    if holds != "boxes_xyxy":
        labels = None if image.labels is None else list(image.labels)
        return {**row, "label": labels[0] if labels and holds == "label" else labels}
    if image.shapes is None:
        return {**row, "objects": None}
    boxes = [shape.box_xyxy for shape in image.shapes]
    names = dict.fromkeys(name for shape in image.shapes for name in shape.attributes)
    further = {name: [shape.attributes.get(name) for shape in image.shapes] for name in names}
    sides = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in boxes]
    return {**row, "objects": {**further, "bbox": sides, "category": [shape.label for shape in image.shapes]}}


IMAGE_FOLDER = Format(
    "imagefolder",
    holds=("label", "labels", "boxes_xyxy"),
    expected="a folder with metadata.csv, metadata.jsonl or metadata.parquet that has 'file_name'",
    detect=_detect,
    read=read_image_folder,
    write=write_image_folder,
    takes=("images", "label"),
)
