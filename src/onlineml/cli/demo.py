"""The demo: `python -m onlineml.cli.demo FOLDER` runs the notebooks on sample photos, and corrects their labels.

Somebody took nearly all objects of two classes for those of two others, and the first model learns it. After the
correction a challenger is trained from new weights, as the first model was and for as long, so that the corrections are
the only difference, and has to be better by the gate. Two fifths of the photos are for testing, so that it can decide.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.arguments.counted import count
from onlineml.data.kinds import kind_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.samples.samples import make_samples
from onlineml.errors import NotFoundError
from onlineml.jobs.notebooks import NOTEBOOKS, notebooks_folder, require_papermill, run_notebook
from onlineml.project.project import Project
from onlineml.storage.documents import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["main", "run_demo"]

_MISTAKEN = {"lemon": "banana", "mushroom": "leaf"}  # what somebody took them for
_SHARE = 0.9  # of their objects
_TEST, _VAL = 0.4, 0.1  # shares of the photos
_TITLES = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "map_50_95": "mAP 50-95", "map_50": "mAP 50"}
_TITLES |= {"map": "mAP", "micro_f1": "Micro F1"}


class _Settings(NamedTuple):
    """The trainings of a task, long enough for the gate to decide, and short enough for five minutes in all."""

    size: int  # input side length in pixels
    budget_s: float  # of each of two trainings, in seconds


_OF_LABELS, _OF_BOXES = _Settings(64, 25.0), _Settings(128, 60.0)
TASKS = ("classification", "multilabel", "detection")


def run_demo(
    folder: str | Path,
    *,
    task: str = "classification",
    n_photos: int = 400,
    budget_s: float | None = None,
    size: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Make sample photos, run the notebooks on them with papermill, and collect their results.

    Args:
        folder: a local folder, for ``photos/``, ``project/`` and the executed ``notebooks/``. A second run adds a
            second version to the same project.
        task: ``"classification"``, ``"multilabel"`` or ``"detection"``.
        n_photos: number of sample photos.
        budget_s: seconds of each of two trainings; None is 25, for detection 60.
        size: input side length in pixels; None is 64, for detection 128.
        seed: of the photos, their split and the training.

    Returns:
        The result of each notebook by its name, the executed notebooks under ``"notebooks"``, and the number of
        corrected photos under ``"corrected"``.

    Raises:
        MissingDependencyError: papermill or ipykernel is not installed.
    """
    require_papermill()
    usual = _OF_LABELS if kind_of(task).label_alone else _OF_BOXES
    budget_s = usual.budget_s if budget_s is None else budget_s
    home = Path(folder).resolve()
    photos = home / "photos"
    print(f"Making {count(n_photos, 'photo')} for {task} in {photos}", flush=True)
    make_samples(str(photos), task=task, n=n_photos, seed=seed, mislabelled=0.0, broken=max(3, n_photos // 100))
    project = Project.create(home / "project", task=task, title=f"Demo of {task}", exist_ok=True)
    truth = _begin(project, photos, seed=seed)
    size = size or usual.size
    own: dict[str, dict[str, Any]] = {
        "1_build": {"task": task, "photos": str(photos), "budget_s": budget_s, "size": size, "seed": seed},
        "2_test": {"images": str(photos)},
        "3_evaluate": {},
        "4_improve": {"budget_s": budget_s, "seed": seed, "how": "full", "policy": "better"},
    }
    results: dict[str, Any] = {"corrected": len(truth)}
    for name in NOTEBOOKS:
        if name == "4_improve":
            project.labels.set(truth, author="corrector")
            print(f"\nCorrected the annotations of {count(len(truth), 'photo')}", flush=True)
        results[name] = _run(name, home, own[name])
    return results | {"notebooks": [str(home / "notebooks" / f"{name}.ipynb") for name in NOTEBOOKS]}


def _run(name: str, home: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run a notebook, and return its result."""
    print(f"\nRunning {name}", flush=True)
    started, file = time.monotonic(), f"{name}.ipynb"
    parameters = {"project_url": str(home / "project"), **parameters}
    run_notebook(str(notebooks_folder() / file), str(home / "notebooks" / file), parameters=parameters)
    print(f"{name} took {time.monotonic() - started:.0f} s", flush=True)
    return _latest_result(home / "project", name)


def _begin(project: Project, photos: Path, *, seed: int) -> dict[str, Any]:
    """Add the photos, move enough of them to the test split, and annotate many wrongly; return their truth."""
    if not project.add(Manifest.from_any(str(photos), task=project.task)):
        return {}  # a second run
    ids = sorted(project.labels.state().table["image_id"].to_pylist())
    rng = random.Random(seed)  # noqa: S311 (no secret)
    rng.shuffle(ids)
    test, val = round(_TEST * len(ids)), round((_TEST + _VAL) * len(ids))
    splits = ["test"] * test + ["val"] * (val - test) + ["train"] * (len(ids) - val)
    project.images.move_to_split(dict(zip(ids, splits, strict=True)), reason="enough test photos for a verdict")

    def taken_for(name: str) -> str:
        return _MISTAKEN.get(name, name) if rng.random() < _SHARE else name

    rows = {row["image_id"]: row for row in project.labels.state().table.to_pylist()}
    truth = {one: _value(rows[one], str) for one in ids}
    wrong = {one: value for one in ids if (value := _value(rows[one], taken_for)) != truth[one]}
    project.labels.set(wrong, author="hurried annotator")
    return {one: truth[one] for one in wrong}


def _value(row: Mapping[str, Any], rename: Callable[[str], str]) -> Any:
    """Return the annotation of an image with its class names passed through a function."""
    if "boxes_xyxy" in row:
        return row["boxes_xyxy"], [rename(name) for name in row["labels"] or ()]
    if "labels" in row:
        return list(dict.fromkeys(rename(name) for name in row["labels"] or ()))
    return rename(row["label"])


def _latest_result(project: Path, notebook: str) -> dict[str, Any]:
    """Return the result of the last run of a notebook."""
    for path in sorted((project / "runs").glob("*/result.json"), reverse=True):
        result = read_json(path)
        if result["notebook"] == notebook:
            return result
    msg = f"no run in {project / 'runs'} contains a result of {notebook}; see the executed notebook for the error"
    raise NotFoundError(msg)


def _summary(results: dict[str, Any]) -> str:
    """Return the results of the notebooks of one task as lines of text."""
    built, tested, judged, improved = (results[name] for name in NOTEBOOKS)
    scores = []
    for name, (low, high) in judged["intervals"].items():
        scores.append(f"{_TITLES[name]:16}{judged[name]:.3f} (95 % interval {low:.3f} to {high:.3f})")
    scores[0] += f", {judged['images']} test photos with the labels as found, many of them wrong"
    return "\n".join(
        [
            f"\n{built['task'].capitalize()}",
            *scores,
            f"{'Photos':16}{tested['images']} predicted, {tested['bad']} of them unusable",
            f"{'Model version':16}{built['version']}, the {built['alias']} of {built['project']}",
            f"{'Corrected':16}the annotations of {results['corrected']} photos",
            f"{'Improved':16}{_improved(improved['outcome'])}",
            f"{'Report':16}{judged['report']}",
            f"{'Notebooks':16}{(chr(10) + ' ' * 16).join(results['notebooks'])}",
        ]
    )


def _improved(outcome: dict[str, Any]) -> str:
    """Return the outcome of the corrections in one line."""
    now = f"{outcome['challenger']} is the champion now" if outcome["promoted"] else "the champion stays"
    return f"{outcome['verdict']}, {now}: {outcome['reasons'][0]}"


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m onlineml.cli.demo", description="Run the notebooks on sample photos."
    )
    parser.add_argument("folder", nargs="?", default="demo", help="the output folder (default: ./demo)")
    parser.add_argument("--task", choices=TASKS, action="append", help="may be repeated (default: classification)")
    parser.add_argument("--photos", type=int, default=400, help="number of sample photos per task (default: 400)")
    parser.add_argument("--seconds", type=float, help="seconds of each of two trainings (default: 25 and 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the photos and the training (default: 0)")
    chosen = parser.parse_args(arguments)
    summaries = []
    for task in chosen.task or TASKS[:1]:
        home = Path(chosen.folder) / task
        results = run_demo(home, task=task, n_photos=chosen.photos, budget_s=chosen.seconds, seed=chosen.seed)
        summaries.append(_summary(results))
    print("\n".join(summaries))


if __name__ == "__main__":
    main()
