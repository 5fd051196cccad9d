"""Decoding of image files to upright 8-bit RGB, or a named reason for failure.

Baseline and progressive JPEGs, the usual output of cameras, are decoded by OpenCV. All other formats, and every JPEG
that is doubtful in any way, go to Pillow, which refuses files that OpenCV decodes silently (a truncated file becomes
grey rows there).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from onlineml.data.images.budget import MAX_PIXELS, MeteredBytes, check_cost, check_numbers, needed_bytes, reduction
from onlineml.data.images.headers import declared_size_wh, exif_orientation, lacks_end, parse_jpeg, sniff, sniff_archive
from onlineml.data.images.policies import (
    FORMAT_OF,
    IMAGE_EXTENSIONS,
    MIME_TYPES,
    POLICIES,
    Outcome,
    Policy,
    extension,
    is_image_name,
)
from onlineml.errors import BadImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from onlineml.data.images.headers import JpegHeader

__all__ = [
    "IMAGE_EXTENSIONS",
    "MAX_PIXELS",
    "MIME_TYPES",
    "POLICIES",
    "Decoded",
    "Outcome",
    "Policy",
    "decode",
    "from_pillow",
    "is_image_name",
    "may_need_much_memory",
    "sniff",
]

# One class per format: `Image.open` would try every plugin, and applies its own limit with a process-wide warning.
OPENERS: dict[str, Any] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_LARGE_BYTES = 100_000_000
_STRIP_PIXELS = 1_000_000  # larger images are converted in strips of this many pixels, so that copies stay small


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One decoded image.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright, C-contiguous; smaller than the original if `min_side` allowed it.
        size_hw: height and width of the upright original.
        findings: codes of `POLICIES` that apply; all of them have the outcome ``"usable"``.
    """

    pixels: npt.NDArray[np.uint8]
    size_hw: tuple[int, int]
    findings: tuple[str, ...] = ()


