"""Image formats by file name, and the policy for each finding about an image or a box. Fast to import."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

__all__ = [
    "FORMAT_OF",
    "IMAGE_EXTENSIONS",
    "MIME_TYPES",
    "POLICIES",
    "Outcome",
    "Policy",
    "extension",
    "is_archive_name",
    "is_image_name",
    "is_junk",
]

Outcome = Literal["usable", "quarantined", "refused"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Policy for an image or a box with a finding: its `outcome`, and a sentence about what is done."""

    outcome: Outcome
    text: str


POLICIES: dict[str, Policy] = {
    "unreadable": Policy("quarantined", "Not an image, or in a format without a decoder: excluded."),
    "truncated": Policy("quarantined", "The file is truncated: excluded."),
    "empty": Policy("quarantined", "Zero bytes, or a width or height of zero: excluded."),
    "oversized": Policy(
        "refused",
        "Decoding would take over 500 MB or many seconds (a decompression bomb): never decoded.",
    ),
    "missing": Policy("quarantined", "The object does not exist in the storage, or access is denied: excluded."),
    "changed": Policy(
        "quarantined", "The bytes differ from those that were imported (overwritten since): excluded; import it again."
    ),
    "mistyped": Policy("usable", "The format of the content differs from the file extension: decoded by its content."),
    "animated": Policy("usable", "More than one frame, page or image: the first one is used."),
    "cmyk": Policy("usable", "CMYK colours: converted to RGB by plain inversion, without a colour profile."),
    "16bit": Policy("usable", "16 bits per sample: scaled to 8 bits over the full range (divided by 257)."),
    "palette": Policy("usable", "Palette colours: converted to 8-bit RGB."),
    "alpha": Policy("usable", "Some pixels are transparent: composited on white."),
    "exif_rotated": Policy("usable", "Stored rotated or mirrored: turned upright by the EXIF orientation."),
    "duplicate": Policy(
        "usable", "The same bytes occur several times in one split with the same label, or boxes: all are kept."
    ),
    "duplicate_across_splits": Policy(
        "quarantined", "The same bytes are in several splits (a leak): kept in test, else val, and excluded elsewhere."
    ),
    "duplicate_label_conflict": Policy(
        "quarantined",
        "The same bytes have different labels, or boxes of other objects, so none is reliable: all are excluded.",
    ),
    "group_across_splits": Policy(
        "usable",
        "The image's group is mostly in another split (a leak): kept where the split was given; correct one of them.",
    ),
    "boxes_size_mismatch": Policy(
        "quarantined",
        "The boxes were drawn at another image size (resized since, or not turned upright), or all are larger than the "
        "image: excluded.",
    ),
    "box_clipped": Policy("usable", "The box reaches a pixel or more beyond the image: clipped at the image's edges."),
    "box_duplicate": Policy(
        "usable", "An earlier box of the image has the same label, and corners within half a pixel: kept once."
    ),
    "box_not_finite": Policy("quarantined", "A corner is missing or not a number: the box is excluded, not its image."),
    "box_empty": Policy(
        "quarantined", "The box has no width or height, or ends before it begins: the box is excluded, not its image."
    ),
    "box_outside": Policy("quarantined", "The box is outside the image: the box is excluded, not its image."),
    "box_unknown_class": Policy(
        "quarantined", "The label is not a class name: kept as an ignored region, neither object nor background."
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
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
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
    """Return whether the extension, in any case, is that of an image format."""
    cut = name.rfind(".")
    return cut > 0 and name[cut - 1] != "/" and name[cut:].lower() in IMAGE_EXTENSIONS


def is_archive_name(name: str) -> bool:
    """Return whether the extension, in any case, is that of an archive."""
    return name.lower().endswith(_ARCHIVES)


_JUNK = frozenset(  # folders and files that systems and tools leave among people's files
    {
        "@eadir",
        "__macosx",
        "$recycle.bin",
        "#recycle",
        "#snapshot",
        "lost+found",
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "__pycache__",
    }
)


def is_junk(path: str) -> bool:
    """Return whether a path below a folder is hidden, or lies where a system keeps its own: no image of anybody.

    Hidden names begin with a dot, such as ``.thumbnails`` and ``.ipynb_checkpoints``; others are ``@eaDir`` and
    ``#recycle`` of network drives, ``__MACOSX`` of zips, ``$RECYCLE.BIN``, ``lost+found`` and ``Thumbs.db``.
    """
    folder, _, name = path.rpartition("/")
    return name.startswith((".", "~$")) or name.lower() in _JUNK or _holds_junk(folder)


@lru_cache(maxsize=1024)
def _holds_junk(folder: str) -> bool:
    parts = folder.lower().split("/")
    return not _JUNK.isdisjoint(parts) or any(part.startswith((".", "~$")) for part in parts)


def extension(name: str) -> str:
    """Return the lower-case extension of a path or URL with its dot; empty if there is none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and stem and not stem.endswith("/") else ""
