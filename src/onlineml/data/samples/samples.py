"""Sample project for trying out onlineml: generated photos with the faults of real collections."""

from __future__ import annotations

import contextlib
import json

from onlineml.arguments.counted import count
from onlineml.data.kinds import kind_of
from onlineml.data.samples.scenes import CLASS_NAMES
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError
from onlineml.lazy import told_if_slow
from onlineml.storage import io
from onlineml.storage.documents import read_json
from onlineml.storage.location import Location, Options

__all__ = ["CLASS_NAMES", "make_samples"]

_ASKED_ONCE = {"task": "classification"}  # keys missing in sample folders that were made before there were tasks


def make_samples(
    url: str,
    *,
    task: str = "classification",
    n: int = 400,
    seed: int = 0,
    mislabelled: float = 0.05,
    broken: int = 6,
    storage_options: Options = None,
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
    - ``"multilabel"``: the same kinds of photos, with the classes that they show: COCO annotations without boxes. Some
      lack a label, or have one too many.

    Args:
        url: the folder to fill, on any filesystem; created if it is missing.
        task: the task of the samples.
        n: total number of photos, at least 5.
        seed: seed of all random choices.
        mislabelled: share of the good photos with a wrong folder, wrong boxes or wrong labels, 0 to 1.
        broken: number of the n files that are not readable images.
        storage_options: options of the filesystem of `url`.

    Returns:
        The url, unchanged.

    Raises:
        ConfigError: an argument is out of its range.
        AlreadyExistsError: the folder contains samples made with other arguments.
    """
    _require_counts(n=n, mislabelled=mislabelled, broken=broken)
    make = kind_of(task).sample_maker()
    asked = {"task": task, "n": n, "seed": seed, "mislabelled": mislabelled, "broken": broken, "version": 1}
    folder = Location(url, storage_options)
    with contextlib.suppress(NotFoundError):
        found = read_json(folder / "samples.json")
        if {**_ASKED_ONCE, **found} == asked:
            return url
        msg = f"{url} contains samples made with {found}, not with {asked}; delete it or choose another folder"
        raise AlreadyExistsError(msg)

    def write(name: str, data: bytes) -> None:
        io.write_bytes(folder / name, data)

    with told_if_slow(f"Drawing {count(n, 'sample photo')}"):
        for name, data in make(write, n=n, seed=seed, faulty=mislabelled, broken=broken).items():
            write(name, data)
    write("samples.json", json.dumps(asked).encode())
    return url


def _require_counts(*, n: int, mislabelled: float, broken: int) -> None:
    if n < len(CLASS_NAMES) or not 0 <= broken <= n or not 0 <= mislabelled <= 1:
        raise ConfigError(
            f"make_samples expects n >= {len(CLASS_NAMES)}, 0 <= broken <= n and 0 <= mislabelled <= 1; found "
            f"n={n}, broken={broken}, mislabelled={mislabelled}"
        )
