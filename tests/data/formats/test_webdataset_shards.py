"""Shards of WebDataset: images are read where they lie in the archives."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from onlineml.data.formats.webdataset.tar_index import tar_index
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ChangedError, DataError, NotFoundError
from onlineml.storage import io as storage
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

PICTURES = [png(noise(number)) for number in range(4)]


def tar(files: dict[str, bytes], *, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def labels(found: Manifest) -> dict[str, Any]:
    """Labels by the names of the images, without the ranges of their bytes."""
    return {
        row["uri"].rpartition("/")[2]: row[found.kind.names]
        for row in found.table.select(["uri", found.kind.names]).to_pylist()
    }


def test_images_stay_in_their_shards(store: Store) -> None:
    store.raw_write(
        "set/train-000000.tar", tar({"./0.png": PICTURES[0], "./0.cls": b"1\n", "1.cls": b"0", "1.png": PICTURES[1]})
    )
    store.raw_write("set/train-000001.tar", tar({"a/0.png": PICTURES[2], "a/0.cls": b"1"}))
    store.raw_write("set/val-000000.tar", tar({"0.png": PICTURES[3], "0.cls": b"0"}))
    store.raw_write("set/classes.txt", b"cat\ndog\n")

    found = Manifest.from_any(f"{store.url}/set", storage_options=store.storage_options)

    assert found.class_names == ("cat", "dog")
    assert found.table["label"].to_pylist() == ["dog", "cat", "dog", "cat"]
    assert found.table["split"].to_pylist() == ["train", "train", "train", "val"]
    read = storage.read_many(found.urls(), versions=found.versions(), storage_options=store.storage_options)
    assert read == PICTURES
    assert len(found.check().manifest) == 4
    again = Manifest.from_any(f"{store.url}/set", storage_options=store.storage_options)
    assert again.table["image_id"] == found.table["image_id"]


def test_a_shard_that_was_overwritten_since_it_was_checked_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar({"0.png": PICTURES[0], "0.cls": b"x"}))
    checked = Manifest.from_any(tmp_path).check().manifest
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole.replace(PICTURES[0], PICTURES[0][::-1]))

    (found,) = storage.read_many(checked.urls(), versions=checked.versions(), digests=checked.digests())

    assert isinstance(found, ChangedError)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"7.cls": b"cat", "7.jpg": PICTURES[0]}, {"7.jpg": "cat"}),
        ({"0.input.jpg": PICTURES[0], "0.outputs.txt": b"maple tree"}, {"0.input.jpg": "maple tree"}),
        ({"0.img.png": PICTURES[0], "0.cls.txt": b"3"}, {"0.img.png": "3"}),
        ({"0.png": PICTURES[0], "0.json": b'{"label": "cat", "width": 3}'}, {"0.png": "cat"}),
        ({"0.png": PICTURES[0], "0.json": b'"cat"'}, {"0.png": "cat"}),
        ({"0.JPG": PICTURES[0], "0.CLS": b"cat", "1.jpg": PICTURES[1]}, {"0.JPG": "cat", "1.jpg": None}),
        ({"train/cat/0.png": PICTURES[0], "train/dog/0.png": PICTURES[1]}, {"0.png": "dog"}),
    ],
)
def test_labels_as_people_write_them(files: dict[str, bytes], expected: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "shard-0.tar").write_bytes(tar(files))

    found = Manifest.from_any(tmp_path / "shard-0.tar")

    assert labels(found) == expected
    if "train/cat/0.png" in files:
        assert found.table["label"].to_pylist() == ["cat", "dog"]


def test_files_of_a_sample_need_not_lie_side_by_side(tmp_path: Path) -> None:
    """https://github.com/webdataset/webdataset/issues/140: without --sort=name, tar writes any order."""
    (tmp_path / "a.tar").write_bytes(tar({"0.png": PICTURES[0], "1.png": PICTURES[1], "0.cls": b"x", "1.cls": b"y"}))

    assert labels(Manifest.from_any(tmp_path)) == {"0.png": "x", "1.png": "y"}


