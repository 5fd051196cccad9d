"""YOLO: hand-computed boxes, the folders that Ultralytics and Roboflow write, and any box read back to the last bit."""

from __future__ import annotations

import io as buffers
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from box_files import NAMES, box_manifest, boxes_by_name, rows_by_name
from onlineml.data.formats.yolo.rows import parse_rows, written_rows
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import AlreadyExistsError, ConfigError, DataError
from onlineml.storage import io
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

FACTS = {"train": "images/train", "val": "images/val", "names": ["cat", "dog"]}


def _jpeg(size_hw: tuple[int, int], *, turn: int = 1, comment: bytes = b"") -> bytes:
    """A JPEG whose stored pixels are of this size, before it is turned."""
    sink, exif = buffers.BytesIO(), Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(noise(0, size_hw)).save(sink, "JPEG", exif=exif, comment=comment)
    return sink.getvalue()


def _yolo(
    folder: Path, labels: dict[str, str | None], *, facts: Any = FACTS, size_hw: tuple[int, int] = (50, 100)
) -> Path:
    """Images by ``<split>/<name>``, with the content of their label files; None is none."""
    for number, (name, text) in enumerate(labels.items()):
        io.write_bytes(folder / "images" / f"{name}.png", png(noise(number, size_hw)))
        if text is not None:
            io.write_bytes(folder / "labels" / f"{name}.txt", text.encode())
    io.write_bytes(folder / "data.yaml", (facts if isinstance(facts, str) else yaml.safe_dump(facts)).encode())
    return folder


# ----------------------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("0 0.5 0.5 1 1", [0, 0, 100, 50]),
        ("0 0.5 0.5 0.2 0.4", [40, 15, 60, 35]),
        ("0 .1 1e-1 0.02 0.02", [9, 4.5, 11, 5.5]),
        ("0 0.5 0.5 0 -0.2", [50, 30, 50, 20]),  # for the check to find
        ("0 1 1 1 1", [50, 25, 150, 75]),
        ("0 nan 0.5 0.2 0.4", [np.nan, 15, np.nan, 35]),
        ("0 inf 0.5 1e999 0.4", [np.inf, 15, np.inf, 35]),
        ("0 0.1 0.2 0.3 0.2 0.3 0.8 0.05 0.5", [5, 10, 30, 40]),  # a polygon
        ("0 0.1 0.2 0.3 0.2 0.3 0.8", [10, 10, 30, 40]),  # of three points
        ("0 0.333333333333333333333333 0.5 0 0", [100 / 3, 25, 100 / 3, 25]),
    ],
)
def test_boxes_by_hand(tmp_path: Path, row: str, expected: list[float]):
    manifest = Manifest.from_yolo(
        _yolo(tmp_path, {"train/a": row + "\n"}, facts={"train": "images/train", "names": ["cat"]})
    )
    np.testing.assert_array_equal(np.array(manifest.column("boxes_xyxy")[0][0]), np.array(expected, dtype=float))
    assert manifest.column("labels")[0] == ["cat"]


def test_images_on_any_store(store: Store):
    for name in ("train/a", "train/deep/b", "val/a", "val/c"):
        store.raw_write(f"set/images/{name}.png", png(noise(len(name), (50, 100))))
    store.raw_write("set/labels/train/a.txt", b"\xef\xbb\xbf1 0.5 0.5 0.2 0.4\r\n\r\n0 0.5 0.5 1 1")
    store.raw_write("set/labels/train/deep/b.txt", b"0 0.5 0.5 1 1\n")
    store.raw_write("set/labels/val/a.txt", b"\n")
    store.raw_write("set/labels/val/stray.txt", b"0 0.5 0.5 1 1")
    store.raw_write("set/data.yaml", yaml.safe_dump(FACTS).encode())
    manifest = Manifest.from_yolo(f"{store.url}/set", storage_options=store.storage_options)
    rows = {row["uri"]: (row["split"], row["boxes_xyxy"], row["labels"]) for row in manifest.table.to_pylist()}
    assert rows == {
        "images/train/a.png": ("train", [[40, 15, 60, 35], [0, 0, 100, 50]], ["dog", "cat"]),
        "images/train/deep/b.png": ("train", [[0, 0, 100, 50]], ["cat"]),
        "images/val/a.png": ("val", [], []),
        "images/val/c.png": ("val", [], []),
    }
    assert manifest.boxes().annotated.all()
    assert manifest.n_ignored == 1
    assert "1 label file matches no image (left out): 'labels/val/stray.txt'" in manifest.notes
    assert manifest.class_names == ("cat", "dog")
    assert manifest.root == f"{store.url}/set"
    assert rows_by_name(manifest)["b.png"]["declared_width"] == 100
    back = Manifest.from_yolo(
        manifest.to_yolo(f"{store.url}/copy", storage_options=store.storage_options),
        storage_options=store.storage_options,
    )
    assert sorted(map(str, boxes_by_name(back).values())) == sorted(map(str, boxes_by_name(manifest).values()))
    assert back.counts() == manifest.counts()


