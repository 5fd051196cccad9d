"""The table of formats, and the detection of the format at a place."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple

from onlineml.arguments.counted import count
from onlineml.data.formats.azure import AZURE
from onlineml.data.formats.box_tables import BOX_TABLE, TENSORFLOW_CSV
from onlineml.data.formats.coco.read import COCO
from onlineml.data.formats.createml import CREATEML
from onlineml.data.formats.cvat import CVAT
from onlineml.data.formats.folders.format import FOLDERS, has_classes, unread_annotations
from onlineml.data.formats.format import Format, Place
from onlineml.data.formats.ground_truth import GROUND_TRUTH
from onlineml.data.formats.image_folder.format import IMAGE_FOLDER
from onlineml.data.formats.kitti import KITTI
from onlineml.data.formats.label_studio.format import LABEL_STUDIO
from onlineml.data.formats.labelme import LABELME
from onlineml.data.formats.open_images import OPEN_IMAGES
from onlineml.data.formats.parquet_rows import EMBEDDED
from onlineml.data.formats.tables.format import TABLE
from onlineml.data.formats.tables.places import table_refusal
from onlineml.data.formats.text_boxes import TEXT_BOXES
from onlineml.data.formats.unread import unread_boxes
from onlineml.data.formats.vertex import VERTEX
from onlineml.data.formats.via.format import VIA
from onlineml.data.formats.visdrone import VISDRONE
from onlineml.data.formats.voc.read import VOC
from onlineml.data.formats.webdataset.format import WEBDATASET
from onlineml.data.formats.yolo.read import YOLO
from onlineml.data.manifest.examples import examples
from onlineml.errors import ConfigError, DataError, NotFoundError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.data.formats.format import Source
    from onlineml.data.kinds.base import AnnotationKind
    from onlineml.storage.location import Location

__all__ = ["FORMATS", "Detected", "detect", "format_of", "formats"]

# ours; others come by entry points
FORMATS: tuple[Format, ...] = (
    COCO,
    CVAT,
    VOC,
    KITTI,
    VISDRONE,
    YOLO,
    TEXT_BOXES,
    LABELME,
    LABEL_STUDIO,
    VIA,
    CREATEML,
    GROUND_TRUTH,
    AZURE,
    VERTEX,
    IMAGE_FOLDER,
    WEBDATASET,
    EMBEDDED,
    OPEN_IMAGES,
    BOX_TABLE,
    TENSORFLOW_CSV,
    TABLE,
    FOLDERS,
)
# formats of boxes of which no file is also one of another format
_TOLD_APART = (COCO, CVAT, VOC, YOLO, TEXT_BOXES, LABELME, LABEL_STUDIO, VIA, CREATEML)
_GROUP = "onlineml.formats"


@cache
def formats() -> dict[str, Format]:
    """All formats by name, in the order in which they are tried: those of installed packages first, class folders last.

    Raises:
        ConfigError: an installed package brings what is no format, or a second format of a name.
    """
    ours = {one.name: one for one in FORMATS}
    others: dict[str, Format] = {}
    for point in entry_points(group=_GROUP):
        found = point.load()
        if not isinstance(found, Format) or found.name in ours | others:
            raise ConfigError(
                f"the entry point {point.name!r} in the group {_GROUP!r} is {found!r:.100}; expected an "
                "onlineml.data.formats.Format of a name of its own: mend or uninstall the package that brings "
                f"{point.value!r}"
            )
        others[found.name] = found
    return others | ours


def format_of(name: str, kind: AnnotationKind | None) -> Format:
    """Return the format of a name, which must hold annotations of a kind, if one is given.

    Raises:
        ConfigError: there is none, or it does not hold such annotations.
    """
    able = _formats_for(kind)
    if name not in able:
        wanted = "" if kind is None else f", for the task {kind.task!r},"
        raise ConfigError(
            f"format={name!r}: expected{wanted} one of {', '.join(able) or 'none'}; others come "
            f"with packages that have entry points in the group {_GROUP!r}"
        )
    return able[name]


class Detected(NamedTuple):
    """A format that was recognised, its reader's input, and the `key` of the kind of annotation to read."""

    format: Format
    source: Source
    holds: str


