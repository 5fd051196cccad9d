"""Decoding, against Pillow's own reading of the same files and against pictures whose pixels are known."""

from __future__ import annotations

import contextlib
import io
import math
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from awkward_files import AWKWARD
from onlineml.data.images import budget, headers
from onlineml.data.images.budget import MAX_BYTES, check_cost
from onlineml.data.images.decode import IMAGE_EXTENSIONS, POLICIES, decode, is_image_name, may_need_much_memory, sniff
from onlineml.data.images.headers import parse_jpeg
from onlineml.errors import BadImageError

if TYPE_CHECKING:
    from pathlib import Path

# What each file of the awkward folder is, by its name and by looking at it in an image viewer.


def _encoded(image: Image.Image, format_name: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _scene(width: int = 60, height: int = 40) -> Image.Image:
    """A smooth picture without symmetry: red grows to the right, green downwards."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def test_no_bytes_are_empty():
    with pytest.raises(BadImageError, match="no bytes") as caught:
        decode(b"")
    assert caught.value.finding == "empty"


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_files_have_their_documented_outcome(data_dir: Path | None, name: str):
    if data_dir is None:
        pytest.skip("no real images here; the generated ones below cover each finding")
    data = (data_dir / "awkward" / name).read_bytes()
    expected = AWKWARD[name]
    if isinstance(expected, str):
        with pytest.raises(BadImageError) as caught:
            decode(data, name=name)
        assert caught.value.finding == expected
        assert POLICIES[expected].outcome != "usable"
    else:
        decoded = decode(data, name=name)
        assert decoded.findings == expected
        assert all(POLICIES[code].outcome == "usable" for code in expected)
        reference = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        assert decoded.size_hw == reference.size[::-1]
        assert decoded.pixels.shape == (*decoded.size_hw, 3)
        assert decoded.pixels.dtype == np.uint8


def test_the_awkward_table_is_complete(data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here")
    files = {path.name for path in (data_dir / "awkward").iterdir() if path.is_file() and path.suffix != ".txt"}
    assert files <= set(AWKWARD)


def test_every_exif_orientation_gives_the_upright_picture(data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here; the drawn picture below is turned in all ways too")
    folder = data_dir / "awkward" / "exif_landscape"
    upright = decode((folder / "Landscape_1.jpg").read_bytes()).pixels.astype(float)
    for orientation in range(9):
        data = (folder / f"Landscape_{orientation}.jpg").read_bytes()
        decoded = decode(data)
        reference = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(float)
        assert decoded.size_hw == (1200, 1800)
        assert np.abs(decoded.pixels - reference).mean() < 0.5  # two builds of one JPEG library
        # each file was compressed anew and carries its number drawn on it, so they agree but for that
        assert np.median(np.abs(decoded.pixels - upright)) <= 3
        assert decoded.findings == (("exif_rotated",) if orientation >= 2 else ())


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_every_format_that_has_one(format_name: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_name == "WEBP" else {}
    data = _encoded(_scene(), format_name, exif=exif, **options)
    reference = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(int)
    decoded = decode(data)
    assert np.abs(decoded.pixels.astype(int) - reference).max() <= 2
    assert decoded.size_hw == reference.shape[:2]
    assert decoded.findings == (("exif_rotated",) if orientation > 1 else ())


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_pixels_are_those_of_pillow(mode: str, progressive: bool):
    data = _encoded(_scene().convert(mode), "JPEG", quality=90, progressive=progressive)
    reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode(data).pixels.astype(int) - reference).max() <= 2


def test_reduced_jpegs_look_the_same_and_keep_the_shorter_side():
    scene = _scene(403, 301)
    data = _encoded(scene, "JPEG", quality=95)
    for min_side, expected_hw in [
        (None, (301, 403)),
        (301, (301, 403)),
        (150, (151, 202)),
        (70, (76, 101)),
        (1, (38, 51)),
    ]:
        decoded = decode(data, min_side=min_side)
        assert decoded.pixels.shape[:2] == expected_hw
        assert decoded.size_hw == (301, 403)
        reference = np.asarray(scene.resize(expected_hw[::-1], Image.Resampling.BOX)).astype(int)
        assert np.abs(decoded.pixels - reference).mean() < 3


def test_reduced_pictures_of_other_formats_are_averages():
    scene = _scene(3001, 2003)  # more than one strip
    decoded = decode(_encoded(scene, "PNG", compress_level=1), min_side=500)
    assert decoded.pixels.shape == (501, 751, 3)
    reference = np.asarray(scene.resize((751, 501), Image.Resampling.BOX)).astype(int)
    assert np.abs(decoded.pixels.astype(int) - reference).max() <= 2
    np.testing.assert_array_equal(decode(_encoded(scene, "PNG", compress_level=1)).pixels, np.asarray(scene))


def test_16_bit_is_divided_by_257():
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    for format_name in ("PNG", "TIFF", "PPM"):
        decoded = decode(_encoded(Image.fromarray(values), format_name))
        assert decoded.findings == ("16bit",)
        # by hand: 128/257 = .498, 129/257 = .502, 32768/257 = 127.50
        assert decoded.pixels[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_32_bit_has_no_defined_white():
    with pytest.raises(BadImageError, match="no defined range"):
        decode(_encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))


def test_transparency_is_composited_on_white():
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    decoded = decode(_encoded(Image.fromarray(pixels), "PNG"))
    # by hand at a fifth of opacity: 0.2 c + 0.8 * 255
    assert decoded.pixels[0].tolist() == [[200, 100, 0], [255, 255, 255], [244, 224, 204]]
    assert decoded.findings == ("alpha",)
    opaque = decode(_encoded(Image.fromarray(pixels[:, :1]), "PNG"))
    assert opaque.findings == ()


def test_the_content_decides_the_format_not_the_name():
    png = _encoded(_scene(), "PNG")
    assert decode(png, name="s3://b/photo.JPG").findings == ("mistyped",)
    assert decode(png, name="photo.png").findings == decode(png, name="photo").findings == ()
    assert decode(_encoded(_scene(), "JPEG"), name="a.JPeG").findings == ()


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM"])
def test_cut_files_are_never_usable(format_name: str):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = _encoded(Image.fromarray(noise), format_name)
    assert sniff(data) == format_name
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(BadImageError) as caught:
            decode(data[: int(len(data) * share)])
        assert caught.value.finding in {"truncated", "unreadable"}


def test_a_cut_jpeg_with_a_whole_thumbnail_is_truncated():
    thumbnail = _encoded(_scene(16, 12), "JPEG")  # has an end-of-image marker of its own
    exif = b"Exif\0\0" + thumbnail
    data = _encoded(Image.effect_noise((64, 64), 80).convert("RGB"), "JPEG", exif=exif)
    assert decode(data).size_hw == (64, 64)
    with pytest.raises(BadImageError) as caught:
        decode(data[:-300])
    assert caught.value.finding == "truncated"


def test_bytes_after_the_picture_do_not_matter():
    data = _encoded(_scene(), "JPEG")
    plain = decode(data)
    for tail in (b"\0" * 5000, b"a phone's trailer", data):
        np.testing.assert_array_equal(decode(data + tail).pixels, plain.pixels)


def test_a_switch_of_pillow_that_others_set_does_not_let_cut_files_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for format_name in ("JPEG", "PNG", "GIF"):
        data = _encoded(Image.effect_noise((64, 64), 80), format_name)
        decode(data)
        with pytest.raises(BadImageError) as caught:
            decode(data[: len(data) // 2])
        assert caught.value.finding == "truncated"


def test_declared_size_is_refused_before_decoding():
    data = _encoded(Image.new("1", (4000, 3000)), "PNG")
    assert decode(data).size_hw == (3000, 4000)
    with pytest.raises(BadImageError, match="4000 x 3000 pixels") as caught:
        decode(data, max_pixels=11_999_999)
    assert caught.value.finding == "oversized"
    assert not may_need_much_memory(data)
    assert may_need_much_memory(_encoded(Image.new("1", (5000, 4000)), "PNG"))


def _declaring(width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    """A JPEG whose frame header (ITU-T T.81, B.2.2) declares another size than it has."""
    data = bytearray(_encoded(Image.new(mode, (64, 48)), "JPEG", **options))
    frame = data.find(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "min_side", "refused"),
    [
        (_declaring(12_000, 9_000), 640, ""),  # 108 megapixels of a phone, reduced by 8 while they are decoded
        (_declaring(12_000, 9_000), None, "648 MB"),  # 6 bytes a pixel
        (_declaring(16_000, 13_000), 640, "200,000,000"),
        (_declaring(9_600, 6_400, progressive=True, subsampling=2), 640, ""),  # 61 megapixels of a camera, 4:2:0
        (
            _declaring(9_900, 9_900, progressive=True, subsampling=0),
            640,
            "593 MB",
        ),  # coefficients
        (_declaring(9_900, 9_900, "CMYK", progressive=True), 640, "40,000,000"),
    ],
)
def test_memory_is_budgeted_by_the_kind_of_the_file(data: bytes, min_side: int | None, refused: str):
    header = parse_jpeg(data)
    assert header is not None
    with pytest.raises(BadImageError, match=refused) if refused else contextlib.nullcontext():
        check_cost((header.width, header.height), "JPEG", header, min_side=min_side)
    if refused:
        with pytest.raises(BadImageError) as caught:
            decode(data, min_side=min_side)
        assert caught.value.finding == "oversized"


def _with_scans(n: int) -> bytes:
    """A JPEG of 16 megapixels, most of whose scans are of a few bytes."""
    data = _encoded(Image.new("L", (64, 64), 128), "JPEG", progressive=True)
    frame, first = data.find(b"\xff\xc2"), data.find(b"\xff\xda")
    second, third = data.find(b"\xff\xda", first + 2), data.find(b"\xff\xda", data.find(b"\xff\xda", first + 2) + 2)
    large = data[: frame + 5] + struct.pack(">HH", 4000, 4000) + data[frame + 9 : second]
    return large + data[second:third] * n + data[third:]


def _tiff(n_tiles: int) -> bytes:
    """A TIFF whose tiles are all the same 16 x 16 pixels."""
    short = {256: 16, 257: 16 * n_tiles, 258: 8, 259: 1, 262: 1, 277: 1, 322: 16, 323: 16}
    tags = [struct.pack("<HHII", tag, 3, 1, value) for tag, value in short.items()]
    lists = 8 + 2 + 12 * 10 + 4
    tags += [struct.pack("<HHII", 324 + i, 4, n_tiles, lists + 4 * n_tiles * i) for i in range(2)]
    places = struct.pack("<I", lists + 8 * n_tiles) * n_tiles + struct.pack("<I", 256) * n_tiles
    return b"II*\0" + struct.pack("<IH", 8, 10) + b"".join(tags) + bytes(4) + places + bytes(256)


def _after_start(format_name: str, inserted: bytes, mode: str = "RGB") -> bytes:
    data = _encoded(Image.new(mode, (8, 8)), format_name)
    start = {"JPEG": 2, "PNG": 33}[format_name]
    return data[:start] + inserted + data[start:]


CHUNK = bytes(4) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt"))


@pytest.mark.parametrize(
    ("good", "slow"),
    [
        (_with_scans(20), _with_scans(400)),
        (_tiff(60), _tiff(400)),
        (b"P3 9 9 255\n" + b"7 " * 243, b"P3 30 30 255\n" + b"7 " * 2700),
        (b"P6 9 9 100\n" + bytes(243), b"P6 60 60 100\n" + bytes(10_800)),
        (_after_start("PNG", CHUNK * 99), _after_start("PNG", CHUNK * 2000)),
        (_after_start("JPEG", b"\xff" * 99, "CMYK"), _after_start("JPEG", b"\xff" * 4000, "CMYK")),
        (_after_start("JPEG", b"\xff\xfe\0\2" * 99), _after_start("JPEG", b"\xff\xfe\0\2" * 4000)),
    ],
    ids=["scans", "tiles", "text", "pixel by pixel", "chunks", "fill bytes", "comments"],
)
def test_a_picture_that_takes_long_is_set_aside(good: bytes, slow: bytes, monkeypatch: pytest.MonkeyPatch):
    """Time is counted in units of work; those that are not of the size of a picture are made few for the test."""
    monkeypatch.setattr(budget, "_MOST_READS", 3000)
    monkeypatch.setattr(budget, "_MOST_NUMBERS", 300)
    monkeypatch.setattr(budget, "_MOST_IN_TEXT", 500)
    monkeypatch.setattr(headers, "_MOST_SEGMENTS", 2000)
    assert decode(good, min_side=8).pixels.size
    with pytest.raises(BadImageError, match=r"in more than|at most|consists of more than") as caught:
        decode(slow, min_side=8)
    assert caught.value.finding == "oversized"


def test_what_follows_a_jpeg_counts_as_no_scan():
    data = bytearray(_encoded(Image.new("L", (64, 64), 128), "JPEG", progressive=True))
    frame = data.find(b"\xff\xc2")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 4000, 4000)
    film = b"\xff\xda" * 400  # of a phone
    assert decode(bytes(data) + film, min_side=64).size_hw == (4000, 4000)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
@pytest.mark.parametrize(
    ("format_name", "mode", "pixels", "options"),
    [
        ("JPEG", "RGB", 83, {"quality": 95}),
        ("JPEG", "RGB", 83, {"quality": 90, "progressive": True}),
        ("JPEG", "CMYK", 66, {"quality": 95}),
        ("JPEG", "CMYK", 40, {"quality": 95, "progressive": True}),
        ("PNG", "RGBA", 66, {"compress_level": 1}),
        ("TIFF", "RGB", 66, {"compression": "tiff_lzw"}),
        ("BMP", "RGB", 66, {}),
        ("WEBP", "RGB", 25, {"lossless": True, "method": 0}),
        ("AVIF", "RGB", 25, {"quality": 80, "speed": 10}),
        ("JPEG2000", "RGB", 8, {}),
    ],
)
def test_the_largest_of_each_kind_keeps_to_the_budget(
    tmp_path: Path, format_name: str, mode: str, pixels: int, options: dict[str, Any]
):
    """Noise, the worst case of every entropy coder; 20 % are left to the allocator and the file."""
    side = math.isqrt(pixels * 1_000_000) - 8
    tile = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    noise = Image.fromarray(np.tile(tile, (side // 1000 + 1, side // 1000 + 1, 1))[:side, :side]).convert(mode)
    (tmp_path / "largest").write_bytes(_encoded(noise, format_name, **options))
    del noise
    code = """if True:
        import sys
        from onlineml.data.images.decode import decode
        def peak(): return next(int(r.split()[1]) for r in open("/proc/self/status") if r.startswith("VmHWM")) * 1024
        data = open(sys.argv[1], "rb").read()
        open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
        before = peak()
        assert decode(data).pixels.size
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "largest")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.2 * MAX_BYTES