def test_names_with_dots_of_their_own(tmp_path: Path) -> None:
    """https://github.com/huggingface/datasets/pull/7144: 22.05.png, whose sample is 22 by the rules."""
    files = {"22.05.png": PICTURES[0], "22.05.cls": b"x", "22.06.png": PICTURES[1], "22.06.cls": b"y"}
    (tmp_path / "a.tar").write_bytes(tar(files))
    assert labels(Manifest.from_any(tmp_path)) == {"22.05.png": "x", "22.06.png": "y"}

    (tmp_path / "a.tar").write_bytes(tar({"0.image.png": PICTURES[0], "0.mask.png": PICTURES[1], "0.cls": b"x"}))
    with pytest.raises(DataError, match=r"1 sample of a\.tar has several images: 'a\.tar:0\.\{image\.png,mask\.png"):
        Manifest.from_any(tmp_path)


def test_a_range_of_shards_as_loaders_take_it(tmp_path: Path) -> None:
    for number in range(9, 12):
        (tmp_path / f"s-{number:04d}.tar").write_bytes(
            tar({f"{number}.png": PICTURES[number - 9], f"{number}.cls": b"x"})
        )

    found = Manifest.from_any(f"{tmp_path}/s-{{0009..0010}}.tar")

    assert labels(found) == {"9.png": "x", "10.png": "x"}
    with pytest.raises(NotFoundError, match=r"s-0012\.tar"):
        Manifest.from_any(f"{tmp_path}/s-{{0010..0012}}.tar")


def test_several_labels(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar({"0.png": PICTURES[0], "0.json": b'{"labels": ["b", "a"], "boxes": []}'}))

    found = Manifest.from_any(tmp_path, task="multilabel")
    assert labels(found) == {"0.png": ["a", "b"]}
    assert "'boxes' in .json files were not read" in found.summary()
    with pytest.raises(DataError, match=r"1 sample has several labels: .*task='multilabel'"):
        Manifest.from_any(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"0.json": json.dumps({"boxes": [[1, 2, 3, 4]]}).encode()}, r"a\.tar:0\.json has 'boxes'.*task=\"detection\""),
        ({"0.json": b"{"}, r"a\.tar:0\.json is not JSON"),
        ({"0.json": b'{"label": 0.5}'}, r"a\.tar:0\.json: 'label' is 0\.5, not a class"),
        ({"0.txt": b"two lines\nof a caption"}, r"the \.txt files are captions"),
        ({"0.xml": b"<annotation/>"}, r"images without labels, and files of 'xml'"),
    ],
)
def test_what_is_no_class_is_refused(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar({"0.png": PICTURES[0], **files}))

    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {"objects": {"bbox": [[1, 2, 3, 4]], "category": [1]}},
        {"annotations": [{"bbox": [1, 2, 3, 4], "category_id": 1, "iscrowd": 0}], "width": 20},
    ],
)
def test_boxes_of_a_known_convention(content: dict[str, Any], tmp_path: Path) -> None:
    files = {"0.png": PICTURES[0], "0.json": json.dumps(content).encode(), "1.png": PICTURES[1]}
    (tmp_path / "a.tar").write_bytes(tar({**files, "2.png": PICTURES[2], "2.json": b'{"annotations": []}'}))

    found = Manifest.from_any(tmp_path, task="detection", class_names=["cat", "dog"])
    found.export(tmp_path / "out", format="webdataset")
    again = Manifest.from_any(tmp_path / "out", task="detection")

    for one in (found, again):
        told = one.table.select(["boxes_xyxy", "labels"]).to_pylist()
        told = [
            told[row] for row in sorted(range(3), key=lambda row: PICTURES.index(storage.read_bytes(one.urls()[row])))
        ]
        assert told == [
            {"boxes_xyxy": [[1.0, 2.0, 4.0, 6.0]], "labels": ["dog"]},
            {"boxes_xyxy": None, "labels": None},
            {"boxes_xyxy": [], "labels": []},
        ]


@pytest.mark.parametrize("content", [{"boxes": [[1, 2, 3, 4]]}, {"objects": [{"box": [1, 2, 3, 4]}]}, {"label": "cat"}])
def test_other_boxes_are_refused(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar({"0.png": PICTURES[0], "0.json": json.dumps(content).encode()}))

    with pytest.raises(DataError, match=r"have one meaning; unpack the shards|hold no boxes"):
        Manifest.from_any(tmp_path, task="detection")


