"""COCO JSON: hand-computed boxes, nothing of a file lost, every problem named, and pycocotools' own reading."""

from __future__ import annotations

import contextlib
import io as _io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from box_files import NAMES, box_manifest, boxes_by_name, json_file, manifests, rows_by_name, write_images
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import stable_split
from onlineml.data.samples.samples import make_samples
from onlineml.errors import ConfigError, DataError, NotFoundError
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


def _read(folder: Path, data: bytes, **options: Any) -> Manifest:
    """A file whose images are nowhere, so that none need be written."""
    (folder / "boxes.json").write_bytes(data)
    return Manifest.from_coco(folder / "boxes.json", images="http://nowhere.invalid/photos", **options)


def _written(manifest: Manifest, folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out.json").read_bytes()) if manifest.to_coco(folder / "out.json") else {}


def _again(manifest: Manifest, folder: Path) -> Manifest:
    return Manifest.from_coco(manifest.to_coco(folder / "again.json"), images=manifest.root)


def _annotation(number: int, image: int, bbox: Any, category: int = 1, **further: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **further}


# --------------------------------------------------------------------------------------------------------------- read


def test_a_file_of_nothing(tmp_path: Path):
    manifest = _read(tmp_path, json_file(annotations=[]))
    assert (len(manifest), len(manifest.boxes()), manifest.class_names, manifest.task) == (0, 0, ("cat",), "detection")
    assert _again(manifest, tmp_path) == manifest


def test_boxes_by_hand(store: Store):
    write_images(store, "photos/a.png", "photos/deep/b.png", "photos/c.png")
    annotations = [
        _annotation(5, 2, [0, 0, 64, 48], 3),
        _annotation(6, 9, [10, 20, 30.5, 4.25]),
        _annotation(7, 2, [0.1, 0.2, 0.2, 0.1]),
    ]
    images = [(9, "photos/a.png"), (2, "./photos/deep/b.png"), (4, "photos//c.png")]
    store.raw_write(
        "boxes.json", json_file(images=images, annotations=annotations, categories=[(3, "dog"), (1, "cat")])
    )
    manifest = Manifest.from_coco(f"{store.url}/boxes.json", storage_options=store.storage_options)
    assert boxes_by_name(manifest) == {
        "a.png": [([10.0, 20.0, 40.5, 24.25], "cat")],
        "b.png": [([0.0, 0.0, 64.0, 48.0], "dog"), ([0.1, 0.2, 0.1 + 0.2, 0.2 + 0.1], "cat")],
        "c.png": [],
    }
    assert manifest.class_names == ("dog", "cat")
    assert manifest.class_ids == (3, 1)
    assert manifest.boxes().annotated.all()
    assert manifest.column("uri").tolist() == ["photos/a.png", "photos/deep/b.png", "photos/c.png"]
    assert manifest.column("split").tolist() == stable_split(manifest.column("uri").tolist()).tolist()
    assert manifest.column("declared_width").tolist() == [64] * 3
    assert all(manifest.column("version"))
    assert manifest.table["width"].null_count == 3
    assert io.read_bytes(manifest.urls()[1], storage_options=store.storage_options) == store.raw_read(
        "photos/deep/b.png"
    )
    back = Manifest.from_coco(
        manifest.to_coco(f"{store.url}/out/again.json", storage_options=store.storage_options),
        images=store.url,
        storage_options=store.storage_options,
    )
    assert back == manifest
    assert (back.class_ids, back.urls()) == (manifest.class_ids, manifest.urls())


def test_no_list_of_annotations_is_not_an_empty_one(tmp_path: Path):
    assert _read(tmp_path, json_file(images=[(1, "a")])).boxes().annotated.tolist() == [False]
    assert _read(tmp_path, json_file(images=[(1, "a")], annotations=[])).boxes().annotated.tolist() == [True]


def test_bad_boxes_are_kept_for_the_check(tmp_path: Path):
    boxes = [[5, 5, 0, 3], [5, 5, -2, 3], [60, 40, 90, 90], None, [], [1, None, 2, 2], [float("nan"), 1, 2, 3]]
    annotations = [_annotation(i, 1, box) for i, box in enumerate(boxes)]
    annotations += [{"id": 8, "image_id": 1, "category_id": 77}, _annotation(9, 1, [0, 0, 1, 1], None)]
    manifest = _read(tmp_path, json_file(images=[(1, "a")], annotations=annotations))
    ((box_list, labels),) = zip(*[manifest.column(name) for name in ("boxes_xyxy", "labels")], strict=True)
    nan = float("nan")
    expected = [
        *([5, 5, 5, 8], [5, 5, 3, 8], [60, 40, 150, 130], [nan] * 4, [nan] * 4, [1, nan, 3, nan]),
        *([nan, 1, nan, 4], [nan] * 4, [0, 0, 1, 1]),
    ]
    np.testing.assert_array_equal(np.array(box_list), np.array(expected, dtype=float))
    assert labels == [*["cat"] * 7, "category 77", None]
    assert _again(manifest, tmp_path) == manifest
    written = {one["id"]: one for one in _written(manifest, tmp_path)["annotations"]}
    assert (written[8]["category_id"], written[9]["category_id"]) == (77, None)


def test_names_that_leave_the_folder_are_refused_together(tmp_path: Path):
    bad = [
        "/etc/passwd",
        "../a.jpg",
        "a/../../b.jpg",
        "..\\b.jpg",
        "s3://other/c.jpg",
        "C:/d.jpg",
        None,
        "",
        7,
        "e\0.jpg",
    ]
    images = [(i, name) for i, name in enumerate([*bad, "good.jpg"])]
    with pytest.raises(DataError) as caught:
        _read(tmp_path, json_file(images=images, annotations=[]))
    message = str(caught.value)
    assert "10 file names" in message
    assert "'/etc/passwd', '../a.jpg', 'a/../../b.jpg', '..\\\\b.jpg', 's3://other/c.jpg', and 5 more" in message
    assert "good.jpg" not in message


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"images": [(1, "a"), (1, "b")]}, r"1 image id is used for several images: 1"),
        ({"images": [(1.5, "a"), (True, "b")]}, r"2 image ids are neither integers nor texts: 1.5, True"),
        ({"images": [(1, "a"), (2, "a")]}, r"1 image occurs more than once in .*: 'a'"),
        ({"categories": [(1, "cat"), (1, "dog")]}, r"the category id 1 has two names: 'cat' and 'dog'"),
        ({"categories": [(1.5, "cat")]}, r"a category has the id 1.5; expected an integer or a text"),
        (
            {"annotations": [_annotation(1, 7, [0, 0, 1, 1])]},
            r"1 annotation is of images that are not listed: image_id 7; .* 1",
        ),
        (
            {"annotations": [_annotation(1, 1, [0, 0, 1])]},
            r"1 value of bbox is not \[x, y, width, height\]: \[0, 0, 1\]",
        ),
        ({"annotations": [_annotation(1, 1, ["0", 0, "wide", 1])]}, r"1 value of bbox is not"),
        ({"annotations": [_annotation(1, 1, [0, 0, 1, 1], "cat")]}, r"category_id is neither an integer nor .*: 'cat'"),
        ({"annotations": [_annotation(1, 1, [0, 0, 1, 1], area="big")]}, r"1 value of area is no number: 'big'"),
        ({"annotations": [_annotation(1, 1, [0, 0, 1, 1], iscrowd=[])]}, r"1 value of iscrowd is neither 0 nor 1"),
    ],
)
def test_each_problem_is_named(tmp_path: Path, parts: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        _read(tmp_path, json_file(**{"images": [(1, "a")], "annotations": [], **parts}))


def test_all_problems_are_named_at_once(tmp_path: Path):
    annotations = [_annotation(1, 7, [0, 0, 1, 1])]
    with pytest.raises(DataError) as caught:
        _read(tmp_path, json_file(images=[(1, "../a"), (1, "b")], annotations=annotations))
    for part in ("'../a'", "several images: 1", "not listed: image_id 7"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"images": {}}', b'{"images": [1]}', b"\xff\xfe\x00", b'{"a": 1}']
)
def test_what_is_no_coco_file(tmp_path: Path, data: bytes):
    with pytest.raises(DataError, match=r"is not a COCO file|is not UTF-16"):
        _read(tmp_path, data)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(NotFoundError):
        Manifest.from_coco(tmp_path / "none.json")


