"""`Candidate`: settings that a search tries, and their random choice."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from onlineml.arguments.checks import ABOVE_ZERO, instance, names, number, one_of, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.data.augment.classification import Augment
from onlineml.improving.recipe import own_network
from onlineml.tasks import task_of
from onlineml.tasks.building import datamodule_for, model_for
from onlineml.tasks.choosing.plan import plan_for
from onlineml.tasks.kept_settings import ImageSettings, KeptSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.tasks.base import VisionModule

__all__ = ["Candidate", "draw_candidates"]

_STEP = 32  # pixels between two sizes, or a quarter of the size that would be chosen
_LR_FACTORS = (0.3, 1.0, 3.0)
_AUGMENTS: tuple[Augment, ...] = ("auto", "light", "strong")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Settings that `onlineml.search` tries. Those of no arguments are what `onlineml.fit` has without a search.

    Attributes:
        backbone, weights: see `onlineml.model_for`.
        size: side length of the network's input in pixels; None chooses it for the whole budget.
        lr_factor: of the network's usual learning rate, > 0.
        augment: ``"auto"``, ``"none"``, ``"light"``, ``"standard"`` or ``"strong"``, see the datamodules.

    Raises:
        ConfigError: a value is outside its range.

    Example:
        >>> oml.Candidate(size=96, lr_factor=0.5)
        Candidate(backbone='auto', weights='auto', size=96, lr_factor=0.5, augment='auto')
    """

    backbone: str = "auto"
    weights: str = "auto"
    size: int | None = None
    lr_factor: float = 1.0
    augment: Augment = "auto"

    def __post_init__(self) -> None:
        instance("backbone", self.backbone, str, "a name, or the import path of your own network")
        instance("weights", self.weights, str, "'auto', 'random', a published name, or the URL of a file")
        one_of("augment", self.augment, get_args(Augment))
        size = whole("size", self.size, least=8, of="pixels", optional=True)
        factor = number("lr_factor", self.lr_factor, "a factor above 0", least=ABOVE_ZERO)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "lr_factor", factor)

    @property
    def own_backbone(self) -> str | None:
        """The import path of the user's own network, needed to load its models; else None."""
        return own_network(self.backbone)

    def new_model(self, data: Manifest, *, seed: int) -> VisionModule:
        """Return a model with these settings, which its successors keep."""
        made = model_for(data, backbone=self.backbone, weights=self.weights, seed=seed)
        made.keep(KeptSettings(lr_factor=self.lr_factor, images=ImageSettings(augment=self.augment)))
        return made

    def batches_for(
        self,
        data: Manifest,
        model: VisionModule,
        *,
        size: int | None = None,
        budget_s: float | None,
        seed: int,
        num_workers: int,
        max_bad: float,
    ) -> ImageDataModule:
        """Return a datamodule with these settings; ``size`` is that of an earlier training."""
        made = datamodule_for(
            data,
            model=model,
            size=size or self.size,
            budget_s=budget_s,
            seed=seed,
            num_workers=num_workers,
            max_bad=max_bad,
        )
        return made.with_augment(self.augment)

    def __str__(self) -> str:
        """Return the settings that are not the usual ones: ``"96 px, lr x 0.5"``."""
        parts = [
            self.backbone.removeprefix("timm:") if self.backbone != "auto" else "",
            f"weights {self.weights}" if self.weights != "auto" else "",
            f"{self.size} px" if self.size else "",
            f"lr x {self.lr_factor:g}" if self.lr_factor != 1 else "",
            f"augment {self.augment}" if self.augment != "auto" else "",
        ]
        return ", ".join(filter(None, parts)) or "the usual settings"


def draw_candidates(
    data: Manifest, n: int, *, backbones: Sequence[str] = ("auto",), seed: int = 0
) -> tuple[Candidate, ...]:
    """Draw different candidates at random: sizes around the usual one, rates, augmentations; the usual ones come first.

    Args:
        data: annotated images.
        n: number of candidates; fewer if there are not as many.
        backbones: networks to choose from, see `onlineml.list_models`; the first is that of the usual settings.
        seed: of the draw, 0..2**31-1.

    Raises:
        ConfigError: an argument is outside its range.
        DataError: nothing to train on.
    """
    whole("n", n, least=1)
    backbones = names("backbones", backbones)
    usual = plan_for(data, task_of(data)).size
    step = max(_STEP, _STEP * round(usual / 4 / _STEP))
    sizes = [side for side in (usual - step, usual + step) if side > 0]
    grid = itertools.product(backbones, (None, *sizes), _LR_FACTORS, _AUGMENTS)
    all_ = [Candidate(backbone=b, size=s, lr_factor=f, augment=a) for b, s, f, a in grid]
    first = Candidate(backbone=backbones[0])
    rest = [one for one in all_ if one != first]
    random.Random(seed_("seed", seed)).shuffle(rest)  # noqa: S311
    return (first, *rest[: n - 1])
