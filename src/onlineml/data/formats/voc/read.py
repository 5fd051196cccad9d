"""Reader of Pascal VOC: an XML file per image, in any arrangement of folders."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from onlineml.arguments.counted import count, tally
from onlineml.data.formats.boxes import (
    DECLARED,
    OURS,
    BoxRows,
    boxes_table,
    identified,
    parts_holding,
    require_no_problems,
)
from onlineml.data.formats.format import Format, Place, Source
from onlineml.data.formats.lists import split_lists, splits_by_folder, splits_by_list
from onlineml.data.formats.pairs import Pairs, pair, shown_images, stem, without_masks
from onlineml.data.formats.parts import Parts, absolute, list_folder, naturally_sorted, places_of
from onlineml.data.formats.plausible import require_pixels
from onlineml.data.formats.voc.pixels import FROM_ZERO, counted_from_zero, moved_by_one
from onlineml.data.formats.voc.write import write_voc
from onlineml.data.formats.voc.xml import (
    VocImage,
    leaf_xml,
    read_annotation,
    typed_column,
)
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onlineml.data.formats.format import Url
    from onlineml.data.formats.parts import Listing
    from onlineml.storage.location import Location

__all__ = ["VOC", "read_voc", "write_voc"]

_TOGETHER = 1024  # XML files in memory at a time
_RESERVED = OURS | {"voc_annotation", "voc_object"}
_LOOKED_AT = 4  # XML files whose beginnings are read to tell VOC from other XML
_ANNOTATION = re.compile(rb"<annotation[\s>]")


@dataclass(frozen=True)
class _Files:
    """Files of a dataset.

    Attributes:
        at: the folder that the images' paths are relative to.
        listing: the files below it.
        images: paths below `home`.
        home: the folder of images below `at`, ``""`` for itself.
        annotations: the URLs of XML files, by their paths below the folder of annotations.
    """

    at: Location
    listing: Listing
    images: list[str]
    home: str
    annotations: dict[str, str]

    @classmethod
    def of(cls, source: Source, annotations: Url | None) -> _Files:
        at, listing = source.at, source.listing(source.where)
        home, other = _inside(source.images, at.url, listing)
        notes, others = _inside(annotations, at.url, listing)
        own = listing if others is None else list_folder(others, source.options)
        if other is not None:
            at, listing = at.to(other), list_folder(other, source.options)
        images = without_masks([path for path in _below(home, listing) if is_image_name(path)])
        urls = {path: f"{own_url}" for path, own_url in _below(notes, own).items() if path.lower().endswith(".xml")}
        return cls(at, listing, images, home, urls)


def _inside(given: Url | Mapping[str, Url] | None, root: str, listing: Listing) -> tuple[str, str | None]:
    """Return the path of a folder below the root; or ``""`` and the URL of one that is elsewhere."""
    if given is None:
        return "", None
    text = os.fspath(given).rstrip("/")  # type: ignore[arg-type]
    if any(info.path.startswith(f"{text}/") for info in listing.files):
        return text, None
    url = absolute(text)
    inside = url == root or url.startswith(f"{root}/")
    return (url[len(root) + 1 :], None) if inside else ("", url)


def _below(folder: str, listing: Listing) -> dict[str, str]:
    start = f"{folder}/" if folder else ""
    return {info.path[len(start) :]: info.url for info in listing.files if info.path.startswith(start)}


def read_voc(source: Source, *, holds: str, annotations: Url | None = None, first_pixel: int | None = None) -> Parts:
    """Read Pascal VOC, see `Manifest.from_voc`."""
    problems: list[str] = []
    notes: list[str] = []
    files = _Files.of(source, annotations)
    read = _read_annotations(files, problems, notes)
    if first_pixel == 0 or (first_pixel is None and counted_from_zero(read.values())):
        read = {path: moved_by_one(image) for path, image in read.items()}
        notes += [] if first_pixel == 0 else [FROM_ZERO]
    pairs = pair(files.images, list(read), kind="annotations", said=lambda file: read[file].names)
    _require_pairs(source.where, files, pairs, read, problems)
    notes += [*pairs.notes("XML files"), *_named_otherwise(files.images, pairs, read)]
    start = f"{files.home}/" if files.home else ""
    found = {start + image: read[file] for file, image in pairs.image_of.items()}
    uris = sorted(start + image for image in _shown(files.images, pairs, notes))
    lists = split_lists(info.path for info in files.listing.files)
    split_of = splits_by_list(lists, uris, files.at, problems, notes)
    splits = [split_of.get(uri) for uri in uris] if lists else splits_by_folder(uris, found, notes)
    require_no_problems(source.where, problems + notes if problems else [])
    rows = _rows(uris, [found.get(uri) for uri in uris], splits)
    require_pixels(rows.boxes_xyxy, source.where)
    table = boxes_table(rows)
    table = identified(table, files.at.url, where=source.where, storage_options=files.at.options, listing=files.listing)
    names = naturally_sorted({box.label for image in found.values() for box in image.boxes if box.label is not None})
    n_used = len(uris) + len(lists) + len(found)
    n_ignored = max(len(files.listing.files) - n_used, 0) + files.listing.n_junk
    told = (f"read as Pascal VOC from {places_of(pairs.image_of, '*.xml')}", *notes, *_outlines(found.values()))
    return parts_holding(Parts(table, names, files.at.url, n_ignored, notes=told), holds)


def _named_otherwise(images: Sequence[str], pairs: Pairs, read: Mapping[str, VocImage]) -> list[str]:
    """Return a note on annotations that name another image that is there than the one of their own name."""
    known = {io.name(image) for image in images}
    others = [f for f, i in pairs.image_of.items() if read[f].names and io.name(i) != read[f].names[0] in known]
    what = "XML files name another image in <filename>; the image of the file's own name was taken"
    return [f"{tally(len(others), what)}: {examples(others)}"] if others else []


def _outlines(images: Iterable[VocImage]) -> list[str]:
    counts = Counter(box.outline for image in images for box in image.boxes if box.outline)
    return [tally(n, f"{outline} were read as the boxes around them") for outline, n in counts.items()]


def _read_annotations(files: _Files, problems: list[str], notes: list[str]) -> dict[str, VocImage]:
    """Read the annotations by path; XML files of other kinds are skipped."""
    read: dict[str, VocImage] = {}
    bad, others = [], []
    pairs = list(files.annotations.items())
    for start in range(0, len(pairs), _TOGETHER):
        chunk = pairs[start : start + _TOGETHER]
        contents = io.read_many([url for _, url in chunk], storage_options=files.at.options)
        for (path, _), content in zip(chunk, contents, strict=True):
            if isinstance(content, OSError):
                raise content
            try:
                image = read_annotation(content, reserved=_RESERVED)
            except ValueError as error:
                bad.append(f"{path}: {error}")
                continue
            if image is None:
                others.append(path)
            else:
                read[path] = image
    if bad:
        problems.append(f"{len(bad):,} XML files cannot be read (DTDs and entities are refused): {examples(bad)}")
    if others:
        notes.append(f"{len(others):,} XML files are no annotations of VOC and are left out: {examples(others)}")
    return read


def _require_pairs(where: str, files: _Files, pairs: Pairs, read: Mapping[str, VocImage], problems: list[str]) -> None:
    """Refuse a folder without pairs, and collect the pairs that cannot be told.

    Raises:
        DataError: no annotation has an image.
    """
    if pairs.several:
        extra = [io.join(files.home, image) for own in pairs.several.values() for image in own[1:]]
        problems.append(
            f"{count(len(extra), 'image has')} the same name as another one: {examples(extra)}; "
            "name the XML files like the whole image, such as 'a.jpg.xml', or write it as <filename>"
        )
    if pairs.contested:
        shown = examples(f"{image}: {' or '.join(own)}" for image, own in pairs.contested.items())
        problems.append(
            f"{count(len(pairs.contested), 'image has')} several XML files: {shown}; set annotations=<the folder "
            "that counts>"
        )
    if pairs.image_of:
        return
    require_no_problems(where, problems)
    found = f"{count(len(files.images), 'image')} and {count(len(read), 'annotation')} without a common name"
    if files.images and read:
        file, image = next(iter(read.items()))
        said = f", whose <filename> is {image.names[0]!r}" if image.names else ""
        found += f": {examples(files.images, shown=2)}, and {file!r}{said}"
    raise DataError(
        f"{where} is not in the layout of Pascal VOC: expected JPEGImages/<name>.jpg with Annotations/<name>.xml, or "
        f"both in one folder, or in two of any name; found {found}; set images= and annotations= to the two folders"
    )


def _shown(images: Sequence[str], pairs: Pairs, notes: list[str]) -> list[str]:
    shown = shown_images(images, pairs, notes)
    annotated = set(pairs.image_of.values())
    without = [image for image in shown if image not in annotated]
    if without:
        notes.append(f"{count(len(without), 'image has')} no XML file, and so no annotation: {examples(without)}")
    return shown


def _rows(uris: list[str], images: Sequence[VocImage | None], splits: Sequence[str | None] | None) -> BoxRows:
    boxes = [box for image in images if image is not None for box in image.boxes]
    sizes = [(None, None) if image is None or image.size_hw is None else image.size_hw for image in images]
    leaves = [{} if image is None else dict(image.leaves) for image in images]
    tags = dict.fromkeys(tag for box in boxes for tag in box.leaves)
    per_box = {tag: typed_column([box.leaves.get(tag) for box in boxes]) for tag in tags}
    per_box["pose"] = pa.array([box.leaves.get("pose") for box in boxes], pa.string())
    per_box["voc_object"] = pa.array([box.rest for box in boxes], pa.string())
    per_image = {name: pa.array([size[side] for size in sizes], pa.int64()) for side, name in enumerate(DECLARED)}
    groups = [own.pop("group", None) for own in leaves]
    for tag in dict.fromkeys(tag for own in leaves for tag in own if tag not in per_box):
        per_image[tag] = typed_column([own.pop(tag, None) for own in leaves])
    rests = ["" if image is None else image.rest or "" for image in images]
    rests = [rest + "".join(map(leaf_xml, own, own.values())) for rest, own in zip(rests, leaves, strict=True)]
    per_image["voc_annotation"] = pa.array([rest or None for rest in rests], pa.string())
    return BoxRows(
        uris=uris,
        lengths=np.array([0 if image is None else len(image.boxes) for image in images], dtype=np.int64),
        missing=np.array([image is None for image in images], dtype=bool),
        boxes_xyxy=np.array([box.box_xyxy for box in boxes], dtype=np.float64).reshape(-1, 4),
        labels=[box.label for box in boxes],
        splits=splits,
        groups=groups,
        per_box=per_box,
        per_image=per_image,
    )


def _detect(place: Place) -> Source | None:
    """Recognise XML files that begin as VOC's; those of an image's name are looked at first."""
    files = place.listing.ending_in(".xml")
    if not files:
        return None
    names = {stem(path) for path in place.images}
    files = sorted(files[: _LOOKED_AT * 64], key=lambda path: stem(path) not in names)[:_LOOKED_AT]
    return (
        place.listed_source()
        if any(_ANNOTATION.search(place.head(path).replace(b"\0", b"")) for path in files)
        else None
    )


VOC = Format(
    "voc",
    holds=("boxes_xyxy", "labels"),
    expected="a folder with Annotations/*.xml, or XML files anywhere",
    detect=_detect,
    read=read_voc,
    write=write_voc,
    takes=("images",),
)