def test_boxes_are_shares_of_the_upright_image(tmp_path: Path):
    files = {
        "plain": _jpeg((50, 100)),
        "turned": _jpeg((100, 50), turn=6),  # upright 100 wide
        "mirrored": _jpeg((50, 100), turn=2),
        "long": _jpeg((50, 100), comment=b"x" * 60_000),  # the size stands behind 64 KiB
    }
    for name, data in files.items():
        io.write_bytes(tmp_path / "images" / "train" / f"{name}.jpg", data)
        io.write_bytes(tmp_path / "labels" / "train" / f"{name}.txt", b"0 0.5 0.5 0.2 0.4")
    io.write_bytes(tmp_path / "data.yaml", b"{train: images/train, names: [cat]}")
    manifest = Manifest.from_yolo(tmp_path)
    assert manifest.column("boxes_xyxy").tolist() == [[[40.0, 15.0, 60.0, 35.0]]] * 4
    assert manifest.check(max_bad=0).counts() == {"exif_rotated": 2}


def test_images_that_cannot_be_read_keep_their_labels(tmp_path: Path):
    _yolo(
        tmp_path,
        {"train/a": "0 0.5 0.5 0.2 0.4\n1 0.5 0.5 1 1"},
        facts={"train": "images/train", "names": ["cat", "dog"]},
    )
    io.write_bytes(tmp_path / "images" / "train" / "a.png", b"no image")
    manifest = Manifest.from_yolo(tmp_path)
    assert manifest.column("labels")[0] == ["cat", "dog"]
    assert np.isnan(np.array(manifest.column("boxes_xyxy")[0])).all()
    checked = manifest.check(max_bad=1)
    assert checked.table["finding"].to_pylist() == ["unreadable"]


def test_classes_beyond_the_names(tmp_path: Path):
    rows = ["2", "-1", "1.5", "1.0", "nan", "1e999999999", "007"]
    text = "".join(f"{number} 0.5 0.5 1 1\n" for number in rows)
    facts = {"train": "images/train", "names": ["c0", "c1"]}
    manifest = Manifest.from_yolo(_yolo(tmp_path, {"train/a": text}, facts=facts))
    assert manifest.column("labels")[0] == [
        *("class 2", "class -1", "class 1.5", "c1", "class NaN", "class 1E+999999999", "class 7")
    ]
    assert manifest.counts()["(unknown class)"]["train"] == 6


# ----------------------------------------------------------------------------------------------------------- data.yaml


@pytest.mark.parametrize(
    ("names", "expected", "ids"),
    [
        ("names: [cat, dog]", ("cat", "dog"), ()),
        ("names: {1: dog, 0: cat}", ("cat", "dog"), ()),
        ("names: {7: dog, 3: cat}", ("cat", "dog"), (3, 7)),
        ("names: [no, 007, 1e3, null, 'y']", ("no", "007", "1e3", "null", "y"), ()),
        ("nc: 2", ("class_0", "class_1"), ()),
        ("nc: 2\nnames: [a, b]", ("a", "b"), ()),
    ],
)
def test_names(tmp_path: Path, names: str, expected: tuple[str, ...], ids: tuple[int, ...]):
    manifest = Manifest.from_yolo(
        _yolo(tmp_path, {"train/a": None}, facts=f"train: images/train\nval:\ntest: ~\n{names}\n")
    )
    assert (manifest.class_names, manifest.class_ids) == (expected, ids)


@pytest.mark.parametrize(
    "names", ["", "names: cat", "names: []", "names: {a: cat}", "names: [[cat]]", "nc: two", "names: {0: [a]}"]
)
def test_names_that_are_none(tmp_path: Path, names: str):
    with pytest.raises(DataError, match="expected names as a list, or a mapping"):
        Manifest.from_yolo(_yolo(tmp_path, {"train/a": None}, facts=f"train: images/train\n{names}\n"))


