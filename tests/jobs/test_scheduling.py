"""The files that the page on scheduling offers: each is of its kind, and calls the command line as it is."""

from __future__ import annotations

import ast
import configparser
import re
import runpy
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from late import Late
from onlineml.jobs.launch import checked
from onlineml.jobs.notebooks import parameters_of
from places import ROOT
from shown_blocks import check_run

nbformat = Late("nbformat")

EXAMPLES = ROOT / "docs" / "examples"
PAGE = EXAMPLES.parent / "unattended" / "scheduling.md"


def check_command(words: list[str]) -> None:
    assert Path(words[0]).name == "onlineml"
    check_run(words[1:])


def test_every_file_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [path.name for path in sorted(EXAMPLES.iterdir()) if path.name not in text and path.is_file()] == []


def test_cron() -> None:
    lines = (EXAMPLES / "onlineml.cron").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if re.match(r"[\d*]", line)]
    *when, user, command = line.split(maxsplit=6)
    assert len(when) == 5
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in when)
    assert user == "lab"
    assert "%" not in command  # cron takes it for a new line
    words = shlex.split(command.partition(" >> ")[0])
    check_command(words[words.index("/opt/onlineml/bin/onlineml") :])


def test_systemd() -> None:
    units = {}
    for ending in ("service", "timer"):
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment]
        unit.read(EXAMPLES / f"onlineml-nightly.{ending}")
        units[ending] = unit
    check_command(shlex.split(units["service"]["Service"]["ExecStart"]))
    assert units["service"]["Service"]["KillMode"] == "mixed"
    assert units["timer"]["Timer"]["OnCalendar"]
    assert "#" not in "".join(value for section in units["service"].values() for value in section.values())


def test_kubernetes() -> None:
    job = yaml.safe_load((EXAMPLES / "cronjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    check_command([*container["command"], *container["args"]])
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("version", [2, 3])
def test_airflow(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for what the file takes from Airflow, which is no package for a test environment."""
    dags: list[dict[str, Any]] = []
    tasks: dict[str, Any] = {}

    class DAG:
        def __init__(self, **options: Any) -> None:
            dags.append(options)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    class BashOperator:
        def __init__(self, *, task_id: str, bash_command: str) -> None:
            self.command, self.after = bash_command, None
            tasks[task_id] = self

        def __rshift__(self, other: Any) -> None:
            other.after = self

    places = {2: ("airflow", "airflow.operators.bash"), 3: ("airflow.sdk", "airflow.providers.standard.operators.bash")}
    for of, (dag, bash) in sorted(places.items(), key=lambda item: item[0] == version):  # the other one is not there
        for name in {dag, bash, *(bash.rsplit(".", n)[0] for n in range(bash.count(".") + 1))}:
            there = of == version or name == "airflow"
            monkeypatch.setitem(sys.modules, name, ModuleType(name) if there else None)  # type: ignore[arg-type]
        if of == version:
            monkeypatch.setattr(sys.modules[dag], "DAG", DAG, raising=False)
            monkeypatch.setattr(sys.modules[bash], "BashOperator", BashOperator, raising=False)
    runpy.run_path(str(EXAMPLES / "airflow_dag.py"))
    (dag_options,) = dags
    assert dag_options["catchup"] is False
    assert dag_options["start_date"].tzinfo is not None
    assert tasks["evaluate"].after is tasks["build"]
    for task in tasks.values():
        words = shlex.split(task.command)
        assert words.pop(0) == "exec"  # so that signals reach it
        check_command(words)


def test_jupyter_scheduler() -> None:
    text = (EXAMPLES / "nightly.ipynb").read_text(encoding="utf-8")
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert not any(cell.get("outputs") for cell in book.cells)
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    (call,) = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "submit"
    ]
    assert ast.literal_eval(call.args[0]) == "notebook"
    names = ["photos", "budget_s", "promote"]
    arguments = {"notebook": "1_build", "parameters": dict.fromkeys(names)}
    assert checked("notebook", arguments) == arguments
    assert set(names) <= set(parameters_of("1_build"))
    for name in names:
        assert f'"{name}"' in code
    assert code.split("submit(")[1].splitlines()[0] in PAGE.read_text(encoding="utf-8")
