"""Image formats by name, and what is done with each finding about an image or a box. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FORMAT_OF", "IMAGE_EXTENSIONS", "MIME_TYPES", "POLICIES", "Outcome", "Policy", "extension", "is_image_name"]

Outcome = Literal["usable", "quarantined", "refused"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens to an image, or a box, with a finding: `outcome`, and one sentence that says what is done."""

    outcome: Outcome
    text: str


POLICIES: dict[str, Policy] = {
    "unreadable": Policy("quarantined", "Not an image, or in a format without a decoder here: left out."),
    "truncated": Policy("quarantined", "The file ends before the picture does: left out."),
    "empty": Policy("quarantined", "No bytes, or a width or height of zero: left out."),
    "oversized": Policy("refused", "More pixels are declared than allowed (a decompression bomb): never decoded."),
    "missing": Policy("quarantined", "The storage has no such object, or does not let it be read: left out."),
    "changed": Policy(
        "quarantined", "Not the bytes that were imported: overwritten since, so another image: left out."
    ),
    "mistyped": Policy("usable", "The content has another format than the name says: read by its content."),
    "animated": Policy("usable", "More than one frame, page or picture: the first one is used."),
    "cmyk": Policy("usable", "Printing colours: converted to RGB by the plain inverse, without a colour profile."),
    "16bit": Policy("usable", "16 bits a sample: scaled to 8 bits over the full range (divided by 257)."),
    "palette": Policy("usable", "Colours from a palette: looked up, as 8-bit RGB."),
    "alpha": Policy("usable", "Some pixels are transparent: composited on white."),
    "exif_rotated": Policy("usable", "Stored rotated or mirrored: made upright as its EXIF orientation says."),
    "duplicate": Policy(
        "usable", "The same bytes occur again in the same split with the same label, or boxes: all are kept."
    ),
    "duplicate_across_splits": Policy(
        "quarantined", "The same bytes are in several splits (a leak): kept in test, else val, and left out elsewhere."
    ),
    "duplicate_label_conflict": Policy(
        "quarantined",
        "The same bytes have different labels, or boxes, so none can be trusted: all copies are out.",
    ),
    "boxes_size_mismatch": Policy(
        "quarantined", "The boxes were drawn on another size (resized since, or not turned upright): left out."
    ),
    "box_clipped": Policy("usable", "The box reaches a pixel or more beyond the image: used as cut at its edges."),
    "box_not_finite": Policy("quarantined", "A corner is missing or no number: the box is left out, not its image."),
    "box_empty": Policy(
        "quarantined", "The box has no width or height, or ends before it begins: the box is left out, not its image."
    ),
    "box_outside": Policy("quarantined", "The box lies outside the image: the box is left out, not its image."),
    "box_unknown_class": Policy(
        "quarantined", "The label is no class name: kept as a crowd, neither learnt nor taken for background."
    ),
}

_EXTENSIONS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
FORMAT_OF = {ending: name for name, endings in _EXTENSIONS.items() for ending in endings}
IMAGE_EXTENSIONS: frozenset[str] = frozenset(FORMAT_OF)
MIME_TYPES: dict[str, str] = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
    "JPEG2000": "image/jp2",
    "PPM": "image/x-portable-anymap",
}


def is_image_name(name: str) -> bool:
    """Whether the extension, in any case, is that of an image format."""
    return extension(name) in IMAGE_EXTENSIONS


def extension(name: str) -> str:
    """The lower-case extension of a path or URL with its dot; empty where there is none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and stem and not stem.endswith("/") else ""
