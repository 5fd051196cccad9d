"""The demonstration: ``python -m onlineml.demo FOLDER`` makes sample photos, runs the three notebooks and sums up."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onlineml.data.samples import make_samples
from onlineml.errors import MissingDependencyError, NotFoundError
from onlineml.storage import io

__all__ = ["main", "notebooks_folder", "run_demo"]

NOTEBOOKS = ("1_build", "2_test", "3_evaluate")


def notebooks_folder() -> Path:
    """Where the notebooks are: inside the installed package, or in the repository that it is run from.

    Raises:
        NotFoundError: they are in neither.
    """
    package = Path(__file__).parent
    for folder in (package / "notebooks", package.parents[1] / "notebooks"):
        if (folder / f"{NOTEBOOKS[0]}.ipynb").exists():
            return folder
    msg = f"the notebooks are neither in {package} nor in the repository around it; install onlineml anew"
    raise NotFoundError(msg)


def run_demo(folder: str | Path, *, n_photos: int = 600, budget_s: float = 120.0, size: int = 64) -> dict[str, Any]:
    """Makes sample photos, runs the notebooks on them with papermill, and gathers what they found.

    Args:
        folder: a local folder; gets ``photos/``, ``project/`` and the executed ``notebooks/``. Run twice, it adds a
            second version to the same project.
        n_photos: how many sample photos.
        budget_s: seconds of training.
        size: pixels a side that the network sees.

    Returns:
        The result of each notebook by its name, and the executed notebooks under ``"notebooks"``.

    Raises:
        MissingDependencyError: papermill or ipykernel is not installed.
    """
    for package in ("papermill", "ipykernel"):
        if not find_spec(package):
            msg = f"running notebooks needs {package}: pip install 'onlineml[notebook]'"
            raise MissingDependencyError(msg)
    import papermill  # noqa: PLC0415 - an optional dependency

    home = Path(folder).resolve()
    photos, project = home / "photos", home / "project"
    print(f"Making {n_photos} photos in {photos}", flush=True)
    make_samples(str(photos), n=n_photos, broken=max(3, n_photos // 100))
    shared: dict[str, Any] = {"project_url": str(project)}
    own: dict[str, dict[str, Any]] = {
        "1_build": {"photos": str(photos), "budget_s": budget_s, "size": size},
        "2_test": {"images": str(photos)},
        "3_evaluate": {},
    }
    executed = home / "notebooks"
    executed.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"notebooks": []}
    for name in NOTEBOOKS:
        started = time.monotonic()
        print(f"\nRunning {name}", flush=True)
        output = executed / f"{name}.ipynb"
        papermill.execute_notebook(
            str(notebooks_folder() / f"{name}.ipynb"),
            str(output),
            parameters={**shared, **own[name]},
            kernel_name="python3",
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # it warns of how Jupyter itself talks to it
        )
        results[name] = _latest_result(project, name)
        results["notebooks"].append(str(output))
        print(f"{name} took {time.monotonic() - started:.0f} s", flush=True)
    return results


def _latest_result(project: Path, notebook: str) -> dict[str, Any]:
    """What the last run of a notebook wrote down."""
    for path in sorted((project / "runs").glob("*/result.json"), reverse=True):
        result: dict[str, Any] = json.loads(io.read_bytes(path))
        if result["notebook"] == notebook:
            return result
    msg = f"no run in {project / 'runs'} holds a result of {notebook}; look at its executed notebook"
    raise NotFoundError(msg)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m onlineml.demo", description="Run the notebooks on sample photos.")
    parser.add_argument("folder", nargs="?", default="demo", help="where everything goes (default: ./demo)")
    parser.add_argument("--photos", type=int, default=600, help="how many sample photos (default: 600)")
    parser.add_argument("--seconds", type=float, default=120.0, help="seconds of training (default: 120)")
    chosen = parser.parse_args(arguments)
    logging.getLogger("papermill").setLevel(logging.WARNING)
    results = run_demo(chosen.folder, n_photos=chosen.photos, budget_s=chosen.seconds)
    built, tested, judged = (results[name] for name in NOTEBOOKS)
    low, high = judged["interval"]
    print(f"""
Accuracy        {judged["accuracy"]:.3f} on {judged["images"]} test photos (95 % interval {low:.3f} to {high:.3f})
Macro F1        {judged["macro_f1"]:.3f}
Photos          {tested["images"]} looked at, {tested["bad"]} of them unusable
Model version   {built["version"]}, now the {built["alias"]} of {built["project"]}
Report          {judged["report"]}
Notebooks       {(chr(10) + " " * 16).join(results["notebooks"])}""")


if __name__ == "__main__":
    main()
