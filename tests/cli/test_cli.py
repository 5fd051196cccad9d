"""`onlineml.cli`: what people type, with real processes where it matters how they end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import onlineml as oml
from late import Late
from onlineml.cli import doctor
from onlineml.cli import main as cli
from onlineml.errors import ConfigError
from onlineml.runs.run import Run
from onlineml.storage import io
from onlineml.storage.conditions import Guarantees
from places import ROOT, SUPPORT
from processes import LONG_S, wait_until_ended
from s3_server import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3_server import S3Server

nbformat = Late("nbformat")

NOTEBOOKS = ROOT / "notebooks"
SLEEPER = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"


def write_notebook(path: Path, *cells: str, parameters: str = "x = 1  # a number\nwords = None  # some") -> str:
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        + [nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    return str(path)


def onlineml(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "onlineml.cli.main", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def same_handlers() -> Iterator[None]:
    """The command takes over the signals of its process; here that is the one that runs the tests."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LONG_S)
    return process.returncode, out, err


def status_of(record: str | Path) -> dict[str, Any]:
    return Run.open(record).status()


# ---- notebooks ----


def test_the_notebooks_are_copied_and_yours_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    assert cli.main(["notebooks", str(tmp_path / "mine")]) == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == names
    assert (tmp_path / "mine" / names[0]).read_bytes() == (NOTEBOOKS / names[0]).read_bytes()
    assert cli.main(["notebooks", str(tmp_path / "mine")]) == 0  # the same again changes nothing

    (tmp_path / "mine" / names[0]).write_text("{}")
    assert cli.main(["notebooks", str(tmp_path / "mine")]) == 1
    assert names[0] in capsys.readouterr().err
    assert (tmp_path / "mine" / names[0]).read_text() == "{}"
    assert cli.main(["notebooks", str(tmp_path / "mine"), "--force"]) == 0
    assert (tmp_path / "mine" / names[0]).read_bytes() == (NOTEBOOKS / names[0]).read_bytes()


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["run"], ["jobs"], ["notebooks"]])
def test_what_is_typed_wrongly_gets_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: onlineml" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "s3://bucket", "s3://key:hunter2@bucket"],
        ["s3://key:hunter2@bucket"],
        ["sweep", "a", "--older-than", "https://host/a?token=hunter2"],
        ["notebooks", "s3://key:hunter2@bucket"],
    ],
)
def test_wrong_usage_repeats_no_password(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        cli.main(arguments)
    assert "hunter2" not in "".join(capsys.readouterr())


def test_the_version_and_the_help_of_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"onlineml {oml.__version__} (Python 3.")
    parser = cli._parser()
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "Exit codes: 0 success, 1 failure, 2 wrong usage" in capsys.readouterr().out
    commands = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    for command in (parser, *commands.values()):
        for action in command._actions:
            takes_value = action.option_strings and action.nargs != 0
            told = action.help or ""
            assert told or isinstance(action.choices, dict), (command.prog, action.dest)
            assert not takes_value or "default" in told, (command.prog, action.dest)


