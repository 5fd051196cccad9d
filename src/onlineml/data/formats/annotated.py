"""Annotated images as most formats have them: a record per image with its boxes or labels, to and from a manifest."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from onlineml.arguments.counted import count
from onlineml.data.formats.boxes import (
    DECLARED,
    HASHED,
    OURS,
    BoxRows,
    boxes_table,
    further_columns,
    identified,
    known_sizes_hw,
    parts_holding,
    per_box_values,
    require_no_problems,
    safe_name,
)
from onlineml.data.formats.coco.json_entries import scalar_column
from onlineml.data.formats.locate import absent_note, fitting, locate
from onlineml.data.formats.parts import Parts, naturally_sorted, unnamed
from onlineml.data.formats.plausible import require_pixels
from onlineml.data.images.sizes import upright_sizes_hw
from onlineml.data.manifest.boxes import OPTIONAL_BOX_COLUMNS
from onlineml.data.manifest.examples import examples
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Source
    from onlineml.data.formats.parts import Listing
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["AnnotatedImage", "Shape", "annotated_images", "annotated_parts", "known_shapes"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Shape(NamedTuple):
    """A box of an image.

    Attributes:
        label: None if none is given.
        box_xyxy: in pixels of the upright image.
        attributes: numbers, texts and truth values; each becomes a column with a value per box.
    """

    label: str | None
    box_xyxy: tuple[float, float, float, float]
    attributes: Mapping[str, Any] = _NOTHING


class AnnotatedImage(NamedTuple):
    """Annotations of one image, as a file has them.

    Attributes:
        name: as it is written there.
        shapes: its boxes; None: nobody annotated it.
        size_hw: height and width that the boxes were drawn on.
        split: a name, None (no split) or `HASHED`.
        group: None: it is a group of its own.
        labels: of the whole image; None: it is unlabelled.
        rank: of several descriptions of one image the highest counts; None: they must be alike.
        beside: the folder, below the root, of the file that names the image; None: the name is the image's path.
    """

    name: str
    shapes: Sequence[Shape] | None = None
    size_hw: tuple[int, int] | None = None
    split: str | None = HASHED
    group: str | None = None
    labels: Sequence[str] | None = None
    beside: str | None = ""
    rank: tuple[bool, bool, str] | None = None


def annotated_parts(
    images: Sequence[AnnotatedImage],
    source: Source,
    *,
    holds: str,
    folder: str | None = None,
    class_names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Parts:
    """Return the import of annotated images, whose names are looked for among the files below a folder.

    Args:
        images: in the order of the rows.
        source: gives the listing, the options, and the name in messages.
        holds: ``"boxes_xyxy"``, ``"labels"`` or ``"label"``.
        folder: that the files are below; by default `Source.folder`.
        class_names: by default the labels, sorted naturally.
        notes: for people.

    Raises:
        DataError: a name fits several files or leads out of the folder, an image occurs twice, or no file is there.
    """
    root = source.folder if folder is None else folder
    listing = source.listing(root)
    problems: list[str] = []
    uris, absent = _uris(images, listing, problems)
    if holds == "label":
        several = [image.name for image in images if len(set(image.labels or ())) > 1]
        if several:
            problems.append(
                f"{count(len(several), 'image has')} several labels: {examples(several)}; use task='multilabel'"
            )
    require_no_problems(source.where, problems)
    told = list(notes)
    if absent and len(absent) < len(images):
        told.append(absent_note(absent))
    told += unnamed(listing, uris)
    rows = _rows(images, uris)
    require_pixels(rows.boxes_xyxy, source.where)
    table = boxes_table(rows)
    table = identified(table, root, where=source.where, storage_options=source.options, listing=listing)
    names = class_names or naturally_sorted({name for image in images for name in _names(image, holds)})
    n_ignored = len(listing.files) - len({*uris} - {*absent})
    parts = Parts(table, tuple(names), root, n_ignored + listing.n_junk, notes=tuple(told))
    return _of_whole_images(parts, images, holds)


def known_shapes(shapes: Sequence[Shape], n_labels: int, counts: Counter[str]) -> Sequence[Shape] | None:
    """Return the boxes of an image; None if it has labels of which none is a box: it shows objects somewhere.

    Args:
        shapes: of the labels that are boxes.
        n_labels: of all.
        counts: counts such images.
    """
    if shapes or not n_labels:
        return shapes
    counts["images of which no label is a box count as not annotated"] += 1
    return None


def _uris(images: Sequence[AnnotatedImage], listing: Listing, problems: list[str]) -> tuple[list[str], list[str]]:
    """Return each image's path, and the paths of those that are not there."""
    paths = listing.images
    known = frozenset(paths)
    places: dict[tuple[str | None, str], str | None] = {
        (None, image.name): image.name if image.name in known else None for image in images if image.beside is None
    }
    ambiguous: dict[str, list[str]] = {}
    for folder in dict.fromkeys(image.beside for image in images if image.beside is not None):
        own = [image.name for image in images if image.beside == folder]
        found = locate(own, paths, beside=folder)
        places |= {(folder, name): path for name, path in zip(own, found.paths, strict=True)}
        ambiguous |= found.ambiguous
    if ambiguous:
        problems.append(f"{count(len(ambiguous), 'name fits', 'names fit')} several images: {fitting(ambiguous)}")
    uris, absent, refused = list[str](), list[str](), list[str]()
    for image in images:
        uri = places[image.beside, image.name]
        if uri is None:
            uri = safe_name(image.name) or ""
            (absent if uri else refused).append(uri or image.name)
        uris.append(uri)
    if refused and not ambiguous:
        expected = "expected paths below the folder of the images, set images= to it"
        problems.append(f"{count(len(refused), 'image is')} not there: {examples(refused)}; {expected}")
    return uris, absent


