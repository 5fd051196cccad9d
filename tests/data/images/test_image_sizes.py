"""Sizes from the first bytes of files: always what decoding the whole file tells."""

from __future__ import annotations

import io as buffers
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from onlineml.data.images.decode import decode
from onlineml.data.images.sizes import upright_size_hw, upright_sizes_hw
from onlineml.errors import BadImageError
from picture_files import noise

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


def _file(kind: str, *, size_hw: tuple[int, int] = (31, 47), turn: int = 1, **options: Any) -> bytes:
    sink = buffers.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = turn
    told = {"exif": exif} if kind in {"JPEG", "PNG", "WEBP", "TIFF", "AVIF"} and turn > 1 else {}
    Image.fromarray(noise(1, size_hw)).save(sink, kind, **told, **options)
    return sink.getvalue()


FILES = {
    **{
        f"{kind} turned {turn}": (kind, {"turn": turn})
        for kind in ("JPEG", "PNG", "WEBP", "TIFF")
        for turn in (1, 3, 6)
    },
    **{kind: (kind, {}) for kind in ("GIF", "BMP", "PPM", "JPEG2000", "AVIF")},
    "JPEG with a long comment": ("JPEG", {"turn": 8, "comment": b"x" * 65_000}),
    "JPEG with a long profile": ("JPEG", {"icc_profile": b"x" * 200_000}),
    "large PNG": ("PNG", {"size_hw": (301, 203), "turn": 5}),
    "large TIFF": ("TIFF", {"size_hw": (301, 203), "turn": 7}),  # its header stands at the end
    "large WEBP": ("WEBP", {"size_hw": (301, 203), "turn": 6, "lossless": True}),
}


def test_nothing():
    assert upright_sizes_hw([]).shape == (0, 2)
    assert upright_size_hw(b"") is None


def test_on_any_store(store: Store):
    contents = {name: _file(kind, **options) for name, (kind, options) in FILES.items()}
    contents |= {
        "empty": b"",
        "text": b"<html>",
        "cut": contents["JPEG turned 6"][:100],
        "half": contents["large PNG"][:90_000],
    }
    for name, data in contents.items():
        store.raw_write(name, data)
    urls = [f"{store.url}/{name}" for name in [*contents, "missing"]]
    sizes = upright_sizes_hw([store.location.to(url) for url in urls])
    expected = {name: decode(contents[name]).size_hw for name in FILES}
    expected |= {"empty": (0, 0), "text": (0, 0), "cut": (0, 0), "half": (203, 301), "missing": (0, 0)}
    assert dict(zip([*contents, "missing"], map(tuple, sizes.tolist()), strict=True)) == expected
    assert {name: upright_size_hw(contents[name]) for name in FILES} == {name: expected[name] for name in FILES}


def test_an_orientation_behind_the_pixels_of_a_small_png(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    data = _file("PNG")
    data = data[:-12] + chunk + data[-12:]
    assert upright_size_hw(data) == decode(data).size_hw == (47, 31)
    (tmp_path / "a.png").write_bytes(data)
    assert upright_sizes_hw([str(tmp_path / "a.png")]).tolist() == [[47, 31]]


def test_awkward_files(data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here; the generated ones above cover the formats")
    paths = [path for path in sorted((data_dir / "awkward").rglob("*")) if path.is_file()]
    sizes = upright_sizes_hw([str(path) for path in paths])
    for path, size in zip(paths, sizes.tolist(), strict=True):
        try:
            decoded = decode(path.read_bytes())
        except BadImageError:
            continue  # what its header says is as good as anything
        assert tuple(size) == decoded.size_hw, path.name
    assert np.count_nonzero(sizes.all(1)) >= 30
