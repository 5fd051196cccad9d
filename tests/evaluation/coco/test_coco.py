"""COCO scores of cases counted by hand, the traps of pycocotools, the validator, and what the result shows."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from coco_cases import pycocotools_stats, random_case
from fuzzing import attack
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import DataError, NotFoundError
from onlineml.evaluation import coco_scores
from onlineml.evaluation.coco.scores import coco_scores_of
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.ranking import COCO_SCORES
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

NAN = math.nan


def document(*objects, n_images=1, n_classes=1):
    """A ground truth of (image, class, x, y, w, h, further fields)."""
    annotations = [
        {"id": i, "image_id": row[0], "category_id": row[1], "bbox": list(row[2:6]), **(row[6] if row[6:] else {})}
        for i, row in enumerate(objects)
    ]
    return {
        "images": [{"id": i} for i in range(n_images)],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(n_classes)],
        "annotations": annotations,
    }


def results(*rows):
    """Detections of (image, class, score, x, y, w, h)."""
    return [{"image_id": i, "category_id": c, "score": s, "bbox": list(box)} for i, c, s, *box in rows]


def test_nothing_at_all_is_undefined():
    for truth in (document(n_images=0, n_classes=0), document(n_images=0), document(n_images=2, n_classes=0)):
        scores = coco_scores(truth, [])
        assert np.isnan(scores.stats).all()
        assert scores.stats.shape == (12,)
        assert np.isnan(scores.per_class_ap).all()
        assert scores.precision.shape == (10, 101, len(truth["categories"]))
        assert str(scores)
        assert scores._repr_html_()


def test_objects_and_no_detections_are_zero_not_an_error():
    scores = coco_scores(document((0, 0, 0, 0, 10, 10), n_classes=2), [])
    assert (scores.map_50_95, scores.map_small, scores.ar_100) == (0, 0, 0)
    assert math.isnan(scores.map_medium)
    assert scores.per_class_ap == pytest.approx([0, NAN], nan_ok=True)
    assert scores.n_objects.tolist() == [1, 0]


def test_detections_and_no_objects_are_undefined():
    assert np.isnan(coco_scores(document(), results((0, 0, 0.9, 0, 0, 5, 5))).stats).all()


def test_one_object_found_with_an_overlap_of_82_percent():
    scores = coco_scores(document((0, 0, 0, 0, 10, 10)), results((0, 0, 0.5, 0, 0, 10, 8.2)))
    # right at .50 to .80, which is seven of the ten thresholds; an object of 100 pixels is small
    expected = [0.7, 1, 1, 0.7, NAN, NAN, 0.7, 0.7, 0.7, 0.7, NAN, NAN]
    assert scores.stats == pytest.approx(expected, nan_ok=True)
    assert [getattr(scores, name) for name in COCO_SCORES] == pytest.approx(expected, nan_ok=True)


def test_a_wrong_one_before_a_right_one_halves_the_precision():
    found = results((0, 0, 0.9, 50, 50, 10, 10), (0, 0, 0.5, 0, 0, 10, 10))
    scores = coco_scores(document((0, 0, 0, 0, 10, 10)), found)
    assert scores.map_50_95 == pytest.approx(0.5)
    assert (scores.ar_1, scores.ar_10) == (0, 1)  # with one detection an image only the wrong one counts
    assert scores.precision[:, :, 0] == pytest.approx(np.full((10, 101), 0.5))


def test_a_crowd_takes_many_and_counts_as_no_object():
    truth = document((0, 0, 0, 0, 100, 100, {"iscrowd": 1}), (0, 0, 200, 200, 50, 50))
    found = results((0, 0, 0.9, 0, 0, 20, 20), (0, 0, 0.8, 30, 30, 20, 20), (0, 0, 0.7, 200, 200, 50, 50))
    scores = coco_scores(truth, found)
    assert scores.map_50_95 == pytest.approx(1)
    assert scores.n_objects.tolist() == [1]


def test_only_the_hundred_surest_of_a_class_in_an_image_count():
    found = [(0, 0, 0.9, 100 + i, 100, 5, 5) for i in range(100)]
    truth = document((0, 0, 0, 0, 10, 10), n_classes=2)
    assert coco_scores(truth, results(*found[:99], (0, 0, 0.1, 0, 0, 10, 10))).ar_100 == 1
    assert coco_scores(truth, results(*found, (0, 0, 0.1, 0, 0, 10, 10))).ar_100 == 0
    other = [(0, 1, *row[2:]) for row in found]
    assert coco_scores(truth, results(*other, (0, 0, 0.1, 0, 0, 10, 10))).map_50_95 == pytest.approx(1)


def test_the_object_with_annotation_id_0_can_be_found():
    truth = document((0, 0, 0, 0, 10, 10, {"iscrowd": 0, "area": 100}))
    found = results((0, 0, 0.9, 0, 0, 10, 10))
    assert truth["annotations"][0]["id"] == 0
    assert coco_scores(truth, found).map_50_95 == pytest.approx(1)
    truth["annotations"] = [{**truth["annotations"][0], "id": 7, "bbox": [x, 0, 10, 10]} for x in (0, 50)]
    assert coco_scores(truth, found).map_50 == pytest.approx(51 / 101)  # repeated ids: two objects


def test_nothing_is_changed_in_what_the_caller_gave():
    truth, found = random_case(3)
    before = json.dumps([truth, found])
    coco_scores(truth, found)
    assert json.dumps([truth, found]) == before


def test_missing_crowd_and_area_are_filled_in():
    truth, found = random_case(5)
    for row in truth["annotations"]:
        row["area"], row["iscrowd"] = row["bbox"][2] * row["bbox"][3], 0
    stats, _ = pycocotools_stats(truth, found)
    for row in truth["annotations"]:
        del row["area"]
        row["iscrowd"] = None
    assert coco_scores(truth, found).stats == pytest.approx(stats, abs=1e-12, nan_ok=True)


def test_classes_come_in_the_order_of_their_ids_and_texts_may_be_ids():
    truth = {
        "images": [{"id": "b.jpg"}, {"id": "a.jpg"}],
        "categories": [{"id": 90, "name": "zebra"}, {"id": 3}, {"id": 17, "name": "cat"}],
        "annotations": [{"image_id": "a.jpg", "category_id": 90, "bbox": [0, 0, 5, 5]}],
    }
    scores = coco_scores(truth, [{"image_id": "a.jpg", "category_id": 90, "bbox": (0, 0, 5, 5), "score": 1}])
    assert scores.class_names == ("3", "cat", "zebra")
    assert scores.per_class_ap == pytest.approx([NAN, NAN, 1], nan_ok=True)


def test_numbers_may_be_numpys():
    truth, found = random_case(8)
    for row in found:
        row["bbox"], row["score"], row["image_id"] = np.array(row["bbox"]), np.float64(row["score"]), np.int64(
            row["image_id"])  # fmt: skip
    plain = random_case(8)
    np.testing.assert_array_equal(coco_scores(truth, found).stats, coco_scores(*plain).stats)


def test_every_kind_of_fault_is_named_with_its_rows():
    truth = document((0, 0, 0, 0, 10, 10), n_images=2, n_classes=2)
    good = truth["annotations"][0]
    truth["annotations"] += [
        {**good, "image_id": 5}, {**good, "image_id": 6}, {**good, "category_id": "cat"},
        {**good, "bbox": [0, 0, -1, 4]}, {**good, "area": NAN}, {**good, "iscrowd": 2},
        {"image_id": 0, "category_id": 0, "segmentation": []},
    ]  # fmt: skip
    truth["images"].append({"id": 1})
    truth["categories"].append({"name": "no id"})
    found = [
        *results((0, 0, NAN, 0, 0, 5, 5), (0, 0, 0.5, 0, 0, NAN, 5), (0, 0, "high", 0, 0, 5, 5), (0, 1, 0.5, 0, 5, 5)),
        {"image_id": 0, "category_id": 0, "bbox": [0, 0, 5, 5]},
        [0, 0, 5, 5],
        {"category_id": [1], "bbox": 5, "score": 1},
    ]
    with pytest.raises(DataError) as caught:
        coco_scores(truth, found)
    for part in (
        "images: 1 with the id of another one; ids must be distinct: images[2] (id 1)",
        "categories: 1 without an id that is a number or a text: categories[2] (None)",
        "annotations: 2 with image_id of no image in the ground truth: annotations[1] (image_id 5), annotations[2]",
        "annotations: 1 with category_id of no category in the ground truth: annotations[3] (category_id 'cat')",
        "annotations: 1 with a negative width or height; a bbox is [x, y, width, height], not two corners: ann",
        "annotations: 1 with an area that is not a number from 0 up",
        "annotations: 1 with iscrowd other than 0 or 1: annotations[6] (iscrowd 2)",
        "annotations: 1 without bbox; boxes are scored here, no masks: annotations[7]",
        "detections: 1 with a score that is not finite; a network that gives nan has failed on that image: detections[",
        "detections: 1 with a bbox that is not finite: detections[1]",
        "detections: 1 with a score that is not a number: detections[2] (score 'high')",
        "detections: 2 with a bbox that is not four numbers, [x, y, width, height]: detections[3]",
        "detections: 1 without score: detections[4]",
        "detections: 1 are no dicts: detections[5] ([0, 0, 5, 5])",
        "detections: 1 without image_id: detections[6]",
    ):  # fmt: skip
        assert part in str(caught.value)


def test_many_rows_with_one_fault_take_one_line():
    found = results(*[(9, 0, 0.5, 0, 0, 5, 5)] * 1000)
    with pytest.raises(DataError, match=r"1000 with image_id of no image .* and 997 more") as caught:
        coco_scores(document(), found)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        ([], [], "the ground truth is a list; expected a COCO document"),
        ({"images": []}, [], "no list 'categories'\n- the ground truth has no list 'annotations'"),
        ({**document(), "annotations": {}}, [], "no list 'annotations'"),
        (document(), {"images": []}, "a dict without 'annotations'"),
        (document(), 7, "the detections are a int"),
        ({**document(), "images": [{"id": 1}, {"id": "1"}]}, [], "some ids are numbers and some are texts"),
    ],
)
def test_documents_of_another_form_are_refused(truth, found, message):
    with pytest.raises(DataError, match=message.replace("[", r"\[")):
        coco_scores(truth, found)


def test_files_and_urls(tmp_path):
    truth, found = random_case(12)
    truth["annotations"][0]["segmentation"] = {"counts": "abc", "size": [3, 4]}
    expected = coco_scores(truth, found).stats
    io.write_bytes("memory://coco/truth.json", json.dumps(truth).encode())
    (tmp_path / "found.json").write_text(json.dumps({"annotations": found}), encoding="utf-8")
    (tmp_path / "marked.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(found).encode())  # with a byte order mark
    for name in ("found.json", "marked.json"):
        np.testing.assert_array_equal(coco_scores("memory://coco/truth.json", tmp_path / name).stats, expected)
    with pytest.raises(NotFoundError):
        coco_scores(tmp_path / "none.json", found)


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[" * 100_000, b"\xff\xfe\x00"])
def test_files_that_are_no_json_are_refused(tmp_path, content):
    (tmp_path / "found.json").write_bytes(content)
    with pytest.raises(DataError, match=r"found\.json"):
        coco_scores(document(), tmp_path / "found.json")


def _attack(folder: Path, *, long: bool = False) -> None:
    paths = folder / "truth.json", folder / "found.json"
    files = {path: json.dumps(one).encode() for path, one in zip(paths, random_case(12), strict=True)}
    for path, content in files.items():
        path.write_bytes(content)
    attack(files, lambda: coco_scores(*paths), long=long, named="ground truth|detections")


def test_only_our_errors_come_out_of_documents(tmp_path):
    _attack(tmp_path)


@pytest.mark.slow
def test_only_our_errors_come_out_of_any_document(tmp_path):
    _attack(tmp_path, long=True)


@pytest.mark.parametrize("fault", [{"score": 10**350}, {"bbox": [1, 1, 10**350, 1]}])
def test_numbers_beyond_the_range_of_floats_are_named(fault):
    found = results((0, 0, 0.5, 0, 0, 5, 5))
    with pytest.raises(DataError, match=r"detections: 1 .* not finite.*detections\[0\]"):
        coco_scores(document(), [found[0] | fault])


def test_boxes_whose_areas_no_float_can_hold_are_named():
    with pytest.raises(DataError, match=r"detections: 1 with a bbox beyond 1e\+100 pixels: detections\[0\]"):
        coco_scores(document(), results((0, 0, 0.5, 0, 0, 1e200, 1e200)))


def test_faults_in_files_are_named_as_those_in_dicts(tmp_path):
    found = results((0, 0, 0.5, 0, 0, 5, 5), (0, 0, NAN, 0, 0, 5, 5), (4, 0, 0.5, 0, 0, 5, 5))
    (tmp_path / "found.json").write_text(json.dumps(found), encoding="utf-8")  # NaN, as Python writes it
    with pytest.raises(DataError) as from_file:
        coco_scores(document(), tmp_path / "found.json")
    with pytest.raises(DataError) as from_dicts:
        coco_scores(document(), found)
    assert str(from_file.value) == str(from_dicts.value)
    assert "detections[1]" in str(from_file.value)
    assert "detections[2]" in str(from_file.value)


@pytest.mark.parametrize(
    "fault", [{"score": NAN}, {"image_id": 10**9}, {"bbox": [1, 1, -1, 1]}, {"score": "1"}, {"category_id": 10**30}]
)
def test_a_fault_deep_in_a_file_is_named_with_its_row(tmp_path, fault):
    truth, found = next(case for case in map(random_case, range(40)) if len(case[1]) > 60)
    found[57] |= fault
    (tmp_path / "found.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(DataError, match=r"detections\[57\]"):
        coco_scores(truth, tmp_path / "found.json")


def arrays(*, annotated=(True, True), label=0, box=(0, 0, 10, 10), n_images=2):
    truth = Boxes(
        np.array([box, (0, 0, 8, 8)], float), np.array([label, 0]), np.zeros(2, bool), np.full(2, NAN),
        np.array([0, 1, 2]), np.array(annotated),
    )  # fmt: skip
    return truth, Detections([0, 1], [[0, 0, 10, 10], [0, 0, 8, 8]], [0, 0], [0.9, 0.8], n_images=n_images)


def test_arrays_without_images():
    nothing = Boxes(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0), np.zeros(1, np.int64),
                    np.zeros(0, bool))  # fmt: skip
    assert np.isnan(coco_scores_of(nothing, Detections.nothing(0), ["a"]).stats).all()


def test_images_nobody_annotated_and_boxes_of_no_class_are_left_out():
    assert coco_scores_of(*arrays(), ["a"]).n_objects.tolist() == [2]
    scores = coco_scores_of(*arrays(annotated=(False, True)), ["a"])
    assert (scores.map_50_95, scores.n_images, scores.n_objects.tolist()) == (1, 1, [1])
    unknown = coco_scores_of(*arrays(label=-1), ["a"])
    assert (unknown.map_50_95, unknown.n_images) == (0.5, 2)  # what was found there is wrong, and the surest


def test_the_area_of_the_object_decides_its_size_where_it_is_known():
    truth, found = arrays(box=(0, 0, 40, 40))
    assert coco_scores_of(truth, found, ["a"]).n_objects.tolist() == [2]
    assert not math.isnan(coco_scores_of(truth, found, ["a"]).map_medium)  # 1,600 pixels
    truth.area[:] = (900, NAN)  # its mask has fewer
    assert math.isnan(coco_scores_of(truth, found, ["a"]).map_medium)


@pytest.mark.parametrize(
    ("options", "names", "message"),
    [
        ({"n_images": 3}, ["a"], "truth is of 2 images and the detections of 3"),
        ({"label": 4}, ["a"], "the truth have label id 4, but there are 1 class"),
        ({"box": (5, 0, 5, 9)}, ["a"], r"1 of 2 true boxes is empty or not finite, such as row 0, \[5.0, 0.0"),
        ({"box": (NAN, 0, 5, 9)}, ["a"], "1 of 2 true boxes is empty or not finite"),
        ({}, [], "the truth have label id 0 and the detections have label id 0"),
        ({}, "a", "class_names is the text"),
    ],
)
def test_arrays_that_cannot_be_scored_are_refused(options, names, message):
    with pytest.raises(DataError, match=message):
        coco_scores_of(*arrays(**options), names)


def test_the_result_prints_tables_and_strict_json():
    truth = document((0, 0, 0, 0, 10, 10), (0, 1, 0, 0, 50, 50), n_classes=3)
    truth["categories"][0]["name"] = "<b>cat</b>"
    scores = coco_scores(truth, results((0, 1, 0.9, 0, 0, 50, 50)))
    text, html = str(scores), scores._repr_html_()
    assert text.startswith("COCO AP 0.500 (AP50 0.500) on 1 image, 2 objects, 3 classes")
    assert "<b>cat" not in html
    assert "&lt;b&gt;cat" in html
    assert "nan" not in text + html
    assert repr(scores) == text
    frame = scores.to_frame()
    assert frame.loc["class 1"].to_dict() == {"ap": 1.0, "ap_50": 1.0, "objects": 1.0}
    assert frame.shape == (3, 3)
    content = json.loads(scores.to_json())
    assert content == scores.to_dict()
    assert [content[name] for name in COCO_SCORES] == [None if math.isnan(v) else v for v in scores.stats]
    assert content["classes"][2] == {"name": "class 2", "ap": None, "ap_50": None, "objects": 0}
