"""Tables of boxes as people have them: each is read by `from_any` as it was meant, or refused with what settles it.

All images are 64 pixels wide and 48 high. Expected boxes are worked out by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from defusedxml.ElementTree import fromstring

from box_files import boxes_by_name
from onlineml.data.formats.format import Place
from onlineml.data.formats.registry import formats
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError
from onlineml.storage.location import Location
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
CAT = ([8.0, 6.0, 24.0, 18.0], "cat")
DOG = ([32.0, 12.0, 64.0, 48.0], "dog")


def lay(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files; those without content are images, of which no two are alike."""
    for number, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data or png(noise(number, (48, 64))))
    return folder


def read(url: Path, **options: Any) -> Manifest:
    return Manifest.from_any(url, task="detection", **options)


# ------------------------------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    "text",
    [
        TENSORFLOW + "a.png,64,48,cat,8,6,24,18\na.png,64,48,dog,32,12,64,48\n",
        "image,xmin,ymin,xmax,ymax,label\na.png,8.0,6.0,24.0,18.0,cat\na.png,32,12,64,48,dog\n",
        "image_path,xmin,ymin,xmax,ymax,label\na.png,8,6,24,18,cat\na.png,32,12,64,48,dog\n",
        "Image Name, X_Min , Y_Min , X_Max , Y_Max , Class\na.png, 8, 6, 24, 18, cat\na.png, 32, 12, 64, 48, dog\n",
        "file,category,xtl,ytl,xbr,ybr\na.png,cat,8,6,24,18\na.png,dog,32,12,64,48\n",
        "img;klass;Left;Top;Right;Bottom;label\na.png;1;8;6;24;18;cat\na.png;2;32;12;64;48;dog\n",
        "file\tname\tx\ty\tw\th\na.png\tcat\t8\t6\t16\t12\na.png\tdog\t32\t12\t32\t36\n",
        (
            "image_name,label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_width,image_height\n"
            "a.png,cat,8,6,16,12,64,48\na.png,dog,32,12,32,36,64,48\n"
        ),
        "image_id,class,left,top,width,height\na,cat,8,6,16,12\na,dog,32,12,32,36\n",
        "filename,class,x_center,y_center,width,height\na.png,cat,16,12,16,12\na.png,dog,48,30,32,36\n",
        (
            "Filename;Annotation tag;Upper left corner X;Upper left corner Y;Lower right corner X;"
            "Lower right corner Y\n"
            "a.png;cat;8;6;24;18\na.png;dog;32;12;64;48\n"
        ),
        "path,label,x1,y1,x2,y2\nC:\\Users\\me\\set\\a.png,cat,8,6,24,18\n/home/me/a.png,dog,32,12,64,48\n",
        "a.png,8,6,24,18,cat\na.png,32,12,64,48,dog\n",  # keras-retinanet
        "location , x1, y1, x2, y2, class_name\na.png, 8, 6, 24, 18, cat\na.png, 32, 12, 64, 48, dog\n",
        "https://lab.org/set/a.png,8,6,24,18,cat\ngs://lab/a.png,32,12,64,48,dog\n",
        "a.png,8,6,24,18,cat,64,48\na.png,32,12,64,48,dog,64,48\n",  # SKU-110K
        "cat,8,6,16,12,a.png,64,48\ndog,32,12,32,36,a.png,64,48\n",  # make-sense
        "filename;class;x1;y1;x2;y2\na.png;cat;8,0;6,0;24,0;18,0\na.png;dog;32,0;12,0;64,0;48,0\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_columns_of_other_tools(tmp_path: Path, text: str, encoding: str) -> None:
    lay(tmp_path, {"a.png": "", "labels.csv": text.encode(encoding)})
    manifest = read(tmp_path / "labels.csv")
    assert boxes_by_name(manifest) == {"a.png": [CAT, DOG]}
    assert manifest.class_names == ("cat", "dog")


def test_images_without_objects_and_classes_of_keras_retinanet(tmp_path: Path) -> None:
    text = "a.png,8,6,24,18,cat\nb.png,,,,,\n"
    lay(tmp_path, {"a.png": "", "b.png": "", "annotations.csv": text, "classes.csv": "dog,0\nbird,1\ncat,2\n"})
    manifest = read(tmp_path)
    assert boxes_by_name(manifest) == {"a.png": [CAT], "b.png": []}
    assert manifest.class_names == ("dog", "bird", "cat")


def test_the_first_row_of_an_image_without_objects_is_no_header(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": "", "b.png": "", "t.csv": "b.png,,,,,\na.png,8,6,24,18,cat\n"})
    assert boxes_by_name(read(tmp_path / "t.csv")) == {"a.png": [CAT], "b.png": []}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_of_four_numbers_that_fit_one_meaning_only(tmp_path: Path, kind: str) -> None:
    boxes = [[40.0, 6.0, 16.0, 12.0], [32.0, 12.0, 32.0, 36.0]]  # as corners they would end before they begin
    frame = pd.DataFrame({"image_id": ["a", "a"], "bbox": boxes if kind == "parquet" else list(map(str, boxes))})
    frame["class"] = ["cat", "dog"]
    lay(tmp_path, {"a.png": ""})
    (frame.to_csv if kind == "csv" else frame.to_parquet)(tmp_path / f"t.{kind}", index=False)
    manifest = read(tmp_path / f"t.{kind}")
    assert boxes_by_name(manifest) == {"a.png": [([40, 6, 56, 18], "cat"), DOG]}
    assert any("bbox are xywh" in note for note in manifest.notes)


def test_a_column_of_four_numbers_that_fit_two_meanings_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": 'image_id,label,bbox\na,cat,"[8, 6, 24, 18]"\n'})
    with pytest.raises(DataError, match=r"'bbox' of .*t\.csv may be any of xyxy, xywh.* say which by box="):
        read(tmp_path / "t.csv")
    corners = Manifest.from_boxes(tmp_path / "t.csv", box="xyxy")
    sized = Manifest.from_boxes(tmp_path / "t.csv", box="xywh")
    assert boxes_by_name(corners) == {"a.png": [CAT]}
    assert boxes_by_name(sized) == {"a.png": [([8, 6, 32, 24], "cat")]}
    with pytest.raises(ConfigError, match="box='yxyx': expected the names of four columns, or one of xyxy"):
        Manifest.from_boxes(tmp_path / "t.csv", box="yxyx")


def test_a_table_without_labels_needs_one_word(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": "image_id,source,x,y,w,h\na,usask,8,6,16,12\n"})
    with pytest.raises(DataError, match=r"has no column 'label'.*'source'.*label='' if all boxes are of one class"):
        read(tmp_path / "t.csv")
    assert boxes_by_name(Manifest.from_boxes(tmp_path / "t.csv", label="")) == {"a.png": [(CAT[0], "object")]}
    assert boxes_by_name(Manifest.from_boxes(tmp_path / "t.csv", label="source")) == {"a.png": [(CAT[0], "usask")]}


@pytest.mark.parametrize("name", ["path", "label", "split", "group"])
def test_a_column_that_is_named_must_be_there(tmp_path: Path, name: str) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": "path,label,x1,y1,x2,y2\na.png,cat,1,2,3,4\n"})
    with pytest.raises(DataError, match=r"has no columns? 'other'"):
        Manifest.from_boxes(tmp_path / "t.csv", **{name: "other"})


def test_widths_before_a_point_are_the_images(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": "filename,width,height,class,x,y\na.png,64,48,cat,8,6\n"})
    with pytest.raises(DataError, match=r"set the corners' columns with box="):
        Manifest.from_boxes(tmp_path / "t.csv")


def test_labels_that_differ_in_blanks_are_one_class_and_folds_are_no_splits(tmp_path: Path) -> None:
    text = "path,label,x1,y1,x2,y2,fold\na.png,Ka\u0308fer,1,2,3,4,0\na.png, K\u00e4fer ,5,6,7,8,4\n"
    lay(tmp_path, {"a.png": "", "t.csv": text})
    manifest = read(tmp_path / "t.csv")
    assert manifest.class_names == ("K\u00e4fer",)
    assert any("1 label differs from others in Unicode form" in note for note in manifest.notes)
    assert manifest.column("fold")[0] == [0, 4]


def test_a_first_row_with_a_number_twice_is_no_header(tmp_path: Path) -> None:
    lay(tmp_path, {"k/a.png": "", "t.csv": "k\\a.png,8,8,38,38,cat\r\n"})
    assert boxes_by_name(read(tmp_path)) == {"a.png": [([8, 8, 38, 38], "cat")]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('image,label,boxes\na.png,x,"[[1,2,3,4],[5,6,7,8]]"\n', r"boxes is not four numbers \(line: value\): '2: "),
        ("image;label;x1;y1;x2;y2\na.png;x;1,024;2;3;4\n", r"x1 is no number \(line: value\): '2: 1,024'"),
        ("image,label,x1,y1,x2,y2,x1\na.png,x,1,2,3,4,5\n", r"several columns of the same name: 'x1'"),
        ("image,label,x1,y1,x2,y2\na.png,K\xe4fer,1,2,3,4\n", r"t\.csv, line 2: the byte 0xE4 at 31 is not UTF-8"),
    ],
)
@pytest.mark.parametrize("url", ["", "t.csv"])
def test_refusals_of_a_file_and_of_its_folder(tmp_path: Path, text: str, message: str, url: str) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": text.encode("latin-1")})
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path / url)


def test_names_in_another_unicode_form_and_images_in_no_table(tmp_path: Path) -> None:
    text = "image,label,x1,y1,x2,y2\n\u00fc #1%.png,x,1,2,3,4\n"
    manifest = read(lay(tmp_path, {"i/u\u0308 #1%.png": "", "i/b.png": "", "t.csv": text}))
    assert manifest.column("uri").tolist() == ["i/u\u0308 #1%.png"]
    assert "1 image is in no table, and left out: 'i/b.png'" in manifest.notes


# -------------------------------------------------------------------------------------------------------------- shares


@pytest.mark.parametrize("sized", [True, False])
def test_shares_become_pixels(tmp_path: Path, sized: bool) -> None:
    # of 64 by 48 pixels an eighth is 8 and 6, three eighths are 24 and 18
    head, size = ("width,height,", "64,48,") if sized else ("", "")
    text = (
        f"filename,{head}class,xmin,ymin,xmax,ymax\na.png,{size}cat,.125,.125,.375,.375\na.png,{size}dog,.5,.25,1,1\n"
    )
    lay(tmp_path, {"a.png": "", "t.csv": text})
    manifest = read(tmp_path / "t.csv")
    assert boxes_by_name(manifest) == {"a.png": [CAT, DOG]}
    assert any("boxes are shares of their images" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ("0,0,.5,.5", [0, 0, 32, 24]),  # as a centre it would begin outside of the image
        ("1,.5,.25,.5", None),  # nothing fits
        (".75,.5,.5,.5", [32, 12, 64, 36]),  # as a corner it would end outside
        (".25,.25,.25,.25", None),  # both fit
    ],
)
def test_shares_of_a_corner_or_a_centre_are_told_apart_by_the_images(
    tmp_path: Path, numbers: str, expected: list[float] | None
) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": f"file,class,x,y,w,h\na,cat,{numbers}\n"})
    if expected is None:
        with pytest.raises(DataError, match=r"may be any of xywh, cxcywh.*say which by box='cxcywh'"):
            read(tmp_path / "t.csv")
    else:
        assert boxes_by_name(read(tmp_path / "t.csv")) == {"a.png": [(expected, "cat")]}


def test_shares_among_pixels_are_refused_by_their_lines(tmp_path: Path) -> None:
    rows = "a.png,64,48,cat,.1,.1,.4,.4\n" * 3 + "a.png,64,48,cat,10,10,40,40\n"
    lay(tmp_path, {"a.png": "", "t.csv": TENSORFLOW + rows})
    with pytest.raises(DataError, match=r"3 boxes of .* are in shares .*, and 1 box in pixels: line 5"):
        read(tmp_path / "t.csv")


def test_tiny_boxes_of_ours_stay_pixels(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": "path,label,x1,y1,x2,y2,units\na.png,cat,.1,.1,.4,.4,pixels\n"})
    manifest = read(tmp_path / "t.csv")
    assert boxes_by_name(manifest) == {"a.png": [([0.1, 0.1, 0.4, 0.4], "cat")]}
    assert read(tmp_path / manifest.to_boxes(tmp_path / "u.csv")) == manifest


def test_boxes_that_end_before_they_begin_are_told(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": "path,label,x1,y1,x2,y2\na.png,cat,40,30,16,12\n"})
    assert any("1 box" in note and "box=" in note for note in read(tmp_path / "t.csv").notes)


# ------------------------------------------------------------------------------------------------------------- layouts


def row(name: str) -> str:
    return f"{name},64,48,cat,8,6,24,18\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (  # Roboflow
            {f"{split}/_annotations.csv": TENSORFLOW + row(f"{split}.png") for split in ("train", "valid", "test")}
            | {f"{split}/{split}.png": "" for split in ("train", "valid", "test")},
            {"train/train.png": "train", "valid/valid.png": "val", "test/test.png": "test"},
        ),
        (  # the same names in each folder
            {"train_labels.csv": TENSORFLOW + row("a.png"), "test_labels.csv": TENSORFLOW + row("a.png")}
            | {"images/train/a.png": "", "images/test/a.png": ""},
            {"images/train/a.png": "train", "images/test/a.png": "test"},
        ),
        (  # and a table of all
            {"data/train_labels.csv": TENSORFLOW + row("a.png"), "data/test_labels.csv": TENSORFLOW + row("b.png")}
            | {"data/all_labels.csv": TENSORFLOW + row("a.png") + row("b.png"), "data/labelmap.csv": "id,name\n1,cat\n"}
            | {"pictures/a.png": "", "pictures/b.png": ""},
            {"pictures/a.png": "train", "pictures/b.png": "test"},
        ),
        (  # one table, images in folders of splits
            {"labels.csv": TENSORFLOW + row("a.png") + row("b.png"), "train/a.png": "", "test/b.png": ""},
            {"train/a.png": "train", "test/b.png": "test"},
        ),
    ],
)
def test_tables_of_splits(tmp_path: Path, files: dict[str, str], expected: dict[str, str]) -> None:
    manifest = read(lay(tmp_path, files))
    rows = manifest.table.select(["uri", "split"]).to_pylist()
    assert {own["uri"]: own["split"] for own in rows} == expected
    assert manifest.column("boxes_xyxy").tolist() == [[CAT[0]]] * len(expected)


