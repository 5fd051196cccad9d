"""The parts that a task provides so that its champions get successors: images, scores by present names, and heads."""

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
    from onlineml.improving.review.features import FeatureStore
    from onlineml.inference.evaluation import EvaluateOptions
    from onlineml.runs.run import Run

__all__ = ["SuccessorPieces", "successor_pieces"]


class SuccessorPieces(ABC):
    """The parts of a task that the ways of training a challenger need; it holds no state.

    Attributes:
        fits_heads: whether a last layer is fitted to kept features, by `fit_head` and `fit_rows`; else it is trained as
            the other layers are.
        aligns_new_rows: whether rows of new classes are made as long as the old ones: where classes compete, long rows
            are preferred.
    """

    fits_heads: ClassVar[bool] = False
    aligns_new_rows: ClassVar[bool] = False

    @abstractmethod
    def images(
        self, data: Manifest, recipe: Recipe, *, size_hw: tuple[int, int], known: NDArray[np.bool_] | None
    ) -> ImageDataModule:
        """The images that a challenger is trained on, before some of those that the champion knows are left out.

        Args:
            data: a frozen dataset.
            recipe: tells batch size, seed, processes and how many may be bad.
            size_hw: height and width of the network's input, in pixels.
            known: see `known_classes`.
        """

    @abstractmethod
    def renamed_scores(
        self, model: Any, names: Sequence[str | None], data: Manifest, options: EvaluateOptions
    ) -> BaseScores:
        """Score a model under the names that its classes have now; what it never knew is left out of the truth.

        Args:
            model: of the task.
            names: what its classes are called now, see `onlineml.improving.challenger.rename.current_names`; one of
                them is a class of the data.
            data: a frozen dataset of today.
            options: see `onlineml.evaluate`.

        Raises:
            DataError: no labelled image of the split shows a class that the model knows.
        """

    def known_classes(self, state: Annotations, data: Manifest) -> NDArray[np.bool_] | None:
        """(N, C) which classes whoever annotated each image could know; None where that does not matter."""
        del state, data
        return None

    def fit_head(
        self, model: Any, images: Any, *, store: FeatureStore | None, run: Run | None = None
    ) -> dict[str, float]:
        """Fit the last layer of ``model`` anew, to all training images; returns what is told of it.

        Raises:
            ConfigError: the task, or the network, has no such layer.
        """
        del model, images, store, run
        raise ConfigError("no last layer of this task is fitted to kept features: take how='warm'")

    def fit_rows(
        self, model: Any, images: Any, *, store: FeatureStore | None, old_names: Collection[str], run: Run | None = None
    ) -> dict[str, float]:
        """Fit the last layer's rows of new classes; everything else stays to the bit.

        Raises:
            ConfigError: the task, or the network, has no such layer, or there are no new classes.
        """
        del model, images, store, old_names, run
        raise ConfigError("how='rows' fits a last layer to kept features, which this task has not: take how='warm'")


def successor_pieces(what: Any) -> SuccessorPieces:
    """The pieces of the task of a manifest, project or model.

    Raises:
        ConfigError: the task has none: its champions get no successors.
    """
    found: SuccessorPieces = task_of(what).load("successor")()
    return found