# ---- archives ----


def index(data: bytes) -> Any:
    return tar_index(io.BytesIO(data), "a.tar", wanted=lambda path: path.endswith("cls"))


def test_links_and_paths_that_lead_out_are_left_out(tmp_path: Path) -> None:
    buffer = io.BytesIO(tar({}))
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name in ("../out.png", "/etc/in.png", "._hidden.png", "ok.png"):
            info = tarfile.TarInfo(name)
            info.size = len(PICTURES[0])
            archive.addfile(info, io.BytesIO(PICTURES[0]))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())

    found = Manifest.from_any(tmp_path)

    assert labels(found) == {"ok.png": None}
    assert any("5 files left out: links, devices or paths out of a shard" in note for note in found.notes)
    assert storage.read_bytes(found.urls()[0]) == PICTURES[0]


def test_of_files_of_one_name_the_last_counts_and_others_are_told(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("a.png", PICTURES[0]), ("A.png", PICTURES[0]), ("a.png", PICTURES[1])):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())

    found = Manifest.from_any(tmp_path)

    contents = {url.rpartition("/")[2]: storage.read_bytes(url) for url in found.urls()}
    assert contents == {"a.png": PICTURES[1], "A.png": PICTURES[0]}
    assert any(
        "1 file is left out, as a later one in the shard has the same name: 'a.tar:a.png'" in n for n in found.notes
    )


@pytest.mark.parametrize("size", [10**5, 8**11 - 1])
def test_a_size_that_the_archive_does_not_have_is_refused(size: int) -> None:
    data = tar({"0.cls": b"1", "0.png": PICTURES[0]})
    first = tarfile.TarInfo.frombuf(data[:512], "utf-8", "strict")
    first.size = size

    with pytest.raises(DataError, match=r"a\.tar is not a whole tar archive: '0\.cls' declares more bytes than follow"):
        index(first.tobuf()[:512] + data[512:])


@pytest.mark.parametrize("cut", [100, 700, 1024 + 512 + 100])
def test_a_shard_that_was_cut_off_is_refused(cut: int) -> None:
    data = tar({"0.cls": b"1", "0.png": PICTURES[0]})

    with pytest.raises(DataError, match=r"a\.tar is (not a whole tar archive|damaged at byte)"):
        index(data[:cut])


def test_other_files_are_refused() -> None:
    data = tar({"0.cls": b"1"})

    for mode, tool in (("w:gz", "gunzip"), ("w:bz2", "bunzip2"), ("w:xz", "unxz")):
        with pytest.raises(DataError, match=rf"a\.tar is compressed.*unpack it with {tool}"):
            index(tar({"0.cls": b"1"}, mode=mode))
    with pytest.raises(DataError, match="several archives one after the other"):
        index(data + data)
    for bad in (b"", b"hello" * 300):
        with pytest.raises(DataError, match="not a whole tar archive"):
            index(bad)
    assert [member.content for member in index(data).members] == [b"1"]


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_round_trip(task: str, tmp_path: Path) -> None:
    sets = (b'{"labels": ["cat", "dog"]}', b'{"labels": ["dog"]}', b'{"labels": []}')
    told = (b"cat", b"dog", b"cat") if task == "classification" else sets
    ending = "cls" if task == "classification" else "json"
    (tmp_path / "in").mkdir()
    for row, (split, label) in enumerate(zip(("train", "train", "test"), told, strict=True)):
        data = {f"{row}.png": PICTURES[row], f"{row}.{ending}": label}
        (tmp_path / "in" / f"{split}-{row}.tar").write_bytes(tar(data))
    data = Manifest.from_any(tmp_path / "in", task=task)

    data.export(tmp_path / "out", format="webdataset")
    found = Manifest.from_any(tmp_path / "out", task=task)

    def content(of: Manifest) -> list[Any]:
        read, told = storage.read_many(of.urls()), map(str, of.column(of.kind.names))
        return sorted(zip(read, of.column("split"), told, strict=True))

    assert content(found) == content(data)
    assert found.class_names == data.class_names
