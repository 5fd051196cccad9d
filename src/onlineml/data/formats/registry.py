"""The table of formats, and the detection of the format at a place."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from onlineml.data.formats.box_tables import BOX_TABLE
from onlineml.data.formats.coco.read import COCO
from onlineml.data.formats.folders import FOLDERS
from onlineml.data.formats.format import Format, Place
from onlineml.data.formats.tables import TABLE
from onlineml.data.formats.voc.read import VOC
from onlineml.data.formats.yolo.read import YOLO
from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from onlineml.data.formats.format import Source
    from onlineml.data.kinds.base import AnnotationKind
    from onlineml.storage.location import Location

__all__ = ["FORMATS", "detect", "format_of", "formats"]

FORMATS: tuple[Format, ...] = (COCO, VOC, YOLO, BOX_TABLE, TABLE, FOLDERS)  # ours; others come by entry points
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


def format_of(name: str, kind: AnnotationKind) -> Format:
    """Return the format of a name, which must hold annotations of a kind.

    Raises:
        ConfigError: there is none, or it does not hold such annotations.
    """
    able = _formats_for(kind)
    if name not in able:
        raise ConfigError(
            f"format={name!r}: expected, for the task {kind.task!r}, one of {', '.join(able) or 'none'}; others come "
            f"with packages that have entry points in the group {_GROUP!r}"
        )
    return able[name]


def detect(at: Location, kind: AnnotationKind, *, name: str | None) -> tuple[Format, Source]:
    """Detect the format at an absolute location, among those that hold annotations of a kind.

    Args:
        at: a file or folder.
        kind: of annotation.
        name: of the only format to try; None: all are tried.

    Raises:
        ConfigError: there is no format of this name.
        DataError: no format is recognised.
    """
    place = Place(at)
    able = _formats_for(kind) if name is None else {name: format_of(name, kind)}
    for one in able.values():
        if (source := one.detect(place)) is not None:
            return one, source
    expected = "; ".join(f"{one.expected} ({one.name})" for one in able.values()) or "a format of another package"
    raise DataError(f"found no annotations for the task {kind.task!r} in {at}: expected {expected}")


def _formats_for(kind: AnnotationKind) -> dict[str, Format]:
    return {name: one for name, one in formats().items() if kind.key in one.holds}