def test_a_command_ends_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    oml.Project.create(tmp_path / "project")

    def fails(error: BaseException) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise error

        return fail

    monkeypatch.setattr(cli, "_jobs", fails(KeyboardInterrupt()))
    assert cli.main(["jobs", "x"]) == 130
    monkeypatch.setattr(cli, "_jobs", fails(ModuleNotFoundError("No module named 'papermill'")))
    assert cli.main(["jobs", "x"]) == 1
    assert "No module named 'papermill'" in capsys.readouterr().err
    process = onlineml("sweep", "project", cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.close()  # as head does
    assert process.wait(LONG_S) == 141
    assert process.stderr is not None
    assert "Traceback" not in (told := process.stderr.read())
    assert "Exception ignored" not in told
    process.stderr.close()


def test_the_demo_without_its_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("onlineml.jobs.notebooks.find_spec", lambda _: None)
    assert cli.main(["demo", "somewhere"]) == 1
    assert "pip install papermill" in capsys.readouterr().err


def test_python_m_onlineml(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "onlineml", "--version"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.startswith(
        "onlineml "
    )


def test_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oml.Project.create(tmp_path / "project")
    left = tmp_path / "project/models/1-abcdef/weights.safetensors"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    os.utime(left, (1e9, 1e9))
    assert cli.main(["sweep", str(tmp_path / "project")]) == 0
    assert "killed publish  models/1-abcdef" in capsys.readouterr().out
    assert left.exists()
    assert cli.main(["sweep", str(tmp_path / "project"), "--delete", "--older-than", "2"]) == 0
    assert "deleted 1 file" in capsys.readouterr().out
    assert not left.exists()
    assert cli.main(["sweep", str(tmp_path / "project"), "--older-than", "0"]) == 1
    assert cli.main(["sweep", str(tmp_path / "nowhere")]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_the_command_is_installed() -> None:
    scripts = __import__("importlib.metadata").metadata.entry_points(group="console_scripts", name="onlineml")
    known = (NOTEBOOKS.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert 'onlineml = "onlineml.cli.main:main"' in known
    assert all(script.load() is cli.main for script in scripts)


def test_the_demonstration_takes_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["demo", "--help"])
    assert caught.value.code == 0
    assert "--photos" in capsys.readouterr().out


# ---- run ----


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("None", None),
        ("s3://lab/photos", "s3://lab/photos"),
        ('["a", "b"]', ["a", "b"]),
        ('"3"', "3"),
        ("", ""),
        ("NaN", "NaN"),
    ],
)
def test_values_of_parameters(text: str, value: Any) -> None:
    assert cli._value(text) == value


def test_a_notebook_that_runs_to_its_end(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "a.ipynb", "print('x', x, 'words', words)")
    arguments = ["run", source, "-p", "x", "41", "-p", "words", '["ä"]', "--output", "out/b.ipynb", "--record", "r"]
    code, out, err = done(onlineml(*arguments, cwd=tmp_path))
    late = "IOStream.flush timed out\n"  # the kernel's word for a busy machine
    assert (code, err.replace(late, "")) == (0, ""), err
    assert "x 41 words ['ä']" in out
    executed = nbformat.read(tmp_path / "out/b.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "x 41 words ['ä']\n"
    status = status_of(tmp_path / "r")
    assert (status["state"], status.get("error")) == ("finished", None)
    assert "x 41 words" in Run.open(tmp_path / "r").log()
    assert json.loads((tmp_path / "r/result.json").read_text())["output"] == "out/b.ipynb"


@pytest.mark.usefixtures("same_handlers")
def test_a_cell_that_fails_names_itself_in_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_notebook(tmp_path / "a.ipynb", "print('before')", "1 / (x - 1)", "print('after')")
    assert cli.main(["run", source, "--record", "r"]) == 1
    out = capsys.readouterr().out
    assert "before" in out
    assert "after" not in out.replace("print('after')", "")
    status = status_of(tmp_path / "r")
    assert status["state"] == "failed"
    assert "ZeroDivisionError: division by zero" in status["error"]
    assert (tmp_path / "r/notebook.ipynb").exists()


@pytest.mark.usefixtures("same_handlers")
def test_a_kernel_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_notebook(tmp_path / "a.ipynb", "import os\nos._exit(9)")
    assert cli.main(["run", source, "--record", "r"]) == 1
    assert status_of(tmp_path / "r")["state"] == "failed"
    assert "DeadKernelError" in status_of(tmp_path / "r")["error"]


@pytest.mark.usefixtures("same_handlers")
def test_a_notebook_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits, kernels = [], []

    class Timer(threading.Timer):
        """Over once the cell runs: on a busy machine a kernel may take longer than the limit to start."""

        def run(self) -> None:
            limits.append(self.interval)
            while not (tmp_path / "pid").exists() and not self.finished.wait(0.1):
                pass
            if not self.finished.is_set():
                kernels.append(kernel_of(tmp_path))
                self.interval = 0.0
                super().run()

    monkeypatch.setattr("onlineml.jobs.notebooks.threading.Timer", Timer)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", write_notebook(tmp_path / "a.ipynb", SLEEPER), "--record", "r", "--timeout", "30"]) == 1
    assert limits == [30]
    status = status_of(tmp_path / "r")
    assert status["state"] == "failed"
    assert "not finished after 30 s" in status["error"]
    (kernel,) = kernels
    wait_until_ended(kernel)
    first = nbformat.read(tmp_path / "r/notebook.ipynb", as_version=4).cells[0]
    assert "exceeded its time limit of 30 s" in first.source


def kernel_of(folder: Path) -> psutil.Process:
    end = time.monotonic() + LONG_S
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    return psutil.Process(int((folder / "pid").read_text()))


def test_a_signal_stops_the_notebook_and_its_kernel(tmp_path: Path) -> None:
    process = onlineml("run", write_notebook(tmp_path / "a.ipynb", SLEEPER), "--record", "r", cwd=tmp_path)
    kernel = kernel_of(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert done(process)[0] == 143
    wait_until_ended(kernel)
    status = status_of(tmp_path / "r")
    assert (status["state"], status["by"]) == ("stopped", "SIGTERM")
    first = nbformat.read(tmp_path / "r/notebook.ipynb", as_version=4).cells[0]
    assert "was stopped before its end" in first.source


def test_an_interrupt_of_a_notebook_lets_its_training_store_a_checkpoint(tmp_path: Path) -> None:
    """The training's run tells what it was stopped by: by request, not in the middle of a step."""
    cell = f"""
import os, pathlib, sys
sys.path.insert(0, {str(SUPPORT)!r})
from job_functions import learn
from onlineml.runs.run import Run
from tiny import make_photos
run = Run.create("training")
log = run.log_metrics
def tell(row):
    pathlib.Path("pid").write_text(str(os.getpid()))
    log(row)
run.log_metrics = tell
learn(run, None, photos=str(make_photos(pathlib.Path("photos"))), step_s=0.2, epochs=1000)
"""
    process = onlineml("run", write_notebook(tmp_path / "a.ipynb", cell), "--record", "r", cwd=tmp_path)
    kernel = kernel_of(tmp_path)
    process.send_signal(signal.SIGINT)
    assert done(process)[0] == 130
    wait_until_ended(kernel)
    status = status_of(tmp_path / "r")
    assert (status["state"], status["by"]) == ("stopped", "SIGINT")
    status = status_of(tmp_path / "training")
    assert (status["state"], status["by"]) == ("stopped", "request")
    assert (tmp_path / "training/last.ckpt").exists()


def test_a_run_that_was_killed_is_lost_and_leaves_nothing_running(tmp_path: Path) -> None:
    project = oml.Project.create(tmp_path / "project")
    source = write_notebook(tmp_path / "a.ipynb", SLEEPER, parameters="project_url = 'project'  # where")
    process = onlineml("run", source, cwd=tmp_path)
    kernel = kernel_of(tmp_path)
    process.kill()
    done(process)
    (status,) = project.jobs.list()
    assert (status.function, status.state) == ("notebook", "lost")
    wait_until_ended(kernel)  # the process between them notices, and ends it


@pytest.mark.usefixtures("same_handlers")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.ipynb", "-p", "word", "3"], "no parameter 'word'; did you mean words? It has x, words"),
        (["2_test", "-p", "project_url", "typo"], "there is no folder"),
        (["nowhere.ipynb"], "1_build"),
        (["text.txt"], "not a Jupyter notebook"),
        (["a.ipynb", "--record", "taken"], "taken"),
    ],
)
def test_what_cannot_be_run(
    tmp_path: Path, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_notebook(tmp_path / "a.ipynb", "print(1)")
    (tmp_path / "text.txt").write_text("[1]")
    Run.create(tmp_path / "taken")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["run", *arguments]) == 1
    heard = capsys.readouterr()
    assert told in heard.err + heard.out
    allowed: set[str] = set()  # nothing is left behind
    assert {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*") if p not in before} <= allowed


@pytest.mark.s3
def test_a_notebook_in_a_bucket_with_the_credentials_of_the_environment(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = s3_server.new_bucket()
    path = write_notebook(tmp_path / "a.ipynb", "print('from', project_url)", parameters="project_url = None  # where")
    io.write_bytes(f"{bucket}/a.ipynb", Path(path).read_bytes(), storage_options=s3_server.storage_options)
    arguments = ["run", f"{bucket}/a.ipynb", "-p", "project_url", f"{bucket}/project"]
    code, out, err = done(onlineml(*arguments, cwd=tmp_path, env=s3_server.environment))
    assert code == 0, err
    record = out.splitlines()[-1].removeprefix("record: ")
    assert record.startswith(f"{bucket}/project/runs/")
    run = Run.open(record, storage_options=s3_server.storage_options)
    assert run.status()["state"] == "finished"
    assert f"from {bucket}/project" in run.log()
    fs = __import__("s3fs").S3FileSystem(**s3_server.storage_options)
    for name in fs.find(bucket):
        assert SECRET.encode() not in fs.cat_file(name), name
    monkeypatch.setattr("fsspec.config.conf", {"s3": s3_server.storage_options})  # of the environment, at its import
    assert cli.main(["jobs", f"{bucket}/project"]) == 0
    out = capsys.readouterr().out
    assert run.id in out
    assert "notebook: finished" in out
    assert cli.main(["doctor", f"{bucket}/project"]) == 0
    heard = capsys.readouterr()
    assert "exactly one writer succeeds" in heard.out
    assert SECRET not in heard.out + heard.err
    assert not [name for name in fs.find(bucket) if "doctor" in name]


# ---- jobs ----


def test_jobs_are_listed_shown_stopped_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    project = oml.Project.create(tmp_path / "project")
    assert cli.main(["jobs", project.url]) == 0
    assert "no jobs yet" in capsys.readouterr().out
    job = project.jobs.submit("job_functions:wait_for", {"path": str(tmp_path / "go")})
    assert cli.main(["jobs", project.url, job.id, "--cancel"]) == 0
    assert "stopped" in capsys.readouterr().out
    assert cli.main(["jobs", project.url, "--cancel"]) == 2
    assert cli.main(["jobs", project.url, job.id, "--resume"]) == 1
    assert "trust" in capsys.readouterr().err
    (tmp_path / "go").touch()
    assert cli.main(["jobs", project.url, job.id[:15], "--resume", "--trust"]) == 0
    assert cli.main(["jobs", project.url, job.id, "--watch"]) == 0
    assert "waiting" in capsys.readouterr().out
    assert job.status().state == "finished"
    assert cli.main(["jobs", project.url, "--resume-lost"]) == 0
    assert capsys.readouterr().out == ""  # nothing is lost
    bad = project.jobs.submit("job_functions:leave", {"code": 4})
    bad.wait(LONG_S)
    assert cli.main(["jobs", project.url, bad.id]) == 1
    assert "exit code 4" in capsys.readouterr().out
    assert cli.main(["jobs", project.url, "19"]) == 1
    assert "0 jobs" in capsys.readouterr().err


# ---- doctor ----


def test_what_was_cut_off_is_resumed_by_one_command_and_code_of_others_only_where_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    project = oml.Project.create(tmp_path / "project")
    job = project.jobs.submit("job_functions:wait_for", {"path": str(tmp_path / "go")})
    end = time.monotonic() + LONG_S
    while (status := job.status()).state != "running":
        assert time.monotonic() < end, status
        time.sleep(0.05)
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    assert job.wait(LONG_S, poll_s=0.05) == "lost"

    assert cli.main(["jobs", project.url, "--resume-lost"]) == 1
    assert "trust" in capsys.readouterr().err
    (tmp_path / "go").touch()
    assert cli.main(["jobs", project.url, "--resume-lost", "--trust"]) == 0
    assert capsys.readouterr().out == f"resumed {job.id}\n"
    assert job.wait(LONG_S) == "finished"
    assert job.status().attempt == 2


def problems(findings: list[doctor.Finding]) -> list[str]:
    assert all(finding.remedy for finding in findings if finding.level != "ok")
    return [finding.what for finding in findings if finding.level == "problem"]


def test_a_healthy_machine_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))
    oml.Project.create(tmp_path / "project")
    before = sorted((tmp_path / "project").rglob("*"))
    findings = doctor.check_all(str(tmp_path / "project"))
    assert problems(findings) == []
    text = doctor.report(findings)
    assert "0 problems" in text
    assert "torch" in text
    assert "0 images" in text
    assert sorted((tmp_path / "project").rglob("*")) == before  # it leaves nothing behind


def test_a_bucket_that_is_not_there(capsys: pytest.CaptureFixture[str], s3_server: S3Server, monkeypatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    fsspec_conf = {"s3": s3_server.storage_options}
    monkeypatch.setattr("fsspec.config.conf", fsspec_conf)
    code = cli.main(["doctor", "s3://no-such-bucket-here/project"])
    assert code in {0, 1}
    assert "no-such-bucket-here" in capsys.readouterr().out
    assert cli.main(["doctor", "nothing://at/all"]) == 1
    assert "nothing" in capsys.readouterr().out


def test_what_is_wrong_with_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: {"torch": "2.0.1", "lightning": "2.6.3"}.get(name, real(name)))
    (tmp_path / "file").touch()
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "file" / "cache"))
    found = problems(doctor.check_all(None))
    assert len(found) == 3
    assert "torch>=" in found[0]
    assert "malicious" in found[1]
    assert "is not writable" in found[2]


