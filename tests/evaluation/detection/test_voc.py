"""VOC's average precision against published figures and hand-counted cases."""

from __future__ import annotations

import numpy as np
import pytest

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import ConfigError, DataError
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.voc import voc_ap


def boxes_of(images, *, crowd=None, annotated=None):
    """`Boxes` from a list per image of (label, x1, y1, x2, y2)."""
    rows = np.array([row for image in images for row in image], float).reshape(-1, 5)
    return Boxes(
        rows[:, 1:],
        rows[:, 0].astype(np.int64),
        np.zeros(len(rows), bool) if crowd is None else np.array(crowd),
        np.full(len(rows), np.nan),
        np.cumsum([0, *map(len, images)]),
        np.ones(len(images), bool) if annotated is None else np.array(annotated),
    )


def found_of(rows, *, n_images=1):
    """`Detections` from rows of (image, label, score, x1, y1, x2, y2)."""
    array = np.array(rows, float).reshape(-1, 7)
    return Detections(array[:, 0].astype(int), array[:, 3:], array[:, 1].astype(int), array[:, 2], n_images=n_images)


def read(folder, truths, detections):
    """The texts of the published cases: name [score] x y width height, one file an image."""
    files = sorted((folder / truths).glob("*.txt"))
    parts = [[line.split() for line in (folder / truths / f.name).read_text().splitlines()] for f in files]
    xyxy = [[(0, x, y, x + w, y + h) for x, y, w, h in ([float(v) for v in row[1:]] for row in rows)] for rows in parts]
    found = [
        (i, 0, score, x, y, x + w, y + h)
        for i, f in enumerate(files)
        for score, x, y, w, h in ([float(v) for v in line.split()[1:]] for line in
                                  (folder / detections / f.name).read_text().splitlines())
    ]  # fmt: skip
    return boxes_of(xyxy), found_of(found, n_images=len(files))


def test_nothing_to_find_is_undefined_and_nothing_found_is_zero():
    assert np.isnan(voc_ap(boxes_of([]), Detections.nothing(0), ["a"]).map)
    for method in ("all-point", "11-point"):
        scores = voc_ap(boxes_of([[(0, 0, 0, 9, 9)]]), Detections.nothing(1), ["a", "b"], method=method)
        assert scores.per_class_ap == pytest.approx([0, np.nan], nan_ok=True)
        assert scores.map == 0
        assert scores.n_objects.tolist() == [1, 0]


def test_published_case_of_seven_images(data_dir):
    if data_dir is None:
        pytest.skip("the published boxes are not here; the cases below are hand-counted")
    truth, found = read(data_dir / "eval" / "pascal_voc_7_images", "groundtruths", "detections")
    published = {("all-point", True): 0.2457, ("11-point", True): 0.2684, ("all-point", False): 0.2254}
    for (method, plus_one), value in published.items():
        scores = voc_ap(truth, found, ["object"], iou_threshold=0.3, method=method, plus_one=plus_one)
        assert scores.map == pytest.approx(value, abs=5e-5)


def test_published_case_at_four_thresholds(data_dir):
    if data_dir is None:
        pytest.skip("the published boxes are not here; the cases below are hand-counted")
    truth, found = read(data_dir / "eval" / "pascal_voc_case_1", "gts", "dets")
    published = {"11-point": (0.33333, 0.26840, 0.03030, 0), "all-point": (0.33720, 0.24569, 0.02222, 0)}
    for method, values in published.items():
        ours = [
            voc_ap(truth, found, ["object"], iou_threshold=iou, method=method, plus_one=True).map
            for iou in (0.1, 0.3, 0.5, 0.75)
        ]
        assert ours == pytest.approx(values, abs=5e-6)


def test_a_second_detection_of_an_object_is_wrong():
    truth = boxes_of([[(0, 0, 0, 10, 10), (0, 20, 0, 30, 10)]])
    found = found_of([(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 0, 0, 10, 9), (0, 0, 0.7, 20, 0, 30, 10)])
    # right, wrong, right: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1
    assert voc_ap(truth, found, ["a"]).map == pytest.approx((1 + 2 / 3) / 2)
    assert voc_ap(truth, found, ["a"], method="11-point").map == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


def test_the_object_overlapped_most_is_looked_at_although_it_is_taken():
    truth = boxes_of([[(0, 0, 0, 10, 10), (0, 0, 0, 10, 6)]])
    found = found_of([(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 0, 0, 10, 9)])  # the second overlaps the first by .9
    assert voc_ap(truth, found, ["a"]).map == pytest.approx(0.5)  # COCO would give it the second object, by .67


def test_difficult_objects_count_neither_way():
    truth = boxes_of([[(0, 0, 0, 10, 10), (0, 20, 0, 30, 10)]], crowd=[True, False])
    found = found_of([(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.85, 0, 0, 10, 9), (0, 0, 0.8, 20, 0, 30, 10)])
    scores = voc_ap(truth, found, ["a"])
    assert (scores.map, scores.n_objects.tolist()) == (1, [1])


def test_images_that_nobody_annotated_are_left_out():
    truth = boxes_of([[(0, 0, 0, 10, 10)], []], annotated=[True, False])
    found = found_of([(1, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 0, 0, 10, 10)], n_images=2)
    assert voc_ap(truth, found, ["a"]).map == 1


def test_the_last_pixel_counts_where_corners_name_pixels():
    truth, found = boxes_of([[(0, 0, 0, 1, 1)]]), found_of([(0, 0, 0.9, 0, 0, 1, 0.5)])
    # as edges .5 of the area; as pixels 2 x 1.5 of 2 x 2
    assert voc_ap(truth, found, ["a"], iou_threshold=0.6).map == 0
    assert voc_ap(truth, found, ["a"], iou_threshold=0.75, plus_one=True).map == 1


def test_recalls_are_compared_as_floats_as_the_published_figures_do():
    truth = boxes_of([[(0, 20 * i, 0, 20 * i + 10, 10) for i in range(10)]])
    for n_found, n_reached in ((2, 3), (3, 3), (4, 5)):  # 3 / 10 is less than the fourth of linspace(0, 1, 11)
        found = found_of([(0, 0, 0.9, 20 * i, 0, 20 * i + 10, 10) for i in range(n_found)])
        assert voc_ap(truth, found, ["a"], method="11-point").map == pytest.approx(n_reached / 11)


def test_classes_do_not_mix_and_stand_in_the_frame():
    truth = boxes_of([[(0, 0, 0, 10, 10), (1, 0, 0, 10, 10)]])
    found = found_of([(0, 1, 0.9, 0, 0, 10, 10)])
    frame = voc_ap(truth, found, ["cat", "dog"]).to_frame()
    assert frame.to_dict("index") == {"cat": {"ap": 0.0, "objects": 1}, "dog": {"ap": 1.0, "objects": 1}}


def test_choices_and_shapes_are_checked():
    truth = boxes_of([[(0, 0, 0, 10, 10)]])
    with pytest.raises(ConfigError, match="all-point or 11-point"):
        voc_ap(truth, Detections.nothing(1), ["a"], method="101-point")
    with pytest.raises(ConfigError, match=r"iou_threshold 0"):
        voc_ap(truth, Detections.nothing(1), ["a"], iou_threshold=0)
    with pytest.raises(DataError, match="1 image and the detections 2"):
        voc_ap(truth, Detections.nothing(2), ["a"])
    with pytest.raises(DataError, match="label id 0 is beyond the 0 classes"):
        voc_ap(truth, Detections.nothing(1), [])
