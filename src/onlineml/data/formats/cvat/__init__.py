"""CVAT for images 1.1, reading and writing; CVAT for video 1.1 is read where the frames are images."""

from __future__ import annotations

from onlineml.data.formats.cvat.read import detect_cvat, read_cvat
from onlineml.data.formats.cvat.write import write_cvat
from onlineml.data.formats.format import Format

__all__ = ["CVAT", "read_cvat", "write_cvat"]

CVAT = Format(
    "cvat",
    holds=("boxes_xyxy", "labels", "label"),
    expected="annotations.xml of CVAT, or a folder with it",
    detect=detect_cvat,
    read=read_cvat,
    write=write_cvat,
    takes=("images",),
)
