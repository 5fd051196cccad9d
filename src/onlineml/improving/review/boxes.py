"""One pass of a detector over a project's images: suspect boxes, and images worth annotating."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import part_of
from onlineml.data.loading.detection_datamodules import DetectionDataModule
from onlineml.errors import TooManyBadImagesError
from onlineml.improving.challenger.current_names import current_names
from onlineml.improving.challenger.detection import RenamedDetector
from onlineml.improving.review.box_errors import box_error_candidates, find_box_errors
from onlineml.improving.review.candidates import CandidatePool, candidates_by_score
from onlineml.improving.review.uncertainty import box_disagreement, box_uncertainty
from onlineml.inference.cutoffs import cutoffs
from onlineml.inference.detecting import tile_size_of
from onlineml.inference.evaluate_detector import detections_in, usable_boxes
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.improving.review.candidates import Candidates
    from onlineml.project.project import Project
    from onlineml.tasks.detection import ObjectDetector

__all__ = ["find_candidates"]


def find_candidates(
    project: Project,
    models: Sequence[ObjectDetector],
    data: Manifest,
    rows: NDArray[np.int64],
    *,
    lineage: Mapping[str, str],
    seed: int,
    num_workers: int,
    max_bad: float,
) -> CandidatePool:
    """Find candidates by one detector, or two.

    See `onlineml.improving.review.labels.find_candidates`.
    """
    del project, seed  # no features, no random choices
    seen, sure, least = [], [], []
    for model in models:
        own = RenamedDetector(model, current_names(model.class_names, lineage, known=data.class_names))
        n, size_hw = task_of(model).predict_batch_size, model.input_size_hw()
        images = DetectionDataModule(
            data,
            size_hw=size_hw,
            batch_size=n,
            num_workers=num_workers,
            augment="none",
            tile_size=tile_size_of(model),
        )
        one = _by_class_of(data, own, detections_in(own, images.loader_of(rows)))
        _refuse_bad(len(rows), one.n_images, max_bad=max_bad)
        seen.append(one)
        least.append(_least(data, own))
        sure.append(one.take(one.scores >= least[-1][one.label_ids]))
    kept = _rows(seen[0]) if len(seen) == 1 else np.intersect1d(_rows(seen[0]), _rows(seen[1]))
    first = seen[0].of_rows(kept)
    annotated = data.boxes().annotated[kept]
    doubt = np.where(annotated, np.nan, box_uncertainty(first))
    lists = [*_suspects(data, first, annotated, least[0]), candidates_by_score("uncertain", doubt)]
    if len(models) > 1:
        apart = box_disagreement(*(one.of_rows(kept) for one in sure), n_classes=len(data.class_names))
        lists.append(candidates_by_score("disagreement", apart))
    return CandidatePool(kept, tuple(lists), None)


def _rows(found: Detections) -> NDArray[np.int64]:
    """The images' rows of the manifest."""
    assert found.image_rows is not None  # noqa: S101 - `detections_in` sets them
    return found.image_rows


def _refuse_bad(n_asked: int, n_seen: int, *, max_bad: float) -> None:
    n_bad = n_asked - n_seen
    if n_bad > max_bad * n_asked:
        raise TooManyBadImagesError(
            f"{part_of(n_bad, n_asked, 'image is')} unusable, more than max_bad={max_bad:g} allows: see data.check(), "
            "or raise max_bad"
        )


def _by_class_of(data: Manifest, model: RenamedDetector, seen: Detections) -> Detections:
    """Return detections with the class ids of the data."""
    place = {name: i for i, name in enumerate(data.class_names)}
    to_data = np.array([place[name] for name in model.class_names], np.int64)
    return replace(seen, label_ids=to_data[seen.label_ids])


def _least(data: Manifest, model: RenamedDetector) -> NDArray[np.float64]:
    """The score threshold of each class of the data."""
    least = np.ones(len(data.class_names))
    least[[data.class_names.index(name) for name in model.class_names]] = cutoffs(model, None)
    return least


def _suspects(
    data: Manifest, seen: Detections, annotated: NDArray[np.bool_], least: NDArray[np.float64]
) -> tuple[Candidates, ...]:
    """Annotations that the detector contradicts, by the detector's own thresholds, not those of wrong annotations."""
    places = np.flatnonzero(annotated)
    rows = _rows(seen)[places]
    own = seen.of_rows(rows)
    truth, at = usable_boxes(data, own)
    thresholds = dict(zip(data.class_names, least.tolist(), strict=True))
    errors = find_box_errors(truth, own, data.class_names, thresholds=thresholds)
    numbers = np.append(at - data.boxes().offsets[rows][truth.image_index], -1)  # within the image
    renumbered = replace(errors, images=places[errors.images], objects=numbers[errors.objects])
    return box_error_candidates(renumbered, own, data.class_names)
