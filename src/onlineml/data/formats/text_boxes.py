"""A text file for each image, with rows ``class left top right bottom`` in pixels: OIDv4 ToolKit, Cartucho's mAP.

The corners are edges: OIDv4 multiplies Open Images' shares by width and height, and 0 0 640 480 is all of an image of
that size. A class may have blanks in it; a word ``difficult`` may follow. OIDv4 writes the files into a folder
``Label`` of each class folder, with the boxes of that class alone, and saves an image of several classes for each.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_parts
from onlineml.data.formats.boxes import require_no_problems
from onlineml.data.formats.format import Format
from onlineml.data.formats.json_lines import number
from onlineml.data.formats.lists import splits_by_folder
from onlineml.data.formats.pairs import folder_of, pair, shown_images, split_of_folder, stem
from onlineml.data.formats.parts import places_of
from onlineml.data.formats.row_files import parse_rows, read_row_files
from onlineml.data.formats.yolo.read import may_be_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.data.formats.format import Place, Source
    from onlineml.data.formats.parts import Listing, Parts

__all__ = ["TEXT_BOXES", "parse_text_boxes", "read_beside_images", "read_text_boxes"]

_LOOKED_AT = 16  # text files whose beginnings are read to recognise the format


def _shape(row: str) -> Shape | None:
    """Return the box of a row; None if it is of another format."""
    words = row.split()
    difficult = words[-1:] == ["difficult"]
    words = words[:-1] if difficult else words
    corners = [value for word in words[-4:] if (value := number(word)) is not None]
    if len(words) < 5 or len(corners) < 4 or number(words[-5]) is not None:  # that is a confidence
        return None
    x1, y1, x2, y2 = corners
    return Shape(" ".join(words[:-4]), (x1, y1, x2, y2), {"difficult": True} if difficult else {})


def parse_text_boxes(data: bytes, where: str) -> list[Shape]:
    """Return the boxes of a file.

    Args:
        data: its content.
        where: the file, for messages.

    Raises:
        DataError: a row has other columns; its line is named.
    """
    return parse_rows(data, where, _shape, expected="'class left top right bottom'")


def read_text_boxes(source: Source, *, holds: str) -> Parts:
    """Read folders of images and of such files, side by side or apart.

    Raises:
        DataError: a row cannot be read, or a file fits several images; all are named.
    """
    return read_beside_images(source, parse_text_boxes, name="text_boxes", holds=holds)


def read_beside_images(
    source: Source,
    parse: Callable[[bytes, str], list[Shape]],
    *,
    name: str,
    holds: str,
    order: Sequence[str] = (),
    split_of: Callable[[str], str | None] = lambda _: None,
) -> Parts:
    """Read folders of images and of text files that are called like them.

    Args:
        source: the folder.
        parse: returns the boxes of a file from its content and path.
        name: of the format.
        holds: see `Format`.
        order: of classes that are known; by default all are sorted by name.
        split_of: returns the split that a path tells in the format's own way; used if all paths tell one.

    Raises:
        DataError: a row cannot be read, or a file fits several images; all are named.
    """
    root, problems, notes = source.where, list[str](), list[str]()
    listing = source.listing(root)
    pairs = pair(listing.images, [path for path in listing.others if may_be_labels(path)], kind="label")
    read = read_row_files(source.at, [*pairs.image_of], parse, problems)
    require_no_problems(root, problems + pairs.untold())
    shapes = {image: read[file] for file, image in pairs.image_of.items()}
    copies = _copies(shapes, listing)
    for image, first in copies.items():
        shapes[first] += shapes.pop(image)
    if copies:
        notes.append(f"united {count(len(copies), 'further copy')} of images in other class folders with the first")
    uris = sorted(path for path in shown_images(listing.images, pairs, notes) if path not in copies)
    own = [*map(split_of, uris)]
    splits = splits_by_folder(uris, shapes, notes) if None in own else own
    found = [AnnotatedImage(uri, shapes.get(uri), beside=None) for uri in uris]
    if splits is not None:
        found = [image._replace(split=split) for image, split in zip(found, splits, strict=True)]
    notes = [f"read as {name} from {places_of(read, '*.txt')}", *notes, *pairs.notes("text files")]
    told = {shape.label for objects in shapes.values() for shape in objects}
    classes = [label for label in order if label in told] or None
    return annotated_parts(found, source, holds=holds, folder=root, class_names=classes, notes=notes)


def _copies(annotated: dict[str, list[Shape]], listing: Listing) -> dict[str, str]:
    """Return the first of the images of one name, size in bytes and split for each other one."""
    sizes = {info.path: info.size for info in listing.files}
    first: dict[tuple[str, int, str | None], str] = {}
    keys = {
        path: (path.rpartition("/")[2], sizes[path], split_of_folder(folder_of(path))) for path in sorted(annotated)
    }
    return {path: first[key] for path, key in keys.items() if first.setdefault(key, path) != path}


def _detect(place: Place) -> Source | None:
    """Recognise text files that are called like images, by their first row."""
    texts = list(islice(filter(may_be_labels, place.listing.ending_in(".txt")), _LOOKED_AT))
    heads = [place.head(path).decode("utf-8-sig", "ignore") for path in texts]
    fitting = {stem(t) for t, head in zip(texts, heads, strict=True) if _shape(head.lstrip().partition("\n")[0])}
    found = fitting and any(stem(path) in fitting for path in place.images)
    return place.listed_source() if found else None


TEXT_BOXES = Format(
    "text_boxes",
    holds=("boxes_xyxy", "labels"),
    expected="a text file with rows 'class left top right bottom' for each image, as OIDv4 ToolKit writes",
    detect=_detect,
    read=read_text_boxes,
)
