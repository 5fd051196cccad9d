"""Sample project for trying out onlineml: generated photos with the faults of real collections."""

from __future__ import annotations

import csv
import io as buffers
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.samples import detection
from onlineml.data.samples.files import FILE_NAMES, FILE_PROBLEMS, TURNS, photo_bytes
from onlineml.data.samples.scenes import CLASS_NAMES, draw_photo
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.random import Generator

__all__ = ["CLASS_NAMES", "make_samples"]

_TASKS = ("classification", "detection")
_SHARES = (0.24, 0.19, 0.16, 0.22, 0.19)  # of the photos, per class; real collections are rarely balanced


@dataclass(frozen=True)
class _Plan:
    """Specification of one file of the sample project."""

    path: str
    label: str  # the folder that contains it
    truth: str  # the class it shows
    problem: str


def make_samples(
    url: str,
    *,
    task: str = "classification",
    n: int = 400,
    seed: int = 0,
    mislabelled: float = 0.05,
    broken: int = 6,
    storage_options: Mapping[str, Any] | None = None,
) -> str:
    """Fill a folder with generated photos of apples, bananas, leaves, lemons and mushrooms.

    Backgrounds, light, size, position, blur, noise, occlusion and JPEG quality vary. About one photo in twelve is
    stored rotated, with an EXIF orientation; some are truncated, empty or not an image at all. The same arguments
    produce the same photos. A folder filled before with the same arguments is left unchanged.

    - ``"classification"``: one sub-folder per class. Some photos are in the folder of another class. The true class of
      each is in ``truth.csv`` (path, label, truth, problem), beside the class folders.
    - ``"detection"``: ``images/`` and ``annotations.json``, in COCO's format, for `onlineml.Manifest.from_coco`. A
      photo shows up to five objects, or none; some are very wide, tall or tiny. Some have wrong boxes: a wrong label, a
      missing box, a box beyond the photo's edge, or an empty box. The correct boxes, and the ``problem`` of each photo,
      are in ``truth.json``, in the same format.

    Args:
        url: the folder to fill, on any filesystem; created if it is missing.
        task: the task of the samples, ``"classification"`` or ``"detection"``.
        n: total number of photos, at least 5.
        seed: seed of all random choices.
        mislabelled: share of the good photos with a wrong folder or wrong boxes, 0 to 1.
        broken: number of the n files that are not readable images.
        storage_options: options of the filesystem of `url`.

    Returns:
        The url, unchanged.

    Raises:
        ConfigError: an argument is out of its range.
        AlreadyExistsError: the folder contains samples made with other arguments.
    """
    if task not in _TASKS or n < len(CLASS_NAMES) or not 0 <= broken <= n or not 0 <= mislabelled <= 1:
        msg = (
            f"make_samples expects a task of {', '.join(_TASKS)}, n >= {len(CLASS_NAMES)}, 0 <= broken <= n and "
            f"0 <= mislabelled <= 1; found task={task!r}, n={n}, broken={broken}, mislabelled={mislabelled}"
        )
        raise ConfigError(msg)
    asked: dict[str, Any] = {"n": n, "seed": seed, "mislabelled": mislabelled, "broken": broken, "version": 1}
    if task != "classification":
        asked = {"task": task, **asked}
    descriptor = io.join(url, "samples.json")
    found = _read_json(descriptor, storage_options)
    if found is not None:
        if found == asked:
            return url
        msg = f"{url} contains samples made with {found}, not with {asked}; delete it or choose another folder"
        raise AlreadyExistsError(msg)

    def write(name: str, data: bytes) -> None:
        io.write_bytes(io.join(url, name), data, storage_options=storage_options)

    make = _make_folders if task == "classification" else _make_boxes
    for name, data in make(write, n=n, seed=seed, faulty=mislabelled, broken=broken).items():
        write(name, data)
    write("samples.json", json.dumps(asked).encode())
    return url


def _read_json(url: str, storage_options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(io.read_bytes(url, storage_options=storage_options))
    except NotFoundError:
        return None
    return data


def _make_folders(
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


def _make_boxes(
    write: Callable[[str, bytes], None], *, n: int, seed: int, faulty: float, broken: int
) -> dict[str, bytes]:
    """Write the photos for detection; return the annotations to store beside them."""
    plans = detection.plan_photos(np.random.default_rng([seed, 2]), n=n, faulty=faulty, broken=broken)

    def make(number: int) -> detection.DrawnBoxes:
        data, boxes = detection.make_photo(np.random.default_rng([seed, 3, number]), plans[number])
        write(plans[number].path, data)
        return boxes

    with ThreadPoolExecutor(max_workers=4) as pool:
        return detection.annotation_files(plans, list(pool.map(make, range(n))))


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
