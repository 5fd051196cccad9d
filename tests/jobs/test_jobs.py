"""`onlineml.jobs`: real processes, really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import onlineml as oml
from job_functions import learn
from late import Late
from onlineml import jobs
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError
from onlineml.jobs import ProjectJobs
from onlineml.jobs.launch import ORDER, launch, untrusted_reference
from onlineml.jobs.liveness import Snapshot, infer_state
from onlineml.jobs.notebooks import _banner
from onlineml.runs.process import describe_process, this_process
from onlineml.runs.run import Run
from onlineml.training import checkpoints, training
from places import SUPPORT
from processes import LONG_S, ended, wait_until_ended
from s3_server import SECRET
from tiny import make_photos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from s3_server import S3Server

nbformat = Late("nbformat")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The jobs find the functions of these tests, and nothing of theirs lands in the user's cache."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # sums over two threads round otherwise


@pytest.fixture
def project(tmp_path: Path) -> Iterator[oml.Project]:
    project = oml.Project.create(tmp_path / "project")
    yield project
    for status in project.jobs.list():
        if status.state in {"starting", "running"} and status.pid:
            psutil.Process(status.pid).kill()


def until(done: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + LONG_S
    while not (value := done()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)
    return value


def printed(job: jobs.Job, text: str, times: int = 1) -> None:
    """Wait until a job has printed a text."""

    def done() -> bool:
        ended = job.status().state in {"finished", "failed", "stopped", "lost"}
        log = job.tail(1000)
        assert log.count(text) >= times or not ended, log
        return log.count(text) >= times

    until(done, text)


def pid_of(job: jobs.Job) -> int:
    return until(lambda: job.status().pid if job.status().state == "running" else None, "a running process")


# ---- started and found again ----


def test_a_project_without_jobs(project: oml.Project) -> None:
    project.runs.new()  # a run that nobody submitted is no job
    assert len(project.jobs.list()) == 0
    assert "no jobs" in str(project.jobs.list())
    assert list(project.jobs.list().to_frame()["state"]) == []
    with pytest.raises(NotFoundError, match="0 jobs"):
        project.jobs.get("2026")
    with pytest.raises(NotFoundError, match="is not a job"):
        jobs.Job.open(project.runs.list()[0].url)


def test_a_function_runs_in_a_process_of_its_own(project: oml.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JPY_API_TOKEN", "JUPYTERHUB_API_TOKEN"):  # the notebook server's and the hub's, of no use to a job
        monkeypatch.setenv(name, "hunter2")
    job = project.jobs.submit("job_functions:greet", {"name": "ümläut", "times": 4})
    assert job.wait(LONG_S) == "finished"
    result = job.result()
    assert result["project"] == project.url
    assert result["pid"] not in {os.getpid(), None}
    assert result["session"] == result["pid"] != os.getsid(0)
    assert result["stdin"] == ""
    assert result["undefined"] is None
    assert result["secret_in_environment"] == []
    assert sorted(job.tail().splitlines()) == ["and an aside", "from a child", *["hello ümläut"] * 4]
    assert job.tail(1) in job.tail().splitlines()

    again = project.jobs.get(job.id[:15])
    assert (again.id, again.function, again.arguments) == (
        job.id,
        "job_functions:greet",
        {"name": "ümläut", "times": 4},
    )
    status = again.status()
    assert (status.state, status.attempt, status.progress, status.error, status.remedy) == ("finished", 1, 1.0, "", "")
    assert status.pid == result["pid"]
    (listed,) = ProjectJobs(project.url).list()
    assert listed.id == job.id
    assert [row["step"] for row in again.run.metrics()] == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="finished"):
        again.resume(trust=True)
    with pytest.raises(ConfigError, match="finished"):
        again.cancel()


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        ("learn", {}, "train, evaluate, improve, notebook"),
        ("__main__:f", {}, r"\.py file"),
        ("job_functions:nothing", {}, "cannot be imported"),
        ("no_such_package_at_all:f", {}, "cannot be imported"),
        ("job_functions:LONG", {}, "cannot be imported"),
        ("job_functions:greet", {}, "name"),
        ("job_functions:greet", {"name": "a", "time": 2}, "time"),
        ("train", {"epoch": 2}, "epochs"),
        ("job_functions:greet", {"name": {1, 2}}, "JSON"),
        ("job_functions:greet", {"name": float("nan")}, "JSON"),
        ("job_functions:greet", {"name": {"password": "hunter2"}}, "secret"),
    ],
)
def test_what_cannot_be_a_job_is_refused_before_it_begins(
    project: oml.Project, function: str, arguments: dict, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        project.jobs.submit(function, arguments)
    assert project.runs.list() == []


def test_a_job_that_fails_says_why_and_may_be_tried_again(project: oml.Project, tmp_path: Path) -> None:
    job = project.jobs.submit("job_functions:fail_once", {"marker": str(tmp_path / "marker")})
    assert job.wait(LONG_S) == "failed"
    status = job.status()
    assert status.error == "RuntimeError: no luck at first"
    assert job.run.url in status.remedy
    assert "Traceback" in job.tail(40)
    assert "no luck" in project.jobs.list()._repr_html_()
    with pytest.raises(NotFoundError, match="failed"):
        job.result()
    with pytest.raises(ConfigError, match="job_functions:fail_once"):
        project.jobs.get(job.id).resume()  # the storage says so, and nobody here did
    again = project.jobs.get(job.id).resume(trust=True)
    assert again.wait(LONG_S) == "finished"
    assert json.loads((Path(job.run.url) / "result.json").read_text()) == "well"
    assert again.status().attempt == 2
    assert again.status().error == ""


def test_a_process_that_leaves_by_itself(project: oml.Project) -> None:
    bad = project.jobs.submit("job_functions:leave", {"code": 3})
    good = project.jobs.submit("job_functions:leave", {"code": 0})
    assert (bad.wait(LONG_S), good.wait(LONG_S)) == ("failed", "finished")
    assert "exit code 3" in bad.status().error


def test_a_program_that_cannot_be_started_is_a_failed_job(
    project: oml.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python/here")
    with pytest.raises(FileNotFoundError):
        project.jobs.submit("job_functions:leave", {"code": 0})
    (status,) = project.jobs.list()
    assert status.state == "failed"
    assert "/no/python/here" in status.error


# ---- what befalls it ----


def test_it_outlives_the_kernel_that_started_it(project: oml.Project, tmp_path: Path) -> None:
    manager = pytest.importorskip("jupyter_client").KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path), env={**os.environ, "PYTHONPATH": str(SUPPORT)})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=LONG_S)
    code = f"""
