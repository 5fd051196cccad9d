"""The choice of how a challenger is trained, for ``how="auto"``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml import registry
from onlineml.errors import NotFoundError
from onlineml.improving.challenger.current_names import current_names

if TYPE_CHECKING:
    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.recipe import How, Recipe
    from onlineml.project.project import Project

__all__ = ["chosen_how", "generations"]

_SECONDS = 30.0  # with less, there is only time for one pass over the images
_WRONG = 0.1  # share of corrected labels from which a network trained from scratch has memorized too many wrong ones
# (sign digits, 20 % of the labels wrong, then corrected: .93 by a warm start of 45 s, .96 shrunk and .95 full in 60 s)
_FROM_SCRATCH = "slim_resnet18"  # it has no published weights, which shrinking would harm
_GENERATIONS = 4  # repeated warm starts generalize worse than training from scratch (Ash and Adams 2020)


def chosen_how(
    project: Project, champion: Any, data: Manifest, recipe: Recipe, state: Annotations, *, relabelled: float = 0.0
) -> How:
    """Choose by the champion's network, the time budget and the history; see `onlineml.Recipe`.

    Args:
        project: with the champion's ancestors.
        champion: the loaded model.
        data: the training data.
        recipe: with the time budget.
        state: with the present class names.
        relabelled: share of the training images whose labels changed since the champion was trained.
    """
    linear = champion.linear_head() is not None
    names = current_names(champion.class_names, state.lineage, known=data.class_names)
    same = tuple(names) == tuple(data.class_names)
    if not same and champion.class_head() is None:
        return "full"
    if linear and recipe.budget_s is not None and recipe.budget_s < _SECONDS:
        return "head"
    if linear and relabelled >= _WRONG and champion.backbone_name == _FROM_SCRATCH:
        return "shrink"
    rebuilt = bool(champion.backbone_name)  # a user's own network cannot be rebuilt by name
    return "full" if rebuilt and generations(project, champion.reference) >= _GENERATIONS else "warm"


def generations(project: Project, url: str) -> int:
    """Return the number of consecutive warm starts up to this version: 0 for one trained from scratch."""
    n = 0
    while n < _GENERATIONS:
        try:
            parent = registry.resolve(project.location.to(url)).descriptor().get("parent")
        except NotFoundError:
            break
        if not parent:
            break
        url, n = str(parent), n + 1
    return n
