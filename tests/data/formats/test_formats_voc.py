"""Pascal VOC: hand-computed boxes, the layouts that tools write, hostile XML, and everything read back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given

from box_files import NAMES, box_manifest, boxes_by_name, manifests, rows_by_name, write_images
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import stable_split
from onlineml.errors import AlreadyExistsError, ConfigError, DataError
from onlineml.storage import io
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


def _object(*corners: Any, name: str = "cat", further: str = "") -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    return f"<object><name>{name}</name>{further}<bndbox>{box}</bndbox></object>"


def _xml(*objects: str, further: str = "", size: str = "64 48") -> bytes:
    width, _, height = size.partition(" ")
    told = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>" if size else ""
    return f"<annotation><filename>lie.jpg</filename>{told}{further}{''.join(objects)}</annotation>".encode()


def _voc(folder: Path, annotations: dict[str, bytes | None], **lists: str) -> Path:
    """A folder whose images are 64 x 48 pixels; None is an image without XML."""
    for number, (name, data) in enumerate(annotations.items()):
        io.write_bytes(folder / "JPEGImages" / f"{name}.jpg", png(noise(number, (48, 64))))
        if data is not None:
            io.write_bytes(folder / "Annotations" / f"{name}.xml", data)
    for name, text in lists.items():
        io.write_bytes(folder / "ImageSets" / "Main" / f"{name}.txt", text.encode())
    return folder


def _one(folder: Path, *objects: str, **options: Any) -> dict[str, Any]:
    (row,) = Manifest.from_voc(_voc(folder, {"a": _xml(*objects, **options)})).table.to_pylist()
    return row


# ----------------------------------------------------------------------------------------------------------- by hand


def test_a_folder_of_nothing(tmp_path: Path):
    with pytest.raises(DataError, match=r"not in the layout of Pascal VOC: expected JPEGImages/<name>.jpg .* 0 images"):
        Manifest.from_voc(tmp_path)
    io.write_bytes(tmp_path / "photos" / "b.jpg", b"")
    io.write_bytes(tmp_path / "notes" / "a.xml", _xml())
    with pytest.raises(
        DataError,
        match=r"1 image and 1 annotation without a common name: 'photos/b.jpg', and 'notes/a.xml', whose <filename> "
        r"is 'lie.jpg'; set images= and annotations= to the two folders",
    ):
        Manifest.from_voc(tmp_path)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ((1, 1, 64, 48), [0, 0, 64, 48]),  # the whole image: pixels 1 to 64 are 64 pixels
        ((10, 20, 30, 40), [9, 19, 30, 40]),
        ((5, 5, 6, 6), [4, 4, 6, 6]),  # two pixels by two
        (("48.3", "1.25", "50.5", "2.75"), [47.3, 0.25, 50.5, 2.75]),  # the decimals stay decimals
        ((0, 0, 10, 10), [0, 0, 10, 10]),  # counted from 0, as many tools do
        ((" 7 ", "7.0", "9e0", "+9"), [6, 6, 9, 9]),
        ((7, 3, 7, 5), [6, 2, 6, 5]),  # a click without a drag along x
        ((9, 3, 7, 2), [8, 2, 6, 1]),
        (("", "", "", ""), [np.nan] * 4),
        (("x", 1, "nan", 9), [np.nan, 0, np.nan, 9]),
        (("inf", 1, 5, "1e999999999"), [np.inf, 0, 4, np.inf]),
    ],
)
def test_corners_by_hand(tmp_path: Path, corners: tuple[Any, ...], expected: list[float]):
    row = _one(tmp_path, _object(*corners))
    np.testing.assert_array_equal(np.array(row["boxes_xyxy"][0]), np.array(expected, dtype=float))
    assert row["labels"] == ["cat"]


def test_an_object_without_a_box_or_a_name(tmp_path: Path):
    row = _one(tmp_path, "<object><name>cat</name></object>", "<object/>", _object(1, 1, 9, 9, name="  "))
    assert row["labels"] == ["cat", None, None]
    assert np.isnan(np.array(row["boxes_xyxy"][:2])).all()


def test_parts_are_no_objects(tmp_path: Path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    row = _one(tmp_path, _object(10, 10, 20, 20, name="person", further=part))
    assert (row["boxes_xyxy"], row["labels"]) == ([[9, 9, 20, 20]], ["person"])
    assert row["voc_object"] == [part]


def test_what_becomes_a_column(tmp_path: Path):
    first = "<pose>Left</pose><truncated>1</truncated><difficult>0</difficult><score>0.5</score><id>007</id>"
    second = "<pose>3</pose><difficult>1</difficult><occluded>true</occluded><label>mine</label><empty/>"
    further = "<segmented>0</segmented><source><database>Unknown</database></source><score>9</score><group>g</group>"
    row = _one(tmp_path, _object(1, 1, 2, 2, further=first), _object(1, 1, 2, 2, further=second), further=further)
    assert {
        key: row[key] for key in ("pose", "truncated", "difficult", "score", "id", "occluded", "segmented", "group")
    } == {
        "pose": ["Left", "3"],
        "truncated": [1, None],
        "difficult": [0, 1],
        "score": [0.5, None],
        "id": ["007", None],
        "occluded": [None, True],
        "segmented": 0,
        "group": "g",
    }
    assert row["voc_object"] == [None, "<label>mine</label>"]  # a column may not be called so
    assert row["voc_annotation"] == "<source><database>Unknown</database></source><score>9</score>"


@pytest.mark.parametrize("size", ["0 0", "", "x 5", "nan 5", "1e999999999 5", "-4 5", "3000000000 5"])
def test_a_size_that_is_none(tmp_path: Path, size: str):
    row = _one(tmp_path, _object(1, 1, 2, 2), size=size)
    assert row.get("declared_width") is None


# ------------------------------------------------------------------------------------------------------------ layouts


def test_images_and_annotations_on_any_store(store: Store):
    write_images(store, "JPEGImages/a.jpg", "JPEGImages/sub/a.png", "JPEGImages/none.jpg", "JPEGImages/unseen.JPEG")
    store.raw_write("Annotations/a.xml", _xml(_object(1, 1, 2, 2)))
    store.raw_write("Annotations/sub/a.xml", _xml(_object(3, 3, 9, 9, name="dog")))
    store.raw_write("Annotations/none.xml", _xml())
    store.raw_write("Annotations/gone.xml", _xml(_object(5, 5, 6, 6)))
    store.raw_write("SegmentationClass/a.png", b"")
    store.raw_write("README.txt", b"")
    manifest = Manifest.from_voc(store.url, storage_options=store.storage_options)
    assert {row["uri"]: (row["boxes_xyxy"], row["labels"]) for row in manifest.table.to_pylist()} == {
        "JPEGImages/a.jpg": ([[0, 0, 2, 2]], ["cat"]),  # whatever <filename> says
        "JPEGImages/sub/a.png": ([[2, 2, 9, 9]], ["dog"]),
        "JPEGImages/none.jpg": ([], []),
        "JPEGImages/unseen.JPEG": (None, None),
    }
    assert manifest.n_ignored == 3
    assert manifest.column("split").tolist() == stable_split(manifest.column("uri").tolist()).tolist()
    target = manifest.to_voc(f"{store.url}-copy", storage_options=store.storage_options)
    back = Manifest.from_voc(target, storage_options=store.storage_options)
    assert back.column("uri").tolist() == [
        "JPEGImages/a.jpg",
        "JPEGImages/none.jpg",
        "JPEGImages/sub/a.png",
        "JPEGImages/unseen.JPEG",
    ]
    assert boxes_by_name(back)["unseen.JPEG"] is None
    for url in back.urls():
        name = url.removeprefix(f"{target}/")
        assert io.read_bytes(url, storage_options=store.storage_options) == store.raw_read(name)


def test_xml_beside_the_images(tmp_path: Path):
    """As labelling tools leave it, and Roboflow by splits."""
    for name in ("train/a", "valid/b", "test/deep/c"):
        io.write_bytes(tmp_path / f"{name}.jpg", b"")
        io.write_bytes(tmp_path / f"{name}.xml", _xml(_object(1, 1, 2, 2)))
    io.write_bytes(tmp_path / "train" / "other.xml", b"<settings/>")
    manifest = Manifest.from_voc(tmp_path)
    assert dict(zip(*map(manifest.column, ("uri", "split")), strict=True)) == {
        "test/deep/c.jpg": "test",
        "train/a.jpg": "train",
        "valid/b.jpg": "val",
    }
    assert manifest.n_ignored == 1
    io.write_bytes(tmp_path / "logo.jpg", b"")
    assert Manifest.from_voc(tmp_path).table.equals(manifest.table)
    for name in ("loose.jpg", "loose.xml"):
        io.write_bytes(tmp_path / name, _xml())
    assert dict(zip(*map(Manifest.from_voc(tmp_path).column, ("uri", "split")), strict=True))["loose.jpg"] is None


def test_lists_are_splits(tmp_path: Path):
    names = ("a", "b", "c d", "e", "f")
    lists = {
        "train": "a\nb.jpg\n\n",
        "val": "c d\r\n",
        "test": "e  1\n",
        "trainval": "a\nb\nc d\n",
        "cat_train": "f 1\n",
    }
    manifest = Manifest.from_voc(_voc(tmp_path, dict.fromkeys(names, _xml()), **lists))
    assert [row["split"] for row in manifest.table.to_pylist()] == ["train", "train", "val", "test", None]
    assert manifest.n_ignored == 2  # the list for a class, and trainval, which says nothing new


def test_a_list_of_train_and_val_together_is_divided(tmp_path: Path):
    names = [f"{i:03}" for i in range(300)]
    for name in names:
        io.write_bytes(tmp_path / "JPEGImages" / f"{name}.jpg", b"")
        io.write_bytes(tmp_path / "Annotations" / f"{name}.xml", _xml())
    io.write_bytes(tmp_path / "ImageSets" / "Main" / "trainval.txt", "\n".join(names[:290]).encode())
    io.write_bytes(tmp_path / "ImageSets" / "Main" / "test.txt", "\n".join(names[290:]).encode())
    splits = Manifest.from_voc(tmp_path).column("split").tolist()
    assert splits[290:] == ["test"] * 10
    assert splits[:290].count("train") + splits[:290].count("val") == 290
    assert 10 < splits.count("val") < 50


def test_lists_that_do_not_fit_are_refused(tmp_path: Path):
    folder = _voc(tmp_path, dict.fromkeys("abc", _xml()), train="a\nb\nnone\n", test="b\n../x\n")
    with pytest.raises(DataError) as caught:
        Manifest.from_voc(folder)
    assert "2 names in lists match no image" in str(caught.value)
    assert "ImageSets/Main/train.txt: none" in str(caught.value)
    assert "in the lists of several splits: 'JPEGImages/b.jpg'" in str(caught.value)


def test_two_images_of_one_name_are_refused(tmp_path: Path):
    _voc(tmp_path, {"a": _xml()})
    io.write_bytes(tmp_path / "JPEGImages" / "a.png", b"")
    with pytest.raises(DataError, match=r"1 image has the same name as another one: 'JPEGImages/a.png'"):
        Manifest.from_voc(tmp_path)


# -------------------------------------------------------------------------------------------------------- hostile XML

LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]><annotation><object><name>&d;</name></object></annotation>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>
<annotation><object><name>&b;</name></object></annotation>"""
REMOTE = b"""<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/evil.dtd"><annotation/>"""
DEEP = b"<annotation><object>" + b"<part>" * 50_000 + b"</part>" * 50_000 + b"</object></annotation>"


