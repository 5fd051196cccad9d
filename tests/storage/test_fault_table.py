"""Every kind of fault of a store and what comes of it, as docs/storage/reliability.md tells it."""

from __future__ import annotations

import errno
import os
import time
from contextlib import nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import fsspec
import pytest

import onlineml as oml
from fault_proxy import FaultProxy, fault_proxy_to
from onlineml.cli.doctor import check_all
from onlineml.errors import ChangedError, StorageError
from onlineml.jobs.job import Job
from onlineml.runs.run import Run
from onlineml.storage import io, local, retries
from onlineml.storage.location import Location
from onlineml.storage.patience import background, click
from tiny import CLASSES, COLOURS, TinyNet, jpeg, manifest, photos, picture, tiny_data, tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from s3_server import S3Server

__all__ = ["manifest", "photos"]


class Place(NamedTuple):
    """A project on S3 behind a proxy, with one photo, and an object beside it."""

    proxy: FaultProxy
    project: Location
    image_id: str
    file: Location
    data: bytes


@pytest.fixture(scope="module")
def shared_place(s3_server: S3Server) -> Iterator[Place]:
    bucket = s3_server.new_bucket()
    with fault_proxy_to(s3_server.endpoint_url) as proxy:
        once = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}  # so that botocore repeats nothing
        at = Location(bucket, {**s3_server.storage_options, "endpoint_url": proxy.url, **once})
        project = oml.Project.create(at / "p", class_names=CLASSES)
        project.add([jpeg(picture(COLOURS["red"], seed=1))], label="red")
        (image_id,) = project.labels.state().table["image_id"].to_pylist()
        io.write_bytes(at / "file", b"content")
        yield Place(proxy, at / "p", image_id, at / "file", b"content")


@pytest.fixture
def place(shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "30")
    shared_place.proxy.fault = lambda *_: None
    yield shared_place
    shared_place.proxy.fault = lambda *_: None


def _read(place: Place) -> None:
    (found,) = io.read_many([place.file])
    if isinstance(found, Exception):
        raise found
    assert found == place.data


def _read_opened(place: Place) -> None:
    with io.open_file(place.file) as file:
        file.seek(3)
        assert file.read() == place.data[3:]


def _list(place: Place) -> None:
    assert "file" in [one.path for one in io.list_files(place.file.parent, recursive=False)]


def _relabel(place: Place) -> None:
    oml.Project.open(place.project).labels.set(place.image_id, "green")


OPERATIONS: dict[str, Callable[[Place], object]] = {
    "read": _read,
    "read a part": _read_opened,
    "write": lambda place: io.write_bytes(place.project.parent / "new", b"1"),
    "list": _list,
    "open": lambda place: oml.Project.open(place.project),
    "relabel": _relabel,
}


@pytest.mark.s3
@pytest.mark.parametrize("fault", ["reset", "cut", "long", "503", "429", "500", "says 504 GatewayTimeout"])
def test_what_ends_is_waited_out(place: Place, fault: str) -> None:
    for name, operation in OPERATIONS.items():
        begin = len(place.proxy.seen)
        place.proxy.fault = lambda *_, begin=begin: fault if len(place.proxy.seen) - begin <= 2 else None
        operation(place)
        assert len(place.proxy.seen) - begin > 2 or (name, fault) == ("write", "cut"), name  # its answer is empty


# ------------------------------------------------------------------------------------------------ what does not end

LASTING: dict[str, tuple[type[OSError], str]] = {
    "reset": (StorageError, "."),
    "503": (StorageError, "the store asks for fewer requests|does not answer in time"),  # if it was slow, too
    "429": (StorageError, "the store asks for fewer requests|does not answer in time"),
    "500": (StorageError, "."),
    "hang": (StorageError, "does not answer in time; try again later"),
    "slow": (StorageError, "does not answer in time"),
    "long": (StorageError, "."),
    "says 403 ExpiredToken": (StorageError, "the session token has expired; sign in again"),
    "403": (PermissionError, "the permission to .* is missing"),
}


