"""Sample project for classification: photos in class folders, some of them in the wrong one."""

from __future__ import annotations

import csv
import io as buffers
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.samples.files import FILE_NAMES, FILE_PROBLEMS, TURNS, photo_bytes
from onlineml.data.samples.scenes import CLASS_NAMES, draw_photo

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

__all__ = ["make_folders"]

_SHARES = (0.24, 0.19, 0.16, 0.22, 0.19)  # of the photos, per class; real collections are rarely balanced


@dataclass(frozen=True)
class _Plan:
    """Specification of one file of the sample project."""

    path: str
    label: str  # the folder that contains it
    truth: str  # the class it shows
    problem: str


def make_folders(
    write: Callable[[str, bytes], None], *, n: int, seed: int, faulty: float, broken: int
) -> dict[str, bytes]:
    """Write the photos for classification; return the table to store beside them."""
    plans = _plan(np.random.default_rng([seed, 0]), n=n, mislabelled=faulty, broken=broken)

    def make(number: int) -> None:
        write(plans[number].path, _encode(np.random.default_rng([seed, 1, number]), plans[number]))

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(make, range(n)))
    table = buffers.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=["path", "label", "truth", "problem"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(plan) for plan in plans)
    return {"truth.csv": table.getvalue().encode()}


def _plan(rng: Generator, *, n: int, mislabelled: float, broken: int) -> list[_Plan]:
    """Choose class, folder, name and fault of every file."""
    truths = rng.permutation(_spread(n))
    order = rng.permutation(n)
    faults = {int(k): FILE_PROBLEMS[i % len(FILE_PROBLEMS)] for i, k in enumerate(order[:broken])}
    wrong = {int(k) for k in order[broken : broken + round(mislabelled * (n - broken))]}
    plans = []
    for k in range(n):
        truth = int(truths[k])
        label = (truth + int(rng.integers(1, len(CLASS_NAMES)))) % len(CLASS_NAMES) if k in wrong else truth
        name = FILE_NAMES[rng.integers(len(FILE_NAMES))].format(k + 1)
        problem = faults.get(k, "mislabelled" if k in wrong else "")
        plans.append(_Plan(f"{CLASS_NAMES[label]}/{name}", CLASS_NAMES[label], CLASS_NAMES[truth], problem))
    return plans


def _spread(n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return n class ids in the shares above, each class at least once."""
    edges = np.floor(np.cumsum((0, *_SHARES)) * (n - len(CLASS_NAMES)) + 0.5).astype(int)
    return np.repeat(np.arange(len(CLASS_NAMES)), np.diff(edges) + 1)


def _encode(rng: Generator, plan: _Plan) -> bytes:
    """Draw the photo and return the bytes of its file."""
    pixels = draw_photo(rng, plan.truth)
    turn = int(rng.choice(list(TURNS))) if rng.random() < 1 / 12 else 1
    return photo_bytes(rng, pixels, turn=turn, problem=plan.problem)
