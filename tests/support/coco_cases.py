"""Random COCO documents with everything that trips evaluators, and pycocotools' own answer."""

from __future__ import annotations

import contextlib
import copy
import io

import numpy as np


def random_case(seed: int):
    """(ground truth, detections): crowds, empty images and classes, ties, sparse ids, id 0, objects of every size."""
    rng = np.random.default_rng(seed)
    n_images, n_classes = int(rng.integers(1, 9)), int(rng.integers(1, 6))
    image_ids = rng.choice(10_000, n_images, replace=False).tolist()
    category_ids = rng.choice(95, n_classes, replace=False).tolist()
    canvas = float(rng.choice([60, 300, 900]))
    whole = rng.random() < 0.4  # whole pixels make equal overlaps
    truth, found = [], []
    used_images = image_ids[: int(rng.integers(0, n_images + 1))] or image_ids
    used_classes = category_ids[: int(rng.integers(1, n_classes + 1))]
    for image in used_images:
        for _ in range(int(rng.integers(0, 9))):
            box = _box(rng, canvas, whole=whole)
            area = box[2] * box[3] * float(rng.choice([1.0, 0.6]))
            crowd = int(rng.random() < rng.choice([0.0, 0.3]))
            truth.append({
                "id": len(truth), "image_id": image, "category_id": int(rng.choice(used_classes)), "bbox": box,
                "area": area, "iscrowd": crowd,
            })  # fmt: skip
    crowded = rng.random() < 0.1  # more than a hundred of one class in one image
    digits = int(rng.choice([1, 2, 6]))
    for image in image_ids:
        near = [t for t in truth if t["image_id"] == image]
        for _ in range(int(rng.integers(0, 250 if crowded else 25))):
            box, category = _box(rng, canvas, whole=whole), int(rng.choice(category_ids))
            if near and rng.random() < 0.7:
                chosen = near[int(rng.integers(len(near)))]
                spread = float(rng.choice([0.0, 0.05, 0.2]))
                box = [float(v * np.exp(rng.normal(0, spread))) for v in chosen["bbox"]]
                box = [round(v) for v in box] if whole else box
                category = chosen["category_id"] if rng.random() < 0.9 else category
            score = round(float(rng.random()), digits)
            found.append({"image_id": image, "category_id": category, "bbox": box, "score": score})
    rng.shuffle(found)
    document = {
        "images": [{"id": i, "width": 1000, "height": 1000} for i in image_ids],
        "categories": [{"id": i, "name": f"class {i}"} for i in category_ids],
        "annotations": truth,
    }
    return document, found


def _box(rng, canvas, *, whole):
    xy, wh = rng.uniform(0, canvas, 2), np.exp(rng.uniform(np.log(4), np.log(canvas), 2))
    box = [float(v) for v in (*xy, *wh)]
    if rng.random() < 0.02:
        box[2 + int(rng.integers(2))] = 0.0  # a box without an area, as COCO itself has some
    return [float(round(v)) for v in box] if whole else box


def pycocotools_stats(document, found):
    """The 12 numbers of pycocotools, -1 as nan; its traps are stepped round as its users do.

    Returns:
        (12,) stats and the evaluation's ``precision``.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    document, found = copy.deepcopy(document), copy.deepcopy(found)
    for number, row in enumerate(document["annotations"], start=1):
        row["id"] = number
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = document
        truth.createIndex()
        if found:
            results = truth.loadRes(found)
        else:
            results = COCO()
            results.dataset = {**document, "annotations": []}
            results.createIndex()
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats, precision = np.array(evaluation.stats), evaluation.eval["precision"]
    return np.where(stats < 0, np.nan, stats), np.where(precision < 0, np.nan, precision)
