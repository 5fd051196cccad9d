"""Our COCO scores against those of pycocotools, on hundreds of random sets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coco_cases import pycocotools_stats, random_case
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.evaluation import coco_scores
from onlineml.evaluation.coco import curves, match
from onlineml.evaluation.coco.scores import coco_scores_of
from onlineml.evaluation.detection.detections import Detections

EXACT = {"rtol": 0, "atol": 1e-12, "equal_nan": True}
N_SETS = 300


def test_the_sets_hold_what_trips_evaluators():
    cases = [random_case(seed) for seed in range(N_SETS)]
    truths = [document["annotations"] for document, _ in cases]
    assert sum(any(row["iscrowd"] for row in rows) for rows in truths) > 50
    assert sum(not rows for rows in truths) > 5
    assert sum(not found for _, found in cases) > 0
    assert sum(row["category_id"] == 0 for rows in truths for row in rows) > 0
    assert sum(not min(row["bbox"][2:]) for rows in truths for row in rows) > 10
    assert sum(len({row["score"] for row in found}) < len(found) for _, found in cases) > 200
    most = [max(np.unique([f"{r['image_id']} {r['category_id']}" for r in found], return_counts=True)[1], default=0)
            for _, found in cases]  # fmt: skip
    assert sum(n > 100 for n in most) > 3


@pytest.mark.parametrize("part", range(4))
def test_all_numbers_equal_pycocotools(part):
    for seed in range(part * N_SETS // 4, (part + 1) * N_SETS // 4):
        document, found = random_case(seed)
        stats, precision = pycocotools_stats(document, found)
        ours = coco_scores(document, found)
        np.testing.assert_allclose(ours.stats, stats, err_msg=f"set {seed}", **EXACT)
        np.testing.assert_allclose(ours.precision, precision[..., 0, 2], err_msg=f"set {seed}", **EXACT)


def test_small_chunks_change_nothing(monkeypatch):
    cases = [random_case(seed) for seed in range(60)]
    whole = [coco_scores(*case) for case in cases]
    monkeypatch.setattr(match, "_CHUNK_PAIRS", 3)
    monkeypatch.setattr(match, "_CHUNK_CHOICES", 2)
    for scores, case in zip(whole, cases, strict=True):
        np.testing.assert_array_equal(coco_scores(*case).precision, scores.precision)


def test_classes_may_be_counted_apart(monkeypatch):
    cases = [random_case(seed) for seed in range(100)]
    whole = [coco_scores(*case) for case in cases]
    monkeypatch.setattr(curves, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    for scores, case in zip(whole, cases, strict=True):
        apart = coco_scores(*case)
        np.testing.assert_array_equal(apart.precision, scores.precision)
        np.testing.assert_array_equal(apart.stats, scores.stats)


def test_files_give_what_dicts_give(tmp_path):
    for seed in range(40):
        document, found = random_case(seed)
        for name, content in (("truth", document), ("found", found)):
            (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        ours = coco_scores(tmp_path / "truth.json", str(tmp_path / "found.json"))
        np.testing.assert_array_equal(ours.stats, coco_scores(document, found).stats)


def as_arrays(document, found):
    """The same in our own form; whole pixels alone survive the change of convention to the bit."""
    images = sorted(row["id"] for row in document["images"])
    classes = sorted(row["id"] for row in document["categories"])
    rows = sorted(document["annotations"], key=lambda row: images.index(row["image_id"]))
    offsets = np.searchsorted([images.index(r["image_id"]) for r in rows], np.arange(len(images) + 1))
    xywh, found_xywh = (np.array([r["bbox"] for r in part], float).reshape(-1, 4) for part in (rows, found))
    xyxy, found_xyxy = (np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], axis=1) for b in (xywh, found_xywh))
    truth = Boxes(
        xyxy,
        np.array([classes.index(r["category_id"]) for r in rows], np.int64),
        np.array([r["iscrowd"] for r in rows], bool),
        np.array([r["area"] for r in rows], float),
        offsets,
        np.ones(len(images), bool),
    )
    detections = Detections(
        np.array([images.index(r["image_id"]) for r in found], np.int64),
        found_xyxy,
        np.array([classes.index(r["category_id"]) for r in found], np.int64),
        np.array([r["score"] for r in found], float),
        n_images=len(images),
    )
    return truth, detections, [f"class {i}" for i in classes]


def test_arrays_give_what_dicts_give():
    n_compared = 0
    for seed in range(N_SETS):
        document, found = random_case(seed)
        boxes = [row["bbox"] for row in (*document["annotations"], *found)]
        if all(v == round(v) for box in boxes for v in box) and all(min(box[2:]) > 0 for box in boxes):
            truth, detections, names = as_arrays(document, found)
            ours = coco_scores_of(truth, detections, names)
            np.testing.assert_array_equal(ours.stats, coco_scores(document, found).stats)
            n_compared += 1
    assert n_compared > 20
