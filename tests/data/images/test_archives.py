"""Zip files of strangers: good ones are read from any storage, and every trick is refused by name."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from typing import TYPE_CHECKING

import fsspec
import pytest

from onlineml.data.images import archives
from onlineml.data.images.archives import Unpacked, read_zip
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path


def packed(files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def refused(data: bytes) -> dict[str, str]:
    return {one.name: one.refused for one in read_zip(data) if one.refused}


def test_an_empty_archive_has_no_files() -> None:
    assert list(read_zip(packed({}))) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_contents_names_and_folders(method: int) -> None:
    data = packed(
        {"cat/a.jpg": b"aaaa" * 50, "deep/dog/b.PNG": b"bb", "top.webp": b"", "x\\cow\\c.jpg": b"c"}, method=method
    )

    assert list(read_zip(data)) == [
        Unpacked("cat/a.jpg", "cat", b"aaaa" * 50),
        Unpacked("deep/dog/b.PNG", "dog", b"bb"),
        Unpacked("top.webp", "", b""),
        Unpacked("x\\cow\\c.jpg", "cow", b"c"),
    ]


def test_from_a_path_and_a_url_and_not_from_nowhere(tmp_path: Path) -> None:
    data = packed({"a.jpg": b"a"})
    (tmp_path / "some.zip").write_bytes(data)
    fsspec.filesystem("memory").pipe_file("/archives/some.zip", data)

    assert [one.content for one in read_zip(tmp_path / "some.zip")] == [b"a"]
    assert [one.content for one in read_zip("memory://archives/some.zip")] == [b"a"]
    with pytest.raises(NotFoundError):
        list(read_zip(tmp_path / "other.zip"))


def test_what_systems_leave_behind_is_passed_over() -> None:
    names = ["__MACOSX/a.jpg", "cat/.DS_Store", "cat/._a.jpg", "Thumbs.db", ".hidden/a.jpg", "cat/"]
    names += [
        "cat/@eaDir/a.jpg",
        "$RECYCLE.BIN/a.jpg",
        "lost+found\\a.jpg",
        ".ipynb_checkpoints/a.jpg",
        ".thumbnails/a.jpg",
    ]

    assert list(read_zip(packed(dict.fromkeys(names, b"x")))) == []


@pytest.mark.parametrize(
    "name", ["../a.jpg", "cat/../../a.jpg", "/etc/a.jpg", "\\\\host\\a.jpg", "C:/a.jpg", "..\\a.jpg", "a/..\\..\\b.jpg"]
)
def test_paths_that_lead_out_are_refused(name: str) -> None:
    assert list(refused(packed({name: b"x"})).values()) == ["its path leads out of the archive"]


def test_names_that_are_given_twice_or_differ_in_case_are_files_of_their_own() -> None:
    data = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(data, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of a name that it was given twice
        for name, content in (("cat/a.jpg", b"1"), ("cat/a.jpg", b"22"), ("CAT/A.JPG", b"333"), ("cat/./a.jpg", b"4")):
            archive.writestr(name, content)

    found = [(one.folder, one.content) for one in read_zip(data.getvalue())]

    assert found == [("cat", b"1"), ("cat", b"22"), ("CAT", b"333"), ("cat", b"4")]


def test_a_folder_inside_an_archive_is_refused_by_the_importers(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(packed({"cat/a.jpg": b"1"}))

    for url in (f"zip://::{tmp_path}/a.zip", f"zip://cat::{tmp_path}/a.zip"):
        with pytest.raises(DataError, match=r"a\.zip is inside an archive: unpack it"):
            Manifest.from_folders(url)
    with pytest.raises(DataError, match=r"found an archive; unpack it, and pass its folder"):
        Manifest.from_folders(tmp_path / "a.zip")


def test_links_other_kinds_and_archives_within_are_refused() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("readme.txt", "hello")
        archive.writestr("more.zip", packed({"a.jpg": b"a"}))
        archive.writestr("fine.jpg", b"fine")

    found = {one.name: one for one in read_zip(data.getvalue())}

    assert found["link.jpg"].refused == "a link, not a file"
    assert "not of an accepted file type" in found["readme.txt"].refused
    assert "within" in found["more.zip"].refused
    assert found["fine.jpg"].content == b"fine"


def test_encrypted_files_are_refused() -> None:
    data = bytearray(packed({"a.jpg": b"secret"}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + place
        data[at] |= 1

    assert "password" in refused(bytes(data))["a.jpg"]


def test_a_bomb_is_refused_before_anything_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed({"fine.jpg": b"a", "bomb.jpg": bytes(200 << 20)})
    assert len(data) < 1 << 20
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("unpacked"))

    with pytest.raises(DataError, match="bomb"):
        list(read_zip(data))


def test_members_that_share_their_bytes_are_refused() -> None:
    data = bytearray(packed({"a.jpg": b"x" * 1000, "b.jpg": b"y" * 1000}, method=zipfile.ZIP_STORED))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<I", 10)  # its place: within the first

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match="share bytes"):
            list(read_zip(bytes(data)))


def test_a_size_that_lies_is_found_and_no_more_than_it_is_unpacked() -> None:
    data = bytearray(packed({"a.jpg": b"x" * 5000, "b.jpg": b"fine"}))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 7)  # says 7 bytes, has 5,000

    found = list(read_zip(bytes(data)))

    assert found[0].refused.startswith("damaged")
    assert found[0].content == b""
    assert found[1].content == b"fine"


def test_a_damaged_file_is_refused_and_the_others_are_read() -> None:
    data = bytearray(packed({"a.jpg": b"hello world" * 20, "b.jpg": b"fine"}, method=zipfile.ZIP_STORED))
    at = data.index(b"hello")
    data[at] ^= 0xFF

    found = list(read_zip(bytes(data)))

    assert "CRC" in found[0].refused
    assert found[1].content == b"fine"


@pytest.mark.parametrize(
    "data",
    [b"", b"no zip", b"PK\x03\x04 cut off", packed({"a.jpg": b"a" * 500})[:-30]],
    ids=["empty", "text", "a beginning", "without its end"],
)
def test_what_is_no_archive_says_so(data: bytes) -> None:
    with pytest.raises(DataError, match="not a readable zip archive"):
        list(read_zip(data))


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)

    with pytest.raises(DataError, match="4 files"):
        list(read_zip(packed({f"{i}.jpg": b"" for i in range(4)})))
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 3)
    assert "at most 3" in refused(packed({"a.jpg": b"four"}))["a.jpg"]


def test_names_are_shown_without_what_cannot_be_printed() -> None:
    (one,) = read_zip(packed({"a\x1b[31m\u202e.jpg": b"a"}))

    assert one.name.isprintable()
    assert one.content == b"a"
