"""Reader of CVAT's XML 1.1: one file of all images of a task or project; or of a video whose frames are images."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count, tally
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_parts, known_shapes
from onlineml.data.formats.annotation_files import file_split
from onlineml.data.formats.boxes import HASHED
from onlineml.data.formats.cvat.shapes import SHAPES, shape_of
from onlineml.data.formats.format import Source
from onlineml.data.formats.json_lines import size_hw
from onlineml.data.formats.parts import absolute, naturally_sorted
from onlineml.data.formats.xml import parsed_xml
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from xml.etree.ElementTree import Element

    from onlineml.data.formats.format import Place
    from onlineml.data.formats.parts import Parts

__all__ = ["CvatFile", "detect_cvat", "parse_cvat", "read_cvat"]

_LOOKED_AT = 16  # XML files of a folder whose beginnings are read: VOC has one for each image
_ROOT = re.compile(rb"<annotations\b(?!.*?<annotation\b)", re.DOTALL)
_SHAPE = re.compile(rf"<({'|'.join(SHAPES)}|track)\b".encode())
_TAGS_OF_ONE = re.compile(rb"<tag\b(?:(?!</image>).)*?<tag\b", re.DOTALL)
_FRAME = re.compile(r"frame_0*(\d+)\.[^./]+$", re.IGNORECASE)


@dataclass
class CvatFile:
    """The content of a file.

    Attributes:
        images: in their order.
        class_names: of the labels that boxes, or tags, can have, in the task's order.
        counts: of the shapes that became the box around them, and of what was left out, by a sentence's end.
    """

    images: list[AnnotatedImage] = field(default_factory=list)
    class_names: dict[str, None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


# ---- detection ----


def detect_cvat(place: Place) -> Source | None:
    """Detect a file, or those of a folder, by their first element."""
    if place.ending == ".xml":
        head = place.head()
        return place.source(holds=_kind(head)) if _ROOT.search(head) else None
    files = sorted(
        place.listing.ending_in(".xml"),
        key=lambda path: (not io.name(path).lower().startswith("annotations"), path),
    )
    heads = {path: place.head(path) for path in files[:_LOOKED_AT]}
    found = [path for path, head in heads.items() if _ROOT.search(head)]
    if not found:
        return None
    urls = {path: io.join(place.url, path) for path in found}
    kind = _kind(b"".join(heads[path] for path in found))
    return Source(urls, root=place.url, options=place.options, files=place.listing, holds=kind)


def _kind(head: bytes) -> str:
    """Return the kind of annotation that the beginnings of files show."""
    if _SHAPE.search(head) or b"<tag" not in head:
        return "boxes_xyxy"
    return "labels" if _TAGS_OF_ONE.search(head) else "label"


# ---- reading ----


def read_cvat(source: Source, *, holds: str) -> Parts:
    """Read CVAT's XML, of one task or several.

    Raises:
        DataError: the file is not CVAT's, a shape lacks a number, or a video's frames are no images; with its image.
    """
    home = str(source.root) if source.root is not None and str(source.root) else source.folder
    urls = source.url if isinstance(source.url, Mapping) else {source.where.removeprefix(f"{home}/"): source.where}
    apart = source.images is not None and not isinstance(source.images, Mapping)
    root = absolute(source.images) if apart else home  # type: ignore[arg-type]
    source = source._replace(files=None) if apart else source
    paths = [info.path for info in source.listing(root).files]
    read = CvatFile()
    for path, url in urls.items():
        split = file_split(path) if len(urls) > 1 else None
        data = io.read_bytes(Location.of(str(url), source.options))
        beside = "" if apart else path.rpartition("/")[0]
        own = parse_cvat(data, str(url), holds=holds, split=split, beside=beside, paths=paths)
        read.images += own.images
        read.class_names |= own.class_names
        read.counts += own.counts
    notes = [f"read as CVAT's XML from {', '.join(urls)}"]
    notes += [tally(number, what) for what, number in read.counts.items()]
    found = {label for image in read.images for label in image.labels or ()}
    found |= {shape.label for image in read.images for shape in image.shapes or () if shape.label is not None}
    names = (*read.class_names, *naturally_sorted(found - read.class_names.keys()))
    named = source._replace(url=source.where if not isinstance(source.url, Mapping) else home)
    return annotated_parts(read.images, named, holds=holds, folder=root, class_names=names, notes=notes)


def parse_cvat(
    data: bytes, where: str, *, holds: str, split: str | None = None, beside: str = "", paths: Sequence[str] = ()
) -> CvatFile:
    """Return the images of a file.

    Args:
        data: its content.
        where: its URL, for messages.
        holds: the wanted kind of annotation.
        split: of all images; None: that of their subsets.
        beside: the folder of the file, below that of `paths`.
        paths: of the files there, of which some may be frames of a video.

    Raises:
        DataError: it is not CVAT's XML; or anything is missing.
    """
    try:
        root = parsed_xml(data)
    except ValueError as error:
        raise DataError(f"{where} cannot be read (DTDs and entities are refused): {error}") from error
    if root.tag != "annotations":
        raise DataError(f"{where} is not CVAT's XML: expected the element <annotations>, found <{root.tag}>")
    read = CvatFile(class_names=dict.fromkeys(_declared(root, holds)))
    subset = root.findtext("meta/task/subset") or ""
    for element in root.findall("image"):
        name = element.get("name") or ""
        told = f"{where}, image {name or element.get('id')}"
        if not name:
            raise DataError(f"{told}: <image> has no name")
        shapes = [shape for child in element if (shape := shape_of(child, told, read.counts)) is not None]
        own = element.get("subset") or subset
        read.images.append(
            AnnotatedImage(
                f"{own}/{name}" if own and own.casefold() != "default" else name,
                known_shapes(shapes, sum(child.tag in (*SHAPES, "points") for child in element), read.counts),
                size_hw(element.get("height"), element.get("width")),
                split or normalised_split(own) or HASHED,
                labels=[tag.get("label", "") for tag in element.findall("tag")] or None,
                beside=beside,
            )
        )
    home = f"{beside}/" if beside else ""
    files = {int(match[1]): path for path in paths if path.startswith(home) and (match := _FRAME.search(path))}
    read.images += _frames(root, where, split or normalised_split(subset), files, read.counts)
    return read


def _declared(root: Element, holds: str) -> Iterable[str]:
    """Return the names of the task's labels, without those of a skeleton's points and those of another kind."""
    for label in root.iterfind("meta//labels/label"):
        kind, name = label.findtext("type") or "any", label.findtext("name")
        fits = kind in {"any", "tag"} if holds != "boxes_xyxy" else kind not in {"tag", "points"}
        if name and fits and not label.findtext("parent"):
            yield name


# ---- videos ----


def _frames(
    root: Element, where: str, split: str | None, files: Mapping[int, str], counts: Counter[str]
) -> list[AnnotatedImage]:
    """Return the images of a video's frames, with what its tracks show on them."""
    tracks = root.findall("track")
    if not tracks:
        return []
    if not files:
        raise DataError(
            f"{where} holds {count(len(tracks), 'track')} of a video, and its frames (frame_000000.png, …) are not "
            "beside it: export the task with its images, or as 'CVAT for images 1.1'"
        )
    shapes: defaultdict[int, list[Shape]] = defaultdict(list)
    for track in tracks:
        for frame, shape in _track(track, where, files, counts):
            shapes[frame].append(shape)
    absent = sorted(shapes.keys() - files.keys())
    if absent and len(absent) == len(shapes):
        raise DataError(
            f"{where} has boxes on the frames {examples(absent)}, and none of these is there; the files are numbered "
            f"{min(files)} to {max(files)}: export the task with its images"
        )
    if absent:
        counts[f"frames with boxes are not there, such as {absent[0]}"] += len(absent)
    size = size_hw(*(root.findtext(f"meta/task/original_size/{side}") for side in ("height", "width")))
    return [AnnotatedImage(path, shapes[frame], size, split or HASHED) for frame, path in sorted(files.items())]


def _track(track: Element, where: str, files: Mapping[int, str], counts: Counter[str]) -> Iterable[tuple[int, Shape]]:
    label = track.get("label", "")
    told = f"{where}, track {track.get('id')} ({label})"
    if track.find("track") is not None:
        counts["tracks of skeletons were left out"] += 1
        return
    keys = sorted((child for child in track if child.get("frame")), key=lambda key: int(key.get("frame", "0")))
    for key, after in pairwise(keys):
        gap = [n for n in range(int(key.get("frame", "0")) + 1, int(after.get("frame", "0"))) if n in files]
        if gap and key.get("outside") != "1":
            raise DataError(f"{told}: the frames {examples(gap)} lie between its boxes; export all frames from CVAT")
    for key in keys:
        key.set("label", label)
        if key.get("outside") != "1" and (shape := shape_of(key, told, counts)) is not None:
            yield int(key.get("frame", "0")), shape
