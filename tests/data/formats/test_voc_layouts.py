"""Pascal VOC as people have it: trees of a few files, each with the images, splits and boxes that are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from onlineml.data.formats.format import Source
from onlineml.data.formats.voc.read import read_voc
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from onlineml.storage import io
from picture_files import png

if TYPE_CHECKING:
    from pathlib import Path

Tree = dict[str, str | None]


def _xml(filename: str = "", path: str = "", box: str = "") -> bytes:
    """An annotation with one box from 0, 0 to 9, 9, or with the elements that are given."""
    corners = box or "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    named = f"<filename>{filename}</filename>" * bool(filename) + f"<path>{path}</path>" * bool(path)
    return f"<annotation>{named}<object><name>cat</name>{corners}</object></annotation>".encode()


def _grow(folder: Path, names: str, **contents: bytes) -> Path:
    """Files by name, one or several in a line; ``name.xml=said.jpg`` is an annotation that says so."""
    for word in filter(None, (line.strip(" ") for line in names.replace(";", "\n").splitlines())):
        name, _, said = word.partition("=")
        data = contents.get(name.rpartition("/")[2].replace(".", "_"))
        is_xml = name.strip().lower().endswith(".xml")
        io.write_bytes(folder / name, data if data is not None else _xml(said) if is_xml else b"x")
    return folder


# in the order: names of files; what is expected as "image split, ..." ('?' for no split, '#' by hash, '-' unannotated)
LAYOUTS = {
    "raccoon": ("images/a.jpg; annotations/a.xml", "images/a.jpg #"),
    "annots": ("images/a.jpg; annots/a.xml", "images/a.jpg #"),
    "labels": ("Images/a.jpg; Labels/a.xml", "Images/a.jpg #"),
    "xmls": ("IMGS/a.JPG; XMLs/a.XML", "IMGS/a.JPG #"),
    "beside": ("a.jpg; a.xml; b.PNG; b.xml", "a.jpg #, b.PNG #"),
    "keras-yolo3": (
        "train_image_folder/a.jpg; train_annot_folder/a.xml; valid_image_folder/b.jpg; valid_annot_folder/b.xml",
        "train_image_folder/a.jpg train, valid_image_folder/b.jpg val",
    ),
    "split folders around both": (
        "train/images/a.jpg; train/annots/a.xml; test/images/a.jpg; test/annots/a.xml",
        "test/images/a.jpg test, train/images/a.jpg train",
    ),
    "split folders inside": (
        "images/train/a.jpg; annotations/train/a.xml; images/validation/b.jpg; annotations/validation/b.xml",
        "images/train/a.jpg train, images/validation/b.jpg val",
    ),
    "Roboflow": (
        "train/a_jpg.rf.1f.jpg; train/a_jpg.rf.1f.xml; valid/b_jpg.rf.2e.jpg; valid/b_jpg.rf.2e.xml; README.txt",
        "train/a_jpg.rf.1f.jpg train, valid/b_jpg.rf.2e.jpg val",
    ),
    "only a test folder": ("test/a.jpg; test/a.xml", "test/a.jpg test"),
    "microcontroller": (
        "train/a.jpg; train/a.xml; test/b.jpg; test/b.xml; train_labels.csv; test_labels.csv; logo.png",
        "test/b.jpg test, train/a.jpg train",
    ),
    "a folder above": ("signs/photos/a.jpg; signs/annotation/a.xml", "signs/photos/a.jpg #"),
    "several years": (
        """VOCdevkit/VOC2007/JPEGImages/000001.jpg; VOCdevkit/VOC2007/Annotations/000001.xml
        VOCdevkit/VOC2012/JPEGImages/000001.jpg; VOCdevkit/VOC2012/Annotations/000001.xml
        VOCdevkit/VOC2007/ImageSets/Main/train.txt; VOCdevkit/VOC2012/ImageSets/Main/test.txt
        VOCdevkit/VOC2012/SegmentationClass/000001.png; VOCdevkit/VOC2012/ImageSets/Main/cat_test.txt""",
        "VOCdevkit/VOC2007/JPEGImages/000001.jpg train, VOCdevkit/VOC2012/JPEGImages/000001.jpg test",
    ),
    "a mask is no photo": (
        """JPEGImages/a.jpg; Annotations/a.xml; Annotations/b.xml; SegmentationClass/a.png; SegmentationClass/b.png
        ImageSets/Segmentation/val.txt""",
        "JPEGImages/a.jpg #",
    ),
    "of another split": (
        "train/images/a.jpg; train/xml/a.xml; train/xml/b.xml; test/b.jpg",
        "test/b.jpg test-, train/images/a.jpg train",
    ),
    "lists of nested names": (
        "JPEGImages/f/1.jpg; JPEGImages/g/1.jpg; Annotations/f/1.xml; Annotations/g/1.xml; ImageSets/Main/val.txt",
        "JPEGImages/f/1.jpg ?, JPEGImages/g/1.jpg val",
    ),
    "lists at the top, with paths": (
        "JPEGImages/000001.jpg; Annotations/000001.xml; JPEGImages/b.jpg; Annotations/b.xml; train_list.txt",
        "JPEGImages/000001.jpg train, JPEGImages/b.jpg ?",
    ),
    "one folder of images, XML elsewhere": ("pool/x/a.jpg; work/round 2/a.xml", "pool/x/a.jpg #"),
    "another name": ("images/a.jpg; annots/1.xml=a.jpg", "images/a.jpg #"),
    "the stem wins": ("images/a.jpg; images/b.jpg; annots/a.xml=b.jpg", "images/a.jpg #, images/b.jpg #-"),
    "a filename without extension": ("images/a b.jpg; annots/1.xml=a b", "images/a b.jpg #"),
    "a filename with that of XML": ("images/a.jpg; annots/1.xml=a.xml", "images/a.jpg #"),
    "one of Windows": ("images/a.jpg; annots/1.xml=C:\\photos\\a.jpg", "images/a.jpg #"),
    "blanks at the ends": ("images/a .jpg; annots/a.xml", "images/a .jpg #"),
    "a, decomposed": ("images/a\u0308.jpg; annots/\u00e4.xml", "images/a\u0308.jpg #"),
    "named like the whole image": ("a.jpg; a.jpg.xml; a.png; a.png.xml", "a.jpg #, a.png #"),
    "two extensions, one is named": ("im/a.jpg; im/a.png; im/a.xml=a.png", "im/a.jpg #-, im/a.png #"),
    "images nobody annotated": (
        "train/images/a.jpg; train/xml/a.xml; test/images/t.jpg",
        "test/images/t.jpg test-, train/images/a.jpg train",
    ),
    "junk": (
        "images/a.jpg; annots/a.xml; images/@eaDir/a.jpg; __MACOSX/annots/a.xml; .idea/misc.xml",
        "images/a.jpg #",
    ),
    "other XML": ("images/a.jpg; annots/a.xml; b/settings.xml", "images/a.jpg #"),
    "an older copy": ("images/a.jpg; annots/a.xml; backup/annots/a.xml=b.jpg", "images/a.jpg #"),
}
LISTS = {
    "train_txt": b"000001\n",
    "test_txt": b"000001  1\n",
    "val_txt": b"g/1\r\n\r\n",
    "train_list_txt": b"./JPEGImages/000001.jpg Annotations/000001.xml\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str):
    names, expected = LAYOUTS[name]
    root = tmp_path / "set"
    _grow(root, names, settings_xml=b"<settings/>", **LISTS)

    manifest = Manifest.from_any(root, task="detection")

    rows = manifest.table.select(["uri", "split", "boxes_xyxy", "labels"]).to_pylist()
    found = []
    for row in rows:
        split = "#" if expected.endswith(("#", "#-")) else row["split"] or "?"
        found.append(f"{row['uri']} {split}{'-' if row['labels'] is None else ''}")
        assert (row["boxes_xyxy"], row["labels"]) in [([[0, 0, 9, 9]], ["cat"]), (None, None)]
    assert ", ".join(found) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            "images/a.jpg; annots/b.xml=c.jpg",
            r"'images/a.jpg', and 'annots/b.xml', whose <filename> is 'c.jpg'; set images=",
        ),
        (
            "images/a.jpg; images/a.png; annots/a.xml",
            "1 image has the same name as another one: 'images/a.png'; name the",
        ),
        ("images/a.jpg; xmls/a.xml; labels/a.xml", r"images/a.jpg: labels/a.xml or xmls/a.xml.*; set annotations="),
        (
            "JPEGImages/a.jpg; Annotations/a.xml; ImageSets/Main/train.txt",
            "train.txt: none of its 1 lines names an image",
        ),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_parameter_that_settles_it(tmp_path: Path, names: str, message: str):
    _grow(tmp_path, names, **LISTS)
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path, task="detection")


def test_the_folders_may_be_given(tmp_path: Path):
    _grow(tmp_path, "data/old/a.jpg; data/new/a.jpg; data/first/a.xml; data/second/a.xml=b.jpg; data/new/logo.png")
    manifest = Manifest.from_voc(tmp_path / "data", images="new", annotations="second")
    assert manifest.column("uri").tolist() == ["new/a.jpg", "new/logo.png"]
    assert manifest.root == str(tmp_path / "data")
    elsewhere = Manifest.from_voc(tmp_path / "data/first", images=tmp_path / "data/old")
    assert (elsewhere.root, elsewhere.column("uri").tolist()) == (str(tmp_path / "data/old"), ["a.jpg"])
    _grow(tmp_path, "photos/c.jpg; checked/c.xml")
    apart = Manifest.from_voc(tmp_path / "photos", annotations=tmp_path / "checked")
    assert (apart.root, apart.column("uri").tolist()) == (str(tmp_path / "photos"), ["c.jpg"])


@pytest.mark.parametrize(
    ("box", "expected", "note"),
    [
        # hand-computed: 40 by 20 turned by a quarter is 20 by 40 around the same centre
        ("<robndbox><cx>50</cx><cy>30</cy><w>40</w><h>20</h><angle>0</angle></robndbox>", [30, 20, 70, 40], "rotated"),
        (
            "<robndbox><cx>50</cx><cy>30</cy><w>40</w><h>20</h><angle>1.5707963267948966</angle></robndbox>",
            [40, 10, 60, 50],
            "rotated",
        ),
        (
            "<polygon><x1>5</x1><y1>9</y1><x2>20</x2><y2>3</y2><x3>7</x3><y3>12</y3></polygon>",
            [4, 2, 20, 12],
            "polygons",
        ),
        ("<polygon><pt><x>5</x><y>9</y></pt><pt><x>20</x><y>3</y></pt></polygon>", [4, 2, 20, 9], "polygons"),
        ("<bndbox><x0>2</x0><y0>3</y0><x1>8</x1><y1>3</y1><x2>9</x2><y2>7</y2></bndbox>", [1, 2, 9, 7], "polygons"),
    ],
)
def test_other_shapes_become_the_boxes_around_them(tmp_path: Path, box: str, expected: list[float], note: str):
    _grow(tmp_path, "images/a.jpg; images/b.jpg; annots/a.xml; annots/b.xml", a_xml=_xml(box=box), b_xml=_xml(box=box))
    parts = read_voc(Source(tmp_path), holds="boxes_xyxy")
    assert parts.table["boxes_xyxy"][0].as_py() == [pytest.approx(expected)]
    assert sum(note in told for told in parts.notes) == 1  # told once


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str):
    declared = b"" if encoding == "utf-16" else b'<?xml version="1.0" encoding="utf-8"?>'
    text = (declared + _xml("a.jpg")).decode()
    _grow(tmp_path, "a.jpg; a.xml", a_xml=text.encode(encoding))
    assert len(Manifest.from_any(tmp_path, task="detection").boxes()) == 1
    _grow(tmp_path, "a.xml", a_xml=b"\n " + text.encode())
    assert len(Manifest.from_any(tmp_path, task="detection").boxes()) == 1


def test_what_is_told(tmp_path: Path):
    _grow(
        tmp_path,
        "train/images/a.jpg; train/annots/a.xml; train/annots/gone.xml; train/images/new.jpg; b/settings.xml\n"
        "train/images/c.jpg; train/annots/1.xml=c.jpg; docs/figure.png",
        settings_xml=b"<settings/>",
    )
    parts = read_voc(Source(tmp_path), holds="boxes_xyxy")
    assert parts.notes == (
        "read as Pascal VOC from train/annots/*.xml",
        "1 XML files are no annotations of VOC and are left out: 'b/settings.xml'",
        "XML files were matched to images: 1 by name and folder, 1 by the name that the file says",
        "1 XML file matches no image (left out): 'train/annots/gone.xml'",
        "1 picture is left out, in folders without annotations: 'docs/figure.png'",
        "1 image has no XML file, and so no annotation: 'train/images/new.jpg'",
    )
    assert parts.n_ignored == 3


@pytest.mark.parametrize(
    ("name", "counts", "boxes"), [("raccoon", {"all": 200}, 217), ("microcontroller", {"train": 142, "test": 7}, 177)]
)
def test_real_sets_as_they_are(data_dir: Path | None, name: str, counts: dict[str, int], boxes: int):
    if data_dir is None or not (data_dir / "wild" / name).exists():
        pytest.skip("no real images here; the layouts above are the same")
    manifest = Manifest.from_any(data_dir / "wild" / name, task="detection")
    assert len(manifest) == sum(counts.values())
    assert len(manifest.boxes()) == boxes
    assert all(len(manifest.select(split=split)) == n for split, n in counts.items() if split != "all")
    assert len(manifest.class_names) == {"raccoon": 1, "microcontroller": 4}[name]


@pytest.mark.parametrize(
    ("first", "given", "expected"),
    [
        ("0 0 9 9", None, [[0, 0, 9, 9], [2, 3, 4, 5], [6, 6, 6, 7]]),  # a corner of 0: counted from 0
        ("1 1 9 9", None, [[0, 0, 9, 9], [1, 2, 4, 5], [5, 5, 5, 7]]),  # as the specification has it
        ("0 0 9 9", 1, [[-1, -1, 9, 9], [1, 2, 4, 5], [5, 5, 5, 7]]),
        ("1 1 9 9", 0, [[1, 1, 9, 9], [2, 3, 4, 5], [6, 6, 6, 7]]),
    ],
)
def test_the_first_pixel_is_0_where_a_corner_is_0(
    first: str, given: int | None, expected: list[list[float]], tmp_path: Path
) -> None:
    objects = []
    for corners in (first, "2 3 4 5", "6 6 6 7"):
        tags = zip(("xmin", "ymin", "xmax", "ymax"), corners.split(), strict=True)
        box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
        objects.append(f"<object><name>cat</name><bndbox>{box}</bndbox></object>")
    (tmp_path / "a.png").write_bytes(png(np.zeros((10, 10, 3), np.uint8)))
    (tmp_path / "a.xml").write_text(f"<annotation>{''.join(objects)}</annotation>")
    found = Manifest.from_voc(tmp_path, first_pixel=given)
    assert found.boxes().boxes_xyxy.tolist() == expected
    assert ("counted from 0" in found.summary()) == (first[0] == "0" and given is None)
