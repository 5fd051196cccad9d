"""Sample project for multi-label classification: photos of several objects, with labels as COCO JSON, some wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.samples.detection import DrawnBoxes, PhotoPlan, annotation_files, plan_photos
from onlineml.data.samples.files import photo_bytes
from onlineml.data.samples.groups import draw_group
from onlineml.data.samples.objects import CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

__all__ = ["LABEL_PROBLEMS", "make_label_sets"]

LABEL_PROBLEMS = ("missing label", "extra label")


def make_label_sets(
    write: Callable[[str, bytes], None], *, n: int, seed: int, faulty: float, broken: int
) -> dict[str, bytes]:
    """Write the photos for multi-label classification; return the annotations to store beside them."""
    plans = plan_photos(np.random.default_rng([seed, 4]), n=n, faulty=faulty, broken=broken, faults=LABEL_PROBLEMS)

    def make(number: int) -> DrawnBoxes:
        data, labels = _make_photo(np.random.default_rng([seed, 5, number]), plans[number])
        write(plans[number].path, data)
        return labels

    with ThreadPoolExecutor(max_workers=4) as pool:
        return annotation_files(plans, list(pool.map(make, range(n))))


def _make_photo(rng: Generator, plan: PhotoPlan) -> tuple[bytes, DrawnBoxes]:
    group = draw_group(rng, shape=plan.shape, n_objects=plan.n_objects, tiny=plan.tiny)
    true = [name for name in CLASS_NAMES if name in group.labels]
    given = list(true)
    if plan.problem == "missing label":
        del given[int(rng.integers(len(given)))]
    elif plan.problem == "extra label":
        given.append(str(rng.choice([name for name in CLASS_NAMES if name not in true] or true[:1])))
    data = photo_bytes(rng, group.pixels, turn=plan.turn, problem=plan.problem)
    size_hw = (group.pixels.shape[0], group.pixels.shape[1])
    return data, DrawnBoxes(size_hw, *([(name, None) for name in names] for names in (true, dict.fromkeys(given))))
