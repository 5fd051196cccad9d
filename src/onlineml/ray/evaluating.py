"""Scores of a model on a large split, its outputs computed on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from safetensors import numpy as tensors

from onlineml.arguments.checks import instance, one_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import StorageError, TooManyBadImagesError
from onlineml.inference.evaluation import EvaluateOptions, check_slices, compute_here, task_for
from onlineml.ray.parts import Parts
from onlineml.ray.spread import RayWorkers, spread
from onlineml.storage.location import Location, Options, Url
from onlineml.tasks.loading import opened_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from onlineml.inference.evaluation import Arrays, Compute
    from onlineml.registry.versions import ModelVersion
    from onlineml.tasks.base import VisionModule

__all__ = ["evaluate"]

_BATCHES = 16  # of a part


def evaluate(
    model: VisionModule | ModelVersion | Url,
    data: Manifest,
    url: Url,
    *,
    workers: RayWorkers | None = None,
    split: str = "test",
    slices: Sequence[str] | None = None,
    batch_size: int | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    max_bad: float = 0.01,
    progress: Literal["lines", "none"] = "lines",
    storage_options: Options = None,
) -> Any:
    """Score a model as `onlineml.evaluate` does, to the same numbers, with its outputs computed on a Ray cluster.

    Args:
        model: a trained model, a published version, or an argument of `onlineml.load_model`.
        data: the images, where all nodes reach them.
        url: a folder, which all nodes reach, for the outputs; call again with it after an interruption, to do what is
            missing.
        workers: how many, and on which cluster; None for as many as `RayWorkers()` takes.
        split: see `onlineml.evaluate`, as for the next five.
        slices: columns to slice the scores by.
        batch_size: images per batch.
        n_bootstrap: resamples of the intervals.
        seed: of the resamples.
        max_bad: share of images that may be bad.
        progress: ``"lines"`` or ``"none"``.
        storage_options: of the filesystem, for the model and ``url``; sent to the workers.

    Returns:
        The scores of the model's task.

    Raises:
        ConfigError: the folder holds other work, there is no cluster, or as `onlineml.evaluate`.
        MissingDependencyError: Ray is not installed.
        TooManyBadImagesError: more than ``max_bad`` are bad.
    """
    one_of("progress", progress, ("lines", "none"))
    instance("data", data, Manifest, "a Manifest, such as that of Manifest.from_any(folder) or project.freeze()")
    check_slices(data, slices)
    opened = opened_model(model, storage_options=storage_options)
    task = task_for(opened, data)
    options = EvaluateOptions(
        split=split,
        slices=slices,
        batch_size=task.evaluate_batch_size if batch_size is None else batch_size,
        num_workers=0,
        n_bootstrap=n_bootstrap,
        seed=seed,
        max_bad=max_bad,
        compute=_Spread(
            Location.of(url, storage_options).folder, RayWorkers() if workers is None else workers, progress == "lines"
        ),
    )
    return task.load("evaluate")(opened.cpu(), data, options)


@dataclass(frozen=True)
class _Spread:
    """Computes a model's outputs on a cluster, see `EvaluateOptions.compute`."""

    folder: Location
    workers: RayWorkers
    tells: bool

    def __call__(self, compute: Compute, model: Any, data: Manifest, options: EvaluateOptions) -> Arrays:
        rows = (
            task_for(model, data).load("datamodule")(data, size_hw=model.input_size_hw()).required_rows(options.split)
        )
        facts = {
            "model": model.fingerprint(),
            "manifest": data.hash,
            "split": options.split,
            "batch_size": options.batch_size,
            "outputs": compute.__name__,
        }
        parts = Parts.opened(
            self.folder,
            facts=facts,
            images=lambda: pa.table({"row": pa.array(rows, pa.int64())}),
            part_size=_BATCHES * options.batch_size,  # whole batches, so that the numbers are those of one machine
            ending=".safetensors",
        )
        here = replace(options, compute=compute_here, max_bad=1.0)
        spread(parts, _Computing(compute, data, here), model, self.workers, tells=self.tells)
        found = [_arrays(parts, part) for part in range(parts.n)]
        joined = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        n_bad = len(rows) - len(joined["rows"])
        if n_bad > options.max_bad * len(rows):
            raise TooManyBadImagesError(
                f"{n_bad:,} of {len(rows):,} images of the split {options.split!r} cannot be used, more than "
                f"max_bad={options.max_bad}: see data.check()"
            )
        return joined


def _arrays(parts: Parts, part: int) -> Arrays:
    try:
        return dict(tensors.load(parts.read(part)))
    except Exception as error:
        if isinstance(error, OSError):
            raise
        raise StorageError(
            f"{parts.folder / parts.name(part)} is damaged ({error}): delete it, and call again"
        ) from error


@dataclass(frozen=True)
class _Computing:
    """Computes the outputs for the images of one part."""

    compute: Compute
    data: Manifest
    options: EvaluateOptions

    def __call__(self, model: Any, parts: Parts, part: int) -> bytes:
        rows = parts.images(part)["row"].to_numpy()
        found = self.compute(model, self.data.take(rows), self.options)
        found["rows"] = rows[found["rows"]]
        return bytes(tensors.save({name: np.ascontiguousarray(values) for name, values in found.items()}))