@pytest.mark.parametrize(
    "text", ["[1, 2]", "train", "{", "!!python/object/apply:os.system ['true']", "\x00", "a: &a [*a]"]
)
def test_what_is_no_data_yaml(tmp_path: Path, text: str):
    with pytest.raises(DataError, match=r"data\.yaml"):
        Manifest.from_yolo(_yolo(tmp_path, {"train/a": None}, facts=text))


@pytest.mark.parametrize("key", ["names", "train", "path"])
def test_a_small_file_that_says_something_endless(tmp_path: Path, key: str):
    anchors = ["a0: &a0 [x, x]", *[f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 30)]]
    facts = {"train": "images/train", "names": "[cat]", key: "[*a29, *a29]"}
    text = "\n".join([*anchors, *[f"{name}: {value}" for name, value in facts.items()]])
    folder = _yolo(tmp_path, {"train/a": None}, facts=text)
    if key in {"path", "train"}:  # no text, so it says nothing
        manifest = Manifest.from_yolo(folder)
        assert len(manifest) == 1
        assert len("".join(manifest.notes)) < 1000
        return
    with pytest.raises(DataError) as caught:
        Manifest.from_yolo(folder)
    assert len(str(caught.value)) < 1000


def test_which_file_is_read(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected a data\.yaml in .*, found none"):
        Manifest.from_yolo(tmp_path)
    _yolo(tmp_path, {"train/a": None}, facts="train: images/train\nnames: [cat]")
    (tmp_path / "data.yaml").rename(tmp_path / "mine.yml")
    assert Manifest.from_yolo(tmp_path).class_names == ("cat",)
    (tmp_path / "other.yaml").write_text("names: [dog]\ntrain: images\n")
    with pytest.raises(DataError, match=r"found 'mine.yml', 'other.yaml'; pass the file's URL"):
        Manifest.from_yolo(tmp_path)
    assert Manifest.from_yolo(tmp_path / "other.yaml").class_names == ("dog",)
    (tmp_path / "data.yaml").write_text("names: [cow]\ntrain: images\n")
    with pytest.raises(DataError, match=r"two descriptions with different classes, data\.yaml and mine\.yml"):
        Manifest.from_yolo(tmp_path)
    (tmp_path / "mine.yml").unlink()
    (tmp_path / "other.yaml").write_text("nc: 80\n")  # of a network
    assert Manifest.from_yolo(tmp_path).class_names == ("cow",)


@pytest.mark.parametrize(
    ("facts", "place"),
    [
        ({"train": "../train/images", "val": "../valid/images"}, "."),  # Roboflow's
        ({"train": "train/images", "val": ["valid/images"]}, "."),
        ({"path": "set", "train": "train/images", "val": "./valid/images/"}, "set"),
        ({"path": "/content/datasets/set", "train": "train/images", "val": "valid/images"}, "."),  # of another machine
        ({"path": "../datasets/set", "train": "train/images", "val": "valid/images"}, "."),
        ({"path": ".", "train": "train", "val": "valid"}, "."),
    ],
)
def test_where_the_images_are(tmp_path: Path, facts: dict[str, Any], place: str):
    for split in ("train", "valid"):
        io.write_bytes(tmp_path / place / split / "images" / "a.png", png(noise(1, (50, 100))))
        io.write_bytes(tmp_path / place / split / "labels" / "a.txt", b"0 0.5 0.5 1 1")
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({**facts, "names": ["cat"]}))
    manifest = Manifest.from_yolo(tmp_path)
    assert dict(zip(*map(manifest.column, ("uri", "split")), strict=True)) == {
        "train/images/a.png": "train",
        "valid/images/a.png": "val",
    }
    assert manifest.root == str(tmp_path / place).rstrip("/.")
    assert manifest.counts()["cat"] == {"train": 1, "val": 1, "test": 0}


def test_the_root_may_be_given(tmp_path: Path):
    io.write_bytes(tmp_path / "set" / "pictures" / "a.png", png(noise(1, (50, 100))))
    io.write_bytes(tmp_path / "set" / "pictures" / "a.txt", b"0 0.5 0.5 1 1")  # beside it, as in Darknet
    facts = {"path": str(tmp_path / "set"), "train": str(tmp_path / "set" / "pictures"), "names": ["cat"]}
    io.write_bytes(tmp_path / "cfg" / "data.yaml", yaml.safe_dump(facts).encode())
    with pytest.raises(DataError, match=r"there are no images; set root="):
        Manifest.from_yolo(tmp_path / "cfg")
    manifest = Manifest.from_yolo(tmp_path / "cfg", root=tmp_path / "set")
    assert boxes_by_name(manifest) == {"a.png": [([0, 0, 100, 50], "cat")]}


