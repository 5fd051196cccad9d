"""Choice of the way in which a challenger is trained, where the user does not choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml import registry
from onlineml.errors import NotFoundError
from onlineml.improving.challenger.rename import current_names

if TYPE_CHECKING:
    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.recipe import How, Recipe
    from onlineml.project.project import Project

__all__ = ["chosen_how", "generations"]

_SECONDS = 30.0  # with less, a pass over the images is all that there is time for
_WRONG = 0.1  # of the training labels: from there on a network from scratch has learned too many of them by heart
# (sign digits, 20 % of the labels wrong, then mended: .93 by a warm start of 45 s, .96 shrunk and .95 anew in 60 s)
_FROM_SCRATCH = "slim_resnet18"  # there are no published weights of it, to which shrinking would do harm
_GENERATIONS = 4  # warm starts of warm starts lose what a fresh start would find (Ash and Adams 2020)


def chosen_how(
    project: Project, champion: Any, data: Manifest, recipe: Recipe, state: Annotations, *, relabelled: float = 0.0
) -> How:
    """The way that suits the champion's network, the time and the history; see `onlineml.improve`.

    Args:
        project: has the versions that the champion comes from.
        champion: as it was loaded.
        data: what will be learned.
        recipe: tells the time.
        state: tells what classes are called now.
        relabelled: share of the training images whose labels were others when the champion learned them.
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
    rebuilt = bool(champion.backbone_name)  # a network of the user's own may be known to nobody else
    return "full" if rebuilt and generations(project, champion.reference) >= _GENERATIONS else "warm"


def generations(project: Project, url: str) -> int:
    """Return the number of versions that continued one another, up to this one: 0 for one trained from scratch."""
    n = 0
    while n < _GENERATIONS:
        try:
            parent = registry.resolve(url, storage_options=project.storage_options).descriptor().get("parent")
        except NotFoundError:
            break
        if not parent:
            break
        url, n = str(parent), n + 1
    return n
