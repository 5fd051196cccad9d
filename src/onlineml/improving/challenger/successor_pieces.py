"""The parts of training a challenger that a task provides: images, scores by present names, and heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from onlineml.errors import ConfigError
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.base import BaseScores
    from onlineml.improving.recipe import Recipe
    from onlineml.inference.evaluation import EvaluateOptions
    from onlineml.runs.run import Run
    from onlineml.tasks.kept_settings import KeptSettings
    from onlineml.training.features import FeatureStore

__all__ = ["SuccessorPieces", "successor_pieces"]


class SuccessorPieces(ABC):
    """The parts of a task for training a challenger; stateless.

    Attributes:
        fits_heads: whether the last layer is fitted to cached features, by `fit_head` and `fit_rows`; else it is
            trained like the other layers.
        aligns_new_rows: whether rows of new classes are scaled to the norm of the old ones, for classes that compete.
    """

    fits_heads: ClassVar[bool] = False
    aligns_new_rows: ClassVar[bool] = False

    @abstractmethod
    def images(
        self,
        data: Manifest,
        recipe: Recipe,
        *,
        size_hw: tuple[int, int],
        known: NDArray[np.bool_] | None = None,
        kept: KeptSettings,
    ) -> ImageDataModule:
        """The training images of a challenger, before replay leaves out some unchanged ones.

        Args:
            data: a frozen dataset.
            recipe: with batch size, seed, number of processes and the allowed share of bad images.
            size_hw: height and width of the network's input, in pixels.
            known: see `known_classes`.
            kept: settings of the champion's training.
        """

    @abstractmethod
    def renamed_scores(
        self, model: Any, names: Sequence[str | None], data: Manifest, options: EvaluateOptions
    ) -> BaseScores:
        """Score a model under the present names of its classes; classes that it does not know are left out.

        Args:
            model: of the task.
            names: present names of its classes, see `onlineml.improving.challenger.current_names.current_names`; at
                least one is a class of the data.
            data: a frozen dataset.
            options: see `onlineml.evaluate`.

        Raises:
            DataError: no labelled image of the split shows a class that the model knows.
        """

    def known_classes(self, state: Annotations, data: Manifest) -> NDArray[np.bool_] | None:
        """(N, C) whether each class existed when an image was annotated; None if not applicable."""
        del state, data
        return None

    def fit_head(
        self, model: Any, images: Any, *, store: FeatureStore | None, run: Run | None = None
    ) -> dict[str, float]:
        """Refit the last layer of ``model`` to all training images; return its metrics.

        Raises:
            ConfigError: the task, or the network, has no such layer.
        """
        del model, images, store, run
        raise ConfigError("how='head' is not supported for this task: use how='warm'")

    def fit_rows(
        self, model: Any, images: Any, *, store: FeatureStore | None, old_names: Collection[str], run: Run | None = None
    ) -> dict[str, float]:
        """Fit the last layer's rows of new classes; everything else stays bit-identical.

        Raises:
            ConfigError: the task, or the network, has no such layer, or there are no new classes.
        """
        del model, images, store, old_names, run
        raise ConfigError("how='rows' is not supported for this task: use how='warm'")


def successor_pieces(what: Any) -> SuccessorPieces:
    """The pieces of the task of a manifest, project or model.

    Raises:
        ConfigError: the task does not support challengers.
    """
    found: SuccessorPieces = task_of(what).load("successor")()
    return found
