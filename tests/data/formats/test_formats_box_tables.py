"""Tables with a row per box: as users write them, every bad row named, and everything read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given

from box_files import NAMES, box_manifest, boxes_by_name, manifests, rows_by_name, write_images
from late import Late
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import stable_split
from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

pd = Late("pandas")

ROOT = "http://nowhere.invalid/photos"  # a store that cannot be listed: no image need be there


def _read(folder: Path, text: str, **options: Any) -> Manifest:
    (folder / "boxes.csv").write_text(text)
    return Manifest.from_boxes(folder / "boxes.csv", **{"root": ROOT, **options})


# --------------------------------------------------------------------------------------------------------------- read


def test_a_table_of_nothing(tmp_path: Path):
    manifest = _read(tmp_path, "path,label,x1,y1,x2,y2\n")
    assert (len(manifest), len(manifest.boxes()), manifest.class_names, manifest.task) == (0, 0, (), "detection")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_boxes_on_any_store(store: Store, kind: str):
    write_images(store, "photos/a.png", "photos/b.png", "photos/c.png")
    table = pd.DataFrame(
        [
            ("photos/b.png", "10", 0.1, 2, 30.5, 40),
            ("photos/a.png", None, None, None, None, None),
            ("./photos//b.png", "9", 0, 0, 64, 48),
            ("photos/c.png", "10", -1, np.nan, 3, 4),
            ("photos/c.png", None, 1, 2, 3, 4),
            ("photos/b.png", "10", 5, 6, 4, 4),
        ],
        columns=["path", "label", "x1", "y1", "x2", "y2"],
    )
    data = table.to_csv(index=False).encode() if kind == "csv" else table.to_parquet(index=False)
    store.raw_write(f"boxes.{kind}", data)
    manifest = Manifest.from_boxes(f"{store.url}/boxes.{kind}", storage_options=store.storage_options)
    assert manifest.column("uri").tolist() == ["photos/b.png", "photos/a.png", "photos/c.png"]
    found = boxes_by_name(manifest)
    assert found["b.png"] == [([0.1, 2, 30.5, 40], "10"), ([0, 0, 64, 48], "9"), ([5, 6, 4, 4], "10")]
    assert found["a.png"] == []
    np.testing.assert_array_equal([box for box, _ in found["c.png"]], [[-1, np.nan, 3, 4], [1, 2, 3, 4]])
    assert [label for _, label in found["c.png"]] == ["10", None]
    assert manifest.class_names == ("9", "10")
    assert manifest.boxes().annotated.all()
    assert manifest.column("split").tolist() == stable_split(manifest.column("uri").tolist()).tolist()
    assert all(manifest.column("version"))
    back = Manifest.from_boxes(
        manifest.to_boxes(f"{store.url}/again.{kind}", storage_options=store.storage_options),
        class_names=manifest.class_names,
        storage_options=store.storage_options,
    )
    assert back == manifest


def test_columns_of_users(tmp_path: Path):
    text = (
        "file;kind;left;top;right;bottom;fold;clip;width;height;crowd;area;occluded;image.site;label;split\r\n"
        "a.png;007;1;2;3;4;Training;g;640;480;0;3.5;0.25;north;L;S\r\n"
        "a.png;NA;5;6;7;8;train;g;640;480;1;;;north;;\r\n"
        "b.png;;;;;;dev;;;;;;;;;\r\n"
    )
    names = {
        "path": "file",
        "label": "kind",
        "box": ("left", "top", "right", "bottom"),
        "split": "fold",
        "group": "clip",
    }
    manifest = _read(tmp_path, text, **names)
    first, second = manifest.table.to_pylist()
    assert {
        key: first[key]
        for key in ("uri", "labels", "boxes_xyxy", "split", "group", "crowd", "area", "occluded", "site")
    } == {
        "uri": "a.png",
        "labels": ["007", "NA"],
        "boxes_xyxy": [[1, 2, 3, 4], [5, 6, 7, 8]],
        "split": "train",
        "group": "g",
        "crowd": [False, True],
        "area": [3.5, None],
        "occluded": [0.25, None],
        "site": "north",
    }
    assert (first["declared_width"], first["declared_height"], second["declared_width"]) == (640, 480, None)
    assert (first["table_label"], first["table_split"]) == (["L", None], ["S", None])
    assert (second["boxes_xyxy"], second["labels"], second["split"], second["site"]) == ([], [], "val", None)


def test_all_bad_rows_are_named(tmp_path: Path):
    text = (
        "path,label,x1,y1,x2,y2,split,group,image.site\n"
        "a.png,cat,1,2,3,4,train,g,n\n"
        "a.png,cat,1,2,3,4,test,h,s\n"  # 3: not the split, group and site of its image
        "a.png,,,,,,train,g,n\n"  # 4: no object, where there are some
        ",cat,1,2,3,4,train,,\n"
        "../b.png,cat,1,2,3,4,train,,\n"
        "/etc/passwd,cat,1,2,3,4,train,,\n"
        "c.png,cat,1,2,3,4,holdout,,\n"
    )
    with pytest.raises(DataError) as caught:
        _read(tmp_path, text)
    for part in ("1 row has no path: line 5", "6: ../b.png", "7: /etc/passwd", "8: holdout"):
        assert part in str(caught.value)
    kept = "\n".join(text.splitlines()[:4]) + "\n"
    with pytest.raises(DataError) as caught:
        _read(tmp_path, kept)
    for part in ("split", "group", "image.site"):
        assert f"1 row differs in {part} from the first row of their image: line 3" in str(caught.value)
    assert "1 row declares no object, but other rows of the same image do: line 4" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label,x1,y1,x2,y2\na,cat,1,2,x,4\na,cat,1,2,y,4\na,cat,1,2,3,4\n", r"2 values of x2 .*'2: x', '3: y'"),
        ("path,label,x1,y1,x2\na,cat,1,2,3\n", r"has no column 'y2'; its columns are .*'x1', 'y1', 'x2'; .* box="),
        ("path,x1,y1,x2,y2\na,1,2,3,4\n", r"has no column 'label'"),
        (
            "where,label,x1,y1,x2,y2\na,cat,1,2,3,4\n",
            r"has no column 'path'.* it has 'where', .* path=",
        ),
    ],
)
def test_what_is_no_table_of_boxes(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError, match=message):
        _read(tmp_path, text)


def test_coordinates_that_are_texts_of_numbers(tmp_path: Path):
    frame = pd.DataFrame({"path": ["a"], "label": ["cat"], "x1": ["1.5"], "y1": ["2"], "x2": ["1e2"], "y2": ["nan"]})
    frame.to_parquet(tmp_path / "boxes.parquet")
    manifest = Manifest.from_boxes(tmp_path / "boxes.parquet", root=ROOT)
    np.testing.assert_array_equal(manifest.column("boxes_xyxy")[0][0], [1.5, 2, 100, np.nan])
    assert _read(tmp_path, "path,label,x1,y1,x2,y2\na,cat,1,2,nan,4\n").column("labels")[0] == ["cat"]


def test_images_anywhere(tmp_path: Path):
    text = "path,label,x1,y1,x2,y2\ns3://b/x.png,cat,1,2,3,4\n/data/y.png,,,,,\n"
    assert _read(tmp_path, text, root="").urls() == ["s3://b/x.png", "/data/y.png"]
    with pytest.raises(DataError, match="2 paths are outside the root"):
        _read(tmp_path, text)
    with pytest.raises(DataError, match="none of the 1 images"):
        _read(tmp_path, "path,label,x1,y1,x2,y2\nx.png,cat,1,2,3,4\n", root=None)


# ------------------------------------------------------------------------------------------------------------ written


def test_what_is_written(tmp_path: Path):
    boxes = {"a.png": ([[0.1, 2, 30.5, 40], [1, 1, 2, 2]], ["cat", "dog"]), "b.png": ([], []), "c.png": None}
    manifest = box_manifest(
        boxes, split=["train", "val", None], group=["g", None, None], crowd=[[True, None], None, None]
    )
    frame = pd.read_csv(manifest.to_boxes(tmp_path / "out.csv"))
    assert frame.columns.tolist() == [
        *("path", "label", "x1", "y1", "x2", "y2", "crowd", "split", "group", "annotated", "width", "height"),
        "image.image_id",
    ]
    assert frame["path"].tolist() == [f"{ROOT}/{name}" for name in ("a.png", "a.png", "b.png", "c.png")]
    assert frame["x1"].tolist()[:2] == [0.1, 1]
    assert frame["label"].isna().tolist() == frame["x1"].isna().tolist() == [False, False, True, True]
    assert frame["annotated"].tolist() == [True, True, True, False]
    assert frame["width"].tolist() == [64] * 4
    back = Manifest.from_boxes(tmp_path / "out.csv", root=ROOT, class_names=NAMES)
    assert back == manifest
    assert rows_by_name(back)["c.png"]["boxes_xyxy"] is None


@given(manifests(finite=False))
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_any_manifest_is_read_back_from_a_table(
    tmp_path_factory: pytest.TempPathFactory, kind: str, manifest: Manifest
):
    where = manifest.to_boxes(tmp_path_factory.mktemp("boxes") / f"out.{kind}")
    back = Manifest.from_boxes(where, root=ROOT, class_names=NAMES)
    np.testing.assert_array_equal(back.boxes().boxes_xyxy, manifest.boxes().boxes_xyxy)
    assert back == manifest


def test_what_csv_cannot_hold(tmp_path: Path):
    manifest = box_manifest({"a": ([[1, 2, 3, 4]], ["cat"])}, mask=[[[1.0, 2.0]]])
    with pytest.raises(
        DataError, match=r"the columns 'mask' contain lists, which CSV cannot store; write a \.parquet table"
    ):
        manifest.to_boxes(tmp_path / "out.csv")
    assert Manifest.from_boxes(manifest.to_boxes(tmp_path / "out.parquet"), root=ROOT, class_names=NAMES) == manifest
    with pytest.raises(ConfigError, match="has no boxes"):
        Manifest(manifest.table.select(["image_id", "uri"])).to_boxes(tmp_path / "out.csv")
