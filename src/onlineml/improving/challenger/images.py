"""Training images of a challenger: all new or corrected ones, and a share of the unchanged ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.improving.challenger.successor_pieces import successor_pieces

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.recipe import Recipe
    from onlineml.tasks.base import VisionModule

__all__ = ["challenger_images"]


def challenger_images(
    champion: VisionModule,
    data: Manifest,
    recipe: Recipe,
    *,
    changed: Collection[str] = (),
    known: NDArray[np.bool_] | None = None,
) -> ImageDataModule:
    """The datamodule of a challenger, at the champion's input size.

    Args:
        champion: determines the size, the augmentation and the like.
        data: a frozen dataset.
        recipe: with the number of unchanged images and the loading options.
        changed: ids of images that changed since the champion was trained.
        known: (N, C), see `onlineml.DetectionDataModule`; None if not applicable.
    """
    images = successor_pieces(data).images(
        data, recipe, size_hw=champion.input_size_hw(), known=known, kept=champion.chosen_settings()
    )
    if recipe.replay is not None:
        images.leave_out(_not_replayed(data, images.rows_of("train"), recipe.replay, changed, seed=recipe.seed))
    return images


def _not_replayed(
    data: Manifest, rows: NDArray[np.int64], replay: int, changed: Collection[str], *, seed: int
) -> NDArray[np.int64]:
    """Unchanged training images beyond the replay limit, which are left out."""
    own = set(changed)
    history = np.array([row for row in rows if data.column("image_id")[row] not in own], np.int64)
    if len(history) <= replay:
        return history[:0]
    weights = _rareness(data, history)
    rng = np.random.default_rng([seed, len(history)])
    # weighted sampling without replacement by the largest u^(1/w) (Efraimidis and Spirakis 2006)
    keys = rng.random(len(history)) ** (1 / weights)
    return np.sort(history[np.argsort(-keys, kind="stable")[replay:]])


def _rareness(data: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The inverse frequency of each image's rarest class; without a class, that of the most common one."""
    names, of_row = data.kind.names_by_row(data.table)
    ids = pc.index_in(names, value_set=pa.array(data.class_names, pa.string())).fill_null(-1).to_numpy()
    place = np.full(len(data), -1, np.int64)
    place[rows] = np.arange(len(rows))
    own = (ids >= 0) & (place[of_row] >= 0)
    ids, places = ids[own], place[of_row[own]]
    counts = np.maximum(np.bincount(ids, minlength=max(len(data.class_names), 1)), 1)
    rareness: NDArray[np.float64] = np.full(len(rows), 1.0 / counts.max())
    np.maximum.at(rareness, places, 1.0 / counts[ids])
    return rareness