def test_images_beside_the_folder_of_the_table(tmp_path: Path) -> None:
    lay(tmp_path, {"images/a.png": "", "data/labels.csv": TENSORFLOW + row("a.png") + row("gone.png")})
    manifest = read(tmp_path / "data" / "labels.csv")
    assert manifest.column("uri").tolist() == ["images/a.png", "gone.png"]
    assert manifest.root == str(tmp_path)
    assert any("1 image is named but not there: 'gone.png'" in note for note in manifest.notes)
    assert any("beside it" in note for note in manifest.notes)


def test_a_table_of_further_images_among_tables_of_splits_is_refused(tmp_path: Path) -> None:
    tables = {"train.csv": TENSORFLOW + row("a.png"), "more.csv": TENSORFLOW + row("b.png")}
    lay(tmp_path, {"a.png": "", "b.png": "", **tables})
    with pytest.raises(DataError, match=r"more\.csv names no split, and 1 of its images are not in train\.csv"):
        read(tmp_path)


def test_a_name_that_fits_two_images_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, {"x/a.png": "", "y/a.png": "", "t.csv": TENSORFLOW + row("a.png")})
    with pytest.raises(DataError, match=r"1 name fits several images: 'a\.png: x/a\.png or y/a\.png'; set root="):
        read(tmp_path / "t.csv")