@pytest.mark.parametrize("data", [LAUGHS, OUTSIDE, REMOTE, DEEP, b"", b"<annotation>", b"\xff\xfe\xff", b"<a/><b/>"])
def test_hostile_and_broken_xml_is_refused_by_name(tmp_path: Path, data: bytes):
    folder = _voc(tmp_path, {"good": _xml(), "bad": data})
    with pytest.raises(
        DataError, match=r"1 XML files cannot be read \(DTDs and entities are refused\): .*Annotations/bad"
    ):
        Manifest.from_voc(folder)


def test_an_unknown_encoding(tmp_path: Path):
    folder = _voc(tmp_path, {"a": b'<?xml version="1.0" encoding="klingon"?><annotation/>'})
    with pytest.raises(DataError, match="1 XML files cannot be read"):
        Manifest.from_voc(folder)
    text = '<?xml version="1.0" encoding="iso-8859-1"?><annotation><object><name>Käfer</name></object></annotation>'
    io.write_bytes(folder / "Annotations" / "a.xml", text.encode("latin-1"))
    assert Manifest.from_voc(folder).class_names == ("Käfer",)


# ------------------------------------------------------------------------------------------------------------ written


def _on_disk(manifest: Manifest, folder: Path) -> Manifest:
    """The same manifest with images that are there."""
    for number, uri in enumerate(manifest.column("uri")):
        io.write_bytes(folder / uri, png(noise(number, (48, 64))))
    return Manifest(manifest.table, manifest.class_names, root=str(folder), task="detection")