def detect(at: Location, kind: AnnotationKind | None, *, name: str | None, given_splits: bool = False) -> Detected:
    """Detect the format at an absolute location.

    Args:
        at: a file or folder.
        kind: of annotation that is wanted; None: the format's usual one.
        name: of the only format to try; None: all are tried, in the order of `formats`.
        given_splits: whether the user says what class folders, or a table beside them, tell.

    Raises:
        ConfigError: there is no format of this name.
        NotFoundError: nothing is there.
        DataError: no format is recognised, or class folders would be read where annotations of another kind lie.
    """
    place = Place(at)
    if name is not None:
        able = {name: format_of(name, kind)}
        found = _first(able, place)
    else:
        able = _formats_for(kind)
        found = _first(able, place)
        if found is not None and found.format is FOLDERS:
            if kind is not None:
                _require_no_other(place, kind)
            elif not given_splits:
                _require_read(place)
    if found is not None:
        notes = _beside(found, place) if name is None else ()
        holds = found.holds if kind is None else kind.key
        return Detected(found.format, found.source._replace(holds=holds, notes=(*found.source.notes, *notes)), holds)
    if not place.files and not io.exists(at):
        raise NotFoundError(f"{at} does not exist; expected a file or folder with annotations")
    if place.files and (unread := unread_boxes(place)):
        raise DataError(unread)
    expected = " or ".join(one.expected for one in able.values())
    if len(able) > 1:
        expected = f"photos in a folder for each class, or annotations as {', '.join(able)}; format= with one of these "
        expected += "says what it looks for"
    wanted = "" if kind is None else f" for the task {kind.task!r}"
    other = None if kind is None or name is not None else _other(place, kind)
    like = "" if other is None else f" and looks like {other.format.name} (leave task= out to read it as that)"
    raise DataError(f"found no annotations{wanted} in {at}, which holds {place.content}{like}: expected {expected}")


def _first(able: Mapping[str, Format], place: Place) -> Detected | None:
    for one in able.values():
        if (source := one.detect(place)) is not None:
            return Detected(one, source, source.holds or one.holds[0])
    return None


def _beside(found: Detected, place: Place) -> tuple[str, ...]:
    """Return a note on further annotations of boxes at the place, in other formats, which are not read."""
    if found.format not in _TOLD_APART or not place.files:
        return ()
    others = [one.name for one in _TOLD_APART if one is not found.format and one.detect(place) is not None]
    how = f'read with format="{others[0]}"' if len(others) == 1 else "read with format="
    return (f"there are also annotations as {' and '.join(others)}, which were not read: {how}",) if others else ()


def _require_no_other(place: Place, kind: AnnotationKind) -> None:
    """Refuse a folder in which a format of another kind of annotation is recognised."""
    if (other := _other(place, kind)) is not None:
        raise DataError(
            f"{place.at} looks like {other.format.name} ({other.format.expected}), which has no annotations for the "
            f"task {kind.task!r}; leave task= out to read it as that, or set format={FOLDERS.name!r} to read the names "
            "of its folders as classes"
        )


def _require_read(place: Place) -> None:
    """Refuse images beside boxes that have no reader, or files that may say what they show if no class folders do."""
    if unread := unread_boxes(place):
        raise DataError(f"{unread}; or set format={FOLDERS.name!r} to import the images by their folders")
    if (files := unread_annotations(place.others)) and not has_classes(place.images, where=place.url):
        raise DataError(
            f"{place.at} holds {count(len(place.images), 'image')}, not in several class folders, and files in no "
            f"known format that may say what they show: {examples(files)}{table_refusal(place, files)}; pass the one "
            f"that does (a spreadsheet saved as CSV), or set format={FOLDERS.name!r} to import the images by their "
            "folders"
        )


def _other(place: Place, kind: AnnotationKind) -> Detected | None:
    return _first({name: one for name, one in formats().items() if kind.key not in one.holds}, place)


def _formats_for(kind: AnnotationKind | None) -> dict[str, Format]:
    return {name: one for name, one in formats().items() if kind is None or kind.key in one.holds}
