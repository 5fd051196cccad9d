"""`MultilabelDataModule`: a manifest with sets of labels as loaders of uint8 batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.kinds.labels import multi_hot
from onlineml.data.loading.classification_datamodules import ClassificationDataModule

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MultilabelDataModule"]


class MultilabelDataModule(ClassificationDataModule):
    """Loaders of a multi-label manifest's splits, with all arguments of `onlineml.ClassificationDataModule`.

    A batch's ``label`` is (B, C) float32: 1 where the image has the label, 0 where it has not, nan where nobody said
    anything. Images that nobody annotated are left out; those that somebody annotated with no label at all are kept,
    as examples of what has none.

    Since a label may be about anything in an image, images are stretched to the network's input and not cropped, and
    ``augment="auto"`` is ``"light"``, whose crops hold at least 80 % of the area.
    """

    task = "multilabel"
    whole = True
    auto = "light"

    def _cache_variant(self) -> str:
        return "\0whole"

    def _labels(self) -> NDArray[np.float32]:
        manifest = self.manifest
        labels = multi_hot(manifest.table, manifest.class_names).astype(np.float32)
        labels[~manifest.kind.is_annotated(manifest.table)] = np.nan
        return labels

    def leave_open(self, unknown: NDArray[np.bool_]) -> None:
        """Take labels that training images have not, where it says so, for unknown from now on.

        A class needs examples of what it is not: where fewer images are known to lack a label than to have it, all that
        have it not are taken to lack it.

        Args:
            unknown: (N, C), such as of classes that came after an image was annotated.
        """
        train = self._in_split("train")
        open_ = unknown & (self.labels == 0) & train[:, None]
        lacking = ((self.labels == 0) & train[:, None] & ~open_).sum(axis=0)
        having = ((self.labels == 1) & train[:, None]).sum(axis=0)
        self.labels = np.where(open_ & (lacking >= having), np.float32(np.nan), self.labels)