def test_what_is_written(tmp_path: Path):
    boxes = {"a.png": ([[0, 0, 64, 48], [9, 19.5, 30.25, 40]], ["cat", NAMES[2]]), "b.png": ([], []), "c.png": None}
    manifest = _on_disk(box_manifest(boxes, split=["train", "val", None]), tmp_path / "in")
    manifest.to_voc(tmp_path / "out")
    names = [info.path for info in io.list_files(tmp_path / "out")]
    assert names == [
        *("Annotations/a.xml", "Annotations/b.xml"),
        *("ImageSets/Main/test.txt", "ImageSets/Main/train.txt", "ImageSets/Main/val.txt"),
        *("JPEGImages/a.png", "JPEGImages/b.png", "JPEGImages/c.png"),
    ]
    root = fromstring((tmp_path / "out" / "Annotations" / "a.xml").read_bytes())
    assert root.findtext("filename") == "a.png"
    assert [root.findtext(f"size/{tag}") for tag in ("width", "height", "depth")] == ["64", "48", "3"]
    objects = [[one.findtext("name"), *[value.text for value in one.find("bndbox")]] for one in root.findall("object")]
    assert objects == [["cat", "1", "1", "64", "48"], [NAMES[2], "10", "20.5", "30.25", "40"]]
    assert (tmp_path / "out" / "ImageSets" / "Main" / "train.txt").read_text() == "a\n"
    back = Manifest.from_voc(tmp_path / "out")
    assert boxes_by_name(back) == boxes_by_name(manifest)
    assert [row["split"] for row in rows_by_name(back).values()] == ["train", "val", None]
    with pytest.raises(AlreadyExistsError, match="new folder"):
        manifest.to_voc(tmp_path / "out")