def test_labels_and_boxes_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    lay(
        tmp_path, {"boxes.csv": TENSORFLOW + row("a.png"), "labels.csv": "filename,width,height,class\na.png,6,4,cat\n"}
    )
    pa.parquet.write_table(
        pa.table({"path": ["a"], "bbox": [[1, 2, 3, 4]], "label": ["c"]}), tmp_path / "boxes.parquet"
    )
    found = {}
    for name in ("boxes.csv", "labels.csv", "boxes.parquet"):
        place = Place(Location(str(tmp_path / name), None))
        found[name] = next(key for key, one in formats().items() if one.detect(place) is not None)
    assert found == {"boxes.csv": "boxes", "labels.csv": "table", "boxes.parquet": "boxes"}


def test_bad_rows_of_a_table_without_header_are_named_by_their_lines(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": "", "t.csv": "a.png,1,2,3,4,cat\na.png,1,2,x,4,cat\n"})
    with pytest.raises(DataError, match=r"1 value of x2 is no number \(line: value\): '2: x'"):
        read(tmp_path / "t.csv")


# ------------------------------------------------------------------------------------------------------------- written


def test_tensorflow_csv(tmp_path: Path) -> None:
    lay(
        tmp_path, {"images/a.png": "", "images/b.png": "", "t.csv": TENSORFLOW + row("images/a.png") + "b.png,,,,,,,\n"}
    )
    manifest = read(tmp_path / "t.csv")
    where = manifest.export(tmp_path / "out.csv", format="tensorflow_csv")
    frame = pd.read_csv(where)
    assert frame.columns.tolist() == TENSORFLOW.strip().split(",")
    assert frame.iloc[0].tolist() == ["images/a.png", 64, 48, "cat", 8, 6, 24, 18]
    assert boxes_by_name(read(tmp_path / "out.csv")) == boxes_by_name(manifest) == {"a.png": [CAT], "b.png": []}


# ----------------------------------------------------------------------------------------------------------- real data


def test_tables_hold_the_numbers_of_their_xml(data_dir: Path | None) -> None:
    if data_dir is None:
        pytest.skip("needs the real data")
    table = boxes_by_name(read(data_dir / "wild" / "raccoon" / "data"))
    assert len(table) == 200
    for path in (data_dir / "wild" / "raccoon" / "annotations").glob("*.xml"):
        root = fromstring(path.read_bytes())
        boxes = [[float(corner.text or "") for corner in box] for box in root.iter("bndbox")]
        assert sorted(box for box, _ in table[str(root.findtext("filename"))]) == sorted(boxes)
