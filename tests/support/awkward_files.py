"""The awkward files among the real images, and what decoding each of them finds."""

from __future__ import annotations

# findings of a usable image, or the one finding for which an image is refused
AWKWARD: dict[str, tuple[str, ...] | str] = {
    "exif-orientation-examples__Landscape_6.jpg": ("exif_rotated",),
    "made__bomb_30000x30000_1bit.png": "oversized",
    "made__text_renamed.jpg": "unreadable",
    "made__zero_byte.jpg": "empty",
    "pillow__16bit.cropped.tif": ("16bit",),
    "pillow__1_trns.png": ("alpha",),
    "pillow__apng_mode_16bit.png": ("animated", "16bit"),
    "pillow__avif_hopper.avif": (),
    "pillow__avif_hopper.heif": "unreadable",
    "pillow__bmp_g_rgb16.bmp": (),
    "pillow__broken_data_stream.png": "truncated",
    "pillow__decompression_bomb.gif": "oversized",
    "pillow__dispose_bgnd.gif": ("animated", "palette"),
    "pillow__hopper.webp": (),
    "pillow__hopper_16bit.pgm": ("16bit",),
    "pillow__hopper_gray.jpg": (),
    "pillow__hopper_orientation_3.webp": ("exif_rotated",),
    "pillow__hopper_orientation_6.jpg": ("exif_rotated",),
    "pillow__icc_profile_big.jpg": (),
    "pillow__invalid-exif.jpg": (),
    "pillow__iss634.gif": ("animated", "palette"),
    "pillow__multipage.tiff": ("animated", "palette"),
    "pillow__p_trns_single.png": ("palette", "alpha"),
    "pillow__pil123p.png": ("palette", "alpha"),
    "pillow__pil_sample_cmyk.jpg": ("cmyk",),
    "pillow__sugarshack.mpo": ("animated",),
    "pillow__transparent.webp": ("alpha",),
    "pillow__truncated_image.png": "truncated",
    "pillow__truncated_jpeg.jpg": "truncated",
    "pillow__uncompressed_la.png": ("alpha",),
    "pillow__zero_width.gif": "empty",
}