def _comparable(manifest: Manifest, original: Manifest) -> Manifest:
    """With the ids of the original, for copies have other tags. Of images without XML only the split is kept."""
    ids, annotated = original.column("image_id"), original.boxes().annotated
    groups = [
        None if group == own else group for group, own in zip(*map(manifest.column, ("group", "image_id")), strict=True)
    ]
    kept = {"group": groups}
    if "site" in manifest.table.column_names:
        kept["site"] = manifest.column("site").tolist()
    manifest = manifest.with_column("image_id", ids)
    for name, values in kept.items():
        said = [value if known else None for value, known in zip(values, annotated, strict=True)]
        manifest = manifest.with_column(name, pa.array(said, pa.string()))
    return manifest


@given(manifests(finite=False))
def test_any_manifest_is_read_back_from_voc(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest):
    folder = tmp_path_factory.mktemp("voc")
    manifest = _on_disk(manifest, folder / "in")
    if not any(manifest.boxes().annotated):
        manifest = manifest.with_boxes({manifest.column("image_id")[0]: ([], [])})
    back = Manifest.from_voc(manifest.to_voc(folder / "out"), class_names=NAMES)
    np.testing.assert_array_equal(back.boxes().boxes_xyxy, manifest.boxes().boxes_xyxy)
    same = _comparable(back, manifest)
    assert same == _comparable(manifest, manifest)
    assert same.counts() == manifest.counts()


