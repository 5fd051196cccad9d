"""The notebooks: tidy as they are stored, and running under papermill as a scheduler would run them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

import onlineml as oml
from late import Late
from onlineml.cli.demo import TASKS as DEMONSTRATED
from onlineml.data.samples.samples import make_samples
from places import ROOT
from processes import LONG_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_client import KernelManager

    from s3_server import S3Server

jupyter_client = Late("jupyter_client")
nbclient = Late("nbclient")
nbformat = Late("nbformat")
papermill_files, papermill_parameters = Late("papermill.iorw"), Late("papermill.parameterize")

FOLDER = ROOT / "notebooks"
NAMES = ["1_build", "2_test", "3_evaluate", "4_improve"]
# Small and quick: these tests are about the path, the benchmarks are about the scores.
SMALL = {"budget_s": 4.0, "size": 32}
SHOWN = os.environ.get("ONLINEML_DEMO")  # where the documentation's demonstration goes
DEMO_SIZE = ["--photos", "200", "--seconds", "14"] if SHOWN else ["--photos", "80", "--seconds", "4"]
MAIN_SCORE = {"classification": "accuracy", "multilabel": "map", "detection": "map_50_95"}


def read(name: str) -> Any:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_of(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def run(source: str, output: str, parameters: dict[str, Any], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Runs papermill as a scheduler does, in a process of its own; returns what it printed."""
    command = [sys.executable, "-m", "papermill", source, output, "-k", "python3", "--no-progress-bar", "--log-output"]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False, timeout=LONG_S
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


@contextmanager
def one_kernel() -> Iterator[KernelManager]:
    """For several notebooks, so that torch is imported once."""
    manager = jupyter_client.KernelManager(kernel_name="python3")
    yield manager
    manager.shutdown_kernel(now=True)


def run_in(manager: KernelManager, source: Path, output: Path, parameters: dict[str, Any]) -> None:
    """Runs a notebook in a namespace of its own, in the folder of its output."""
    notebook = papermill_parameters.parameterize_notebook(papermill_files.load_notebook_node(str(source)), parameters)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    beside = {"metadata": {"path": output.parent}}
    client = nbclient.NotebookClient(notebook, km=manager, timeout=LONG_S, resources=beside)
    client.execute()
    client.kc.stop_channels()  # the kernel goes on
    nbformat.write(notebook, output)


