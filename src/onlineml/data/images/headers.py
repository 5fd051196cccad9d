"""Parsing of image file headers, without decoding any pixel.

Sources: ITU-T T.81 (JPEG markers), CIPA DC-008 (EXIF), CIPA DC-007 (multi-picture), RFC 2083 (PNG), GIF89a, RFC 9649
(WebP), ISO/IEC 14496-12 (the ``ftyp`` box of AVIF and HEIF); PKWARE APPNOTE 4.3,
POSIX.1 ustar, RFC 1952 (gzip) and the beginnings that the other archives document.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

__all__ = [
    "JpegHeader",
    "declared_size_wh",
    "exif_orientation",
    "lacks_end",
    "longest_tag",
    "parse_jpeg",
    "scan_count",
    "sniff",
    "sniff_archive",
]

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_ARCHIVES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # an empty one
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
)
_MOST_SEGMENTS = 100_000  # of a JPEG, fill bytes included
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # others stand within a scan
_BYTES = {1, 2, 6, 7}  # kinds of TIFF's tags
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def sniff(data: bytes) -> str | None:
    """Detect the format from the content, independent of the file name.

    Returns:
        ``"JPEG"``, ``"PNG"``, ``"GIF"``, ``"TIFF"``, ``"BMP"``, ``"WEBP"``, ``"AVIF"``, ``"HEIF"``, ``"JPEG2000"``,
        ``"PPM"`` (also PGM, PBM), or None for anything else.
    """
    for magic, format_name in _MAGIC:
        if data.startswith(magic):
            return format_name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _sniff_ftyp(data)
    if (
        data[:2] == b"BM"
        and len(data) >= 18
        and struct.unpack_from("<I", data, 14)[0] in {12, 40, 52, 56, 64, 108, 124}
    ):
        return "BMP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PPM"
    return None


def sniff_archive(data: bytes) -> str | None:
    """Detect an archive or a compressed file from its first 262 bytes, independent of its name.

    Returns:
        ``"zip"``, ``"tar"``, ``"gzip"``, ``"bzip2"``, ``"xz"``, ``"zstd"``, ``"7z"``, ``"rar"``, or None.
    """
    if data[257:262] == b"ustar":
        return "tar"
    return next((name for magic, name in _ARCHIVES if data.startswith(magic)), None)


def _sniff_ftyp(data: bytes) -> str | None:
    end = min(struct.unpack_from(">I", data)[0], 256)
    brands = {data[8:12]} | {data[i : i + 4] for i in range(16, end, 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Header of a JPEG up to its first scan; sizes are as stored, before the EXIF orientation."""

    width: int
    height: int
    plain: bool  # baseline, extended or progressive Huffman coding of 8-bit grey or three-channel samples
    orientation: int  # EXIF 1..8; 1 where absent or invalid
    multi_picture: bool
    scan_start: int  # offset of the first start-of-scan marker
    progressive: bool = False
    n_channels: int = 3
    samples_per_pixel: float = 3.0  # of all channels: 1.5 with 4:2:0 subsampling


def parse_jpeg(data: bytes) -> JpegHeader | None:
    """Parse the segments of a JPEG up to its first scan; return None if they are invalid, truncated or too many."""
    frame: tuple[int, int, bool, bool, int, float] | None = None
    multi_picture = False
    orientation = 1
    position, end = 2, len(data) - 9
    for _ in range(_MOST_SEGMENTS):
        if position >= end or data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xDA:
            if frame is None or 0 in frame[:2]:
                return None
            width, height, plain, *_ = frame
            return JpegHeader(width, height, plain, orientation, multi_picture, position, *frame[3:])
        if 0xD0 <= marker <= 0xD9:
            return None
        length = (data[position + 2] << 8) + data[position + 3]
        body = position + 4
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            frame = _frame(data, marker, body)
        elif marker == 0xE1 and data.startswith(b"Exif\0", body):
            orientation = exif_orientation(data[body : body + length - 2])
        elif marker == 0xE2 and data.startswith(b"MPF\0", body):
            multi_picture = True
        position += 2 + length
    return None


