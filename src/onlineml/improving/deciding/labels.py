"""The classes that several classifiers name for the same photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.improving.challenger.current_names import remap_probabilities
from onlineml.improving.review.labels import probabilities_of, shared_features
from onlineml.tasks.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.recipe import Recipe
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion

__all__ = ["answers"]


def answers(
    project: Project, versions: Sequence[ModelVersion], data: Manifest, rows: NDArray[np.int64], *, recipe: Recipe
) -> dict[int, tuple[str, ...]]:
    """Return the class that each version names, by its present name, for each row whose image is usable.

    Args:
        project: keeps the features.
        versions: two of the project.
        data: a frozen dataset.
        rows: (n,) of it.
        recipe: see `onlineml.improving.deciding.queue.deciding_queue`.
    """
    models: list[Any] = [load_model(version, backbone=recipe.own_backbone) for version in versions]
    lineage = project.labels.state().lineage
    seen = shared_features(project, models, data, rows, num_workers=recipe.num_workers, max_bad=recipe.bad_share)
    tables = [
        probabilities_of(model, features, data, lineage=lineage, merged=remap_probabilities)
        for model, features in zip(models, seen, strict=True)
    ]
    likeliest = np.stack([table.argmax(axis=1) for table in tables], axis=1)
    said = (tuple(data.class_names[k] for k in row) for row in likeliest.tolist())
    return dict(zip(seen[0].rows.tolist(), said, strict=True))
