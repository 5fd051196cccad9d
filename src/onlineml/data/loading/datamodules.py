"""The base of datamodules: a manifest as loaders of uint8 batches, for `onlineml.fit` and any Lightning trainer."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow.compute as pc

from onlineml.arguments.checks import flag, instance, share, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.arguments.counted import part_of
from onlineml.data.loading.datasets import BadRow
from onlineml.data.loading.decoded_cache import DecodedCache, cache_names
from onlineml.data.loading.lightning import BothLightningDataModule
from onlineml.data.loading.loaders import BatchOrder, Loader
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError, TooManyBadImagesError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from onlineml.data.augment.classification import Augment
    from onlineml.data.loading.datasets import ImageDataset
    from onlineml.data.loading.detection_datasets import DetectionDataset

__all__ = ["ImageDataModule"]


class ImageDataModule(BothLightningDataModule):
    """The base of the datamodules of all tasks: splits, order, bad images. Subclasses make datasets.

    Unannotated images are left out of the splits' loaders.

    Args:
        manifest: the images, of the datamodule's `task`.
        size_hw: height and width of the network's input, in pixels.
        batch_size, seed, num_workers, balance, max_bad: see `onlineml.ClassificationDataModule`.

    Raises:
        ConfigError: an argument is outside its range.
        DataError: the manifest is of another task.
    """

    task: ClassVar[str]
    augment_name: str
    chosen = ""  # a sentence on sizes that were chosen, for `onlineml.fit` to say

    def __init__(
        self,
        manifest: Manifest,
        *,
        size_hw: tuple[int, int],
        batch_size: int,
        seed: int,
        num_workers: int,
        max_bad: float,
        balance: bool = False,
    ) -> None:
        super().__init__()
        instance("manifest", manifest, Manifest, "a Manifest, such as that of Manifest.from_any(folder)")
        if manifest.task != self.task:
            raise DataError(
                f"a {type(self).__name__} is for manifests of the task {self.task!r}; found {manifest.task!r}: use the "
                "datamodule of that task, or import the images for this task"
            )
        if np.shape(size_hw) != (2,):
            raise ConfigError(f"size_hw={size_hw}: expected (height, width), each at least 8 pixels")
        self.manifest = manifest
        height, width = (whole("size_hw", side, least=8, of="pixels") for side in size_hw)
        self.size_hw = (height, width)
        self.batch_size = whole("batch_size", batch_size, least=1)
        self.num_workers = whole("num_workers", num_workers, of="processes (0 is a thread)")
        self.seed, self.max_bad, self.balance = seed_("seed", seed), share("max_bad", max_bad), flag("balance", balance)
        self._findings: dict[str, dict[str, BadRow]] = {}  # by split, then by image_id
        self._usable = manifest.kind.is_annotated(manifest.table)

    def __str__(self) -> str:
        """A line for people: Lightning's asks each loader for its dataset, in a form of its own."""
        height, width = self.size_hw
        return f"{type(self).__name__} of {width} x {height} pixels, batches of {self.batch_size}: {self.manifest}"

    def _cache_variant(self) -> str:
        """Return what else names an image in the cache, where there are several kinds of pixels at one scale."""
        return ""

    def _decoded_cache(
        self,
        cache: bool,
        cache_dir: str | os.PathLike[str] | None,
        *,
        short_side: int | None = None,
        inside_hw: tuple[int, int] | None = None,
    ) -> DecodedCache | None:
        """The cache that the user's arguments ask for, at one of the scales of `DecodedCache`."""
        if not flag("cache", cache) or not len(self.manifest):
            return None
        where = None if cache_dir is None else Path(cache_dir)
        names = cache_names(self.manifest, self._cache_variant())
        return DecodedCache(names, short_side=short_side, inside_hw=inside_hw, folder=where)

    def settings(self) -> dict[str, Any]:
        """Its augmentation and the like, as values of JSON, which the training of a successor keeps."""
        return {"augment": self.augment_name, "balance": self.balance, "batch_size": self.batch_size}

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Usable rows of the manifest in ``split``, (n,) int64."""
        return np.flatnonzero(self._in_split(split) & self._usable)

    def _in_split(self, split: str) -> NDArray[np.bool_]:
        """(N,) which images are in a split."""
        return np.asarray(pc.fill_null(pc.equal(self.manifest.table["split"], split), False), dtype=bool)

    def required_rows(self, split: str) -> NDArray[np.int64]:
        """Usable rows of the manifest in ``split``, (n,) int64; at least one.

        Raises:
            DataError: the split has no usable images.
        """
        rows = self.rows_of(split)
        if not len(rows):
            known = sorted({*self.manifest.table["split"].unique().to_pylist()} - {None})
            have = {name: len(self.rows_of(name)) for name in known}
            raise DataError(
                f"the split {split!r} has no annotated images; the manifest of {len(self.manifest)} images has "
                f"{have}; assign images to it, or call Manifest.with_splits()"
            )
        return rows

    def leave_out(self, rows: NDArray[np.int64]) -> None:
        """Exclude rows of the manifest from now on."""
        usable = self._usable.copy()
        usable[rows] = False
        self._usable = usable

    def with_augment(self, augment: Augment | Any) -> Self:
        """Return a copy that shares the caches of decoded images, and augments otherwise.

        Args:
            augment: as the datamodule's argument of that name.

        Raises:
            ConfigError: ``augment`` is none of these.
        """
        other = copy.copy(self)
        other._set_augment(augment)  # noqa: SLF001 - of the same class
        return other

    def _set_augment(self, augment: Augment | Any) -> None:
        """Augment training images in this way from now on."""
        self.augmenter = self._augmenter(augment)
        self.augment_name = augment if isinstance(augment, str) else "user's own"

    def _augmenter(self, augment: Augment | Any) -> Any:
        raise NotImplementedError

    def loader(
        self,
        split: str,
        *,
        train: bool = False,
        augmented: bool = True,
        shuffled: bool = True,
        rank: int = 0,
        n_ranks: int = 1,
        batch_size: int | None = None,
    ) -> Loader:
        """A loader of one split: if ``train``, by default shuffled and augmented; else in the manifest's order.

        Args:
            split: "train", "val" or "test".
            train: for training: incomplete batches are left out.
            augmented: whether training images are augmented.
            shuffled: whether they come in another order each epoch.
            rank: of this process among ``n_ranks`` that train together, see `onlineml.data.loading.loaders.BatchOrder`.
            n_ranks: number of these processes.
            batch_size: augmented images of a step, of all processes together; None is the datamodule's.

        Raises:
            ConfigError: a step has fewer images than there are processes.
            DataError: the split has no usable images.
        """
        rows = self.required_rows(split)
        augmented = train and augmented
        dataset = self._dataset(rows, augmented=augmented)
        order = BatchOrder(
            rows,
            batch_size=(batch_size or self.batch_size) if augmented else self.whole_batch_size,
            seed=self.seed,
            shuffle=train and shuffled,
            weights=self._balancing(rows) if train and shuffled and self.balance else None,
            drop_last=train,
            rank=rank,
            n_ranks=n_ranks,
            repeats=self._draws(rows) if augmented else None,
        )
        on_bad = partial(self.note_bad, split=split)
        return Loader(dataset, order, num_workers=self.num_workers, on_bad=on_bad)

    def loader_of(self, rows: NDArray[np.int64]) -> Loader:
        """A loader of any rows of the manifest in the given order, also of unannotated images, without augmentation.

        Unusable images are left out without a finding; the batches' ``index`` shows which images they contain.
        """
        order = BatchOrder(rows, batch_size=self.whole_batch_size)
        return Loader(self._dataset(rows, augmented=False), order, num_workers=self.num_workers)

    @property
    def whole_batch_size(self) -> int:
        """Images per batch where they are not augmented."""
        return self.batch_size

    def _draws(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """The number of samples of each of some training images in an epoch, (n,); None: one each."""
        del rows
        return None

    def _balancing(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The weight of each image for equal class frequencies.

        An image of several classes has the weight of its rarest; those without a class form one class.
        """
        names, of_image = self.manifest.kind.names_by_row(self.manifest.table.take(rows))
        codes = names.dictionary_encode().indices.to_numpy()
        weights = np.zeros(len(rows), dtype=np.float64)
        np.maximum.at(weights, of_image, 1.0 / np.bincount(codes)[codes])
        weights[weights == 0] = 1.0 / max(1, int((weights == 0).sum()))
        return weights

    def _dataset(self, rows: NDArray[np.int64], *, augmented: bool) -> ImageDataset | DetectionDataset:
        """The dataset of all images; ``rows`` are those that will be requested."""
        raise NotImplementedError

    def train_dataloader(self) -> Loader:
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0  # the same images in each epoch
        rank, n = self._place()
        size = self.batch_size * n  # a Trainer's processes have a batch each
        return self.loader("train", train=True, shuffled=not overfits, rank=rank, n_ranks=n, batch_size=size)

    def val_dataloader(self) -> Loader | list[Any]:
        rank, n = self._place()
        return self.loader("val", rank=rank, n_ranks=n) if len(self.rows_of("val")) else []

    def test_dataloader(self) -> Loader:
        rank, n = self._place()
        return self.loader("test", rank=rank, n_ranks=n)

    def _place(self) -> tuple[int, int]:  # rank and number of processes of a user's Trainer
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def predict_dataloader(self) -> Loader:
        """The images of the split "test", for `Trainer.predict`."""
        return self.loader("test")

    @property
    def findings(self) -> pd.DataFrame:
        """The images that batches left out so far: image_id, uri, finding, detail."""
        import pandas as pd  # noqa: PLC0415

        found = {image_id: row for rows in self._findings.values() for image_id, row in rows.items()}
        return pd.DataFrame(list(found.values()), columns=list(BadRow._fields))

    def bad_rows(self) -> dict[str, list[BadRow]]:
        """The images that batches left out so far, by split."""
        return {split: list(rows.values()) for split, rows in self._findings.items()}

    def note_bad(self, bad: Iterable[BadRow], *, split: str) -> None:
        """Add to `findings`.

        Raises:
            TooManyBadImagesError: more than ``max_bad`` of the split's images are bad.
        """
        import pandas as pd  # noqa: PLC0415

        found = self._findings.setdefault(split, {})
        found |= {row.image_id: row for row in bad}
        n_images = len(self.rows_of(split))
        if len(found) / n_images > self.max_bad:
            table = pd.DataFrame(list(found.values()), columns=list(BadRow._fields))
            raise TooManyBadImagesError(
                f"in the split {split!r}, {part_of(len(table), n_images, 'image is')} bad, more than "
                f"max_bad={self.max_bad:g} allows; see manifest.check() and use its .manifest (without them), or "
                "raise max_bad\n" + table.head(20).to_string(index=False),
                table,
            )

    def __repr__(self) -> str:
        counts = {s: len(self.rows_of(s)) for s in ("train", "val", "test")}
        return f"{type(self).__name__}({counts}, size_hw={self.size_hw}, batch_size={self.batch_size})"
