"""Decision whether training photos are mirrored, by the answers of a model that has seen none mirrored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from onlineml.models.modes import in_eval_mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from onlineml.data.loading.datamodules import ImageDataModule

__all__ = ["MirroredScores", "compare_mirrored", "flips_by_validation", "flips_line"]

MOST_IMAGES = 256
# Of frozen EfficientNet-Lite0 at 96 px: mirrored letters b, d, p, q lose 15 to 51 points and arrows to the left and
# right 15 to 41; hand signs, where mirrored training photos help, 2 to 5, and scanned digits, where they do no harm, 7
LEAST_LOSS = 0.1
_LEVEL = 0.01
_SHARE = 0.03  # of a budget


class MirroredScores(NamedTuple):
    """Scores of the same images as they are and mirrored, 0..1, and the sign test's p for "mirrored is as good"."""

    n_images: int
    plain: float
    mirrored: float
    p: float

    @property
    def harmful(self) -> bool:
        """Tell whether mirrored images are clearly another thing to the model."""
        return self.plain - self.mirrored >= LEAST_LOSS and self.p < _LEVEL


def compare_mirrored(model: Any, batches: Iterable[Any]) -> MirroredScores:
    """Score a classifier on images and on their mirror images.

    An image's score is the share of its k labels among the k classes that the model holds most probable: with one
    label, whether the answer is right. Images without a label do not count.

    Args:
        model: an `onlineml.tasks.classifier.ClassifierModule`.
        batches: of uint8 images and labels.
    """
    scores: list[Tensor] = []
    with in_eval_mode(model):
        for batch in batches:
            pixels, table = batch["image"].to(model.device), model.table_of(batch["label"])
            both = [_top_k_hits(model(images).float().cpu(), table) for images in (pixels, pixels.flip(-1))]
            scores.append(torch.stack(both, 1))
    found = torch.cat(scores).numpy() if scores else np.zeros((0, 2), np.float32)
    found = found[~np.isnan(found).any(axis=1)]
    worse, better = int((found[:, 1] < found[:, 0]).sum()), int((found[:, 1] > found[:, 0]).sum())
    n = worse + better
    p = sum(math.comb(n, i) for i in range(better + 1)) / 2**n
    plain, mirrored = found.mean(axis=0).tolist() if len(found) else (math.nan, math.nan)
    return MirroredScores(len(found), plain, mirrored, p)


def _top_k_hits(logits: Tensor, table: Tensor) -> Tensor:
    """Return the share of each image's k labels among its k highest known logits, (B,); nan without a label."""
    n_labels = (table == 1).sum(1)
    order = logits.masked_fill(table.isnan(), -math.inf).argsort(1, descending=True)
    among = torch.arange(table.shape[1]) < n_labels[:, None]
    return ((table.gather(1, order) == 1) & among).sum(1) / n_labels


def flips_by_validation(
    model: Any, datamodule: ImageDataModule, *, forward_s: float, budget_s: float | None
) -> MirroredScores | None:
    """Compare some validation images with their mirror images; None where the flips are not to be chosen.

    Args:
        model: whose head fits the training images, not mirrored.
        datamodule: with the images.
        forward_s: seconds that the network takes for an image.
        budget_s: of the whole training, of which at most a thirtieth is spent.
    """
    rows = datamodule.rows_of("val")
    n = MOST_IMAGES if budget_s is None else min(MOST_IMAGES, int(_SHARE * budget_s / (2 * forward_s)))
    if not getattr(datamodule, "chooses_flips", False) or not len(rows) or not n:
        return None
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, n).round().astype(np.int64))]  # of all classes
    batches = datamodule.loader_of(chosen)
    try:
        return compare_mirrored(model, batches)
    finally:
        batches.close(None)


def flips_line(lost: float) -> str:
    """Return the sentence for people.

    Args:
        lost: score of images as they are less that of mirrored ones, 0..1.
    """
    return (
        f"horizontal flips are off: mirrored validation photos lose {100 * lost:.0f} points (flips='horizontal' of the "
        "datamodule keeps them)"
    )
