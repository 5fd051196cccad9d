"""A detector's scores: against pycocotools and slow oracles; what goes in is checked, what comes out survives JSON."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection_cases import boxes_of, found_of, fuzzed, pycocotools_eval
from evaluation_cases import same
from onlineml.errors import ConfigError, DataError, UnknownClassError
from onlineml.evaluation import ClassificationScores, Detections, DetectionScores, best_thresholds, detection_scores
from onlineml.evaluation.detection.ranking import COCO_SCORES
from onlineml.evaluation.intervals import centred_interval, resample_weights

BOX = (0, 0, 100, 100)
FAR = (200, 200, 300, 300)


def names_of(n_classes):
    return [f"c{i}" for i in range(n_classes)]


def of(truth, found, n_classes=1, **options):
    return detection_scores(boxes_of(truth), found_of(found), names_of(n_classes), **options)


def test_no_images_no_objects_no_detections():
    for nothing in (of([], []), of([[], []], [[], []])):
        assert all(math.isnan(nothing.score(name)) for name in nothing.score_names())
        assert (nothing.n_objects, nothing.n_boxes, nothing.worst) == (0, 0, ())
        assert same(DetectionScores.from_json(nothing.to_json()), nothing)
        assert str(nothing)
        assert len(nothing.pr("c0").recall) == 1


def test_an_image_without_objects_counts_as_one_where_boxes_are_wrong():
    result = of([[(*BOX, 0)], []], [[(*BOX, 0, 0.5)], [(*BOX, 0, 0.9)]], thresholds={"c0": 0.1})
    assert (result.micro_precision, result.micro_recall) == (0.5, 1.0)
    assert [(w.image_id, w.n_false, w.n_missed, w.n_objects) for w in result.worst] == [("1", 1, 0, 0)]


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_scores_are_those_of_pycocotools(seed):
    truth, found, n_classes = fuzzed(seed)
    result = detection_scores(truth, found, names_of(n_classes), n_bootstrap=0)
    if len(found):
        theirs = pycocotools_eval(truth, found, n_classes).stats
        ours = [result.score(name) for name in COCO_SCORES]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert result.score_names()[:12] == list(COCO_SCORES)
    defined = result.ap[~np.isnan(result.ap)]
    assert not len(defined) or result.map_50_95 == pytest.approx(defined.mean(), abs=1e-12)


def slow_counts(truth, found, label, threshold):
    """Hits, boxes and objects of a class at IoU 0.5, one image after the other; crowds only forgive."""
    hits = said = objects = 0
    for image in range(found.n_images):
        own = [b for b, c in zip(truth.boxes_xyxy[truth.of(image)], truth.label_ids[truth.of(image)], strict=True)
               if c == label]  # fmt: skip
        objects += len(own)
        rows = [i for i in np.flatnonzero((found.image_index == image) & (found.label_ids == label))
                if found.scores[i] >= threshold]  # fmt: skip
        rows = sorted(rows, key=lambda i: -found.scores[i])[:100]
        said += len(rows)
        for i in rows:
            ious = [iou(found.boxes_xyxy[i], box) for box in own]
            if ious and max(ious) >= 0.5:
                own.pop(int(np.argmax(ious)))
                hits += 1
    return hits, said, objects


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


@pytest.mark.parametrize("seed", range(12))
def test_precision_recall_and_the_best_threshold_by_trying_all(seed):
    truth, found, n_classes = fuzzed(seed, crowds=False, ties=False)
    names = names_of(n_classes)
    chosen = best_thresholds(truth, found, names)
    result = detection_scores(truth, found, names, n_bootstrap=0)
    assert result.thresholds == chosen
    assert not result.thresholds_given
    for label, name in enumerate(names):
        hits, said, objects = slow_counts(truth, found, label, chosen[name])
        row = result.per_class[name]
        assert (row["predicted"], row["support"]) == (said, objects)
        assert row["recall"] == (hits / objects if objects else pytest.approx(math.nan, nan_ok=True))
        assert row["precision"] == (hits / said if said else pytest.approx(math.nan, nan_ok=True))
        cuts = found.scores[found.label_ids == label]
        tried = [slow_counts(truth, found, label, cut) for cut in cuts]
        best = max((2 * h / (s + o) for h, s, o in tried if s + o), default=0.0)
        if any(h for h, _, _ in tried):
            assert row["f1"] == pytest.approx(best, abs=1e-12)


def test_thresholds_by_hand():
    rows = [(*BOX, 0, 0.9), (*FAR, 0, 0.4), (*FAR, 1, 0.7), (*FAR, 1, 0.3)]
    truth = boxes_of([[(*BOX, 0), (*FAR, 1)]])
    thresholds = best_thresholds(truth, found_of([rows]), ["a", "b", "absent"])
    assert thresholds["a"] == pytest.approx((0.9 + 0.4) / 2)  # midway between what is kept and what is not
    assert thresholds["b"] == pytest.approx((0.7 + 0.3) / 2)
    assert thresholds["absent"] == pytest.approx((0.7 + 0.4) / 2)  # the best for all together
    lowest = best_thresholds(boxes_of([[(*BOX, 0)]]), found_of([[(*BOX, 0, 0.2)]]), ["a"])
    assert lowest == {"a": pytest.approx(0.1)}
    tied = found_of([[(*BOX, 0, 0.5), (*FAR, 0, 0.5)]])
    assert best_thresholds(boxes_of([[(*BOX, 0)]]), tied, ["a"]) == {"a": pytest.approx(0.25)}  # both or none
    assert best_thresholds(boxes_of([[]]), Detections.nothing(1), ["a"]) == {"a": 0.5}


def test_thresholds_of_another_set_are_used_and_named():
    result = of([[(*BOX, 0)]], [[(*BOX, 0, 0.6), (*FAR, 0, 0.5)]], thresholds={"c0": 0.55})
    assert result.thresholds == {"c0": 0.55}
    assert result.thresholds_given
    assert result.micro_precision == 1.0
    assert "these very images" not in str(result)


def test_pr_curve_by_hand():
    truth = [[(*BOX, 0), (*FAR, 0)]]
    found = [[(*BOX, 0, 0.8), (400, 0, 500, 99, 0, 0.9), (0, 400, 99, 500, 0, 0.1)]]
    curve = of(truth, found).pr("c0")
    assert curve.thresholds.tolist() == [0.1, 0.8, 0.9]
    assert curve.recall.tolist() == [0.5, 0.5, 0.0, 0.0]
    assert curve.precision == pytest.approx([1 / 3, 0.5, 0.0, 1.0])


def test_intervals_are_those_of_repeated_images():
    """The same resamples, each made of whole images and scored by pycocotools."""
    truth, found, n_classes = fuzzed(11, n_images=8, ties=False)
    groups = ["a", "a", "b", "c", "d", "d", "e", "f"]
    options = {"groups": groups, "n_bootstrap": 25, "seed": 3}
    result = detection_scores(truth, found, names_of(n_classes), **options)
    (drawn,) = resample_weights(n_groups=6, n_bootstrap=25, seed=3)
    codes = np.array([0, 0, 1, 2, 3, 3, 4, 5])
    rows = []
    for weights in drawn[:, codes].astype(int):
        images = np.repeat(np.arange(8), weights)
        boxes = [[(*truth.boxes_xyxy[j], truth.label_ids[j], truth.crowd[j], truth.area[j])
                  for j in range(truth.of(i).start, truth.of(i).stop)] for i in images]  # fmt: skip
        seen = [[(*found.boxes_xyxy[j], found.label_ids[j], found.scores[j])
                 for j in np.flatnonzero(found.image_index == i)] for i in images]  # fmt: skip
        rows.append(pycocotools_eval(boxes_of(boxes), found_of(seen), n_classes).stats)
    rows = np.array(rows)
    for place, name in enumerate(COCO_SCORES):
        defined = rows[:, place][~np.isnan(rows[:, place])]
        low, high = result.intervals[name]
        if math.isnan(low):
            assert len(defined) < 13 or np.ptp(defined) == 0
            continue
        expected = np.percentile(defined, [2.5, 97.5])
        value = result.score(name)
        if name.startswith("map"):
            expected = np.clip(expected + value - np.median(defined), 0, 1)
        assert low == pytest.approx(min(expected[0], value), abs=1e-12)
        assert high == pytest.approx(max(expected[1], value), abs=1e-12)


def test_intervals_of_average_precision_lie_around_it():
    rising = np.linspace(0.4, 0.6, 201)
    assert centred_interval(rising, np.float64(0.45)) == pytest.approx([0.355, 0.545])
    assert centred_interval(rising, np.float64(0.99)) == pytest.approx([0.895, 1.0])
    assert centred_interval(np.zeros((0, 2)), np.zeros(2)).shape == (2, 2)
    assert np.isnan(centred_interval(np.full((9, 1), np.nan), np.full(1, np.nan))).all()
    truth, found, n_classes = fuzzed(11, n_images=8)
    result = detection_scores(truth, found, names_of(n_classes), n_bootstrap=100)
    for name, (low, high) in result.intervals.items():
        assert math.isnan(low) or 0 <= low <= result.score(name) <= high <= 1


def test_certain_shares_have_exact_intervals():
    result = of([[(*BOX, 0)]] * 20, [[(*BOX, 0, 0.9)]] * 20, n_bootstrap=50)
    assert result.intervals["micro_recall"] == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    assert result.per_class["c0"]["precision_interval"][0] == pytest.approx(0.025 ** (1 / 20))
    assert math.isnan(result.intervals["map_50"][0])  # no resample moves it


def test_very_many_detections_are_resampled_less_often(monkeypatch):
    monkeypatch.setattr("onlineml.evaluation.detection.bootstrap.MAX_WORK", 100)
    assert of([[(*BOX, 0)]], [[(*BOX, 0, 0.9)]], n_bootstrap=1000).n_bootstrap == 100
    assert of([[(*BOX, 0)]], [[(*BOX, 0, 0.9)]], n_bootstrap=7).n_bootstrap == 7


def test_slices_are_the_scores_of_their_images_alone():
    truth, found, n_classes = fuzzed(21, n_images=8)
    light = ["day", "night"] * 4
    result = detection_scores(truth, found, names_of(n_classes), slices={"light": light}, n_bootstrap=40)
    assert [(row.column, row.value, row.n) for row in result.by_slice] == [("light", "day", 4), ("light", "night", 4)]
    for first, row in enumerate(result.by_slice):
        images = np.arange(first, 8, 2)
        own = np.isin(found.image_index, images)
        part = Detections(np.searchsorted(images, found.image_index[own]), found.boxes_xyxy[own], found.label_ids[own],
                     found.scores[own], 4)  # fmt: skip
        boxes = [[(*truth.boxes_xyxy[j], truth.label_ids[j], truth.crowd[j], truth.area[j])
                  for j in range(truth.of(i).start, truth.of(i).stop)] for i in images]  # fmt: skip
        alone = detection_scores(
            boxes_of(boxes), part, names_of(n_classes), thresholds=result.thresholds, n_bootstrap=0
        )
        assert row.map_50 == pytest.approx(alone.map_50, abs=1e-12, nan_ok=True)
        assert row.map_50_95 == pytest.approx(alone.map_50_95, abs=1e-12, nan_ok=True)
        assert row.precision == pytest.approx(alone.micro_precision, nan_ok=True)
        assert row.recall == pytest.approx(alone.micro_recall, nan_ok=True)
        assert row.n_objects == alone.n_objects
        assert math.isnan(row.low) or row.low <= row.map_50 <= row.high


def test_worst_images_by_hand():
    truth = [[(*BOX, 0)], [(*BOX, 0), (*FAR, 1)], [(*BOX, 0)]]
    found = [[(*BOX, 0, 0.9)], [(*BOX, 1, 0.8), (400, 0, 450, 50, 0, 0.7)], [(*FAR, 0, 0.6), (*BOX, 0, 0.1)]]
    result = of(truth, found, 2, image_ids=["x", "y", "z"], uris=["u", "v", "w"], sizes_hw=[(500, 600)] * 3,
                thresholds={"c0": 0.5, "c1": 0.5})  # fmt: skip
    assert [w.image_id for w in result.worst] == ["y", "z"]
    first = result.worst[0]
    assert (first.uri, first.size_hw, first.n_objects, first.n_missed, first.n_false) == ("v", (500, 600), 2, 2, 2)
    drawn = [(box.kind, box.box_xyxy, box.label, box.truth) for box in first.boxes]
    assert drawn == [
        ("missed", FAR, "c1", ""),  # the object taken for another class is shown by the box that did so
        ("class", BOX, "c1", "c0"),
        ("background", (400, 0, 450, 50), "c0", ""),
    ]
    assert [box.is_error for box in result.worst[1].boxes] == [True, True]
    assert of(truth, found, 2, n_worst=1).worst[0].image_id == "1"


def test_objects_outside_their_image_or_of_no_class_are_left_out():
    truth = [[(*BOX, 0), (700, 0, 800, 50, 0), (*FAR, -1)]]
    result = of(truth, [[(*BOX, 0, 0.5)]], sizes_hw=[(300, 300)])
    assert (result.n_objects, result.map_50_95) == (1, pytest.approx(1.0))
    assert of(truth, [[(*BOX, 0, 0.5)]]).n_objects == 2  # nobody said how large the image is


@pytest.fixture(scope="module")
def result() -> DetectionScores:
    truth, found, n_classes = fuzzed(5, n_images=12)
    return detection_scores(
        truth, found, names_of(n_classes), groups=[i // 2 for i in range(12)], slices={"n": [1, None] * 6},
        sizes_hw=[(400, 400)] * 12, thumbnails={"0": b"x"}, n_bootstrap=30, split="val", model_ref="m",
    )  # fmt: skip


def test_json_comes_back_field_by_field(result):
    text = result.to_json()
    back = DetectionScores.from_json(text)
    assert same(back, result)
    assert back.to_json() == text
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["scores"]["map_50"] == result.map_50
    assert content["format"] == "onlineml.detection_scores"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12))
def test_json_of_any_scores_comes_back(seed, n_bootstrap):
    truth, found, n_classes = fuzzed(seed)
    scores = detection_scores(truth, found, names_of(n_classes), n_bootstrap=n_bootstrap)
    assert same(DetectionScores.from_json(scores.to_json()), scores)
    assert scores._repr_html_()


def test_json_may_leave_the_boxes_out(result):
    slim = DetectionScores.from_json(result.to_json(arrays=False))
    assert slim.found is None
    assert slim.truth is None
    assert slim.outcomes is None
    assert slim.map_50_95 == result.map_50_95
    assert "no detections" in slim.to_html()
    assert same(DetectionScores.from_json(slim.to_json(arrays=True)), slim)
    with pytest.raises(DataError, match="saved without the arrays"):
        slim.pr(0)


def test_other_later_and_damaged_json_is_refused(result):
    with pytest.raises(DataError, match="not JSON"):
        DetectionScores.from_json("{")
    content = json.loads(result.to_json())
    with pytest.raises(DataError, match="update onlineml"):
        DetectionScores.from_json(json.dumps(content | {"format_version": 99}))
    with pytest.raises(DataError, match=r"expected 'onlineml\.classification_scores'"):
        ClassificationScores.from_json(json.dumps(content))
    with pytest.raises(DataError, match="damaged: KeyError"):
        DetectionScores.from_json(json.dumps({k: v for k, v in content.items() if k != "images"}))
    content["found"]["scores"]["dtype"] = "|O"
    with pytest.raises(DataError, match="dtype"):
        DetectionScores.from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"image_ids": ["x", "x"]}, DataError, r"repeated, such as \['x'\]"),
        ({"uris": ["x"]}, DataError, "uris has 1 value"),
        ({"sizes_hw": [(1, 2)]}, DataError, r"sizes_hw has shape \(1, 2\); expected \(2, 2\)"),
        ({"groups": ["x"]}, ConfigError, "groups has 1 value"),
        ({"slices": {"light": ["x"]}}, DataError, "slice column 'light' has 1 value"),
        ({"n_bootstrap": -1}, ConfigError, "n_bootstrap"),
        ({"thresholds": {"c0": 0.5, "dog": 0.1}}, UnknownClassError, r"thresholds has \['dog'\]"),
        ({"thresholds": {}}, ConfigError, r"no number for \['c0'\]"),
        ({"thresholds": {"c0": None}}, ConfigError, r"no number for \['c0'\]"),
    ],
)
def test_bad_arguments_are_refused(options, error, says):
    with pytest.raises(error, match=says):
        of([[(*BOX, 0)], []], [[], []], **options)


def test_truth_and_detections_must_belong_together():
    with pytest.raises(DataError, match="truth has 1 image and found 2"):
        of([[]], [[], []])
    with pytest.raises(DataError, match=r"found\.label_ids goes up to 3; expected at most 0"):
        of([[]], [[(*BOX, 3, 0.5)]])
    with pytest.raises(DataError, match=r"truth\.label_ids goes up to 1"):
        of([[(*BOX, 1)]], [[]])
    with pytest.raises(DataError, match="1 of 2 images was not annotated: '1'"):
        detection_scores(boxes_of([[], []], annotated=[True, False]), Detections.nothing(2), ["a"])
    with pytest.raises(DataError, match="not annotated"):
        best_thresholds(boxes_of([[]], annotated=[False]), Detections.nothing(1), ["a"])
    with pytest.raises(UnknownClassError, match="'dog' is not one of the 1 class"):
        of([[]], [[]]).pr("dog")


def test_tables_as_frames_and_text(result):
    frame = result.to_frame()
    assert frame.loc["map_50", "value"] == result.map_50
    assert (frame.loc["map_50", "low"], frame.loc["map_50", "high"]) == result.interval("map_50")
    classes = result.per_class.to_frame()
    assert classes.loc["c0", "ap"] == result.per_class["c0"]["ap"] == result.ap[0]
    assert classes.loc["c0", "ap_high"] == result.per_class["c0"]["ap_interval"][1]
    text = str(result)
    assert f"mAP 50\u201395 {result.map_50_95:.3f}" in text
    assert f"{result.n_objects} objects in 12 images of the val split in 6 groups" in text
    assert repr(result) == f"<DetectionScores: mAP50-95 {result.map_50_95:.3f} on 12 images>"


def test_same_seed_same_scores_and_importing_is_light():
    truth, found, n_classes = fuzzed(2)
    one, other = (detection_scores(truth, found, names_of(n_classes), n_bootstrap=20) for _ in range(2))
    assert one.to_json() == other.to_json()
    code = "import sys, onlineml.evaluation; print({'torch', 'pandas', 'matplotlib', 'PIL', 'cv2'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
