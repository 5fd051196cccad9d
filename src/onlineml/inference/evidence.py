"""The answers of models of each task to the annotated photos of a split, for calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.data.kinds.labels import multi_hot
from onlineml.evaluation.calibration.evidence import of_detections, of_probabilities
from onlineml.evaluation.calibration.temperature import fit_temperature
from onlineml.evaluation.intervals import group_codes
from onlineml.inference.evaluate_classifier import logits_in
from onlineml.inference.evaluate_detector import split_truth
from onlineml.inference.evaluation import own_label_ids, require_known

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.calibration.evidence import Evidence
    from onlineml.inference.detecting import DetectionModel
    from onlineml.inference.evaluation import EvaluateOptions
    from onlineml.tasks.classification import ImageClassifier
    from onlineml.tasks.multilabel import MultilabelClassifier

    Found = tuple[NDArray[np.int64], Evidence]

__all__ = ["class_evidence", "label_evidence", "object_evidence"]


def class_evidence(model: ImageClassifier, data: Manifest, options: EvaluateOptions, *, fit: bool) -> Found:
    """Return rows of the manifest and the evidence of a classifier, see `onlineml.tasks.Task.evidence`."""
    rows, logits = logits_in(model, data, options)
    labels, units = own_label_ids(model.class_names, data, data.label_ids()[rows]), _units(data, rows)
    if not fit:
        return rows, of_probabilities(model.probabilities(logits).numpy(), labels, units)
    fitted = fit_temperature(logits.numpy(), labels, units)
    found = (logits if fitted.value == 1.0 else logits / fitted.value).softmax(dim=1)  # as the model's, to the bit
    return rows, of_probabilities(found.numpy(), labels, units, temperature=fitted)


def label_evidence(model: MultilabelClassifier, data: Manifest, options: EvaluateOptions, *, fit: bool) -> Found:
    """Return rows of the manifest and the evidence of a multi-label classifier, of which nothing is fitted."""
    del fit
    rows, logits = logits_in(model, data, options)
    table = data.table.take(rows)
    require_known(model.class_names, data.kind.names_used(table))
    shown = multi_hot(table, model.class_names)
    return rows, of_probabilities(model.probabilities(logits).numpy(), shown, _units(data, rows))


def object_evidence(model: DetectionModel, data: Manifest, options: EvaluateOptions, *, fit: bool) -> Found:
    """Return rows of the manifest and the evidence of a detector, of which nothing is fitted."""
    del fit
    rows, truth, found = split_truth(model, data, options)
    return rows, of_detections(truth, found, _units(data, rows), n_classes=len(model.class_names))


def _units(data: Manifest, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return group_codes(data.column("group")[rows], n_images=len(rows))[0]