def _frame(data: bytes, marker: int, body: int) -> tuple[int, int, bool, bool, int, float]:
    """Return width, height, plain, progressive, channels and samples per pixel of a start-of-frame segment."""
    precision, height, width, n_channels = struct.unpack_from(">BHHB", data, body)
    plain = marker <= 0xC2 and precision == 8 and n_channels in {1, 3}
    sampling = [(value >> 4) * (value & 15) for value in data[body + 7 : body + 6 + 3 * n_channels : 3]]
    samples = sum(sampling) / max([1, *sampling])
    return width, height, plain, marker in {0xC2, 0xC6, 0xCA, 0xCE}, n_channels, samples


def scan_count(data: bytes, start: int, *, most: int) -> int:
    """Return the number of scans of a JPEG from an offset to its end; one above ``most`` if it is larger."""
    n, position = 0, start
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None or found[0] == b"\xff\xd9" or n > most:
            return n
        n += found[0] == b"\xff\xda"
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return most + 1


def longest_tag(data: bytes) -> int:
    """Return how many numbers the longest tag of a TIFF has in its first directory; bytes and text do not count."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "<")
    large = 43 in data[2:4]  # BigTIFF
    head, entry, at = ("Q", "HHQ", 8) if large else ("H", "HHI", 4)
    try:
        start = struct.unpack_from(order + ("Q" if large else "I"), data, at)[0]
        n_entries = struct.unpack_from(order + head, data, start)[0]
        first, size = start + (8 if large else 2), 20 if large else 12
        held = range(first, min(first + n_entries * size, len(data) - size + 1), size)
        tags = [struct.unpack_from(order + entry, data, offset) for offset in held]
    except struct.error:  # Pillow refuses it
        return 0
    return max((count for _, kind, count in tags if kind not in _BYTES), default=0)


def exif_orientation(exif: bytes) -> int:
    r"""Return the orientation declared by an EXIF block.

    Args:
        exif: a TIFF structure, with or without ``Exif\0\0`` before it.

    Returns:
        1..8; 1 (upright) if the tag is absent or outside that range, or the block is corrupt.
    """
    if exif.startswith(b"Exif\0"):
        exif = exif[6:]
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return 1
    start = struct.unpack_from(order + "I", exif, 4)[0]
    if start + 2 > len(exif):
        return 1
    n_entries = struct.unpack_from(order + "H", exif, start)[0]
    last = min(start + 2 + 12 * n_entries, len(exif) - 11)
    for offset in range(start + 2, last, 12):
        tag, kind = struct.unpack_from(order + "HH", exif, offset)
        if tag == 0x0112:
            value = struct.unpack_from(order + ("I" if kind == 4 else "H"), exif, offset + 8)[0]
            return int(value) if 1 <= value <= 8 else 1
    return 1


def declared_size_wh(data: bytes, format_name: str) -> tuple[int, int] | None:
    """Return width and height as declared by the header; None if only a decoder can determine them."""
    if format_name == "PNG" and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
    elif format_name == "GIF" and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
    elif format_name == "BMP" and len(data) >= 26:
        core = struct.unpack_from("<I", data, 14)[0] == 12  # OS/2 headers have 16-bit sizes
        width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
    elif format_name == "WEBP" and data[12:16] == b"VP8X" and len(data) >= 30:
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    else:
        return None
    return int(width), abs(int(height))  # a negative BMP height means top-down rows


def lacks_end(data: bytes, format_name: str) -> bool:
    """Return whether the file stops before the end that its format declares."""
    if format_name == "JPEG":
        return b"\xff\xd9" not in data[-1024:]
    if format_name == "PNG":
        return b"IEND" not in data[-64:]
    if format_name == "GIF":
        return b"\x3b" not in data[-16:]
    if format_name == "WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if format_name == "BMP":
        return len(data) < int.from_bytes(data[2:6], "little")
    return False
