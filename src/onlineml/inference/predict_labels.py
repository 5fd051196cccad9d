"""A multi-label classifier's predictions for a stream of images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from onlineml.evaluation.multilabel.inputs import DEFAULT_THRESHOLD
from onlineml.inference.cutoffs import cutoffs
from onlineml.inference.label_rows import ImageLabels, LabelRows
from onlineml.inference.predict_classifier import probability_rows, ranked, reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.inference.predict_classifier import Answer
    from onlineml.inference.predictor import PredictOptions
    from onlineml.tasks.multilabel import MultilabelClassifier

__all__ = ["predict_labels"]


def predict_labels(model: MultilabelClassifier, images: Any, options: PredictOptions) -> LabelRows:
    """Predict the labels of images; see `onlineml.predict`.

    Raises:
        ConfigError: a threshold is outside 0..1, or the model was never trained or, for a miss rate, not calibrated.
        DataError: the calibration had too few photos for the miss rate.
        UnknownClassError: a threshold is given for a class that the model does not have.
    """
    least = cutoffs(model, options.threshold, otherwise=DEFAULT_THRESHOLD, miss_rate=options.miss_rate)
    answers, network = probability_rows(model, images, options)
    rows = partial(_labels, model, answers, least, options.top_k)
    return LabelRows(rows, model=model.reference or model.backbone_name, network=network)


def _labels(
    model: MultilabelClassifier, answers: Callable[[], Iterator[Answer]], least: NDArray[np.float64], top_k: int | None
) -> Iterator[ImageLabels]:
    for name, row in answers():
        if isinstance(row, str):
            yield ImageLabels(name.uri, (), (), (), error=row, image_id=name.image_id)
            continue
        given = dict(reached(row, least, model.class_names))
        top = ranked(row, model.class_names, top_k)
        yield ImageLabels(name.uri, tuple(given), tuple(given.values()), top, error=None, image_id=name.image_id)