def test_a_full_disk_and_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "av" else real(name))
    usage = type("usage", (), {"free": 5e8, "total": 1e12})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    findings = doctor.check_all(None)
    assert [what.split(":")[0] for what in problems(findings)] == ["caches", "temporary files"]
    assert any(f.level == "note" and "pip install av" in f.remedy for f in findings)


def test_a_store_that_may_only_be_read_or_where_two_writers_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oml.Project.create(tmp_path / "project")
    weak = Guarantees("it", create=False, swap=False, reason="tried out")
    monkeypatch.setattr(doctor.io, "guarantees", lambda url: weak)
    findings = doctor.check_all(str(tmp_path / "project"))
    assert problems(findings) == []
    assert any("two writers may succeed" in finding.what for finding in findings if finding.level == "note")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError("access denied")

    monkeypatch.setattr(doctor.io, "create_bytes", refused)
    findings = doctor.check_all(str(tmp_path / "project"))
    assert problems(findings) == []
    assert any("PutObject" in finding.remedy for finding in findings)
    assert any("cannot be written" in what for what in problems(doctor.check_all(str(tmp_path))))


def test_a_clock_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(doctor.time, "time", lambda: real() + 300)
    (found,) = [what for what in problems(doctor.check_all(str(tmp_path))) if "clock" in what]
    assert "300 s ahead" in found or "299 s ahead" in found


def test_the_doctor_knows_every_extra_but_those_of_networks() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(doctor._EXTRAS) == set(extras) - {"timm", "transformers"}
    for name, packages in doctor._EXTRAS.items():
        required = {re.split(r"[\[><=]", one)[0].replace("-", "_") for one in extras[name]} | {"ipykernel"}
        assert set(packages) <= required


def test_a_look_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ConfigError("this part is broken")

    monkeypatch.setattr(doctor, "_extras", broken)
    findings = doctor.check_all(None)
    assert any("this part is broken" in what for what in problems(findings))
    assert any("caches" in finding.what for finding in findings)
