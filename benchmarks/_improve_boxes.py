"""Boxes made wrong on purpose, and how many of them the review queue finds."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import onlineml as oml
from onlineml.improving.review.queue import review_queue

SIZE = 320
SHARE = 0.05  # of the boxes, for each kind of flaw
ANSWERS = 1.25  # suspicions that are looked at, for each flaw
KINDS = ("removed", "swapped", "shifted")


class Flaw(NamedTuple):
    """What was done to one box."""

    kind: str
    image_id: str
    true_xyxy: tuple[float, ...]
    label: str
    now_xyxy: tuple[float, ...]


def blood_cells() -> Any:
    """The training and validation images of BCCD; generated ones where there are none."""
    root = Path(os.environ.get("ONLINEML_DATA", Path(__file__).parents[2] / "shared" / "data"))
    folder = root / "detection" / "bccd"
    if folder.is_dir():
        return oml.Manifest.from_voc(str(folder)).check(max_bad=0.1).manifest.select(split=["train", "val"])
    print(f"{folder} is not there: racing on generated photos", flush=True)
    samples = oml.make_samples(tempfile.mkdtemp() + "/photos", task="detection")
    data = oml.Manifest.from_coco(f"{samples}/annotations.json").check(max_bad=0.1).manifest
    return data.select(split=["train", "val"])


def overlap(one: Any, other: Any) -> float:
    """Intersection over union of two boxes."""
    a, b = np.asarray(one, float), np.asarray(other, float)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - shared)


def flawed(data: Any, seed: int) -> tuple[Any, list[Flaw]]:
    """The data with some boxes removed, some of another class and some shifted by half of their size."""
    draws = np.random.default_rng(seed)
    boxes, ids = data.boxes(), data.column("image_id").tolist()
    sizes = np.stack([data.column("width"), data.column("height")], axis=1).astype(float)
    sides = boxes.boxes_xyxy[:, 2:] - boxes.boxes_xyxy[:, :2]
    usable = np.flatnonzero((sides > 1).all(axis=1) & ~boxes.crowd & (boxes.label_ids >= 0))
    n = round(SHARE * len(usable))
    kind_of = dict(zip(draws.choice(usable, 3 * n, replace=False).tolist(), np.repeat(KINDS, n).tolist(), strict=True))
    changed, flaws = {}, []
    for image, image_id in enumerate(ids):
        own, labels = [], []
        for place in range(boxes.offsets[image], boxes.offsets[image + 1]):
            box, label = boxes.boxes_xyxy[place], int(boxes.label_ids[place])
            kind, now, name = kind_of.get(place), box, data.class_names[label]
            if kind == "shifted":
                now = shifted(box, sizes[image], draws)
            if kind is not None:
                flaws.append(Flaw(kind, image_id, tuple(box), name, tuple(now)))
            if kind == "swapped":
                name = data.class_names[(label + draws.integers(1, len(data.class_names))) % len(data.class_names)]
            if kind != "removed":
                own.append(now)
                labels.append(name)
        changed[image_id] = (np.array(own).reshape(-1, 4), labels)
    return data.with_boxes(changed), flaws


def shifted(box: Any, size_wh: Any, draws: np.random.Generator) -> Any:
    """Moved by half of its size along both axes, where there is room; to the other side where there is none."""
    side = box[2:] - box[:2]
    step = side / 2 * draws.choice([-1.0, 1.0], 2)
    outside = (box[:2] + step < 0) | (box[2:] + step > size_wh)
    moved = box + np.tile(np.where(outside, -step, step), 2)
    return np.clip(moved, 0, np.tile(size_wh, 2))


def detector(data: Any, seconds: float, seed: int) -> Any:
    """Trained from scratch on the data as it is."""
    model = oml.ObjectDetector(class_names=data.class_names, weights=None, seed=seed)
    images = oml.DetectionDataModule(data, size_hw=(SIZE, SIZE), seed=seed)
    with tempfile.TemporaryDirectory() as run:
        oml.fit(model, images, run=f"{run}/run", budget_s=seconds, progress="none")
    return model


def half(data: Any, odd: bool) -> Any:
    """Every other image."""
    return data.take((np.arange(len(data)) % 2 == 1) == odd)


def tells(why: Any, image_id: str, flaw: Flaw, annotated: Any) -> bool:
    """Whether a suspicion leads to the flaw: it means the box, or shows the object that was there."""
    if image_id != flaw.image_id:
        return False
    if why.object_row >= 0:
        return flaw.kind != "removed" and bool(np.allclose(annotated[why.object_row], flaw.now_xyxy, atol=0.01))
    return why.box_xyxy is not None and overlap(why.box_xyxy, flaw.true_xyxy) >= 0.5


def race_boxes(scratch: Path, seconds: float) -> list[dict[str, Any]]:
    """Share of the flaws found, by kind, at the surest suspicions: 1.25 for each flaw."""
    data, flaws = flawed(blood_cells(), 0)
    suspicions = []
    for odd in (False, True):
        model = detector(half(data, odd), seconds, seed=0)
        project = oml.Project.create(str(scratch / f"boxes-{odd}"), task="detection")
        project.add(half(data, not odd))
        frozen = project.freeze()
        row_of = {image_id: row for row, image_id in enumerate(frozen.column("image_id").tolist())}
        boxes = frozen.boxes()
        for item in review_queue(project, n=len(frozen), model=model, data=frozen, random_share=0):
            annotated = boxes.boxes_xyxy[boxes.of(row_of[item.image_id])]
            suspicions += [(why, item.image_id, annotated) for why in item.whys if why.reason.endswith(" box")]
    suspicions.sort(key=lambda one: -one[0].score)
    asked = suspicions[: int(ANSWERS * len(flaws))]
    results = []
    for kind in KINDS:
        own = [flaw for flaw in flaws if flaw.kind == kind]
        share, of_all = (sum(any(tells(why, i, flaw, boxes) for why, i, boxes in some) for flaw in own) / len(own)
                         for some in (asked, suspicions))  # fmt: skip
        answers = len(asked) / len(flaws)
        print(f"boxes {kind}: {share:.3f} of {len(own)} found with {answers:.2f} answers a flaw; all "
              f"{len(suspicions)} suspicions hold {of_all:.3f}", flush=True)  # fmt: skip
        results.append({"race": f"boxes {kind}, share found", "ours": share, "peers": {}, "ratio": share, "aim": None,
                        "holds": None, "answers_a_flaw": answers})  # fmt: skip
    return results
