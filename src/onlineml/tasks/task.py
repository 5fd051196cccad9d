"""The description of a task: its names, its sizes, and the import paths of its pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from onlineml.errors import ConfigError
from onlineml.lazy import import_path

if TYPE_CHECKING:
    from onlineml.data.kinds import AnnotationKind

__all__ = ["Piece", "Task"]

Piece = Literal[
    "module",
    "datamodule",
    "networks",
    "predict",
    "evaluate",
    "evidence",
    "scores",
    "widget",
    "successor",
    "candidates",
    "answers",
    "export",
    "tensors",
]


@dataclass(frozen=True)
class Task:
    """A task, such as classification: training, prediction, evaluation and more.

    A piece is given by its import path, ``"package.module:name"``, and imported by `load` when it is first needed, so
    that importing the table of tasks is fast, and a task may use modules that build on tasks. Another package adds a
    task by an entry point in the group ``onlineml.tasks`` to such an object.

    Attributes:
        name: as in the attribute ``task`` of manifests, projects and models.
        title: of a model, for people.
        default_size: default side length of the network's input in pixels.
        train_batch_size: default batch size of training.
        predict_batch_size: of `onlineml.predict`.
        evaluate_batch_size: of `onlineml.evaluate`.
        module: its `onlineml.tasks.base.VisionModule`.
        datamodule: its `onlineml.data.loading.datamodules.ImageDataModule`.
        networks: a function of ``pretrained=`` that lists the networks to choose from, see `onlineml.list_models`.
        predict: a function of a model, images and `onlineml.inference.predictor.PredictOptions` that returns
            `onlineml.inference.rows.Rows`.
        evaluate: a function of a model, a manifest and `onlineml.inference.evaluation.EvaluateOptions` that returns
            scores.
        evidence: a function of a model, a manifest, `onlineml.inference.evaluation.EvaluateOptions` and whether to fit
            what has to be fitted, that returns rows of the manifest and
            `onlineml.evaluation.calibration.evidence.Evidence`; empty if its models cannot be calibrated.
        scores: the class of these scores, an `onlineml.evaluation.base.BaseScores`.
        widget: for correcting its images, a class that takes a project and image ids; empty for none.
        successor: a subclass of `onlineml.improving.challenger.successor_pieces.SuccessorPieces` for training
            challengers; empty if that is not supported.
        candidates: a function of a project, models, a manifest and rows of it that finds images for review, such as
            `onlineml.improving.review.labels.find_candidates`; empty if that is not supported.
        answers: a function of a project, models, a manifest and rows of it that returns the answers of the models by
            row, such as `onlineml.improving.deciding.labels.answers`; empty if two answers are seldom the same.
        export: a subclass of `onlineml.exporting.pieces.ExportPieces`; empty if its models cannot be exported.
        tensors: a function of rows of predictions and the class names that returns arrays by name, for
            `onlineml.serving`; empty if its models are not served.
    """

    name: str
    title: str
    default_size: int
    train_batch_size: int
    predict_batch_size: int
    evaluate_batch_size: int
    module: str
    datamodule: str
    networks: str
    predict: str
    evaluate: str
    scores: str
    widget: str = ""
    successor: str = ""
    candidates: str = ""
    answers: str = ""
    evidence: str = ""
    export: str = ""
    tensors: str = ""

    @property
    def kind(self) -> AnnotationKind:
        """The kind of annotation of its images."""
        from onlineml.data.kinds import kind_of  # noqa: PLC0415 (pyarrow, which the table of tasks does without)

        return kind_of(self.name)

    def load(self, piece: Piece) -> Any:
        """Import one of the pieces.

        Raises:
            ConfigError: the task has no such piece.
        """
        path = getattr(self, piece, None) if piece in get_args(Piece) else None
        if not path:
            raise ConfigError(f"the task {self.name!r} has no {piece}: it cannot be used for this")
        return import_path(path)