def _outcome(data: bytes) -> tuple[str, tuple[int, ...]]:
    try:
        return "", decode(data, max_pixels=1_000_000).pixels.shape
    except BadImageError as error:
        return error.finding, ()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]), st.data())
def test_damaged_bytes_decode_or_are_named_bad(noise: bytes, format_name: str, draw):
    data = bytearray(_encoded(_scene(24, 16), format_name))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at : at + len(noise)] = noise
    finding, shape = _outcome(bytes(data))
    assert POLICIES[finding].outcome != "usable" if finding else shape[2] == 3


def test_names_of_images():
    assert is_image_name("s3://b/IMG_1.JPG")
    assert is_image_name("a.b/c.webp")
    assert not any(is_image_name(name) for name in ("jpg", "a/.jpg", "a.jpg/b", "notes.txt", ""))
    assert all(extension == extension.lower() and extension.startswith(".") for extension in IMAGE_EXTENSIONS)


def test_memory_stays_bounded_on_the_largest_pictures(tmp_path: Path):
    """Peak memory above the idle library, in a process of its own, for pictures just below the limit of pixels."""
    large = tmp_path / "large.png"
    Image.new("RGB", (10_000, 9_900)).save(large, compress_level=1)
    Image.new("L", (9_900, 10_000)).save(tmp_path / "large.jpg")
    script = (
        "import resource, sys, pathlib\n"
        "from onlineml.data.images.decode import decode\n"
        "from onlineml.errors import BadImageError\n"
        "idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in map(pathlib.Path, sys.argv[1:]):\n"
        "    try:\n"
        "        decode(path.read_bytes(), min_side=64)\n"
        "    except BadImageError:\n"
        "        pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) // 1024)\n"
    )
    files = [str(large), str(tmp_path / "large.jpg")]
    done = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500
