"""Sample project for detection: photos of several objects, with boxes as COCO JSON, some of them wrong."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.samples.files import FILE_NAMES, FILE_PROBLEMS, TURNS, photo_bytes
from onlineml.data.samples.groups import draw_group
from onlineml.data.samples.objects import CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator

__all__ = ["BOX_PROBLEMS", "DrawnBoxes", "PhotoPlan", "annotation_files", "make_boxes", "make_photo", "plan_photos"]

BOX_PROBLEMS = ("wrong label", "missing box", "box beyond the edge", "empty box")
_N_OBJECTS = (0.24, 0.28, 0.22, 0.16, 0.1)  # shares of the photos with objects: one to five objects
_N_OBJECTS_LONG = (2, 5)  # of a very wide or tall photo: minimum, and maximum + 1
# Shares of the photos.
_WITHOUT_OBJECTS = 1 / 12
_TURNED = 1 / 12
_WIDE = _TALL = 1 / 50
_TINY = 1 / 40


@dataclass(frozen=True)
class PhotoPlan:
    """Specification of one photo.

    Attributes:
        path: path below the sample folder.
        shape: a key of `onlineml.data.samples.groups.SHAPES`.
        n_objects: maximum number of objects.
        tiny: whether it is reduced to a thumbnail.
        turn: the EXIF orientation with which it is stored; 1 is upright.
        problem: fault of its file or of its boxes; ``""`` is none.
    """

    path: str
    shape: str
    n_objects: int
    tiny: bool
    turn: int
    problem: str


@dataclass(frozen=True)
class DrawnBoxes:
    """A photo's boxes, each a label and x1, y1, x2, y2 in pixels of the upright photo; or its labels without boxes.

    Attributes:
        size_hw: height and width of the upright photo.
        true: the correct boxes.
        given: the annotated boxes, possibly wrong.
    """

    size_hw: tuple[int, int]
    true: Sequence[tuple[str, list[float] | None]]
    given: Sequence[tuple[str, list[float] | None]]


def make_boxes(
    write: Callable[[str, bytes], None], *, n: int, seed: int, faulty: float, broken: int
) -> dict[str, bytes]:
    """Write the photos for detection; return the annotations to store beside them."""
    plans = plan_photos(np.random.default_rng([seed, 2]), n=n, faulty=faulty, broken=broken)

    def make(number: int) -> DrawnBoxes:
        data, boxes = make_photo(np.random.default_rng([seed, 3, number]), plans[number])
        write(plans[number].path, data)
        return boxes

    with ThreadPoolExecutor(max_workers=4) as pool:
        return annotation_files(plans, list(pool.map(make, range(n))))


def plan_photos(
    rng: Generator, *, n: int, faulty: float, broken: int, faults: Sequence[str] = BOX_PROBLEMS
) -> list[PhotoPlan]:
    """Choose name, kind and fault of every photo.

    Args:
        rng: random generator.
        n: number of photos.
        faulty: share of the readable photos that have wrong boxes.
        broken: number of unreadable photos.
        faults: the kinds of wrong boxes, or labels.
    """
    order = rng.permutation(n).tolist()
    problems = dict(zip(order[:broken], FILE_PROBLEMS * n, strict=False))
    n_faulty = round(faulty * (n - broken))
    problems |= dict(zip(order[broken : broken + n_faulty], [*faults] * n, strict=False))
    good = iter(order[broken + n_faulty :])  # each kind occurs at least once if there are enough photos

    def sample(share: float) -> set[int]:
        return {number for number, _ in zip(good, range(max(1, round(share * n))), strict=False)}

    empty, tiny = sample(_WITHOUT_OBJECTS), sample(_TINY)
    shapes = dict.fromkeys(sample(_WIDE), "wide") | dict.fromkeys(sample(_TALL), "tall")
    turned = sample(_TURNED)
    plans = []
    for number in range(n):
        shape = shapes.get(number) or str(rng.choice(["square", "landscape", "landscape", "portrait"]))
        count = 1 + int(rng.choice(len(_N_OBJECTS), p=_N_OBJECTS))
        if number in tiny or number in empty:
            count = int(number in tiny)
        elif shape in {"wide", "tall"}:
            count = int(rng.integers(*_N_OBJECTS_LONG))
        elif problems.get(number) in {"missing box", "missing label"}:
            count = max(count, 3)
        path = "images/" + FILE_NAMES[rng.integers(len(FILE_NAMES))].format(number + 1)
        turn = int(rng.choice(list(TURNS))) if number in turned else 1
        plans.append(PhotoPlan(path, shape, count, number in tiny, turn, problems.get(number, "")))
    return plans


def make_photo(rng: Generator, plan: PhotoPlan) -> tuple[bytes, DrawnBoxes]:
    """Draw a photo, with its boxes and their planned fault; the photo is returned as the content of its file."""
    over_edge = plan.problem == "box beyond the edge"
    group = draw_group(rng, shape=plan.shape, n_objects=plan.n_objects, tiny=plan.tiny, over_edge=over_edge)
    true = list(zip(group.labels, group.boxes_xyxy.tolist(), strict=True))
    given = list(true)
    if plan.problem == "wrong label":
        label, box = true[0]
        given[0] = (CLASS_NAMES[CLASS_NAMES.index(label) - 1], box)
    elif plan.problem == "missing box":
        del given[0]
    elif over_edge:
        given[0] = (true[0][0], group.whole_xyxy[0].tolist())
    elif plan.problem == "empty box":
        label, box = true[0]
        given.append((label, [*box[:2], *box[:2]]))
    data = photo_bytes(rng, group.pixels, turn=plan.turn, problem=plan.problem)
    return data, DrawnBoxes((group.pixels.shape[0], group.pixels.shape[1]), true, given)


def annotation_files(plans: Sequence[PhotoPlan], photos: Sequence[DrawnBoxes]) -> dict[str, bytes]:
    """Return ``annotations.json`` with the annotated boxes, and ``truth.json`` with the correct ones and problems."""
    images = [
        {"id": number, "file_name": plan.path, "width": photo.size_hw[1], "height": photo.size_hw[0]}
        for number, (plan, photo) in enumerate(zip(plans, photos, strict=True), start=1)
    ]
    truly = [{**image, "problem": plan.problem} for image, plan in zip(images, plans, strict=True)]
    return {
        "annotations.json": _coco(images, [photo.given for photo in photos]),
        "truth.json": _coco(truly, [photo.true for photo in photos]),
    }


def _coco(images: list[dict[str, Any]], annotated: Sequence[Sequence[tuple[str, list[float] | None]]]) -> bytes:
    annotations: list[dict[str, Any]] = []
    for image, own in zip(images, annotated, strict=True):
        for label, box in own:
            number = CLASS_NAMES.index(label) + 1
            entry = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": number}
            if box is not None:
                x1, y1, x2, y2 = box
                width, height = round(x2 - x1, 3), round(y2 - y1, 3)
                entry |= {"bbox": [round(x1, 3), round(y1, 3), width, height]}
                entry |= {"area": round(width * height, 3), "iscrowd": 0}
            annotations.append(entry)
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES, start=1)]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(whole).encode()