from onlineml import jobs
job = jobs.ProjectJobs({project.url!r}).submit("job_functions:wait_for", {{"path": {str(tmp_path / "go")!r}}})
"""
    reply = client.execute_interactive(code, timeout=LONG_S, output_hook=lambda _: None)
    assert reply["content"]["status"] == "ok", reply["content"]
    job = project.jobs.get(project.jobs.list()[0].id)
    pid = pid_of(job)
    client.stop_channels()
    manager.restart_kernel(now=True)
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()
    assert job.status().state == "running"
    assert not ended(psutil.Process(pid))  # a zombie would have a number too
    (tmp_path / "go").touch()
    assert job.wait(LONG_S) == "finished"
    assert job.status().pid == pid


def test_it_outlives_a_server_that_is_killed_with_all_its_session(project: oml.Project, tmp_path: Path) -> None:
    code = f"""
import time
from onlineml import jobs
job = jobs.ProjectJobs({project.url!r}).submit("job_functions:wait_for", {{"path": {str(tmp_path / "go")!r}}})
print(job.id, flush=True)
time.sleep(600)
"""
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
    )
    assert server.stdout is not None
    job = project.jobs.get(server.stdout.readline().strip())
    pid = pid_of(job)
    os.killpg(server.pid, signal.SIGHUP)
    os.killpg(server.pid, signal.SIGKILL)
    server.communicate()
    assert not ended(psutil.Process(pid))
    (tmp_path / "go").touch()
    assert job.wait(LONG_S) == "finished"


@pytest.mark.slow  # a minute; the kills of trainings are the same promise without processes of jobs
def test_cancelled_killed_and_resumed_to_the_very_same_weights(
    project: oml.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = str(make_photos(tmp_path / "photos"))
    job = project.jobs.submit("job_functions:learn", {"photos": photos, "step_s": 0.5})

    printed(job, "step ", 3)
    job.cancel()
    assert job.wait(LONG_S) == "stopped"
    assert "resume()" in job.status().remedy
    folder = Path(job.run.url)
    assert (folder / "last.ckpt").exists()
    stopped_at = job.tail().count("step ")
    assert stopped_at < 12

    job.resume(trust=True)
    printed(job, "step ", stopped_at + 2)
    pid = pid_of(job)
    os.kill(pid, signal.SIGKILL)
    until(lambda: job.status().state == "lost", "its loss to be noticed")  # at once: it is this machine's
    assert "resume()" in job.status().remedy
    assert "its process is gone" in str(project.jobs.list())
    assert Run.open(job.run.url).status()["state"] == "running"  # nobody was left to say otherwise

    project.jobs.get(job.id).resume(trust=True)
    assert job.wait(LONG_S) == "finished", job.tail(40)
    steps = [int(line.removeprefix("step ")) for line in job.tail(200).splitlines() if line.startswith("step ")]
    assert steps[:stopped_at] == list(range(1, stopped_at + 1))
    assert steps[stopped_at] == stopped_at  # it went on: a stop takes a step more than its checkpoint has
    assert steps[-1] == 12
    assert job.status().attempt == 3

    whole = Run.create(tmp_path / "whole")
    with monkeypatch.context() as patch:
        for module, name in ((checkpoints, "_SHARE"), (training, "Checkpoints")):  # which it changes
            patch.setattr(module, name, getattr(module, name))
        learn(whole, project, photos=photos)
    weights = [(Path(run.url) / "model/weights.safetensors").read_bytes() for run in (whole, job.run)]
    assert weights[0] == weights[1]
    figures = [
        [{k: v for k, v in row.items() if not k.endswith(("_s", "seconds"))} for row in run.metrics()]
        for run in (whole, job.run)
    ]
    assert figures[0] == figures[1]


def test_a_function_that_takes_no_care_is_interrupted(project: oml.Project, tmp_path: Path) -> None:
    job = project.jobs.submit("job_functions:wait_for", {"path": str(tmp_path / "never")})
    printed(job, "waiting")
    job.cancel()
    assert job.wait(LONG_S) == "stopped"
    assert job.status().error == ""
    assert "Traceback" not in job.tail(40)


def test_a_job_that_is_cancelled_before_it_begins(project: oml.Project, tmp_path: Path) -> None:
    job = project.jobs.submit("job_functions:wait_for", {"path": str(tmp_path / "never")})
    job.cancel()
    assert job.wait(LONG_S) == "stopped"
    assert "waiting" not in job.tail()


def test_cancelling_from_another_machine_is_a_request_that_it_finds(project: oml.Project, tmp_path: Path) -> None:
    job = project.jobs.submit("job_functions:wait_for", {"path": str(tmp_path / "never")})
    printed(job, "waiting")
    far = project.jobs.get(job.id, executor=Elsewhere())
    assert far.status().state == "running"  # by its heartbeats
    far.cancel()
    assert job.wait(LONG_S) == "stopped"
    with pytest.raises(ConfigError, match="stopped already"):
        far.cancel(now=True)


def test_ending_it_at_once(project: oml.Project, tmp_path: Path) -> None:
    job = project.jobs.submit("job_functions:wait_for", {"path": str(tmp_path / "never")})
    process = psutil.Process(pid_of(job))
    job.cancel(now=True)
    assert job.status().state == "stopped"
    wait_until_ended(process)


def test_watching_shows_what_it_prints_and_ends_with_it(
    project: oml.Project, capsys: pytest.CaptureFixture[str]
) -> None:
    job = project.jobs.submit("job_functions:greet", {"name": "you", "times": 2})
    assert job.watch(poll_s=0.1) == "finished"
    assert capsys.readouterr().out.count("hello you") == 2
    with pytest.raises(ConfigError, match="lines, live, none"):
        job.watch(progress="all")  # type: ignore[arg-type]


def test_a_record_that_lies_ends_no_other_process(project: oml.Project, tmp_path: Path) -> None:
    job = project.jobs.submit("job_functions:wait_for", {"path": str(tmp_path / "go")})
    pid_of(job)
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    handle = Path(job.run.url) / "attempt-0001.handle.json"
    handle.write_text(json.dumps(describe_process(bystander.pid)))
    with pytest.raises(ConfigError, match="not an onlineml job"):
        job.cancel(now=True)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    (tmp_path / "go").touch()
    until(lambda: job.status().state == "finished", "its end")


@pytest.mark.parametrize(
    ("function", "arguments", "found"),
    [
        ("train", {"epochs": 3, "backbone": "timm:resnet18"}, ""),
        ("train", {"backbone": "evil.module:factory"}, "evil.module:factory"),
        ("train", {"backbone": "timm:hf-hub:evil/net"}, "hf-hub:evil/net"),
        ("train", {"weights": "https://evil/w.safetensors"}, "https://evil/w.safetensors"),
        ("train", {"weights": "DEFAULT", "num_workers": 4}, ""),
        ("train", {"num_workers": 100_000}, "num_workers=100000"),
        ("evaluate", {"model": "champion"}, ""),
        ("notebook", {"notebook": "1_build"}, ""),
        ("notebook", {"notebook": "1_build", "output": "/home/me/.bashrc"}, "/home/me/.bashrc"),
        ("notebook", {"notebook": "s3://bucket/evil.ipynb"}, "s3://bucket/evil.ipynb"),
        ("notebook", {"notebook": "../1_build"}, "../1_build"),
        ("os:system", {"command": "rm"}, "os:system"),
    ],
)
def test_what_a_record_may_not_have_this_machine_do(function: str, arguments: dict, found: str) -> None:
    told = untrusted_reference(function, arguments)
    assert found in told
    assert bool(told) == bool(found)


# ---- how it is judged ----


class Elsewhere:
    """An executor that cannot tell from here."""

    name = "local"

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        raise AssertionError

    def alive(self, handle: Mapping[str, Any]) -> bool | None:
        return None

    def stop(self, handle: Mapping[str, Any], *, now: bool) -> None:
        raise AssertionError


def seen(**facts: Any) -> Snapshot:
    """A running first attempt on this machine, but for what is given."""
    me = this_process()
    usual = {
        "spec": {},
        "status": {"state": "running", "attempt": 1, **me},
        "heartbeat": {"time": 990.0, "attempt": 1, **me},
        "claim": {"time": 100.0, "executor": "local"},
        "handle": me,
        "attempt": 1,
        "now": 1000.0,
    }
    return Snapshot(**{**usual, **facts})


LOCAL, FAR = jobs.LocalProcesses(), {**this_process(), "machine": "elsewhere"}


@pytest.mark.parametrize(
    ("snapshot", "state"),
    [
        (seen(), "running"),
        (seen(handle={**this_process(), "pid_started": 5.0}), "lost"),  # another process has its number now
        (seen(status={"state": "finished", "attempt": 1}, handle={}), "finished"),
        (seen(handle=FAR), "running"),
        (seen(handle=FAR, heartbeat={"time": 700.0, "attempt": 1}), "lost"),  # no heartbeat for five minutes
        (seen(handle=FAR, heartbeat={}, claim={"time": 950.0}), "running"),  # just begun
        (seen(handle=FAR, attempt=2, claim={"time": 950.0}), "starting"),  # resumed, and still importing torch
        (seen(handle=FAR, attempt=2, claim={"time": 500.0}), "lost"),  # heartbeats of the first attempt
        (seen(attempt=2, status={"state": "stopped", "attempt": 1}), "starting"),
        (
            seen(attempt=2, status={"state": "stopped", "attempt": 1}, handle={**this_process(), "pid_started": 5.0}),
            "lost",
        ),
        (seen(status={"state": "created"}, heartbeat={}, handle={}, claim={"time": 990.0}), "starting"),
        (
            seen(status={"state": "created"}, heartbeat={}, handle={}, claim={"time": 500.0}),
            "lost",
        ),  # its starter was killed
        (seen(handle={}, heartbeat={"time": 999.0, "attempt": 1}), "running"),
    ],
)
def test_the_state_of_a_job_is_judged_by_its_process_or_its_signs_of_life(snapshot: Snapshot, state: str) -> None:
    assert infer_state(snapshot, LOCAL) == state


def test_a_job_that_waits_in_a_queue_is_not_lost() -> None:
    waiting = seen(
        status={"state": "created"}, heartbeat={}, handle={"id": 7}, claim={"time": 1.0, "executor": "slurm"}
    )
    assert infer_state(waiting, None) == "starting"
    queue = SimpleNamespace(name="slurm", alive=lambda handle: handle["id"] == 7)
    assert infer_state(waiting, queue) == "starting"
    queue.alive = lambda handle: False
    assert infer_state(waiting, queue) == "lost"


def test_of_two_who_resume_one_does(project: oml.Project) -> None:
    job = project.jobs.submit("job_functions:leave", {"code": 1})
    assert job.wait(LONG_S) == "failed"
    order = {"function": "job_functions:leave", "arguments": {"code": 0}, "attempt": 2, "executor": LOCAL}
    launch(job.run, **order)
    with pytest.raises(AlreadyExistsError, match="just started"):
        launch(job.run, **order)
    assert job.wait(LONG_S) == "finished"


def test_an_executor_of_ones_own_is_given_a_command_and_keeps_its_handle(project: oml.Project) -> None:
    class Queue:
        name = "queue"

        def __init__(self) -> None:
            self.started: list[tuple[list[str], dict[str, str]]] = []
            self.stopped: list[Any] = []

        def start(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> dict[str, Any]:
            self.started.append((list(command), dict(environment)))
            return {"id": 42}

        def alive(self, handle: Mapping[str, Any]) -> bool | None:
            return handle == {"id": 42} and not self.stopped

        def stop(self, handle: Mapping[str, Any], *, now: bool) -> None:
            self.stopped.append((handle, now))

    queue = Queue()
    options = {"auto_mkdir": True, "password": "hunter2"}
    secret = oml.Project.open(project.url, storage_options=options)
    job = secret.jobs.submit("job_functions:greet", {"name": "a"}, executor=queue)
    assert job.status().state == "starting"
    ((command, environment),) = queue.started
    assert json.loads(environment[ORDER])["storage_options"] == options
    for path in Path(project.url).rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path

    done = subprocess.run(
        command, env={**os.environ, **environment}, check=False
    )  # as a queue does when its time comes
    assert done.returncode == 0
    assert project.jobs.get(job.id, executor=queue).status().state == "finished"
    other = project.jobs.submit("job_functions:greet", {"name": "a"}, executor=queue)
    other.cancel(now=True)
    assert queue.stopped == [({"id": 42}, True)]
    assert other.status().state == "stopped"


# ---- notebooks and object stores ----


def write_notebook(path: Path, *cells: str) -> str:
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("x = 1\nproject_url = 'p'", metadata={"tags": ["parameters"]})]
        + [nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    return str(path)


def test_a_notebook_is_a_job(project: oml.Project, tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "a.ipynb", "print('x is', x, 'in', project_url)")
    job = project.jobs.submit("notebook", {"notebook": source, "parameters": {"x": 41}})
    assert job.wait(LONG_S) == "finished", job.tail(40)
    assert f"x is 41 in {project.url}" in job.tail()
    executed = nbformat.read(Path(job.run.url) / "notebook.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == f"x is 41 in {project.url}\n"


def test_a_notebook_that_is_stopped_takes_its_kernel_along_and_says_so(project: oml.Project, tmp_path: Path) -> None:
    source = write_notebook(
        tmp_path / "a.ipynb",
        f"import os, pathlib, time\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))",
        "time.sleep(600)",
        "print('never')",
    )
    job = project.jobs.submit("notebook", {"notebook": source})
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the notebook's kernel")
    kernel = psutil.Process(int((tmp_path / "pid").read_text()))
    job.cancel()
    assert job.wait(LONG_S) == "stopped"
    wait_until_ended(kernel)
    executed = nbformat.read(Path(job.run.url) / "notebook.ipynb", as_version=4)
    assert "stopped before its end" in executed.cells[0].source


def test_a_notebook_that_was_cut_off_while_it_was_written_says_so_too(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text('{"cells": [{"cell_ty')
    _banner(str(tmp_path / "a.ipynb"), "was stopped before its end")
    (cell,) = nbformat.read(tmp_path / "a.ipynb", as_version=4).cells
    assert "stopped before its end" in cell.source


@pytest.mark.s3
def test_what_python_said_before_a_job_in_a_bucket_began(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{s3_server.new_bucket()}/project"
    project = oml.Project.create(url, storage_options=s3_server.storage_options)
    monkeypatch.setenv("PYTHONHOME", "/no/such/place")  # so that Python itself cannot start
    job = project.jobs.submit("job_functions:leave", {"code": 0})
    assert job.wait(LONG_S) == "lost"
    assert "without a heartbeat" in job.status().remedy
    assert "Python" in job.tail()


@pytest.mark.s3
def test_a_job_whose_project_is_in_a_bucket(s3_server: S3Server) -> None:
    url = f"{s3_server.new_bucket()}/project"
    project = oml.Project.create(url, storage_options=s3_server.storage_options)
    job = project.jobs.submit("job_functions:greet", {"name": "bucket", "times": 2})
    assert job.wait(LONG_S) == "finished"
    assert job.tail().count("hello bucket") == 2
    assert "from a child" in job.tail()
    assert len(job.run.metrics()) == 2
    again = ProjectJobs(url, storage_options=s3_server.storage_options).get(job.id)
    assert again.result()["project"] == url
    fs = __import__("s3fs").S3FileSystem(**s3_server.storage_options)
    for path in fs.find(url):
        assert SECRET.encode() not in fs.cat_file(path), path
