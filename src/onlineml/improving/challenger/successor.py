"""The challenger's module before training: the champion's network with the new classes and initial weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.improving.challenger.current_names import current_names
from onlineml.improving.challenger.weight_space import shrink_and_perturb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.tasks.base import VisionModule

__all__ = ["from_champion", "shrink_perturb", "with_settings"]

_SHRINK, _PERTURB = 0.4, 0.1  # factors of the trained and the fresh weights; see `shrink_and_perturb`


def from_champion(
    champion: VisionModule, class_names: Sequence[str], *, lineage: Mapping[str, str], seed: int = 0
) -> Any:
    """A module with the champion's weights, resized to other classes, that is trained like a pretrained one.

    Its batch norms keep the champion's statistics, so that interpolated weights (WiSE-FT) need no recalibration.

    Args:
        champion: not changed.
        class_names: of the module, in order.
        lineage: present names of the champion's classes.
        seed: of dropout and mixing.

    Raises:
        ConfigError: the classes differ, and the network has no last layer with one row per class.
    """
    names = current_names(champion.class_names, lineage, known=class_names)
    made = champion.around(champion.resized_network(names, class_names), class_names, pretrained=True, seed=seed)
    return with_settings(made, champion, lineage=lineage)


def shrink_perturb(
    champion: VisionModule, class_names: Sequence[str], *, lineage: Mapping[str, str], seed: int = 0
) -> Any:
    """As `from_champion`, with shrunk and perturbed weights, which forget memorized labels but little else.

    Raises:
        ConfigError: as `from_champion` and `onlineml.tasks.base.VisionModule.rebuild`.
    """
    names = current_names(champion.class_names, lineage, known=class_names)
    fresh = champion.rebuild(class_names, seed=seed)
    network = shrink_and_perturb(
        champion.resized_network(names, class_names), fresh.network, shrink=_SHRINK, perturb=_PERTURB
    )
    made = champion.around(network, class_names, pretrained=False, seed=seed)
    return with_settings(made, champion, lineage=lineage)


def with_settings(made: VisionModule, champion: VisionModule, *, lineage: Mapping[str, str]) -> VisionModule:
    """Let a successor be trained with the settings that were chosen for the champion; returns it."""
    names = current_names(champion.class_names, lineage, known=made.class_names)
    made.keep(champion.chosen_settings().renamed(dict(zip(champion.class_names, names, strict=True))))
    return made