def test_lists_of_images(tmp_path: Path):
    _yolo(tmp_path, {"a": "0 0.5 0.5 1 1", "b": None, "c": None, "d": None, "e": None, "not listed": None})
    lists = {
        "train.txt": f"./images/a.png\n\n/content/set/images/b.png\n{tmp_path}/images/gone.png\n",
        "lists/val.txt": "data\\images\\c.png \nimages/d.png\n../e\n/etc/passwd.png\n",
    }
    for name, text in lists.items():
        io.write_bytes(tmp_path / name, text.encode())
    io.write_bytes(tmp_path / "data.yaml", b"{train: train.txt, val: [lists/val.txt], names: [cat]}")
    manifest = Manifest.from_yolo(tmp_path)
    assert dict(zip(*map(manifest.column, ("uri", "split")), strict=True)) == {
        "images/a.png": "train",
        "images/b.png": "train",
        "images/c.png": "val",
        "images/d.png": "val",
        "images/e.png": "val",
    }
    assert boxes_by_name(manifest)["a.png"] == [([0, 0, 100, 50], "cat")]
    assert f"1 line of train.txt names no image that is there: '{tmp_path}/images/gone.png'" in manifest.notes
    assert "1 line of lists/val.txt names no image that is there: '/etc/passwd.png'" in manifest.notes
    assert "1 image is in no split, and left out: 'images/not listed.png'" in manifest.notes


def test_splits_that_share_images_or_have_none_are_refused(tmp_path: Path):
    facts = {"train": "images", "val": "images/train", "test": "images/empty", "names": ["cat"]}
    with pytest.raises(DataError) as caught:
        Manifest.from_yolo(_yolo(tmp_path, {"train/a": None, "more/b": None}, facts=facts))
    assert "1 image is in several splits: 'images/train/a.png'" in str(caught.value)
    assert "test: 'images/empty' contains no images" in str(caught.value)
    manifest = Manifest.from_yolo(_yolo(tmp_path / "other", {"train/a": None}, facts={"names": ["cat"]}))
    assert manifest.column("split").tolist() == ["train"]  # the folder's


def test_all_rows_that_cannot_be_read_are_named(tmp_path: Path):
    good = "0 0.5 0.5 1 1\n"
    labels = {
        "train/a": f"{good}0 0.5 0.5 1\n",  # too few
        "train/b": f"0 0.5 0.5 1 1 1.9\n{good}cat 0.5 0.5 1 1\n",  # no confidence; a name
        "train/c": "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7\n",  # a point without its y
        "train/d": good,
        "train/e": "\x00\xff",
    }
    with pytest.raises(DataError) as caught:
        Manifest.from_yolo(_yolo(tmp_path, labels, facts={"train": "images/train", "names": ["cat"]}))
    for part in (
        "train/a.txt: line 2: '0 0.5 0.5 1'",
        "train/b.txt: line 1:",
        "line 3: 'cat 0.5",
        "train/c.txt: line 1:",
        "train/e.txt",
    ):
        assert part in str(caught.value)
    assert "train/d.txt" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------ written


def test_what_is_written(tmp_path: Path):
    boxes = {
        "a.png": ([[40, 15, 60, 35], [0, 0, 100, 50], [1, 2, 3, 4]], ["dog", "cat", "cat"]),
        "b.png": ([], []),
        "c.png": None,
    }
    for number, name in enumerate(boxes):
        io.write_bytes(tmp_path / "in" / name, png(noise(number, (50, 100))))
    manifest = box_manifest(
        boxes,
        names=("dog", "cat"),
        split=["train", "val", None],
        crowd=[[False, False, True], None, None],
        width=[100] * 3,
        height=[50] * 3,
    )
    manifest = Manifest(manifest.table, manifest.class_names, root=str(tmp_path / "in"), task="detection")
    out = tmp_path / "out"
    manifest.to_yolo(out)
    assert [info.path for info in io.list_files(out)] == [
        *("data.yaml", "images/train/a.png", "images/val/b.png", "labels/train/a.txt", "labels/val/b.txt")
    ]
    assert (out / "labels/train/a.txt").read_text() == "0 0.5 0.5 0.2 0.4\n1 0.5 0.5 1 1\n"
    assert (out / "labels/val/b.txt").read_text() == ""
    assert (out / "images/train/a.png").read_bytes() == (tmp_path / "in/a.png").read_bytes()
    facts = yaml.safe_load((out / "data.yaml").read_text())
    assert facts == {"train": "images/train", "val": "images/val", "names": {0: "dog", 1: "cat"}}
    with pytest.raises(AlreadyExistsError, match="new folder"):
        manifest.to_yolo(out)