def decode(data: bytes, *, min_side: int | None = None, name: str = "", max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode an image file to upright 8-bit RGB.

    Args:
        data: the whole file.
        min_side: if set, the result may be smaller than the original (by an integer factor), but its shorter side has
            at least this many pixels, or the original's if that is less. Much faster for large JPEGs.
        name: the file's name or URL; its extension is compared with the content.
        max_pixels: images that declare more are refused before memory is allocated for them, and so is whatever would
            take more than 500 MB, or several seconds (`onlineml.data.images.budget`).

    Raises:
        BadImageError: the image cannot be used; `finding` is ``"unreadable"``, ``"truncated"``, ``"empty"`` or
            ``"oversized"``.
    """
    if not data:
        raise BadImageError("empty", "the file has no bytes")
    format_name = sniff(data)
    if format_name is None:
        if (archive := sniff_archive(data)) is not None:
            raise BadImageError("unreadable", f"{archive} archive, not an image; unpack it, and pass its folder")
        raise BadImageError("unreadable", f"not an image of a known format; the file begins with {data[:12]!r}")
    if format_name == "HEIF":
        raise BadImageError("unreadable", "HEIC/HEIF is not supported; convert it to JPEG, PNG or AVIF")
    findings = ["mistyped"] if FORMAT_OF.get(extension(name), format_name) != format_name else []
    header = parse_jpeg(data) if format_name == "JPEG" else None
    if header is not None:
        size_wh = header.width, header.height
        check_cost(size_wh, "JPEG", header, min_side=min_side, max_pixels=max_pixels, data=data)
        decoded = _decode_plain_jpeg(data, header, findings, min_side)
        if decoded is not None:
            return decoded
    return _decode_with_pillow(data, format_name, header, findings, min_side=min_side, max_pixels=max_pixels)


def from_pillow(image: Image.Image, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Return the pixels of an opened image, (H, W, 3) uint8, as `decode` returns them for its file.

    Raises:
        BadImageError: as `decode`.
    """
    try:
        check_cost(image.size, image.format or "", max_pixels=max_pixels)
        image.load()
        pixels, _ = _to_rgb(image, 1)
    except BadImageError:
        raise
    except Exception as error:  # the pixels are read only now, and decoders raise almost any exception
        detail = str(error) or type(error).__name__
        raise BadImageError("truncated" if "truncated" in detail else "unreadable", detail) from error
    orientation = 1 if image.format == "TIFF" else exif_orientation(image.info.get("exif", b""))
    return _upright(pixels, pixels.shape[:2], orientation, []).pixels


def may_need_much_memory(data: bytes, *, min_side: int | None = None) -> bool:
    """Return whether decoding may take over 100 MB, so that several threads should not do it at the same time."""
    format_name = sniff(data)
    if format_name is None or format_name == "HEIF":
        return False
    header = parse_jpeg(data) if format_name == "JPEG" else None
    size_wh = (header.width, header.height) if header is not None else declared_size_wh(data, format_name)
    return size_wh is None or needed_bytes(size_wh, format_name, header, min_side=min_side) > _LARGE_BYTES


def _decode_plain_jpeg(data: bytes, header: JpegHeader, findings: list[str], min_side: int | None) -> Decoded | None:
    """Decode with OpenCV, about four times as fast as Pillow; return None if Pillow should decode the file."""
    if not header.plain or data.find(b"\xff\xd9", header.scan_start) < 0:
        return None
    denominator = reduction(header.width, header.height, min_side)
    flags = _REDUCED[denominator] if denominator > 1 else cv2.IMREAD_COLOR_RGB
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        return None
    if denominator > 1:  # the reduced flags return BGR, and OpenCV does not accept them together with RGB
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if header.multi_picture:
        findings = [*findings, "animated"]
    return _upright(pixels.astype(np.uint8, copy=False), (header.height, header.width), header.orientation, findings)


def _upright(pixels: npt.NDArray[np.uint8], size_hw: tuple[int, int], orientation: int, findings: list[str]) -> Decoded:
    """Undo an EXIF orientation (CIPA DC-008, tag 274: position of row 0 and column 0 in the upright image)."""
    if orientation == 1:
        return Decoded(pixels, size_hw, tuple(findings))
    if orientation >= 5:  # rows are columns
        pixels = pixels.transpose(1, 0, 2)
        size_hw = size_hw[1], size_hw[0]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return Decoded(np.ascontiguousarray(pixels), size_hw, (*findings, "exif_rotated"))


def _decode_with_pillow(
    data: bytes,
    format_name: str,
    header: JpegHeader | None,
    findings: list[str],
    *,
    min_side: int | None,
    max_pixels: int,
) -> Decoded:
    if format_name == "TIFF" and Image.MAX_IMAGE_PIXELS is not None:  # Pillow checks its own limit during loading
        max_pixels = min(max_pixels, Image.MAX_IMAGE_PIXELS)
    # a global switch that another library may have set
    if ImageFile.LOAD_TRUNCATED_IMAGES and lacks_end(data, format_name):
        raise BadImageError("truncated", f"{format_name}, {len(data):,} bytes: the end is missing")
    declared = declared_size_wh(data, format_name)
    if declared is not None:
        check_cost(declared, format_name, max_pixels=max_pixels)
    if format_name == "TIFF":
        check_numbers(data)
    try:
        image = OPENERS[format_name](MeteredBytes(data))
        width, height = image.size
        check_cost((width, height), format_name, header, min_side=min_side, max_pixels=max_pixels, data=data)
        findings = findings + _header_findings(image, data, format_name)
        orientation = image.tag_v2.get(0x0112, 1) if format_name == "TIFF" else 1
        denominator = reduction(width, height, min_side)
        if format_name == "JPEG" and denominator > 1:
            image.draft(image.mode, (width // denominator, height // denominator))
        image.load()
        pixels, colour_findings = _to_rgb(image, 1 if format_name == "JPEG" else denominator)
    except BadImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # a frame larger than its canvas
        raise BadImageError("oversized", str(error)) from error
    except Exception as error:  # decoders raise almost any exception for arbitrary bytes
        cut = lacks_end(data, format_name) or "truncated" in str(error).lower()
        detail = f"{format_name}, {len(data):,} bytes: {error or type(error).__name__}"
        raise BadImageError("truncated" if cut else "unreadable", detail) from error
    findings += colour_findings
    if format_name == "TIFF":  # Pillow has already turned it upright during loading
        return Decoded(pixels, image.size[::-1], (*findings, *(("exif_rotated",) if 2 <= orientation <= 8 else ())))
    return _upright(pixels, (height, width), exif_orientation(image.info.get("exif", b"")), findings)


def _header_findings(image: Any, data: bytes, format_name: str) -> list[str]:
    """Return the findings of an opened image that has not been loaded yet."""
    findings = []
    if getattr(image, "is_animated", False) or (format_name == "JPEG" and b"MPF\0" in data[:65536]):
        findings.append("animated")
    if image.mode == "CMYK":
        findings.append("cmyk")
    if (
        image.mode.startswith("I;16")
        or (format_name == "PNG" and data[24] == 16)  # the bit depth in IHDR
        or (format_name == "PPM" and image.mode == "I")
        or (format_name == "TIFF" and 16 in image.tag_v2.get(258, ()))  # BitsPerSample
    ):
        findings.append("16bit")
    if image.mode in {"P", "PA"}:
        findings.append("palette")
    return findings


def _to_rgb(image: Any, denominator: int) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Convert a loaded image to (H, W, 3) uint8, in strips, so that a large one is never copied as a whole."""
    if image.width * image.height <= _STRIP_PIXELS:
        pixels, transparent = _strip_to_rgb(image)
        return pixels, ["alpha"] if transparent else []
    width, height = -(-image.width // denominator), -(-image.height // denominator)
    pixels = np.empty((height, width, 3), np.uint8)
    transparent = False
    for top, bottom in _strips(image, denominator):
        strip, has_alpha = _strip_to_rgb(image.crop((0, top, image.width, bottom)))
        transparent |= has_alpha
        rows = slice(top // denominator, -(-bottom // denominator))
        if denominator > 1:
            size_wh = (width, rows.stop - rows.start)
            strip = cv2.resize(strip, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        pixels[rows] = strip
    return pixels, ["alpha"] if transparent else []


def _strips(image: Any, denominator: int) -> Iterator[tuple[int, int]]:
    step = max(_STRIP_PIXELS // image.width // denominator, 1) * denominator
    for top in range(0, image.height, step):
        yield top, min(top + step, image.height)


def _strip_to_rgb(image: Image.Image) -> tuple[npt.NDArray[np.uint8], bool]:
    """Convert to (H, W, 3) uint8, and return whether any pixel is not opaque."""
    mode = image.mode
    if mode in {"I", "F"} and getattr(image, "format", None) != "PPM":
        # 32-bit integers and floats have no defined white, so any scaling would be a guess
        raise BadImageError("unreadable", "samples of 32 bits have no defined range; convert the image to 8 or 16 bits")
    if mode == "I" or mode.startswith("I;16"):
        grey = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2), False
    if mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"))
        alpha = rgba[:, :, 3:].astype(np.uint16)
        if alpha.size and int(alpha.min()) < 255:
            white = rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127
            return (white // 255).astype(np.uint8), True
        return np.ascontiguousarray(rgba[:, :, :3]), False
    return np.array(image if mode == "RGB" else image.convert("RGB")), False
