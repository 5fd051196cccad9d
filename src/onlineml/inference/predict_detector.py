"""A detector's predictions for a stream of images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from onlineml.inference.cutoffs import cutoffs
from onlineml.inference.detecting import detect_in, detection_network, fitted_image, tile_size_of
from onlineml.inference.detections import DetectionRows, ImageDetections
from onlineml.inference.stream import LEAST_READ, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.inference.detecting import DetectionModel, Fitted, Objects
    from onlineml.inference.network import Network
    from onlineml.inference.predictor import PredictOptions
    from onlineml.inference.stream import ImageName

__all__ = ["predict_objects"]


def predict_objects(model: DetectionModel, images: Any, options: PredictOptions) -> DetectionRows:
    """Predict the objects in images; see `onlineml.predict`.

    Raises:
        ConfigError: a threshold is outside 0..1, or the model was never trained or, for a miss rate, not calibrated.
        DataError: the calibration had too few photos for the miss rate.
        UnknownClassError: a threshold is given for a class that the model does not have.
    """
    tile_size = tile_size_of(model)
    prepare = partial(fitted_image, size_hw=model.input_size_hw(), tile_size=tile_size)
    together = options.batch_size if tile_size is None else 1  # a large image at the scale of its tiles
    stream = Stream(
        images,
        prepare,
        batch_size=together,
        storage_options=options.storage_options,
        least_read=LEAST_READ if tile_size is None else 1,
    )
    least = cutoffs(model, options.threshold, miss_rate=options.miss_rate)
    network = detection_network(
        model,
        engine=options.engine,
        batch_size=together,
        n_images=lambda: stream.n_images,
        may_pause=not options.is_live,
    )
    rows = partial(_detections, model, network, stream, least, options.top_k)
    return DetectionRows(rows, model=model.reference, network=network)


def _detections(
    model: DetectionModel,
    network: Network[Objects],
    images: Stream[Fitted],
    least: NDArray[np.float64],
    top_k: int | None,
) -> Iterator[ImageDetections]:
    for batch in images:
        good = [image for _, image in batch if not isinstance(image, Exception)]
        found = iter(detect_in(model, good, network=network))
        for name, image in batch:
            if isinstance(image, Exception):
                yield ImageDetections.unusable(*_named(name, str(image)))
                continue
            objects = next(found)
            if objects is None:
                yield ImageDetections.unusable(*_named(name, "the model's boxes or scores are not finite numbers"))
                continue
            counted = objects.take(objects.scores >= least[objects.label_ids])
            is_full = objects.is_full and len(counted) == len(objects)
            yield replace(counted.take(slice(top_k)), uri=name.uri, image_id=name.image_id, is_full=is_full)


def _named(name: ImageName, error: str) -> tuple[str, str, str]:
    return name.uri, error, name.image_id
