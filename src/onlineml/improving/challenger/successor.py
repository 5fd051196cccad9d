"""The module that takes a champion's place, before it is trained: other classes, other or the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.improving.challenger.rename import current_names
from onlineml.improving.challenger.weight_space import shrink_and_perturb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.tasks.base import VisionModule

__all__ = ["from_champion", "shrink_perturb"]

_SHRINK, _PERTURB = (
    0.4,
    0.1,
)  # of the trained and of the fresh weights; see `onlineml.improving.challenger.weight_space`


def from_champion(
    champion: VisionModule, class_names: Sequence[str], *, lineage: Mapping[str, str], seed: int = 0
) -> Any:
    """A module of the champion's network, grown to other classes, that learns as one that starts from weights.

    Its batch norms keep the champion's statistics, so that weights between the two (WiSE-FT) need no others.

    Args:
        champion: left as it is.
        class_names: the wanted ones, in their order.
        lineage: what classes of the champion are called now.
        seed: of dropout and mixing.

    Raises:
        ConfigError: the classes are others, and the network has no last layer whose rows are classes.
    """
    names = current_names(champion.class_names, lineage, known=class_names)
    return champion.around(champion.resized_network(names, class_names), class_names, pretrained=True, seed=seed)


def shrink_perturb(
    champion: VisionModule, class_names: Sequence[str], *, lineage: Mapping[str, str], seed: int = 0
) -> Any:
    """As `from_champion`, with the weights shrunk and perturbed: it forgets what it learned by heart, and little else.

    Raises:
        ConfigError: as `from_champion` and `onlineml.tasks.base.VisionModule.rebuild`.
    """
    names = current_names(champion.class_names, lineage, known=class_names)
    fresh = champion.rebuild(class_names, seed=seed)
    network = shrink_and_perturb(
        champion.resized_network(names, class_names), fresh.network, shrink=_SHRINK, perturb=_PERTURB
    )
    return champion.around(network, class_names, pretrained=False, seed=seed)
