"""`Recipe`: how a challenger is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from onlineml.errors import ConfigError

__all__ = ["HOWS", "How", "Recipe"]

How = Literal["auto", "warm", "head", "rows", "shrink", "full"]
HOWS: tuple[How, ...] = get_args(How)

_MAX_BAD = 0.01  # of a dataset whose bad images were left out when it was frozen
_PACKAGES = ("timm:", "transformers:")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings for the training of a challenger.

    Attributes:
        how: ``"warm"``: all weights start from the champion's; ``"head"``: only the last layer is fitted anew, to all
            labels, on features that are kept (of a detector: its head is trained); ``"rows"``: only the last layer's
            rows of new classes are fitted, everything else stays to the bit (classifiers); ``"shrink"``: the
            champion's weights, shrunk and perturbed, are trained like fresh ones; ``"full"``: from the beginning.
            ``"auto"`` is ``"warm"``; in `onlineml.improve` also ``"head"`` where less than half a minute is given,
            ``"shrink"`` where a tenth of the labels that a classifier learned from scratch was wrong, and ``"full"``
            where the champion's network cannot go on or four versions went on from one another.
        replay: largest number of training images to use of those that the champion knows as they are now, drawn so
            that rare classes have their share; None: all. New and corrected images are always used.
        epochs: see `onlineml.fit`; if neither this nor `budget_s` is given, 10, or 30 for fresh weights.
        budget_s: seconds of training.
        size: side length in pixels of a first model's input, see `onlineml.datamodule_for`; others have the champion's.
        batch_size: images a step; None is the datamodule's.
        backbone: of a first model, see `onlineml.model_for`. For a network of your own, its import path, each time.
        weights: the weights that a first model, and ``"full"``, start from.
        seed: of order, augmentation, fresh weights and resamples, 0..2**31-1.
        num_workers: processes that decode; 0 is a thread.
        max_bad: share of a split's images, and boxes, that may be bad, 0..1; by default the project's.

    Raises:
        ConfigError: a value is outside its range, or both `epochs` and `budget_s` are given.
    """

    how: How = "auto"
    replay: int | None = None
    epochs: int | None = None
    budget_s: float | None = None
    size: int | None = None
    batch_size: int | None = None
    backbone: str = "auto"
    weights: str | None = None
    seed: int = 0
    num_workers: int = 0
    max_bad: float | None = None

    def __post_init__(self) -> None:
        if self.how not in HOWS:
            raise ConfigError(f"how={self.how!r}: expected one of {', '.join(HOWS)}")
        if self.epochs is not None and self.budget_s is not None:
            raise ConfigError(f"epochs={self.epochs} and budget_s={self.budget_s}: expected one of them")
        if not isinstance(self.backbone, str):
            raise ConfigError(
                f"backbone is a {type(self.backbone).__name__}: expected a name, or the import path of a network of "
                "yours, 'package.module:factory'"
            )
        if self.max_bad is not None and not 0 <= self.max_bad <= 1:
            raise ConfigError(f"max_bad={self.max_bad}: expected a share between 0 and 1")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed={self.seed}: expected 0..2**31-1")
        self._check_least()

    def _check_least(self) -> None:
        """Refuse numbers that are too small; None is what is not limited."""
        least = {"replay": 0, "epochs": 1, "size": 8, "batch_size": 1, "num_workers": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ConfigError(f"{name}={value}: expected at least {lowest}")
        if self.budget_s is not None and not self.budget_s > 0:
            raise ConfigError(f"budget_s={self.budget_s}: expected more than 0 seconds")

    @property
    def bad_share(self) -> float:
        """The share of a frozen dataset's images, and boxes, that may be bad."""
        return _MAX_BAD if self.max_bad is None else self.max_bad

    @property
    def own_backbone(self) -> str | None:
        """The import path of a network of the user's own, without which its models cannot be loaded."""
        return self.backbone if ":" in self.backbone and not self.backbone.startswith(_PACKAGES) else None