def results(project: str, options: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """What the notebooks wrote into the project's runs."""
    fs, root = fsspec.url_to_fs(project, **(options or {}))
    found = [json.loads(fs.cat_file(path)) for path in sorted(fs.glob(f"{root}/runs/*/result.json"))]
    return {result["notebook"]: result for result in found}


def test_the_notebooks_are_those_that_the_readme_names() -> None:
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == NAMES
    for name in NAMES:
        assert f"notebooks/{name}.ipynb" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_stored_without_outputs_and_with_lasting_ids(name: str) -> None:
    notebook = read(name)
    ids = [cell.id for cell in notebook.cells]

    assert len(set(ids)) == len(ids)
    assert all(cell_id.replace("-", "").isalpha() for cell_id in ids)  # given by hand: a random one changes each time
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("name", NAMES)
def test_one_cell_of_parameters_each_a_plain_literal_with_help(name: str) -> None:
    tagged = [cell for cell in read(name).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1

    for line in tagged[0].source.splitlines():
        statement = ast.parse(line).body[0]
        assert isinstance(statement, ast.Assign), line
        ast.literal_eval(statement.value)
        assert len(line.partition("  # ")[2]) > 10, f"{line}: without help"


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_hold_no_logic(name: str) -> None:
    for source in code_of(read(name)):
        assert len(source.splitlines()) <= 20
        nodes = [type(node) for node in ast.walk(ast.parse(source))]
        assert not set(nodes) & {ast.FunctionDef, ast.ClassDef, ast.If, ast.While, ast.Try, ast.Lambda}, source


@pytest.mark.notebooks
@pytest.mark.parametrize("task", [pytest.param("classification", marks=pytest.mark.slow), "multilabel", "detection"])
def test_from_nothing_to_a_judged_model_in_a_local_folder(task: str, tmp_path: Path) -> None:
    """With nothing but the defaults for where things are, as for a person who opens them one after the other."""
    asked: dict[str, dict[str, Any]] = {
        "1_build": {"task": task, "budget_s": 4.0, "size": 96 if task == "detection" else 32},
        "2_test": {"images": f"photos-{task}"},
        "3_evaluate": {},
        "4_improve": {"budget_s": 4.0},
    }
    with one_kernel() as manager:
        for name in NAMES:
            if name == "4_improve":
                corrected = correct_one(oml.Project.open(str(tmp_path / "project")))
            run_in(manager, FOLDER / f"{name}.ipynb", tmp_path / f"{name}-done.ipynb", asked[name])

    found = results(str(tmp_path / "project"))
    assert set(found) == set(NAMES)
    problems = sample_problems(tmp_path / f"photos-{task}")
    assert found["2_test"]["images"] == len(problems)
    assert found["2_test"]["bad"] == sum(p in {"truncated", "empty", "not an image"} for p in problems)
    score = MAIN_SCORE[task]
    assert 0 <= found["3_evaluate"]["intervals"][score][0] <= found["3_evaluate"][score] <= 1
    assert found["3_evaluate"]["dataset"] == found["1_build"]["dataset"]
    assert found["3_evaluate"][score] == pytest.approx(found["1_build"][score], abs=1e-9)
    assert Path(found["3_evaluate"]["report"]).stat().st_size > 10_000
    check_improved(oml.Project.open(str(tmp_path / "project")), found, corrected)
    for name in NAMES:
        check_executed(nbformat.read(tmp_path / f"{name}-done.ipynb", as_version=4))


def correct_one(project: oml.Project) -> str:
    """Somebody says that a training photo shows something else, or nothing; returns its id."""
    rows = project.datasets.get(project.datasets.list()[0]).table.to_pylist()
    if project.task == "detection":
        image_id = next(row["image_id"] for row in rows if row["split"] == "train" and row["labels"])
        project.labels.set(image_id, ([], []))
    elif project.task == "multilabel":
        image_id = next(row["image_id"] for row in rows if row["split"] == "train" and row["labels"])
        project.labels.set(image_id, [])
    else:
        image_id, label = next((row["image_id"], row["label"]) for row in rows if row["split"] == "train")
        project.labels.set(image_id, next(name for name in project.classes.names() if name != label))
    return str(image_id)


def check_improved(project: oml.Project, found: dict[str, dict[str, Any]], corrected: str) -> None:
    """The challenger was trained on the correction, and the champion is the one that the verdict says."""
    outcome = found["4_improve"]["outcome"]
    assert outcome["verdict"] in {"promote", "reject", "inconclusive"}
    assert outcome["reasons"]
    assert outcome["changes"] == {"new": 0, "gone": 0, "relabelled": 1, "moved": 0}
    assert outcome["champion"] == found["1_build"]["version"]
    assert outcome["dataset"] != found["1_build"]["dataset"]
    challenger = project.models.list()[-1]
    assert (challenger.version, challenger.descriptor()["manifest_hash"]) == (outcome["challenger"], outcome["dataset"])
    assert project.champion() is not None
    assert project.champion().version == outcome["challenger" if outcome["promoted"] else "champion"]
    assert 0 < len(found["4_improve"]["review"]) <= 24
    assert corrected not in found["4_improve"]["review"]
    assert Path(outcome["run"], "outcome.html").stat().st_size > 5_000


def sample_problems(photos: Path) -> list[str]:
    """What is wrong with each of the sample photos."""
    if (photos / "truth.json").exists():
        return [image["problem"] for image in json.loads((photos / "truth.json").read_text())["images"]]
    return [row.rpartition(",")[2] for row in (photos / "truth.csv").read_text().splitlines()[1:]]


def check_executed(notebook: Any) -> None:
    """Every notebook shows a picture, no error, nothing on stderr, no state of widgets, and is small."""
    assert "widgets" not in notebook.metadata
    pictures = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output
            pictures += len(output.get("data", {}).pop("image/png", ""))
            pictures += output.get("data", {}).get("text/html", "").count("data:image/")  # a saved widget's
    assert len(nbformat.writes(notebook)) < 600_000  # a detector of four seconds draws every false box that is allowed
    assert pictures


@pytest.mark.notebooks
@pytest.mark.s3
def test_everything_on_s3_notebooks_photos_and_project(tmp_path: Path, s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    fs = fsspec.filesystem("s3", **s3_server.storage_options)
    make_samples(f"{bucket}/photos", n=80, storage_options=s3_server.storage_options, broken=3)
    shared = {"project_url": f"{bucket}/project"}
    own = {
        "1_build": {**SMALL, "photos": f"{bucket}/photos"},
        "2_test": {"images": f"{bucket}/photos/apple"},
        "3_evaluate": {"split": "val"},
        "4_improve": {},
    }
    for name in NAMES:
        fs.put_file(str(FOLDER / f"{name}.ipynb"), f"{bucket}/notebooks/{name}.ipynb")
        source, output = f"{bucket}/notebooks/{name}.ipynb", f"{bucket}/executed/{name}.ipynb"
        run(source, output, {**shared, **own[name]}, cwd=tmp_path, env=s3_server.environment)
        executed = nbformat.reads(fs.cat_file(output).decode(), as_version=4)
        assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")

    found = results(f"{bucket}/project", s3_server.storage_options)
    assert set(found) == set(NAMES)
    assert found["2_test"]["images"] == len(fs.ls(f"{bucket}/photos/apple"))
    assert fs.exists(found["2_test"]["predictions"])
    assert b"<html" in fs.cat_file(found["3_evaluate"]["report"])
    assert found["4_improve"]["outcome"]["verdict"] == "unchanged"  # nobody corrected anything
    assert not list(tmp_path.iterdir())  # nothing lands beside the process
    secret = s3_server.storage_options["secret"].encode()
    for path in fs.find(bucket):
        assert secret not in fs.cat_file(path), path


@pytest.mark.notebooks
def test_a_failure_is_an_exit_code_and_names_the_remedy(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "papermill", str(FOLDER / "2_test.ipynb"), str(tmp_path / "out.ipynb")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LONG_S)

    assert done.returncode != 0
    assert "Project.create" in done.stderr


@pytest.mark.notebooks
@pytest.mark.parametrize("tasks", [DEMONSTRATED[:1], pytest.param(DEMONSTRATED, marks=pytest.mark.slow)])
def test_the_demonstration_sums_up_what_the_notebooks_found(tmp_path: Path, tasks: tuple[str, ...]) -> None:
    """The one that the documentation shows, where `nox -s docs` asks for it."""
    demo = Path(SHOWN or tmp_path / "demo")
    command = [sys.executable, "-m", "onlineml.cli.demo", str(demo), *DEMO_SIZE]
    command += [word for task in tasks for word in ("--task", task)]
    start = {"ONLINEML_WEIGHTS": "auto" if SHOWN else "random"}  # shown as a reader's own would be
    done = subprocess.run(
        command, env=os.environ | start, capture_output=True, text=True, check=False, timeout=2 * LONG_S
    )
    assert done.returncode == 0, done.stderr[-4000:]

    for task in tasks:
        home = demo / task
        found = results(str(home / "project"))
        summary = done.stdout.partition(f"\n{task.capitalize()}\n")[2]
        assert f"{found['3_evaluate'][MAIN_SCORE[task]]:.3f}" in summary
        assert found["1_build"]["version"] in summary
        outcome = found["4_improve"]["outcome"]
        assert outcome["changes"]["relabelled"] > 0
        assert f"Improved        {outcome['verdict']}, " in summary
        for path in [found["3_evaluate"]["report"], *(home / "notebooks" / f"{n}.ipynb" for n in NAMES)]:
            assert str(path) in summary
            assert Path(path).exists()
        for name in NAMES:
            check_executed(nbformat.read(home / "notebooks" / f"{name}.ipynb", as_version=4))
