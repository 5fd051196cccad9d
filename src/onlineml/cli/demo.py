"""The demo: `python -m onlineml.cli.demo FOLDER` runs the notebooks on sample photos, and corrects their labels.

Many labels are planted wrong. The first model learns from them; after their correction a challenger has to be better by
the gate. Two fifths of the photos are for testing, so that the gate can decide.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

from onlineml.data.kinds import kind_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.samples.samples import make_samples
from onlineml.errors import NotFoundError
from onlineml.jobs.notebooks import NOTEBOOKS, notebooks_folder, require_papermill, run_notebook
from onlineml.project.project import Project
from onlineml.storage import io

__all__ = ["main", "run_demo"]

_WRONG = 0.3  # share of the photos
_TEST, _VAL = 0.4, 0.1  # shares of the photos
_IMPROVE_S = 30.0  # seconds, and no more than the training; with less, only the last layer is trained again
TASKS = ("classification", "detection")
_SIZE_OF_BOXES = 160  # pixels, half of the default: enough for objects as large as these
_TITLES = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "map_50_95": "mAP 50-95", "map_50": "mAP 50"}


def run_demo(
    folder: str | Path,
    *,
    task: str = "classification",
    n_photos: int = 500,
    budget_s: float = 35.0,
    size: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Make sample photos, run the notebooks on them with papermill, and collect their results.

    Args:
        folder: a local folder, for ``photos/``, ``project/`` and the executed ``notebooks/``. A second run adds a
            second version to the same project.
        task: ``"classification"`` or ``"detection"``.
        n_photos: number of sample photos.
        budget_s: seconds of training.
        size: input side length in pixels; None chooses it, for detection 160.
        seed: of the photos, their split and the training.

    Returns:
        The result of each notebook by its name, the executed notebooks under ``"notebooks"``, and the number of
        corrected photos under ``"corrected"``.

    Raises:
        MissingDependencyError: papermill or ipykernel is not installed.
    """
    require_papermill()
    home = Path(folder).resolve()
    photos, project, executed = home / "photos", home / "project", home / "notebooks"
    print(f"Making {n_photos} photos for {task} in {photos}", flush=True)
    broken = max(3, n_photos // 100)
    make_samples(str(photos), task=task, n=n_photos, seed=seed, mislabelled=_WRONG, broken=broken)
    _begin(project, photos, task=task, seed=seed)
    size = size or (_SIZE_OF_BOXES if kind_of(task).one_by_one else None)
    own: dict[str, dict[str, Any]] = {
        "1_build": {"task": task, "photos": str(photos), "budget_s": budget_s, "size": size, "seed": seed},
        "2_test": {"images": str(photos)},
        "3_evaluate": {},
        "4_improve": {"budget_s": min(_IMPROVE_S, budget_s), "seed": seed},
    }
    executed.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"notebooks": [str(executed / f"{name}.ipynb") for name in NOTEBOOKS]}
    for name in NOTEBOOKS:
        if name == "4_improve":
            results["corrected"] = _correct(project, photos)
            print(f"\nCorrected the annotations of {results['corrected']} photos", flush=True)
        print(f"\nRunning {name}", flush=True)
        started = time.monotonic()
        parameters = {"project_url": str(project), **own[name]}
        run_notebook(str(notebooks_folder() / f"{name}.ipynb"), str(executed / f"{name}.ipynb"), parameters=parameters)
        print(f"{name} took {time.monotonic() - started:.0f} s", flush=True)
        results[name] = _latest_result(project, name)
    return results


def _begin(project_url: Path, photos: Path, *, task: str, seed: int) -> None:
    """Add the photos to the project, and move enough of them to the test split."""
    project = Project.create(project_url, task=task, title=f"Demo of {task}", exist_ok=True)
    if not project.add(Manifest.from_any(str(photos), task=task)):
        return  # a second run
    ids = sorted(project.labels.state().table["image_id"].to_pylist())
    random.Random(seed).shuffle(ids)  # noqa: S311 (no secret)
    test, val = round(_TEST * len(ids)), round((_TEST + _VAL) * len(ids))
    splits = ["test"] * test + ["val"] * (val - test) + ["train"] * (len(ids) - val)
    project.images.move_to_split(dict(zip(ids, splits, strict=True)), reason="enough test photos for a verdict")


def _correct(project_url: Path, photos: Path) -> int:
    """Correct wrong annotations by the samples' ground truth; return their number."""
    project = Project.open(project_url)
    kind, truth = project.kind, project.kind.sample_truth(str(photos))
    values = {}
    for row in project.labels.state().table.to_pylist():
        parts = Path(row["uri"]).parts
        path = parts[-1] if parts[-1] in truth else "/".join(parts[-2:])
        if path in truth and not kind.confirms(kind.parsed(truth[path], name=path), row, {}):
            values[row["image_id"]] = truth[path]
    return len(project.labels.set(values))


def _latest_result(project: Path, notebook: str) -> dict[str, Any]:
    """Return the result of the last run of a notebook."""
    for path in sorted((project / "runs").glob("*/result.json"), reverse=True):
        result: dict[str, Any] = json.loads(io.read_bytes(path))
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
    parser.add_argument("--task", choices=TASKS, action="append", help="only this task (default: both)")
    parser.add_argument("--photos", type=int, default=500, help="number of sample photos per task (default: 500)")
    parser.add_argument("--seconds", type=float, default=35.0, help="seconds of training for each (default: 35)")
    parser.add_argument("--seed", type=int, default=0, help="of the photos and the training (default: 0)")
    chosen = parser.parse_args(arguments)
    summaries = []
    for task in chosen.task or TASKS:
        home = Path(chosen.folder) / task
        results = run_demo(home, task=task, n_photos=chosen.photos, budget_s=chosen.seconds, seed=chosen.seed)
        summaries.append(_summary(results))
    print("\n".join(summaries))


if __name__ == "__main__":
    main()
