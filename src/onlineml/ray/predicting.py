"""Predictions for the images of a large prefix, made on a Ray cluster, in Parquet files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from onlineml.arguments.checks import one_of, whole
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError
from onlineml.inference.predictor import PredictOptions
from onlineml.inference.sources import Item, items_of
from onlineml.ray.parts import Parts
from onlineml.ray.spread import RayWorkers, spread
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.urls import redacted
from onlineml.tasks import task_of
from onlineml.tasks.loading import opened_model

if TYPE_CHECKING:
    from typing import Literal

    from onlineml.inference.engines import Engine
    from onlineml.registry.versions import ModelVersion
    from onlineml.tasks.base import VisionModule

__all__ = ["predict"]

_PART = 1000


def predict(
    model: VisionModule | ModelVersion | Url,
    images: Manifest | Url,
    url: Url,
    *,
    workers: RayWorkers | None = None,
    part_size: int = _PART,
    top_k: int | None = None,
    threshold: float | Mapping[str, float] | None = None,
    miss_rate: float | None = None,
    batch_size: int | None = None,
    engine: Engine = "auto",
    progress: Literal["lines", "none"] = "lines",
    storage_options: Options = None,
) -> list[str]:
    """Predict the images of a folder or manifest on a Ray cluster, into Parquet files that appear when they are whole.

    Call it again with the same arguments after an interruption, to do what is missing: an image is in exactly one of
    the files, whatever was lost meanwhile. Photos that came after the first call are not among the images.

    Args:
        model: a trained model, a published version, or an argument of `onlineml.load_model`.
        images: a manifest; or the URL of a folder, or with wildcards, see `onlineml.predict`, whose listing is kept.
        url: the folder of the files, which all nodes reach, as they do the images.
        workers: how many, and on which cluster; None for as many as `RayWorkers()` takes.
        part_size: images in a file.
        top_k: see `onlineml.predict`, as for the next four.
        threshold: score thresholds.
        miss_rate: of a calibrated model.
        batch_size: images per batch.
        engine: ``"auto"`` lets each worker choose, so that scores may differ by rounding.
        progress: ``"lines"`` or ``"none"``.
        storage_options: of the filesystem, for model, images and ``url``; sent to the workers.

    Returns:
        The URLs of the files, in the order of the images; their columns are those of ``onlineml.predict(…).save()``.

    Raises:
        ConfigError: an argument is outside its range, the folder holds other work, or there is no cluster.
        MissingDependencyError: Ray is not installed.
        NotFoundError: the model does not exist, or a folder contains no image.
    """
    one_of("progress", progress, ("lines", "none"))
    opened = opened_model(model, storage_options=storage_options)
    task = task_of(opened)
    options = PredictOptions(
        top_k=whole("top_k", top_k, least=1, optional=True),
        threshold=threshold,
        batch_size=whole("batch_size", batch_size, least=1, optional=True) or task.predict_batch_size,
        storage_options=storage_options,
        miss_rate=miss_rate,
        engine=engine,
    )
    task.load("predict")(opened, [], options)  # refuses what is wrong before any work
    parts = _parts(opened, images, options, Location.of(url, storage_options).folder, part_size)
    at = images.storage_options if isinstance(images, Manifest) else storage_options
    chosen = RayWorkers() if workers is None else workers
    spread(parts, _Predicting(options, at), opened.cpu(), chosen, tells=progress == "lines")
    return [(parts.folder / parts.name(part)).url for part in range(parts.n)]


def _parts(model: Any, images: Manifest | Url, options: PredictOptions, folder: Location, part_size: int) -> Parts:
    return Parts.opened(
        folder,
        facts=_facts(model, images, options),
        images=lambda: _listed(images, options.storage_options),
        part_size=whole("part_size", part_size, least=1),
        ending=".parquet",
    )


def _facts(model: Any, images: Manifest | Url, options: PredictOptions) -> dict[str, Any]:
    """Values that decide the predictions."""
    source = (
        images.hash if isinstance(images, Manifest) else redacted(str(Location.of(images, options.storage_options)))
    )
    threshold = options.threshold
    return {
        "model": model.fingerprint(),
        "images": source,
        "top_k": options.top_k,
        "threshold": dict(threshold) if isinstance(threshold, Mapping) else threshold,
        "miss_rate": options.miss_rate,
    }


def _listed(images: Manifest | Url, options: Options) -> pa.Table:
    """The images as a table; their content is read by the workers.

    Raises:
        ConfigError: one of them is no file, or its address contains a secret.
    """
    items = list(items_of(images, storage_options=options))
    for item in items:
        if not isinstance(item.content, Location):
            raise ConfigError(f"the image {item.name} is not a file that workers can read: expected paths and URLs")
        if item.content.url != item.name:
            raise ConfigError(f"the address {item.name} has a password or a signature: expected storage_options")
    names = ("name", "version", "image_id")
    return pa.table({name: pa.array([getattr(item, name) for item in items], pa.string()) for name in names})


@dataclass(frozen=True)
class _Predicting:
    """Predicts the images of one part.

    Attributes:
        options: of the prediction.
        at: the storage options of the images.
    """

    options: PredictOptions
    at: Options

    def __call__(self, model: Any, parts: Parts, part: int) -> bytes:
        images = [
            Item(row["name"], Location(row["name"], self.at), row["version"], row["image_id"])
            for row in parts.images(part).to_pylist()
        ]
        rows = task_of(model).load("predict")(model, images, self.options)
        with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
            file = Path(folder) / "part.parquet"
            rows.save(file)
            return file.read_bytes()