@pytest.mark.s3
@pytest.mark.parametrize("fault", LASTING)
def test_what_lasts_is_told_in_time_and_costs_no_run(place: Place, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(place.project / f"runs/{fault.replace(' ', '-')}")
    kind, words = LASTING[fault]
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "0.3")
    place.proxy.fault = lambda *_: fault
    written = {"slow": {"write"}}.get(fault, set())  # their answers are empty
    for name, operation in OPERATIONS.items():
        with nullcontext() if name in written else pytest.raises(kind, match=f"^s3://.*({words})"):  # type: ignore[attr-defined]
            click(operation)(place)
    with pytest.warns(RuntimeWarning, match="cannot be stored now"):  # noqa: PT031
        run.log_metrics({"step": 1})
        run.set_status("failed", facts={"error": "the first"})
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "30")
    place.proxy.fault = lambda *_: None
    assert run.status()["error"] == "the first"  # known here, also while it is not there
    run.flush()
    again = Run.open(run.location)
    assert (again.status()["state"], again.status()["error"], again.metrics()) == ("failed", "the first", [{"step": 1}])


# ------------------------------------------------------------------------------------------- what a person calls

VERBS: dict[str, Callable[[oml.Project, Run, Job], object]] = {
    "Project.open": lambda project, *_: oml.Project.open(project.location),
    "Project.create": lambda project, *_: oml.Project.create(project.location.parent / "q", class_names=CLASSES),
    "project": lambda project, *_: project._repr_html_(),
    "champion": lambda project, *_: project.champion(),
    "classes.names": lambda project, *_: project.classes.names(),
    "labels.state": lambda project, *_: project.labels.state(),
    "labels.conflicts": lambda project, *_: project.labels.conflicts(),
    "labels.history": lambda project, *_: project.labels.history("0" * 32),
    "datasets.list": lambda project, *_: project.datasets.list(),
    "datasets.get": lambda project, *_: project.datasets.get("0"),
    "models.list": lambda project, *_: project.models.list(),
    "models.get": lambda project, *_: project.models.get("champion"),
    "models.aliases": lambda project, *_: project.models.aliases(),
    "models.promotions": lambda project, *_: project.models.promotions(),
    "models.rollback": lambda project, *_: project.models.rollback(),
    "models.delete": lambda project, *_: project.models.delete(1),
    "runs.new": lambda project, *_: project.runs.new(),
    "runs.list": lambda project, *_: project.runs.list(),
    "runs.get": lambda project, run, _: project.runs.get(run.id),
    "runs.delete": lambda project, run, _: project.runs.delete(run.id),
    "run.status": lambda _, run, __: run.status(),
    "run.metrics": lambda _, run, __: run.metrics(),
    "run.log": lambda _, run, __: run.log(),
    "run.heartbeat": lambda _, run, __: run.heartbeat(),
    "run.is_active": lambda _, run, __: run.is_active(),
    "jobs.list": lambda project, *_: project.jobs.list(),
    "jobs.get": lambda project, run, _: project.jobs.get(run.id),
    "job": lambda _, __, job: job._repr_html_(),
    "job.status": lambda _, __, job: job.status(),
    "job.tail": lambda _, __, job: job.tail(),
    "job.result": lambda _, __, job: job.result(),
    "job.cancel": lambda _, __, job: job.cancel(),
    "job.resume": lambda _, __, job: job.resume(),
}


@pytest.mark.s3
@pytest.mark.parametrize("fault", ["hang", "slow"])
def test_what_a_person_calls_has_a_persons_patience(place: Place, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project, run = oml.Project.open(place.project), Run.create(place.project / f"runs/verbs-{fault}")
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "3600")
    monkeypatch.setenv("ONLINEML_CLICK_S", "0.1")
    place.proxy.fault = lambda *_: fault
    for name, verb in list(VERBS.items())[:: 1 if fault == "hang" else 6]:
        with pytest.raises(StorageError, match="does not answer in time; try again later"):
            pytest.fail(f"{name} gave {verb(project, run, Job(run))!r}")
    monkeypatch.setitem(fsspec.config.conf, "s3", dict(place.file.options or {}))
    (*_, listing) = check_all(project.url)
    assert (listing.level, "does not answer in time" in listing.what) == ("problem", True)