def _corners(size: int) -> st.SearchStrategy[tuple[float, float]]:
    number = st.floats(-10, size + 10, allow_subnormal=False) | st.integers(0, size).map(float) | st.just(size / 3)
    return st.tuples(number, number).filter(lambda pair: all(v == 0 or abs(v) > 1e-12 for v in pair))


@given(st.data(), st.tuples(st.integers(1, 9999), st.integers(1, 9999)))
def test_any_box_in_any_image_has_digits_that_give_it_back(data: st.DataObject, size_hw: tuple[int, int]):
    (y1, y2), (x1, x2) = (data.draw(_corners(size)) for size in size_hw)
    box = [x1, y1, x2, y2]
    ((number, found, *_),) = parse_rows(written_rows([box], [3], size_hw=size_hw), size_hw=size_hw)
    assert (number, found) == (3, box)


@given(
    st.lists(st.decimals(0, 1, places=6), min_size=4, max_size=4), st.tuples(st.integers(1, 5000), st.integers(1, 5000))
)
def test_rows_with_six_decimals_are_written_as_they_were(values: list[Any], size_hw: tuple[int, int]):
    ((_, box, *_),) = parse_rows("0 " + " ".join(map(str, values)), size_hw=size_hw)
    assert list(map(float, written_rows([box], [0], size_hw=size_hw).split()[1:])) == list(map(float, values))


def test_what_yolo_cannot_hold_is_refused(tmp_path: Path):
    boxes = {"a.png": ([[1, 1, 2, 2], [float("nan")] * 4], ["cow", "cat"]), "b.png": ([], [])}
    with pytest.raises(DataError) as caught:
        box_manifest(boxes).to_yolo(tmp_path)
    for part in ("2 images have no split", "1 box has no known class", "1 box is not finite"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match="has no boxes"):
        Manifest(box_manifest(boxes).table.select(["image_id", "uri"])).to_yolo(tmp_path)


def test_images_of_another_size_than_their_boxes_are_refused(tmp_path: Path):
    io.write_bytes(tmp_path / "in" / "a.png", png(noise(0, (50, 99))))
    boxes = {"a.png": ([[1, 1, 2, 2]], ["cat"])}
    manifest = box_manifest(boxes, split=["train"], declared_width=[100], declared_height=[50])
    manifest = Manifest(manifest.table, NAMES, root=str(tmp_path / "in"), task="detection")
    with pytest.raises(DataError, match=r"1 image unreadable, or of another size .*'train/a.png'"):
        manifest.to_yolo(tmp_path / "out")


def test_a_checked_manifest_can_be_written(tmp_path: Path):
    """After the check there is nothing left that YOLO cannot hold."""
    boxes = {"a.png": ([[-5, 1, 20, 20], [1, 1, 2, 2], [3, 3, 3, 3], [5, 5, 9, 9]], ["cat", "cow", "cat", "dog"])}
    io.write_bytes(tmp_path / "in" / "a.png", png(noise(0, (48, 64))))
    manifest = Manifest(box_manifest(boxes, split=["train"]).table, NAMES, root=str(tmp_path / "in"), task="detection")
    back = Manifest.from_yolo(manifest.check(max_bad=1).manifest.to_yolo(tmp_path / "out"))
    assert boxes_by_name(back) == {"a.png": [([0, 1, 20, 20], "cat"), ([5, 5, 9, 9], "dog")]}


def test_real_annotations(tmp_path: Path, data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here; the layouts above are the same")
    manifest = Manifest.from_voc(data_dir / "detection" / "bccd")
    back = Manifest.from_yolo(manifest.to_yolo(tmp_path / "out"))
    assert back.class_names == manifest.class_names
    assert back.counts() == manifest.counts()
    assert boxes_by_name(back) == boxes_by_name(manifest)