def test_images_that_are_elsewhere(tmp_path: Path):
    (tmp_path / "boxes.json").write_bytes(json_file(images=[(1, "a.png")], annotations=[]))
    with pytest.raises(DataError, match=r"none of the 1 images .* images=\)"):
        Manifest.from_coco(tmp_path / "boxes.json")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    assert Manifest.from_coco(tmp_path / "boxes.json", images=tmp_path / "photos").root == str(tmp_path / "photos")


def test_a_byte_order_mark_and_large_numbers(tmp_path: Path):
    data = json_file(images=[(2**62, "a")], annotations=[_annotation(1, 2**62, [0, 0, 1, 1], big=2**70)])
    manifest = _read(tmp_path, b"\xef\xbb\xbf" + data.replace(b"[0, 0, 1, 1]", b"[0, 0, 1e999, 1]"))
    assert manifest.column("boxes_xyxy")[0] == [[0.0, 0.0, float("inf"), 1.0]]
    (entry,) = _written(manifest, tmp_path)["annotations"]
    assert (entry["image_id"], entry["big"]) == (2**62, 2**70)


def test_classes_that_share_a_name_get_their_ids_behind_it(tmp_path: Path):
    """As Roboflow's exports of one class: the project is class 0, under the same name."""
    categories = [{"id": 0, "name": "cells", "supercategory": "none"}, {"id": 1, "name": "cells"}, (2, "cell")]
    manifest = _read(
        tmp_path, json_file(images=[(0, "a")], annotations=[_annotation(0, 0, [0, 0, 1, 1])], categories=categories)
    )
    assert manifest.class_names == ("cells (0)", "cells (1)", "cell")
    assert manifest.column("labels")[0] == ["cells (1)"]
    assert [one["name"] for one in _written(manifest, tmp_path)["categories"]] == ["cells", "cells", "cell"]
    assert _again(manifest, tmp_path) == manifest


