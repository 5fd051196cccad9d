"""`Recipe`: how a challenger is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from onlineml.arguments.checks import instance, one_of, seconds, share, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.errors import ConfigError

__all__ = ["HOWS", "How", "Recipe", "own_network"]

How = Literal["auto", "warm", "head", "rows", "shrink", "full"]
HOWS: tuple[How, ...] = get_args(How)

_MAX_BAD = 0.01  # of a dataset whose bad images were left out when it was frozen
_PACKAGES = ("timm:", "transformers:")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings for the training of a challenger.

    Attributes:
        how: ``"warm"``: all weights, starting from the champion's; ``"head"``: only the last layer is refitted, on
            cached features (for a detector, its head is trained); ``"rows"``: only the last layer's rows of new classes
            are fitted, everything else stays bit-identical (classifiers); ``"shrink"``: all weights, starting from the
            champion's, shrunk and perturbed; ``"full"``: a new network. ``"auto"`` is ``"warm"``; in `onlineml.improve`
            also ``"head"`` for budgets below 30 s, ``"shrink"`` if a tenth of the labels of a classifier trained from
            scratch was corrected, and ``"full"`` if the champion's network cannot be resized or after four
            consecutive warm starts.
        replay: maximum number of unchanged training images, sampled so that rare classes are represented; None: all.
            New and corrected images are always used.
        epochs: see `onlineml.fit`; if neither this nor `budget_s` is given, 10, or 30 for new weights.
        budget_s: seconds of training.
        size: input side length in pixels of a first model; None chooses it, see `onlineml.datamodule_for`; others keep
            the champion's.
        batch_size: images per step; None chooses it.
        backbone: of a first model, see `onlineml.model_for`. For your own network always its import path.
        weights: initial weights of a first model, and for ``"full"``; see `onlineml.model_for`.
        seed: of order, augmentation, new weights and resamples, 0..2**31-1.
        num_workers: processes that decode; 0 is a thread.
        devices: number of devices to train on, -1 for all GPUs; see `onlineml.fit`.
        max_bad: share of a split's images, and boxes, that may be bad, 0..1; by default the project's.

    Raises:
        ConfigError: a value is outside its range, or both `epochs` and `budget_s` are given.

    Example:
        >>> oml.Recipe(how="warm", budget_s=600, replay=1000).replay
        1000
    """

    how: How = "auto"
    replay: int | None = None
    epochs: int | None = None
    budget_s: float | None = None
    size: int | None = None
    batch_size: int | None = None
    backbone: str = "auto"
    weights: str | None = "auto"
    seed: int = 0
    num_workers: int = 0
    devices: int | Literal["auto"] = "auto"
    max_bad: float | None = None

    def __post_init__(self) -> None:
        one_of("how", self.how, HOWS)
        if self.epochs is not None and self.budget_s is not None:
            raise ConfigError(f"epochs={self.epochs} and budget_s={self.budget_s}: expected one of them")
        expected = "a name, or the import path of your own network, 'package.module:factory'"
        instance("backbone", self.backbone, str, expected)
        checked: dict[str, object] = {
            "budget_s": seconds("budget_s", self.budget_s, optional=True),
            "max_bad": share("max_bad", self.max_bad, optional=True),
            "seed": seed_("seed", self.seed),
            "num_workers": whole("num_workers", self.num_workers),
        }
        if self.devices not in {"auto", -1}:
            checked["devices"] = whole("devices", self.devices, least=1, of="devices ('auto' for one, -1 for all GPUs)")
        for name, least in {"replay": 0, "epochs": 1, "size": 8, "batch_size": 1}.items():
            checked[name] = whole(name, getattr(self, name), least=least, optional=True)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def bad_share(self) -> float:
        """The share of a frozen dataset's images, and boxes, that may be bad."""
        return _MAX_BAD if self.max_bad is None else self.max_bad

    @property
    def own_backbone(self) -> str | None:
        """The import path of the user's own network, needed to load its models; else None."""
        return own_network(self.backbone)


def own_network(backbone: str) -> str | None:
    """Return the value of ``backbone`` if it is the import path of the user's own network; else None."""
    return backbone if ":" in backbone and not backbone.startswith(_PACKAGES) else None
