"""`ClassificationDataModule`: a manifest with one label per image as loaders of uint8 batches."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from onlineml.arguments.checks import one_of
from onlineml.data.augment.classification import Augment, Augmenter, Flips, training_scale
from onlineml.data.loading.datamodules import ImageDataModule
from onlineml.data.loading.datasets import ImageDataset, ImageRows

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["ClassificationDataModule"]


class ClassificationDataModule(ImageDataModule):
    """Loaders of a classification manifest's splits.

    Order and augmentation are a function of (seed, epoch, image): batches are identical for any ``num_workers`` and
    after any restart. Images are decoded once and cached, see `onlineml.data.loading.decoded_cache.DecodedCache`. An
    unusable image is left out of its batch and listed in `findings`; above ``max_bad`` the run stops with that table.

    Args:
        manifest: labelled images; unlabelled rows are left out.
        size_hw: height and width of the network's input, in pixels.
        batch_size: images per step.
        seed: of order and augmentation, 0..2**31-1.
        num_workers: loader processes; 0 prefetches in a thread, which is fastest once images are cached.
        augment: ``"auto"`` (as ``"standard"``), ``"none"``, ``"light"``, ``"standard"``, ``"strong"`` or your own
            `albumentations.Compose`.
        flips: ``"horizontal"``: mirror half of the training photos; ``"none"`` where left and right differ, or for
            text. ``"auto"`` mirrors them, unless a pretrained model's first answers to mirrored validation photos tell
            `onlineml.fit` that it does harm. Only for named augmentations.
        balance: sample every class equally often, with replacement, instead of each image once per epoch.
        cache: cache decoded images; False decodes each time.
        cache_dir: folder of the cache; the default is the user's cache folder.
        max_bad: allowed share of bad images of a split, 0..1.

    Raises:
        ConfigError: an argument is outside its range.
        DataError: nothing to train on.
    """

    task = "classification"
    whole: ClassVar[bool] = False  # whether images are stretched, or else cropped, to the input's shape
    auto: ClassVar[Augment] = "standard"

    def __init__(
        self,
        manifest: Manifest,
        *,
        size_hw: tuple[int, int] = (224, 224),
        batch_size: int = 32,
        seed: int = 0,
        num_workers: int = 0,
        augment: Augment | Any = "auto",
        flips: Flips = "auto",
        balance: bool = False,
        cache: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        max_bad: float = 0.01,
    ) -> None:
        super().__init__(
            manifest,
            size_hw=size_hw,
            batch_size=batch_size,
            seed=seed,
            num_workers=num_workers,
            max_bad=max_bad,
            balance=balance,
        )
        self.flips = one_of("flips", flips, get_args(Flips))
        self._set_augment(augment)
        self.labels = self._labels()
        self._cache = self._decoded_cache(cache, cache_dir, short_side=training_scale(self.size_hw))

    def _augmenter(self, augment: Augment | Any) -> Augmenter:
        is_auto = isinstance(augment, str) and augment == "auto"
        name = self.auto if is_auto else augment
        return Augmenter(self.size_hw, name, flips=self.flips != "none", seed=self.seed)

    @property
    def chooses_flips(self) -> bool:
        """Tell whether `onlineml.fit` is to choose if photos are mirrored."""
        return self.flips == "auto" and self.augment_name in {*get_args(Augment)} - {"none"}

    def with_flips(self, flips: Flips) -> Self:
        """Return a copy that shares the caches of decoded images, and has other flips."""
        other = copy.copy(self)
        other.flips = flips
        if other.augment_name in get_args(Augment):  # one of the user's own has its own flips
            other._set_augment(other.augment_name)  # noqa: SLF001 (of the same class)
        return other

    def settings(self) -> dict[str, Any]:
        """See `ImageDataModule.settings`."""
        return super().settings() | {"flips": self.flips}

    def _labels(self) -> NDArray[Any]:
        """The labels of all images of the manifest in the format of batches."""
        return self.manifest.label_ids()

    def _dataset(self, _rows: NDArray[np.int64], *, augmented: bool) -> ImageDataset:
        augmenter = copy.deepcopy(self.augmenter) if augmented else None
        return ImageDataset(
            ImageRows.of(self.manifest, self.labels),
            size_hw=self.size_hw,
            augmenter=augmenter,
            cache=self._cache,
            whole=self.whole,
        )
