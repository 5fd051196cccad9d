"""Parts of evaluation shared by all tasks: slices, class names and thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.arguments.checks import names, one_of, share, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.arguments.counted import count
from onlineml.arguments.similar import valid_names
from onlineml.data.images.decode import decode
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import BadImageError, ConfigError, UnknownClassError
from onlineml.inference.engines import ENGINES
from onlineml.storage.io import read_many
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.tasks.task import Task

__all__ = [
    "Arrays",
    "Compute",
    "EvaluateOptions",
    "check_slices",
    "compute_here",
    "own_label_ids",
    "require_known",
    "slice_values",
    "small_jpegs",
    "task_for",
]

_OWN_COLUMNS = {"image_id", "uri", "version", "sha256", "width", "height", "split", "group", "label"}
_OWN_COLUMNS |= {"declared_width", "declared_height"}
_SLICE_VALUES = 50  # a column with more different values is not sliced by default
_JPEG_QUALITY = 85


Arrays = dict[str, "NDArray[Any]"]
Compute = Callable[[Any, "Manifest", "EvaluateOptions"], Arrays]


def compute_here(compute: Compute, model: Any, data: Manifest, options: EvaluateOptions) -> Arrays:
    """Compute a model's outputs in this process, see `EvaluateOptions`."""
    return compute(model, data, options)


@dataclass(frozen=True)
class EvaluateOptions:
    """The arguments of `onlineml.evaluate`, whatever the task; see there.

    Attributes:
        compute: calls a function of a model, a manifest and options that returns a model's outputs as arrays, where
            ``rows`` are those of the manifest and the first axis of each may be joined; a cluster does it part by part.
    """

    split: str
    slices: Sequence[str] | None
    batch_size: int
    num_workers: int
    n_bootstrap: int
    seed: int
    max_bad: float
    engine: str = "eager"
    compute: Callable[[Compute, Any, Manifest, EvaluateOptions], Arrays] = compute_here

    def __post_init__(self) -> None:
        one_of("split", self.split, SPLITS)
        one_of("engine", self.engine, ENGINES)
        checked = {
            "batch_size": whole("batch_size", self.batch_size, least=1),
            "num_workers": whole("num_workers", self.num_workers),
            "n_bootstrap": whole("n_bootstrap", self.n_bootstrap, of="resamples"),
            "seed": seed_("seed", self.seed),
            "max_bad": share("max_bad", self.max_bad),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def task_for(model: Any, data: Manifest) -> Task:
    """Return the task of a model and a manifest.

    Raises:
        ConfigError: they are of different tasks.
    """
    task = task_of(model)
    if data.task != task.name:
        raise ConfigError(f"the model is for {task.name}, the manifest for {data.task}: expected the same task")
    return task


def slice_values(data: Manifest, slices: Sequence[str] | None, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The values, in ``rows``, of the columns to slice by, see `check_slices`; None takes all with few values."""
    import pyarrow as pa  # noqa: PLC0415

    lists = {field.name for field in data.table.schema if pa.types.is_nested(field.type)}
    if slices is None:
        further = [name for name in data.table.column_names if name not in _OWN_COLUMNS | lists]
        slices = [name for name in further if len({str(v) for v in data.column(name)}) <= _SLICE_VALUES]
    return {name: np.asarray(data.column(name))[rows] for name in slices}


def check_slices(data: Manifest, slices: Sequence[str] | None) -> None:
    """Check names of columns to slice by.

    Raises:
        ConfigError: it is no list, or a name is not a column, or one of lists.
    """
    import pyarrow as pa  # noqa: PLC0415

    usable = [field.name for field in data.table.schema if not pa.types.is_nested(field.type)]
    for name in names("slices", slices, optional=True) or ():
        if name not in usable:
            raise ConfigError(f"slices: {name!r} is not a column of the manifest; it has {valid_names(name, usable)}")


def own_label_ids(model_names: Sequence[str], data: Manifest, label_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Convert class ids of a manifest, none negative, to the model's, by name.

    Raises:
        UnknownClassError: the model does not know one of the classes.
    """
    require_known(model_names, {data.class_names[i] for i in np.unique(label_ids)})
    own = {name: i for i, name in enumerate(model_names)}
    to_own = np.array([own.get(name, -1) for name in data.class_names], dtype=np.int64)
    mapped: NDArray[np.int64] = to_own[label_ids]
    return mapped


def require_known(model_names: Sequence[str], names: set[str]) -> None:
    """Check that the model knows class names of a manifest.

    Raises:
        UnknownClassError: it does not.
    """
    unknown = sorted(names - set(model_names))
    if unknown:
        raise UnknownClassError(
            f"{count(len(unknown), 'class of the manifest is', 'classes of the manifest are')} unknown to the "
            f"model: {', '.join(unknown[:20])}; it knows {', '.join(model_names[:20])}: train a model with them, or "
            "exclude their images"
        )


def small_jpegs(
    data: Manifest,
    image_ids: Sequence[str],
    *,
    min_side: int,
    shrink: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> dict[str, bytes]:
    """JPEG thumbnails by image_id, without unreadable images.

    Args:
        data: with the images.
        image_ids: of the images.
        min_side: see `onlineml.data.images.decode`.
        shrink: shrinks decoded pixels.
    """
    import cv2  # noqa: PLC0415

    urls, versions = data.urls(), data.versions()
    row_of = {str(image_id): i for i, image_id in enumerate(data.column("image_id"))}
    rows = [row_of[i] for i in image_ids]
    tags = [versions[row] for row in rows]
    read = read_many([urls[row] for row in rows], versions=tags, storage_options=data.storage_options) if rows else []
    found = {}
    for image_id, content in zip(image_ids, read, strict=True):
        if isinstance(content, OSError):
            continue
        try:
            pixels = shrink(decode(content, min_side=min_side).pixels)
        except BadImageError:
            continue
        done, jpeg = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if done:
            found[image_id] = jpeg.tobytes()
    return found