def test_the_order_of_classes_may_be_given(tmp_path: Path):
    data = json_file(
        images=[(1, "a")], annotations=[_annotation(1, 1, [0, 0, 1, 1], 9)], categories=[(9, "cat"), (4, "dog")]
    )
    manifest = _read(tmp_path, data, class_names=["dog", "cat", "cow"])
    assert manifest.class_ids == (4, 9, 10)
    assert manifest.boxes().label_ids.tolist() == [1]
    assert _read(tmp_path, data, class_names=["dog"]).boxes().label_ids.tolist() == [-1]


# ------------------------------------------------------------------------------------------------------ several files


def test_a_file_for_each_split(store: Store):
    write_images(store, "train2017/1.png", "train2017/2.png", "val2017/1.png")
    categories = [(1, "cat"), (5, "dog")]
    train = json_file(
        images=[(1, "1.png"), (2, "2.png")],
        annotations=[_annotation(1, 2, [1, 2, 3, 4])],
        categories=categories,
        info={"year": 2017},
    )
    val = json_file(
        images=[(1, "1.png")], annotations=[_annotation(1, 1, [0, 0, 9, 9], 5)], categories=categories[::-1]
    )
    store.raw_write("annotations/train.json", train)
    store.raw_write("annotations/val.json", val)
    where = {split: f"{store.url}/annotations/{split}.json" for split in ("train", "val")}
    folders = {split: f"{store.url}/{split}2017" for split in ("train", "val")}
    manifest = Manifest.from_coco(where, images=folders, storage_options=store.storage_options)
    assert manifest.root == store.url
    rows = manifest.table.select(["uri", "split", "boxes_xyxy", "labels"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("train2017/1.png", "train", [], []),
        ("train2017/2.png", "train", [[1.0, 2.0, 4.0, 6.0]], ["cat"]),
        ("val2017/1.png", "val", [[0.0, 0.0, 9.0, 9.0]], ["dog"]),
    ]
    assert (manifest.class_names, manifest.class_ids) == (("cat", "dog"), (1, 5))
    for split in ("train", "val"):  # each alone keeps its file's ids
        alone = manifest.select(split=split)
        alone.to_coco(f"{store.url}/out/{split}.json", images=folders[split], storage_options=store.storage_options)
        old, new = (json.loads(store.raw_read(f"{name}/{split}.json")) for name in ("annotations", "out"))
        for key in ("images", "annotations"):
            assert [one["id"] for one in new[key]] == [one["id"] for one in old[key]]
    manifest.to_coco(f"{store.url}/out/all.json", storage_options=store.storage_options)
    together = json.loads(store.raw_read("out/all.json"))
    assert [one["id"] for one in together["images"]] == [1, 2, 3]  # they clashed
    assert [(one["id"], one["image_id"]) for one in together["annotations"]] == [(1, 2), (2, 3)]
    assert together["info"] == {"year": 2017}
    back = Manifest.from_coco(f"{store.url}/out/all.json", images=store.url, storage_options=store.storage_options)
    assert boxes_by_name(back) == boxes_by_name(manifest)
    assert back.column("split").tolist() == manifest.column("split").tolist()


def test_files_that_number_their_classes_differently(tmp_path: Path):
    for split, number in (("train", 1), ("test", 2)):
        annotations = [_annotation(1, 1, [0, 0, 1, 1], number)]
        categories = [(number, "cat"), (3 - number, "dog")] if split == "train" else [(number, "cat"), (1, "cow")]
        (tmp_path / f"{split}.json").write_bytes(
            json_file(images=[(1, f"{split}.png")], annotations=annotations, categories=categories)
        )
        (tmp_path / f"{split}.png").write_bytes(b"")
    manifest = Manifest.from_coco({split: tmp_path / f"{split}.json" for split in ("train", "test")})
    assert manifest.class_names == ("cat", "dog", "cow")
    assert manifest.column("labels").tolist() == [["cat"], ["cat"]]
    assert manifest.class_ids == ()
    assert manifest.column("split").tolist() == ["train", "test"]


def test_folders_that_have_nothing_in_common(tmp_path: Path):
    for split in ("train", "val"):
        (tmp_path / f"{split}.json").write_bytes(json_file(images=[(1, "1.png")], annotations=[]))
    manifest = Manifest.from_coco(
        {split: tmp_path / f"{split}.json" for split in ("train", "val")},
        images={"train": "http://one.invalid/a", "val": "s3://bucket/b"},
    )
    assert manifest.urls() == ["http://one.invalid/a/1.png", "s3://bucket/b/1.png"]
    with pytest.raises(DataError, match=r"2 images are not below .*set images="):
        manifest.to_coco(tmp_path / "out.json")


def test_splits(tmp_path: Path):
    data = json_file(images=[(1, "a"), (2, "b")], annotations=[])
    assert _read(tmp_path, data, split="test").column("split").tolist() == ["test", "test"]
    for url, options in (
        (tmp_path / "boxes.json", {"split": "holdout"}),
        ({"holdout": "a.json"}, {}),
        ({}, {}),
        ({"train": "a.json"}, {"split": "train"}),
        ({"train": "a.json", "val": "b.json"}, {"images": {"train": "x"}}),
        ("a.json", {"images": {"train": "x"}}),
    ):
        with pytest.raises(ConfigError):
            Manifest.from_coco(url, **options)


# ------------------------------------------------------------------------------------------------------------ written

FULL = {
    "info": {"description": "odd", "version": 1.5, "nested": {"a": [1, None]}},
    "licenses": [{"id": 4, "name": "CC", "url": "http://x"}],
    "extra": [1, 2, {"three": None}],
    "categories": [
        {"id": 90, "name": "toothbrush", "supercategory": "indoor", "keypoints": ["a", "b"], "skeleton": [[0, 1]]},
        {"id": 0, "name": "person", "supercategory": "person"},
        {"id": 17, "name": "never used"},
    ],
    "images": [
        {
            "id": 139,
            "file_name": "a.jpg",
            "width": 640,
            "height": 426,
            "license": 4,
            "coco_url": "http://y",
            "weather": {"sun": 1},
        },
        {"id": 0, "file_name": "sub/b.jpg", "width": 500, "height": 333, "date_captured": "2013-11-14 17:02:52"},
        {"id": 285, "file_name": "empty.jpg", "width": 10, "height": 10, "license": 2, "split": "holdout", "group": 3},
    ],
    "annotations": [
        {
            **_annotation(0, 0, [473.07, 395.93, 38.65, 28.67], 90, area=702.1057499999998, iscrowd=0),
            "segmentation": [[510.66, 423.01, 511.72, 420.03]],
            "score": 0.25,
        },
        {
            **_annotation(900100259800, 139, [0, 34, 639.999, 388.5], 0, area=12345, iscrowd=1),
            "segmentation": {"counts": [272, 2, 4], "size": [426, 640]},
            "attributes": {"occluded": False, "rotation": 0.0},
            "keypoints": [1, 2, 2],
        },
        {**_annotation(0, 0, [1.1, 2.2, 3.3, 4.4], 0, area=3.3 * 4.4, iscrowd=0), "label": "mine", "verified": True},
        {**_annotation(12, 0, [0.30000000000000004, 1e-7, 17.000000000000004, 5e-324], 0), "caption": "no area"},
    ],
}


def test_nothing_of_a_file_is_lost(tmp_path: Path):
    manifest = _read(tmp_path, json.dumps(FULL).encode())
    written = _written(manifest, tmp_path)
    assert {key: written[key] for key in ("info", "licenses", "extra", "categories")} == {
        key: FULL[key] for key in ("info", "licenses", "extra", "categories")
    }
    for new, old in zip(written["images"], FULL["images"], strict=True):
        assert {key: new[key] for key in old} == old
    own = sorted(FULL["annotations"], key=lambda one: [139, 0, 285].index(one["image_id"]))  # they stand image by image
    for new, old in zip(written["annotations"], own, strict=True):
        assert {key: new[key] for key in old} == old
    again = _again(manifest, tmp_path)
    assert again == manifest
    assert again.source == manifest.source
    assert _written(again, tmp_path) == written


def test_what_becomes_a_column(tmp_path: Path):
    manifest = _read(tmp_path, json.dumps(FULL).encode())
    assert manifest.column("license").tolist()[0::2] == [4.0, 2.0]
    assert manifest.table["license"].to_pylist() == [4, None, 2]
    assert manifest.table["coco_image_id"].to_pylist() == [139, 0, 285]
    assert manifest.table["crowd"].to_pylist() == [[True], [False, False, None], None]
    assert manifest.table["area"].to_pylist() == [[12345.0], [702.1057499999998, 3.3 * 4.4, None], None]
    assert manifest.table["score"].to_pylist() == [None, [0.25, None, None], None]
    assert json.loads(manifest.table["coco_annotation"].to_pylist()[0][0]) == {
        key: FULL["annotations"][1][key] for key in ("segmentation", "attributes", "keypoints")
    }
    assert manifest.boxes().crowd.tolist() == [True, False, False, False]


def test_a_saved_manifest_keeps_what_the_file_said(tmp_path: Path):
    manifest = _read(tmp_path, json.dumps(FULL).encode())
    loaded = Manifest.load(manifest.save(tmp_path / "saved"))
    assert loaded.source == manifest.source
    assert _written(loaded, tmp_path) == _written(manifest, tmp_path)


def test_a_box_that_was_moved_is_written_where_it_is(tmp_path: Path):
    manifest = _read(tmp_path, json.dumps(FULL).encode())
    moved = manifest.with_boxes({manifest.column("image_id")[1]: ([[1, 2, 3, 4]], ["person"])})
    annotations = _written(moved, tmp_path)["annotations"]
    assert [one["id"] for one in annotations] == [900100259800, 900100259801]
    assert annotations[1]["bbox"] == [1.0, 2.0, 2.0, 2.0]
    assert (annotations[1]["area"], annotations[1]["iscrowd"]) == (4.0, 0)
    assert _again(moved, tmp_path) == moved


def test_a_box_that_another_program_moved_is_read_where_it_is(tmp_path: Path):
    manifest = box_manifest({"a": ([[0.1, 0.7, 1234.5678901, 2.1]], ["cat"])})  # no width adds up to these corners
    written = _written(manifest, tmp_path)
    assert "boxes_xyxy" in str(written["annotations"][0]) or _again(manifest, tmp_path) == manifest
    written["annotations"][0]["bbox"][0] = 5.0
    back = _read(tmp_path, json.dumps(written).encode())
    assert back.column("boxes_xyxy")[0][0][0] == 5.0


@given(manifests(finite=False))
def test_any_manifest_is_read_back_from_coco(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest):
    back = _again(manifest, tmp_path_factory.mktemp("coco"))
    np.testing.assert_array_equal(back.boxes().boxes_xyxy, manifest.boxes().boxes_xyxy)
    assert back == manifest


def test_corners_to_which_no_width_adds_up(tmp_path: Path):
    """About one in ten pairs of random doubles: then the corners stand in the file, too."""
    rng = np.random.default_rng(0)
    low = rng.uniform(128, 256, 2000)
    boxes = np.stack([low, low, *rng.uniform(384, 768, (2, 2000))], axis=1)
    manifest = box_manifest({"a": (boxes.tolist(), ["cat"] * len(boxes))})
    marked = [one for one in _written(manifest, tmp_path)["annotations"] if "onlineml" in one]
    assert 0 < len(marked) < 1000
    assert _again(manifest, tmp_path) == manifest


def test_columns_whose_names_mean_something_to_coco(tmp_path: Path):
    manifest = box_manifest(
        {"a": ([[1, 2, 3, 4]], ["cat"]), "b": ([], [])}, file_name=["x", "y"], bbox=[["mine"], None], license=[1, 2]
    )
    written = _written(manifest, tmp_path)
    assert [one["file_name"] for one in written["images"]] == ["a", "b"]
    assert written["annotations"][0]["bbox"] == [1, 2, 2, 2]
    assert _again(manifest, tmp_path) == manifest


def test_labels_that_are_no_class(tmp_path: Path):
    boxes = {"a": ([[0, 0, 1, 1]] * 4, ["cow", None, "category 12", "category 2"])}
    manifest = box_manifest(boxes, names=("cat", "dog"))
    assert [one["category_id"] for one in _written(manifest, tmp_path)["annotations"]] == [None, None, 12, None]
    assert _again(manifest, tmp_path) == manifest


def test_what_json_cannot_hold_is_refused(tmp_path: Path):
    manifest = box_manifest({"a": ([], [])}, blob=pa.array([{"a": 1}], pa.struct([("a", pa.int64())])))
    assert "blob" in str(_written(manifest, tmp_path)["images"])
    with pytest.raises(ConfigError, match="has no boxes"):
        Manifest(manifest.table.select(["image_id", "uri"])).to_coco(tmp_path / "x.json")


def test_sizes_that_nobody_knows_are_read(tmp_path: Path):
    manifest = box_manifest({"a.png": ([], []), "gone.png": ([], [])})
    unknown = Manifest(manifest.table.drop_columns(["width", "height"]), NAMES, root=str(tmp_path), task="detection")
    from picture_files import noise, png

    (tmp_path / "a.png").write_bytes(png(noise(0, (5, 9))))
    first, second = _written(unknown, tmp_path)["images"]
    assert (first["width"], first["height"]) == (9, 5)
    assert "width" not in second


# ------------------------------------------------------------------------------------------------- pycocotools' reading


def _oracle(path: Path) -> COCO:
    with contextlib.redirect_stdout(_io.StringIO()):
        return COCO(str(path))


def test_pycocotools_reads_what_was_written(tmp_path: Path, data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here; the small files above cover the writer")
    manifest = Manifest.from_voc(data_dir / "detection" / "bccd")
    manifest.to_coco(tmp_path / "bccd.json")
    oracle = _oracle(tmp_path / "bccd.json")
    names = {category["id"]: category["name"] for category in oracle.loadCats(oracle.getCatIds())}
    assert names == {1: "Platelets", 2: "RBC", 3: "WBC"}
    assert {name: len(oracle.getAnnIds(catIds=[number])) for number, name in names.items()} == {
        "Platelets": 361,
        "RBC": 4155,
        "WBC": 372,
    }
    rows = rows_by_name(manifest)
    for image in oracle.loadImgs(oracle.getImgIds()):
        row = rows[image["file_name"].rpartition("/")[2]]
        own = oracle.loadAnns(oracle.getAnnIds(imgIds=[image["id"]]))
        assert [names[one["category_id"]] for one in own] == row["labels"]
        assert [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in own)] == row["boxes_xyxy"]
        assert (image["width"], image["height"]) == (640, 480)


def test_pycocotools_scores_what_was_written(tmp_path: Path):
    """It needs area, iscrowd and ids above 0: a manifest that has none of them gives a file that scores perfectly."""
    boxes = {f"{i}.png": ([[i, 2, 30 + i, 40], [1, 1, 9 + i, 9]], ["cat", "dog"]) for i in range(5)} | {
        "none.png": ([], [])
    }
    box_manifest(boxes).to_coco(tmp_path / "boxes.json")
    oracle = _oracle(tmp_path / "boxes.json")
    found = [{**one, "score": 1.0} for one in oracle.dataset["annotations"]]
    with contextlib.redirect_stdout(_io.StringIO()):
        judge = COCOeval(oracle, oracle.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert judge.stats[0] == pytest.approx(1.0)


def test_the_samples(tmp_path: Path):
    folder = make_samples(str(tmp_path / "samples"), task="detection", n=30, seed=3)
    manifest = Manifest.from_coco(f"{folder}/annotations.json")
    given = json.loads((tmp_path / "samples" / "annotations.json").read_bytes())
    assert len(manifest) == 30
    assert len(manifest.boxes()) == len(given["annotations"])
    written = _written(manifest, tmp_path)
    by_id = {one["id"]: one for one in written["annotations"]}
    for old in given["annotations"]:
        assert {key: by_id[old["id"]][key] for key in old} == old


def test_numbers_beyond_all_bounds(tmp_path: Path):
    boxes = [[1e308, 0, 1e308, 1], [0, 0, 1e200, 1e200], [-1e308, 0, 1e308, 1]]
    annotations = [_annotation(i, 1, box, area=1.0) for i, box in enumerate(boxes)]
    image = {"id": 1, "file_name": "a", "width": 1e300, "height": 2**40}
    data = json_file(images=[image], annotations=annotations).replace(
        b"[-1e+308, 0, 1e+308, 1]", b"[-1e999, 0, 1e999, 1]"
    )
    manifest = _read(tmp_path, data)
    np.testing.assert_array_equal(
        np.array(manifest.column("boxes_xyxy")[0]),
        [[1e308, 0, np.inf, 1], [0, 0, 1e200, 1e200], [-np.inf, 0, np.nan, 1]],
    )
    assert "declared_width" not in manifest.table.column_names
    assert len(_written(manifest, tmp_path)["annotations"]) == 3


def test_lists_within_lists_without_end(tmp_path: Path):
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(DataError, match="is not a COCO file"):
        _read(tmp_path, b'{"images": [], "categories": [], "info": ' + deep + b"}")
