"""Build, improve, test and evaluate image models on photos in a bucket, from a notebook.

Importing is quick and does nothing: each name below is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml import errors as errors
    from onlineml import evaluation as evaluation
    from onlineml import jobs as jobs
    from onlineml import widgets as widgets
    from onlineml.data.loading.classification_datamodules import ClassificationDataModule as ClassificationDataModule
    from onlineml.data.loading.detection_datamodules import DetectionDataModule as DetectionDataModule
    from onlineml.data.loading.multilabel_datamodules import MultilabelDataModule as MultilabelDataModule
    from onlineml.data.manifest.manifest import Manifest as Manifest
    from onlineml.data.samples.samples import make_samples as make_samples
    from onlineml.evaluation.comparison.compare import compare as compare
    from onlineml.exporting.export import export as export
    from onlineml.exporting.export import load_export as load_export
    from onlineml.exporting.release import release as release
    from onlineml.improving.deciding.decide import decide as decide
    from onlineml.improving.deciding.queue import deciding_queue as deciding_queue
    from onlineml.improving.gate.policy import Gate as Gate
    from onlineml.improving.improve import challenge as challenge
    from onlineml.improving.improve import improve as improve
    from onlineml.improving.recipe import Recipe as Recipe
    from onlineml.improving.review.queue import review_queue as review_queue
    from onlineml.improving.searching.candidates import Candidate as Candidate
    from onlineml.improving.searching.cross_validation import cross_validate as cross_validate
    from onlineml.improving.searching.search import search as search
    from onlineml.inference.calibrate import calibrate as calibrate
    from onlineml.inference.calibrate import check_calibration as check_calibration
    from onlineml.inference.evaluate import evaluate as evaluate
    from onlineml.inference.predictor import predict as predict
    from onlineml.inference.video import predict_video as predict_video
    from onlineml.project.project import Project as Project
    from onlineml.tasks.building import datamodule_for as datamodule_for
    from onlineml.tasks.building import list_models as list_models
    from onlineml.tasks.building import model_for as model_for
    from onlineml.tasks.classification import ImageClassifier as ImageClassifier
    from onlineml.tasks.detection import ObjectDetector as ObjectDetector
    from onlineml.tasks.loading import load_model as load_model
    from onlineml.tasks.multilabel import MultilabelClassifier as MultilabelClassifier
    from onlineml.training.fit import fit as fit
    from onlineml.training.lr_finder import suggest_lr as suggest_lr

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Candidate": "improving.searching.candidates",
        "ClassificationDataModule": "data.loading.classification_datamodules",
        "DetectionDataModule": "data.loading.detection_datamodules",
        "Gate": "improving.gate.policy",
        "ImageClassifier": "tasks.classification",
        "Manifest": "data.manifest.manifest",
        "MultilabelClassifier": "tasks.multilabel",
        "MultilabelDataModule": "data.loading.multilabel_datamodules",
        "ObjectDetector": "tasks.detection",
        "Project": "project.project",
        "Recipe": "improving.recipe",
        "calibrate": "inference.calibrate",
        "challenge": "improving.improve",
        "check_calibration": "inference.calibrate",
        "compare": "evaluation.comparison.compare",
        "cross_validate": "improving.searching.cross_validation",
        "datamodule_for": "tasks.building",
        "decide": "improving.deciding.decide",
        "deciding_queue": "improving.deciding.queue",
        "errors": "",
        "evaluate": "inference.evaluate",
        "evaluation": "",
        "export": "exporting.export",
        "fit": "training.fit",
        "improve": "improving.improve",
        "jobs": "",
        "list_models": "tasks.building",
        "load_export": "exporting.export",
        "load_model": "tasks.loading",
        "make_samples": "data.samples.samples",
        "model_for": "tasks.building",
        "predict": "inference.predictor",
        "predict_video": "inference.video",
        "release": "exporting.release",
        "review_queue": "improving.review.queue",
        "search": "improving.searching.search",
        "suggest_lr": "training.lr_finder",
        "widgets": "",
    },
)