@pytest.mark.s3
def test_a_verb_within_work_has_the_patience_of_work(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    project, begin = oml.Project.open(place.project), len(place.proxy.seen)
    monkeypatch.setenv("ONLINEML_CLICK_S", "0")
    place.proxy.fault = lambda *_: "503" if len(place.proxy.seen) - begin <= 3 else None
    assert background()(project.champion)() is None


# ------------------------------------------------------------------------------------- without an answer of the store


@pytest.mark.parametrize(
    ("endpoint_url", "words"),
    [("http://127.0.0.1:9", "nothing answers at http://127.0.0.1:9"), ("http://a.invalid:9", "there is no server of")],
    ids=["connection refused", "no such name"],
)
def test_a_server_that_is_not_there_is_told_soon(endpoint_url: str, words: str, place: Place) -> None:
    for operation in OPERATIONS.values():
        elsewhere = Location(place.file.url, {**(place.file.options or {}), "endpoint_url": endpoint_url})
        with pytest.raises(StorageError, match=f"^s3://.*{words}"):
            operation(place._replace(file=elsewhere, project=elsewhere.parent / "p"))


@pytest.mark.s3
def test_an_altered_body_is_found_by_its_checksum(place: Place) -> None:
    place.proxy.fault = lambda method, *_: "corrupt" if method == "GET" else None
    (found,) = io.read_many([place.file], digests=[sha256(place.data).hexdigest()])
    assert isinstance(found, ChangedError)


def _fail_first(run: Run) -> None:
    with pytest.raises(ValueError, match="the first"), run.recorded(call="fit"):  # noqa: PT012
        run.log_metrics({"step": 2})
        run.log_metrics({"step": 3})
        raise ValueError("the first")


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [(errno.ENOSPC, StorageError, "the disk of .* is full"), (errno.EROFS, PermissionError, "is mounted read-only")],
    ids=["disk full", "read-only"],
)
def test_a_disk_that_takes_nothing_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[OSError], words: str
) -> None:
    run = Run.create(str(tmp_path / "run"))
    run.log_metrics({"step": 1})

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as full:
        full.setattr(local, "replace", refuse)
        full.setattr("onlineml.runs.append._append_local", refuse)
        with pytest.raises(kind, match=words):
            io.write_bytes(str(tmp_path / "a"), b"1")
        with pytest.warns(RuntimeWarning, match="metrics|status") as told:
            _fail_first(run)
        assert len(told) == 2  # once for each file
    assert Run.open(run.url).status()["state"] == "created"
    run.flush()
    again = Run.open(run.url)
    assert (again.status()["state"], again.status()["error"]) == ("failed", "ValueError: the first")
    assert [row["step"] for row in again.metrics()] == [1, 2, 3]


# ---------------------------------------------------------------------------------------------------- a training


def _stops_bookkeeping(method: str, path: str, _number: int) -> str | None:
    ours = path.endswith(("metrics.jsonl", "status.json", "log.txt", "schedule.json", "last.ckpt"))
    return "500" if method in {"PUT", "POST"} and ours else None


@pytest.mark.s3
def test_a_training_whose_bookkeeping_fails_goes_on(
    place: Place, manifest: oml.Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlineml.training.checkpoints._EVERY_S", 0.0)
    at = place.project / "runs/kept"
    run = Run.create(at)
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "0.2")
    place.proxy.fault = _stops_bookkeeping
    with pytest.warns(RuntimeWarning, match="cannot be stored now"):
        oml.fit(tiny_model(), tiny_data(manifest), run=run, epochs=2, progress="none")
    assert run.status()["state"] == "finished"
    assert Run.open(at).status()["state"] == "created"
    place.proxy.fault = lambda *_: None
    run.flush()
    again = Run.open(at)
    assert again.status()["state"] == "finished"
    assert [row["epoch"] for row in again.metrics()] == [0, 1]
    oml.load_model(at / "model", backbone=TinyNet())


@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* cannot be stored now")  # its status, at first
@pytest.mark.parametrize("fault", ["503", "reset"])
def test_a_storm_of_a_minute_ends_no_training(
    place: Place, photos: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.undo()  # real waits
    at = place.file.parent / f"storm-{fault}"
    for file in photos.rglob("*.jpg"):
        io.upload_file(file, at / str(file.relative_to(photos.parent)))
    data = oml.Manifest.from_folders((at / "images").url, storage_options=at.options)
    run = Run.create(at / "run")
    asked: list[float] = []

    def storm(*_: object) -> str | None:
        asked.append(time.monotonic())
        return fault if len(asked) > 5 and asked[-1] < asked[5] + 60 else None

    place.proxy.fault = storm
    oml.fit(tiny_model(), tiny_data(data), run=run, epochs=2, progress="none")
    assert asked[-1] > asked[5] + 60
    assert Run.open(at / "run").status()["state"] == "finished"
    assert [row["epoch"] for row in Run.open(at / "run").metrics()] == [0, 1]
