"""Build, improve, test and evaluate image models on photos in a bucket, from a notebook.

Importing is quick and does nothing: each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onlineml import errors, evaluation, jobs, widgets
    from onlineml.data.datamodules import ClassificationDataModule
    from onlineml.data.detection_datamodules import DetectionDataModule
    from onlineml.data.manifest import Manifest
    from onlineml.data.samples import make_samples
    from onlineml.evaluation.compare import compare
    from onlineml.improving.improve import improve
    from onlineml.improving.queue import review_queue
    from onlineml.inference.evaluate import evaluate
    from onlineml.inference.predictor import predict
    from onlineml.inference.video import predict_video
    from onlineml.project import Project
    from onlineml.tasks.by_task import datamodule_for, model_for
    from onlineml.tasks.classification import ImageClassifier
    from onlineml.tasks.detection import ObjectDetector
    from onlineml.tasks.fit import fit
    from onlineml.tasks.loading import load_model
    from onlineml.tasks.lr_finder import suggest_lr

__version__ = "0.1.0"

__all__ = [
    "ClassificationDataModule",
    "DetectionDataModule",
    "ImageClassifier",
    "Manifest",
    "ObjectDetector",
    "Project",
    "compare",
    "datamodule_for",
    "errors",
    "evaluate",
    "evaluation",
    "fit",
    "improve",
    "jobs",
    "load_model",
    "make_samples",
    "model_for",
    "predict",
    "predict_video",
    "review_queue",
    "suggest_lr",
    "widgets",
]

_HOMES = {
    "ClassificationDataModule": "onlineml.data.datamodules",
    "DetectionDataModule": "onlineml.data.detection_datamodules",
    "ImageClassifier": "onlineml.tasks.classification",
    "Manifest": "onlineml.data.manifest",
    "ObjectDetector": "onlineml.tasks.detection",
    "Project": "onlineml.project",
    "compare": "onlineml.evaluation.compare",
    "datamodule_for": "onlineml.tasks.by_task",
    "errors": "",
    "evaluate": "onlineml.inference.evaluate",
    "evaluation": "",
    "fit": "onlineml.tasks.fit",
    "improve": "onlineml.improving.improve",
    "jobs": "",
    "load_model": "onlineml.tasks.loading",
    "make_samples": "onlineml.data.samples",
    "model_for": "onlineml.tasks.by_task",
    "predict": "onlineml.inference.predictor",
    "predict_video": "onlineml.inference.video",
    "review_queue": "onlineml.improving.queue",
    "suggest_lr": "onlineml.tasks.lr_finder",
    "widgets": "",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'onlineml' has no attribute {name!r}; it has {', '.join(__all__)}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"onlineml.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
