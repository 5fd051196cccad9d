"""A sample project to try everything on: folders of generated photos with the faults that real collections have."""

from __future__ import annotations

import csv
import io as buffers
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data._sample_scenes import CLASS_NAMES, draw_photo
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.random import Generator

__all__ = ["CLASS_NAMES", "make_samples"]

_SHARES = (0.24, 0.19, 0.16, 0.22, 0.19)  # of the photos, per class: collections are rarely balanced
_NAMES = ("IMG_{:04d}.jpg", "DSC{:05d}.JPG", "PXL_2026{:04d}.jpg", "photo-{:d}.jpeg")
_EXIF_ORIENTATION = 0x0112
# How to turn the pixels so that the orientation tag turns them upright again (EXIF 2.32, 4.6.4.A).
_TURNS = {6: 1, 8: 3, 3: 2}
_PROBLEMS = ("truncated", "empty", "not an image")
_NOT_AN_IMAGE = b"<html><head><title>403 Forbidden</title></head><body>You may not see this photo.</body></html>\n"


@dataclass(frozen=True)
class _Plan:
    """What one file of the sample project is to be."""

    path: str
    label: str  # the folder that it lies in
    truth: str  # what it shows
    problem: str


def make_samples(
    url: str,
    *,
    n: int = 400,
    seed: int = 0,
    mislabelled: float = 0.05,
    broken: int = 6,
    storage_options: Mapping[str, Any] | None = None,
) -> str:
    """Fills a folder with generated photos of apples, bananas, leaves, lemons and mushrooms, one sub-folder a class.

    Backgrounds, light, size, position, blur, noise, cover and JPEG quality vary. About one photo in twelve is stored
    turned, with an EXIF orientation; some lie in the folder of another class; some are truncated, empty or no image at
    all. What each photo really shows is in ``truth.csv`` (path, label, truth, problem), beside the class folders.
    The same arguments give the same photos. A folder that was filled before with the same arguments is left as it is.

    Args:
        url: the folder to fill, on any filesystem; made if it is missing.
        n: how many files in all, at least 5.
        seed: of everything that varies.
        mislabelled: share of the good photos that are put into a wrong folder, 0 to 1.
        broken: how many of the n files are not readable images.
        storage_options: for the filesystem of `url`.

    Returns:
        The url, as given.

    Raises:
        ConfigError: an argument is out of its range.
        AlreadyExistsError: the folder holds samples that were made with other arguments.
    """
    if n < len(CLASS_NAMES) or not 0 <= broken <= n or not 0 <= mislabelled <= 1:
        msg = (
            f"make_samples needs n >= {len(CLASS_NAMES)}, 0 <= broken <= n and 0 <= mislabelled <= 1; "
            f"it was given n={n}, broken={broken}, mislabelled={mislabelled}"
        )
        raise ConfigError(msg)
    asked = {"n": n, "seed": seed, "mislabelled": mislabelled, "broken": broken, "version": 1}
    descriptor = io.join(url, "samples.json")
    found = _read_json(descriptor, storage_options)
    if found is not None:
        if found == asked:
            return url
        msg = f"{url} holds samples made with {found}, not with {asked}; delete that folder or choose another"
        raise AlreadyExistsError(msg)
    plans = _plan(np.random.default_rng([seed, 0]), n=n, mislabelled=mislabelled, broken=broken)

    def make(number: int) -> None:
        data = _encode(np.random.default_rng([seed, 1, number]), plans[number])
        io.write_bytes(io.join(url, plans[number].path), data, storage_options=storage_options)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(make, range(n)))
    table = buffers.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=["path", "label", "truth", "problem"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(plan) for plan in plans)
    io.write_bytes(io.join(url, "truth.csv"), table.getvalue().encode(), storage_options=storage_options)
    io.write_bytes(descriptor, json.dumps(asked).encode(), storage_options=storage_options)
    return url


def _read_json(url: str, storage_options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(io.read_bytes(url, storage_options=storage_options))
    except NotFoundError:
        return None
    return data


def _plan(rng: Generator, *, n: int, mislabelled: float, broken: int) -> list[_Plan]:
    """Decides class, folder, name and fault of every file."""
    truths = rng.permutation(_spread(n))
    order = rng.permutation(n)
    faults = {int(k): _PROBLEMS[i % len(_PROBLEMS)] for i, k in enumerate(order[:broken])}
    wrong = {int(k) for k in order[broken : broken + round(mislabelled * (n - broken))]}
    plans = []
    for k in range(n):
        truth = int(truths[k])
        label = (truth + int(rng.integers(1, len(CLASS_NAMES)))) % len(CLASS_NAMES) if k in wrong else truth
        name = _NAMES[rng.integers(len(_NAMES))].format(k + 1)
        problem = faults.get(k, "mislabelled" if k in wrong else "")
        plans.append(_Plan(f"{CLASS_NAMES[label]}/{name}", CLASS_NAMES[label], CLASS_NAMES[truth], problem))
    return plans


def _spread(n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Class numbers, n in all, in the shares above, each class at least once."""
    edges = np.floor(np.cumsum((0, *_SHARES)) * (n - len(CLASS_NAMES)) + 0.5).astype(int)
    return np.repeat(np.arange(len(CLASS_NAMES)), np.diff(edges) + 1)


def _encode(rng: Generator, plan: _Plan) -> bytes:
    """Draws the photo and gives the bytes of its file."""
    from PIL import Image  # noqa: PLC0415 - heavy, and importing onlineml must stay quick

    if plan.problem == "empty":
        return b""
    if plan.problem == "not an image":
        return _NOT_AN_IMAGE
    pixels = draw_photo(rng, plan.truth)
    exif = Image.Exif()
    if rng.random() < 1 / 12:
        tag = int(rng.choice(list(_TURNS)))
        pixels = np.ascontiguousarray(np.rot90(pixels, _TURNS[tag]))
        exif[_EXIF_ORIENTATION] = tag
    buffer = buffers.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(45, 95)), exif=exif)
    data = buffer.getvalue()
    return data[: len(data) * 2 // 3] if plan.problem == "truncated" else data
