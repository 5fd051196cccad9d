"""A small project of each task, with everything that its widgets show: labels, suggestions, doubts, nothing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.evaluation import Detections, classification_scores, detection_scores
from onlineml.evaluation.multilabel.score import multilabel_scores
from onlineml.project.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from onlineml.runs.run import Run

__all__ = ["CLASSES", "picture", "shown_project", "shown_run", "shown_scores"]

CLASSES = ("cat", "cow", "7")
BOX = [10.0, 8.0, 40.0, 30.0]
VALUES: dict[str, Any] = {"classification": "cat", "multilabel": ["cat"], "detection": ([BOX], ["cat"])}
GUESSES: dict[str, Any] = {
    "classification": ("cow", 0.9),
    "multilabel": (["cow", "7"], [0.9, 0.8]),
    "detection": ([[50, 10, 80, 50]], ["cow"], [0.9]),
}


def picture(seed: int) -> bytes:
    """A PNG of 96 x 64 pixels."""
    pixels = np.random.default_rng(seed).integers(60, 190, (8, 12, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).resize((96, 64), Image.Resampling.BICUBIC).save(data, "PNG")
    return data.getvalue()


def shown_project(folder: Path, task: str, *, n: int = 6) -> tuple[Project, list[str]]:
    """A project of n images: two labelled, one with a suggestion against it; two with suggestions; open ones."""
    project = Project.create(folder, task=task, title=f"{task} project", class_names=list(CLASSES))
    ids = project.images.upload([picture(seed) for seed in range(n)])
    project.labels.set(dict.fromkeys(ids[:2], VALUES[task]))
    project.labels.suggest(dict.fromkeys(ids[1:4], GUESSES[task]), model="4")
    return project, ids


def shown_scores(project: Project) -> Any:
    """Scores of a model on the project's images, some of which it has wrong."""
    data = project.labels.state().table
    n = len(data)
    told: dict[str, Any] = {"image_ids": data["image_id"].to_pylist(), "n_bootstrap": 0}
    told["uris"] = project.freeze().urls()
    given = np.random.default_rng(0).dirichlet(np.ones(3), n)
    if project.task == "classification":
        return classification_scores(given, np.arange(n) % 3, CLASSES, **told)
    if project.task == "multilabel":
        return multilabel_scores(given, given > 0.4, CLASSES, thresholds=0.3, **told)
    boxes = np.tile([BOX], (n, 1))
    truth = Boxes(boxes, np.arange(n) % 3, np.zeros(n, bool), np.full(n, np.nan), np.arange(n + 1), np.ones(n, bool))
    found = Detections(np.arange(n), boxes + (np.arange(n) % 2 * 30)[:, None], np.arange(n) % 3, np.full(n, 0.8), n)
    sizes = [(64, 96)] * n
    return detection_scores(truth, found, CLASSES, sizes_hw=sizes, thresholds=dict.fromkeys(CLASSES, 0.5), **told)


def shown_run(project: Project) -> Run:
    """A run of two epochs, of which the second is under way."""
    score = {"classification": "val_accuracy", "multilabel": "val_map", "detection": "val_map_50_95"}[project.task]
    run = project.runs.new()
    run.set_status("running")
    for epoch in range(2):
        row = {"epoch": epoch, "train_loss": 1 / (1 + epoch), score: 0.5 + 0.1 * epoch, "images_per_s": 9.0}
        run.log_metrics({**row, "seconds": 3.0 * epoch, "progress": 0.5 * epoch})
    return run