def test_names_that_clash(tmp_path: Path):
    boxes = {"x/a.png": ([[1, 1, 2, 2]], ["cat"]), "y/A.png": ([[1, 1, 3, 3]], ["cat"]), "y/a.jpg": ([], [])}
    manifest = _on_disk(box_manifest(boxes), tmp_path / "in")
    back = Manifest.from_voc(manifest.to_voc(tmp_path / "out"))
    assert sorted(map(str, boxes_by_name(back).values())) == sorted(map(str, boxes_by_name(manifest).values()))
    assert len({name.casefold().rpartition(".")[0] for name in rows_by_name(back)}) == 3


@pytest.mark.parametrize("name", ["a\0b", "a\x1fb", " cat", "cat\n", "\ud800"])
def test_texts_that_cannot_stand_in_xml(tmp_path: Path, name: str):
    try:
        manifest = _on_disk(box_manifest({"a.png": ([[1, 1, 2, 2]], [name])}, names=(name,)), tmp_path / "in")
    except UnicodeEncodeError:
        return  # a manifest cannot hold it
    with pytest.raises(DataError, match="is not allowed in XML as <name>"):
        manifest.to_voc(tmp_path / "out")


def test_columns_that_cannot_be_elements(tmp_path: Path):
    manifest = _on_disk(box_manifest({"a.png": ([], [])}), tmp_path / "in")
    with pytest.raises(DataError, match="'odd name' is not a valid name of an XML element"):
        manifest.with_column("odd name", ["x"]).to_voc(tmp_path / "out")
    with pytest.raises(DataError, match="'when' contain values other than numbers and texts"):
        manifest.with_column("when", np.array(["2024-01-01"], "datetime64[s]")).to_voc(tmp_path / "out")
    with pytest.raises(ConfigError, match="has no boxes"):
        Manifest(manifest.table.select(["image_id", "uri"]), root=manifest.root).to_voc(tmp_path / "out")


def test_real_annotations(tmp_path: Path, data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here; the layouts above are the same")
    folder = data_dir / "detection" / "bccd"
    manifest = Manifest.from_voc(folder)
    counts = {name: sum(by_split.values()) for name, by_split in manifest.counts().items()}
    assert counts == {"Platelets": 361, "RBC": 4155, "WBC": 372}
    assert [len(manifest.select(split=split)) for split in ("train", "val", "test")] == [205, 87, 72]
    assert len(manifest) == 364
    xml = fromstring((folder / "Annotations" / "BloodImage_00000.xml").read_bytes())
    expected = [
        [
            int(box.findtext("xmin")) - 1,
            int(box.findtext("ymin")) - 1,
            int(box.findtext("xmax")),
            int(box.findtext("ymax")),
        ]
        for box in xml.iter("bndbox")
    ]
    assert rows_by_name(manifest)["BloodImage_00000.jpg"]["boxes_xyxy"] == expected
    back = Manifest.from_voc(manifest.to_voc(tmp_path / "out"))
    ids = {name: back.column(name) for name in ("image_id", "group")}
    copied = manifest.with_column("image_id", ids["image_id"]).with_column("group", ids["group"])
    assert back == copied


def test_names_that_are_no_text(tmp_path: Path):
    _voc(tmp_path, {"a": _xml()})
    (tmp_path / "JPEGImages" / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    with pytest.raises(DataError, match=r"1 file name in .* is not UTF-8 text"):
        Manifest.from_voc(tmp_path)