def _names(image: AnnotatedImage, holds: str = "labels") -> set[str]:
    """Return the classes of an image: of its boxes, of the whole image, or, for sets of labels, of both."""
    whole = {*(image.labels or ())} if holds != "boxes_xyxy" else set()
    boxes = {shape.label for shape in image.shapes or () if shape.label is not None} if holds != "label" else set()
    return whole | boxes


def _rows(images: Sequence[AnnotatedImage], uris: Sequence[str]) -> BoxRows:
    shapes = [shape for image in images for shape in image.shapes or ()]
    tags = dict.fromkeys(name for shape in shapes for name in shape.attributes)
    per_box = {_kept_name(tag): _column([shape.attributes.get(tag) for shape in shapes]) for tag in tags}
    sizes = [image.size_hw or (None, None) for image in images]
    return BoxRows(
        uris=uris,
        lengths=np.array([len(image.shapes or ()) for image in images], dtype=np.int64),
        missing=np.array([image.shapes is None for image in images], dtype=bool),
        boxes_xyxy=np.array([shape.box_xyxy for shape in shapes], dtype=np.float64).reshape(-1, 4),
        labels=[shape.label for shape in shapes],
        splits=[image.split for image in images],
        groups=[image.group for image in images],
        per_box=per_box,
        per_image={name: pa.array([size[side] for size in sizes], pa.int64()) for side, name in enumerate(DECLARED)},
    )


def _kept_name(name: str) -> str:
    return f"given_{name}" if name in OURS and name not in OPTIONAL_BOX_COLUMNS else name


def _column(values: list[Any]) -> pa.Array:
    column = scalar_column(values)
    return pa.array([None if v is None else str(v) for v in values], pa.string()) if column is None else column


def _of_whole_images(parts: Parts, images: Sequence[AnnotatedImage], holds: str) -> Parts:
    """Return the parts with boxes, or with the labels of whole images, where they have any, instead of boxes."""
    if holds == "boxes_xyxy":
        return parts
    found = parts_holding(parts, "labels")
    table = found.table.drop_columns(["labels"])
    sets = [None if image.labels is None and image.shapes is None else sorted(_names(image)) for image in images]
    if holds == "labels":
        return replace(found, table=table.append_column("labels", pa.array(sets, pa.list_(pa.string()))))
    labels = pa.array([next(iter(image.labels or ()), None) for image in images], pa.string())
    return replace(found, table=table.append_column("label", labels))


# ---- writing ----


def annotated_images(manifest: Manifest, *, sizes: bool = False) -> list[AnnotatedImage]:
    """Return the images of a manifest, each under its uri.

    Args:
        manifest: with boxes, labels or sets of labels.
        sizes: whether a format needs them: they are read from the images where they are unknown.
    """
    table = manifest.table
    known = known_sizes_hw(manifest) if manifest.kind.key == "boxes_xyxy" else _read_sizes(manifest)
    if sizes and (unknown := np.flatnonzero((known == 0).any(1))).size:
        urls = manifest.urls()
        known[unknown] = upright_sizes_hw([Location(urls[row], manifest.storage_options) for row in unknown])
    facts = table.select(["uri", "split", "group", "image_id"]).to_pylist()
    shapes = _shapes(manifest) if manifest.kind.key == "boxes_xyxy" else [None] * len(facts)
    names = table[manifest.kind.names].to_pylist() if manifest.kind.key != "boxes_xyxy" else [None] * len(facts)
    return [
        AnnotatedImage(
            fact["uri"],
            own,
            (height, width) if height and width else None,
            fact["split"],
            None if fact["group"] == fact["image_id"] else fact["group"],
            [name] if isinstance(name, str) else name,
        )
        for fact, own, name, (height, width) in zip(facts, shapes, names, known.tolist(), strict=True)
    ]


def _read_sizes(manifest: Manifest) -> Any:
    return np.stack([manifest.table[name].fill_null(0).to_numpy() for name in ("height", "width")], axis=1)


def _shapes(manifest: Manifest) -> list[list[Shape] | None]:
    table, boxes = manifest.table, manifest.boxes()
    names = [*(name for name in OPTIONAL_BOX_COLUMNS if name in table.column_names), *further_columns(table)[1]]
    columns = {name: per_box_values(table, name) for name in names}
    labels = per_box_values(table, "labels")
    corners = boxes.boxes_xyxy.tolist()
    found: list[list[Shape] | None] = []
    for image, annotated in enumerate(boxes.annotated.tolist()):
        rows = range(boxes.offsets[image], boxes.offsets[image + 1])
        own = [Shape(labels[row], (*corners[row],), _said(columns, row)) for row in rows]
        found.append(own if annotated else None)
    return found


def _said(columns: Mapping[str, Sequence[Any]], row: int) -> dict[str, Any]:
    values = {name: column[row] for name, column in columns.items()}
    return {n: v for n, v in values.items() if v is not None and not (isinstance(v, float) and math.isnan(v))}
