"""Decision whether training photos are mirrored, by the answers of a head that has seen none mirrored.

The head sees the stages before the last one, too (`onlineml.models.stages`): the last features were learned with
mirrored photos, and hardly tell b from d, so that a head of these alone loses little by a mirror.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from onlineml.models.modes import in_eval_mode
from onlineml.models.stages import pooled_stages
from onlineml.training.probe import collect_features, probe_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from onlineml.data.loading.datamodules import ImageDataModule

__all__ = ["MirroredScores", "StagedHead", "compare_mirrored", "flips_line", "lost_by_mirrors"]

MOST_IMAGES = 256
# Of frozen EfficientNet-Lite0 at 96 px, in fonts and photos that the head has not seen: mirrored letters b, d, p, q
# lose 62 to 94 points, brackets and slashes 40 to 100, arrows in four directions 15 to 30; hand signs 5 to 11, scanned
# digits 3 to 11 (mirrored training photos help the first, and do not harm the second), kinds of rubbish -5 to 5
LEAST_LOSS = 0.13
_LEVEL = 0.05
_SHARE = 0.03  # of a budget
_FIT_IMAGES = 4_000  # of the head, in any order: more do not change it


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


class StagedHead:
    """A linear head over the last features and the stages before them, fitted to training images.

    Args:
        model: an `onlineml.tasks.classifier.ClassifierModule`.
        head: its last layer, which is not changed.
        names: of the stages, see `onlineml.models.stages.stage_names`.
        train: last features and labels of N images, see `onlineml.training.probe.collect_features`.
        pooled: of the stages in the same passes, see `onlineml.models.stages.pooled_stages`.
    """

    def __init__(
        self, model: Any, head: nn.Linear, names: Sequence[str], train: tuple[Tensor, Tensor], pooled: Sequence[Tensor]
    ) -> None:
        self._model, self._head, self._names = model, head, names
        if sum(map(len, pooled)) != len(names) * len(train[0]):  # a network that runs a stage several times
            self._names = ()
        features = self._joined(train[0], pooled)[:_FIT_IMAGES]
        with torch.random.fork_rng(devices=[]):  # the training's random numbers stay what they are
            self._own = nn.Linear(features.shape[1], head.out_features)
        probe_head(model, self._own, (features, train[1][:_FIT_IMAGES]), None)

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C) logits of (B, 3, H, W) uint8 images, on the CPU."""
        batch = {"image": images, "label": torch.zeros(len(images), dtype=torch.int64)}
        with pooled_stages(self._model.network, self._names) as pooled:
            last, _ = collect_features(self._model, self._head, [batch])
        with torch.no_grad():
            logits: Tensor = self._own(self._joined(last, pooled))
        return logits

    def _joined(self, last: Tensor, pooled: Sequence[Tensor]) -> Tensor:
        """(N, F) features; the stages are one after another in each pass."""
        n = len(self._names)
        stages = [torch.cat([values.float().cpu() for values in pooled[i::n]]) for i in range(n)]
        return torch.cat([last, *stages], dim=1).clone()


def compare_mirrored(model: Any, answer: Callable[[Tensor], Tensor], batches: Iterable[Any]) -> MirroredScores:
    """Score a classifier on images and on their mirror images.

    An image's score is the share of its k labels among the k classes that the model holds most probable: with one
    label, whether the answer is right. Images without a label do not count.

    Args:
        model: an `onlineml.tasks.classifier.ClassifierModule`.
        answer: (B, 3, H, W) uint8 images -> (B, C) logits, such as the model itself.
        batches: of uint8 images and labels.
    """
    scores: list[Tensor] = []
    with in_eval_mode(model):
        for batch in batches:
            pixels, table = batch["image"].to(model.device), model.table_of(batch["label"])
            both = [_top_k_hits(answer(images).float().cpu(), table) for images in (pixels, pixels.flip(-1))]
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


def lost_by_mirrors(
    model: Any,
    answer: Callable[[Tensor], Tensor],
    datamodule: ImageDataModule,
    *,
    forward_s: float,
    budget_s: float | None,
) -> float | None:
    """Return what mirrored validation images lose of the score, 0..1, if that is clearly harmful; else None.

    Args:
        model: that is trained.
        answer: of a head that fits the training images, not mirrored, see `compare_mirrored`.
        datamodule: with the images.
        forward_s: seconds that the network takes for an image.
        budget_s: of the whole training, of which at most a thirtieth is spent.
    """
    rows = datamodule.rows_of("val")
    n = MOST_IMAGES if budget_s is None else min(MOST_IMAGES, int(_SHARE * budget_s / (2 * forward_s)))
    if not len(rows) or not n:
        return None
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, n).round().astype(np.int64))]  # of all classes
    batches = datamodule.loader_of(chosen)
    try:
        found = compare_mirrored(model, answer, batches)
    finally:
        batches.close(None)
    return found.plain - found.mirrored if found.harmful else None


def flips_line(lost: float) -> str:
    """Return the sentence for people.

    Args:
        lost: score of images as they are less that of mirrored ones, 0..1.
    """
    return (
        f"horizontal flips are off: mirrored validation photos lose {100 * lost:.0f} points (flips='horizontal' of the "
        "datamodule keeps them)"
    )
