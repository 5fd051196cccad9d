"""Objects and detections to score, and pycocotools as the oracle."""

from __future__ import annotations

import contextlib
import io

import numpy as np

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.evaluation.detection.detections import Detections


def boxes_of(images: list[list[tuple]], *, annotated: list[bool] | None = None) -> Boxes:
    """Boxes from (x1, y1, x2, y2, label_id[, crowd[, area]]) of each image."""
    rows = [row for image in images for row in image]
    offsets = np.cumsum([0, *map(len, images)])
    return Boxes(
        boxes_xyxy=np.array([row[:4] for row in rows], np.float64).reshape(-1, 4),
        label_ids=np.array([row[4] for row in rows], np.int64),
        crowd=np.array([bool(row[5]) if len(row) > 5 else False for row in rows], bool),
        area=np.array([row[6] if len(row) > 6 else np.nan for row in rows], np.float64),
        offsets=offsets.astype(np.int64),
        annotated=np.ones(len(images), bool) if annotated is None else np.array(annotated, bool),
    )


def found_of(images: list[list[tuple]]) -> Detections:
    """Detections from (x1, y1, x2, y2, label_id, score) of each image."""
    rows = [(i, *row) for i, image in enumerate(images) for row in image]
    table = np.array(rows, np.float64).reshape(-1, 7)
    ids = table[:, [0, 5]].astype(np.int64)
    return Detections(ids[:, 0], table[:, 1:5], ids[:, 1], table[:, 6], len(images))


def fuzzed(
    seed: int, *, n_images: int | None = None, crowds: bool = True, ties: bool = True
) -> tuple[Boxes, Detections, int]:
    """A random set: crowds, images and classes without objects or detections, ties of scores and of overlaps."""
    rng = np.random.default_rng(seed)
    n_images = int(rng.integers(1, 12)) if n_images is None else n_images
    n_classes, grid = int(rng.integers(1, 5)), rng.choice([0.0, 1.0, 8.0] if ties else [0.0])
    side = rng.choice([40, 160, 400])
    truth, found = [], []
    for _ in range(n_images):
        objects = [_box(rng, side, grid) for _ in range(rng.choice([0, 1, 3, 9]))]
        rows = [(*box, int(rng.integers(n_classes))) for box in objects]
        given = rng.random() < 0.5
        truth.append([
            (*row, crowds and rng.random() < 0.15, rng.uniform(1, 2 * side * side / 4) if given else np.nan)
            for row in rows
        ])  # fmt: skip
        guesses = []
        for row in rows:
            for _ in range(rng.integers(0, 4)):
                box = np.array(row[:4]) + rng.normal(0, 0.06 * side, 4) * (rng.random() < 0.8)
                label = row[4] if rng.random() < 0.8 else int(rng.integers(n_classes))
                guesses.append((*_tidy(box, grid), label, rng.random()))
        many = rng.choice([0, 2, 10, 150], p=[0.3, 0.4, 0.25, 0.05])
        guesses += [(*_box(rng, side, grid), int(rng.integers(n_classes)), rng.random()) for _ in range(many)]
        if rng.random() < 0.5 and ties:
            guesses = [(*g[:5], round(g[5] * 4) / 4) for g in guesses]
        found.append(guesses if rng.random() < 0.9 else [])
    shuffled = found_of(found)
    order = rng.permutation(len(shuffled))
    return boxes_of(truth), Detections(*(getattr(shuffled, f)[order] for f in FIELDS), n_images), n_classes


FIELDS = ("image_index", "boxes_xyxy", "label_ids", "scores")


def _tidy(box, grid):
    box = np.round(np.array(box) / grid) * grid if grid else np.array(box)
    x1, y1, x2, y2 = box
    step = grid or 1.0
    return x1, y1, max(x2, x1 + step), max(y2, y1 + step)


def _box(rng, side, grid):
    x, y = rng.uniform(0, side, 2)
    w, h = np.exp(rng.uniform(np.log(4), np.log(side), 2))
    return _tidy((x, y, x + w, y + h), grid)


def coco_dicts(truth: Boxes, found: Detections, n_classes: int) -> tuple[dict, list[dict]]:
    """The same in COCO's form; ids from 1, since pycocotools takes an annotation with id 0 for unmatched."""
    xywh = np.concatenate([truth.boxes_xyxy[:, :2], truth.boxes_xyxy[:, 2:] - truth.boxes_xyxy[:, :2]], axis=1)
    area = np.where(np.isnan(truth.area), xywh[:, 2] * xywh[:, 3], truth.area)
    annotations = [
        {"id": i + 1, "image_id": int(image) + 1, "category_id": int(label) + 1, "bbox": box.tolist(),
         "area": float(a), "iscrowd": int(crowd)}
        for i, (image, label, box, a, crowd) in enumerate(
            zip(truth.image_index, truth.label_ids, xywh, area, truth.crowd, strict=True)
        )
    ]  # fmt: skip
    sides = np.concatenate([found.boxes_xyxy[:, :2], found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]], axis=1)
    results = [
        {"image_id": int(image) + 1, "category_id": int(label) + 1, "bbox": box.tolist(), "score": float(score)}
        for image, label, box, score in zip(found.image_index, found.label_ids, sides, found.scores, strict=True)
    ]
    coco = {
        "images": [{"id": i + 1} for i in range(found.n_images)],
        "categories": [{"id": i + 1, "name": f"c{i}"} for i in range(n_classes)],
        "annotations": annotations,
    }
    return coco, results


def pycocotools_eval(truth: Boxes, found: Detections, n_classes: int):
    """The evaluated and accumulated COCOeval, its 12 numbers with nan for undefined; needs a detection."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    gt, results = coco_dicts(truth, found, n_classes)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = gt
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    judge.stats[judge.stats == -1] = np.nan
    return judge
