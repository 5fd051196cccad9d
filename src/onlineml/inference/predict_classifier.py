"""A classifier's predictions for a stream of images."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from onlineml.data.augment.classification import fit_to_size, kept_for_training, training_scale
from onlineml.errors import ConfigError
from onlineml.evaluation.calibration.curves import units_needed
from onlineml.inference.network import Answers, Network
from onlineml.inference.predictions import Prediction, Predictions
from onlineml.inference.stream import Stream, decode_with_care
from onlineml.tasks.calibrated import calibration_for
from onlineml.tasks.eval_mode import eval_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from onlineml.inference.predictor import PredictOptions
    from onlineml.inference.stream import ImageName
    from onlineml.tasks.classification import ImageClassifier
    from onlineml.tasks.classifier import ClassifierModule

    Answer = tuple[ImageName, NDArray[np.float32] | str]
    Probabilities = NDArray[np.float32]  # (B, C)

__all__ = ["fitted", "label_network", "predict_classes", "probability_rows", "ranked", "reached"]

_TOP_K = 5
_SAME = 1e-4  # of probabilities of two engines


def predict_classes(model: ImageClassifier, images: Any, options: PredictOptions) -> Predictions:
    """Predict the class of images; see `onlineml.predict`.

    Raises:
        ConfigError: a threshold is given, or the model was never trained or, for a miss rate, not calibrated.
        DataError: the calibration had too few photos for the miss rate.
    """
    if options.threshold is not None:
        raise ConfigError(f"threshold={options.threshold}: expected None, since the model is a classifier; use top_k")
    least = None if options.miss_rate is None else _least(model, options.miss_rate)
    answers, network = probability_rows(model, images, options)
    rows = partial(_predictions, model, answers, options.top_k or _TOP_K, least)
    name = model.reference or model.backbone_name
    return Predictions(rows, model=name, network=network, label_sets=least is not None)


def _least(model: ImageClassifier, miss_rate: float) -> NDArray[np.float64]:
    """(C,) probabilities from which a class is in the label set."""
    calibration = calibration_for(model, miss_rate)
    least = calibration.thresholds(miss_rate)
    if few := calibration.not_alone(miss_rate):
        warnings.warn(
            f"miss_rate={miss_rate} holds for all classes together, not by itself for {', '.join(few[:5])}"
            f"{' and others' * (len(few) > 5)}: calibrate with {units_needed(miss_rate)} photos of each",
            stacklevel=4,
        )
    return np.array([least[name] for name in model.class_names])


def probability_rows(
    model: ClassifierModule, images: Any, options: PredictOptions
) -> tuple[Callable[[], Iterator[Answer]], Network[Probabilities]]:
    """Return a function that streams images' names, and (C,) float32 probabilities or an error; and what answers.

    Raises:
        ConfigError: the model was never trained, or the engine cannot run it.
        MissingDependencyError: the engine is not installed.
    """
    prepare = partial(fitted, size_hw=model.input_size_hw(), whole=model.whole)
    stream = Stream(images, prepare, batch_size=options.batch_size, storage_options=options.storage_options)
    network = label_network(
        model,
        engine=options.engine,
        batch_size=options.batch_size,
        n_images=lambda: stream.n_images,
        may_pause=not options.is_live,
    )
    return partial(_answers, network, stream), network


def label_network(
    model: ClassifierModule, *, engine: str, batch_size: int, n_images: Callable[[], int | None], may_pause: bool
) -> Network[Probabilities]:
    """Return a classifier's network in an engine, see `onlineml.inference.network.Network`."""
    answers = Answers(partial(_probabilities, model), _read, _difference)
    return Network(model, answers, engine=engine, batch_size=batch_size, n_images=n_images, may_pause=may_pause)


def _probabilities(model: ClassifierModule, image: torch.Tensor) -> Probabilities:
    with eval_mode(model):
        return model.probabilities(model(image.to(model.device)).float()).cpu().numpy()


def _read(outputs: Mapping[str, NDArray[Any]]) -> Probabilities:
    return outputs["probabilities"]


def _difference(found: Probabilities, wanted: Probabilities) -> str:
    gap = np.abs(found - wanted)
    if not (gap <= _SAME).all():
        return f"a probability differs by {gap.max():.2g}"
    return "" if (found.argmax(1) == wanted.argmax(1)).all() else "the most likely class of an image is another one"


def _answers(network: Network[Probabilities], images: Stream[NDArray[np.uint8]]) -> Iterator[Answer]:
    for batch in images:
        good = [image for _, image in batch if not isinstance(image, Exception)]
        found: Iterator[NDArray[np.float32]] = iter(())
        if good:
            found = iter(network(torch.from_numpy(np.stack(good)).permute(0, 3, 1, 2)))
        for name, image in batch:
            row = str(image) if isinstance(image, Exception) else next(found)
            if not isinstance(row, str) and not np.isfinite(row).all():
                row = "the model's probabilities are not finite numbers"
            yield name, row


def fitted(content: bytes | NDArray[np.uint8], *, size_hw: tuple[int, int], whole: bool) -> NDArray[np.uint8]:
    """Prepare an image as in evaluation, ``size_hw`` + (3,) uint8."""
    side = training_scale(size_hw)
    pixels = decode_with_care(content, min_side=side).pixels if isinstance(content, bytes) else content
    return np.array(fit_to_size(kept_for_training(pixels, size_hw, whole=whole), size_hw))


def _predictions(
    model: ImageClassifier,
    answers: Callable[[], Iterator[Answer]],
    top_k: int,
    least: NDArray[np.float64] | None,
) -> Iterator[Prediction]:
    nothing = None if least is None else ()
    for name, row in answers():
        if isinstance(row, str):
            yield Prediction(name.uri, None, float("nan"), (), error=row, image_id=name.image_id, label_set=nothing)
            continue
        top = ranked(row, model.class_names, top_k)
        found = nothing if least is None else tuple(dict(reached(row, least, model.class_names)))
        yield Prediction(name.uri, top[0][0], top[0][1], top, error=None, image_id=name.image_id, label_set=found)


def reached(
    row: NDArray[np.float32], least: NDArray[np.float64], class_names: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """Classes whose probability is at least that of ``least``, with it, the most likely first."""
    return ranked(np.where(row >= least, row, -1), class_names, int((row >= least).sum()))


def ranked(row: NDArray[np.float32], class_names: Sequence[str], top_k: int | None) -> tuple[tuple[str, float], ...]:
    """Classes with their probabilities, the most likely first; at most ``top_k``, None for all."""
    best = np.argsort(-row, kind="stable")[:top_k]
    return tuple((class_names[i], float(row[i])) for i in best)
