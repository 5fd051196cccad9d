"""`onlineml.runs` on every kind of storage."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError, StoppedError, StorageError
from onlineml.runs import append
from onlineml.runs.process import describe_process, is_alive, this_process
from onlineml.runs.run import Run, new_run_id
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


def _create(store: Store, spec: dict | None = None) -> Run:
    return Run.create(f"{store.url}/runs/r1", spec=spec, storage_options=store.storage_options)


def test_an_empty_run(store: Store) -> None:
    run = _create(store)
    assert run.id == "r1"
    assert run.spec == {}
    assert run.metrics() == []
    run.flush()
    assert store.raw_names() == ["runs/r1/spec.json", "runs/r1/status.json"]
    status = run.status()
    assert (status["state"], status["pid"]) == ("created", os.getpid())
    assert "+00:00" in status["time"]


def test_a_run_is_created_once_and_opened_by_anyone(store: Store) -> None:
    run = _create(store, {"epochs": 3, "names": ["a"]})
    with pytest.raises(AlreadyExistsError, match="r1"):
        _create(store)
    again = Run.open(run.url + "/", storage_options=store.storage_options)
    assert again.spec == {"epochs": 3, "names": ["a"]} == json.loads(store.raw_read("runs/r1/spec.json"))
    assert (again.url, again.id) == (run.url, run.id)
    with pytest.raises(NotFoundError, match=r"spec\.json"):
        Run.open(f"{store.url}/runs/r2", storage_options=store.storage_options)


def test_status_keeps_facts(store: Store) -> None:
    run = _create(store)
    run.set_status("running", facts={"epochs": 5, "loss": math.nan})
    run.set_status("finished", facts={"best": 0.5, "state": "nonsense"})
    status = Run.open(run.url, storage_options=store.storage_options).status()
    assert {name: status[name] for name in ("state", "epochs", "loss", "best")} == {
        "state": "finished",
        "epochs": 5,
        "loss": None,
        "best": 0.5,
    }
    with pytest.raises(ConfigError, match="created, running, finished, failed, stopped"):
        run.set_status("done")  # type: ignore[arg-type]


def test_metrics_come_back(store: Store) -> None:
    run = _create(store)
    rows = [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "loss": math.nan, "up": math.inf, "down": -math.inf}]
    rows.append({"step": 3, "phase": "a\u2028b\n"})
    for row in rows:
        run.log_metrics(row)
    run.log_line("first\n")
    run.log_line("second")
    run.set_status("stopped")  # stores what was logged
    text = store.raw_read("runs/r1/metrics.jsonl").decode()
    assert "NaN" not in text
    assert "Infinity" not in text
    found = Run.open(run.url, storage_options=store.storage_options).metrics()
    assert found[0] == rows[0]
    assert math.isnan(found[1].pop("loss"))
    assert found[1:] == [{"step": 2, "up": math.inf, "down": -math.inf}, rows[2]]
    lines = store.raw_read("runs/r1/log.txt").decode().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["first", "second"]


def test_a_resumed_run_appends_behind_a_torn_row(store: Store) -> None:
    _create(store).log_metrics({"step": 1})
    store.raw_write("runs/r1/metrics.jsonl", b'{"step": 1}\n{"step": 2, "lo')
    run = Run.open(f"{store.url}/runs/r1", storage_options=store.storage_options)
    assert run.metrics() == [{"step": 1}]
    run.log_metrics({"step": 3})
    assert run.metrics() == [{"step": 1}, {"step": 3}]


def test_going_on_from_a_checkpoint_tells_later_rows_again(store: Store) -> None:
    run = _create(store)
    assert run.rewind(0) == []
    rows = [{"step": i, "loss": math.inf if i == 1 else 1 / 3} for i in range(5)]
    for row in rows:
        run.log_metrics(row)
    run.flush()
    assert Run.open(run.url, storage_options=store.storage_options).rewind(9) == rows  # nothing to take back
    again = Run.open(run.url, storage_options=store.storage_options)
    assert again.rewind(2) == rows[:2]
    assert Run.open(run.url, storage_options=store.storage_options).metrics() == rows[:2]
    again.log_metrics({"step": 2})
    again.flush()
    assert [json.loads(line)["step"] for line in store.raw_read("runs/r1/metrics.jsonl").splitlines()] == [0, 1, 2]


def test_an_object_store_is_not_written_at_every_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(append, "time", SimpleNamespace(monotonic=lambda: now[0]))
    run = _create(store)
    seen = []
    for step in range(5):
        run.log_metrics({"step": step})
        now[0] += 0.75
        seen.append(store.raw_read("runs/r1/metrics.jsonl").count(b"\n"))
    assert seen == ([1, 2, 3, 4, 5] if store.kind == "local" else [1, 1, 1, 4, 4])
    run.flush()
    assert store.raw_read("runs/r1/metrics.jsonl").count(b"\n") == 5


def test_killed_between_its_first_two_files(store: Store) -> None:
    store.raw_write("runs/r1/spec.json", b"{}")
    run = Run.open(f"{store.url}/runs/r1", storage_options=store.storage_options)
    assert run.status() == {"state": "created"}
    store.raw_write("runs/r1/spec.json", b"[1]")
    with pytest.raises(StorageError, match="cannot be read: Expected `object`"):
        Run.open(run.url, storage_options=store.storage_options)


@pytest.mark.parametrize(
    "spec",
    [
        {"data": {"storage_options": {"secret": "x"}}},
        {"password": "x"},
        {"list": [{"AWS_SECRET_ACCESS_KEY": "x"}]},
        {"url": "http://me:hunter2-hunter2@host/"},
        {"set": {1, 2}},
        {"nan": math.nan},
    ],
)
def test_a_spec_holds_plain_values_and_no_secrets(store: Store, spec: dict) -> None:
    options = {**(store.storage_options or {}), "password": "hunter2-hunter2"}
    with pytest.raises(ConfigError) as caught:
        Run.create(f"{store.url}/runs/r1", spec=spec, storage_options=options)
    assert "hunter2" not in str(caught.value)
    assert store.raw_names() == []


def test_options_are_neither_shown_nor_pickled(store: Store) -> None:
    run = _create(store)
    run.location = Location(run.url, {"secret": "hunter2-hunter2"})
    copy = pickle.loads(pickle.dumps(run))  # noqa: S301 (our own)
    assert b"hunter2" not in pickle.dumps(run)
    assert "hunter2" not in repr(run)
    assert copy.location.options is None
    assert copy.url == run.url


def test_ids_sort_by_time_and_differ() -> None:
    ids = [new_run_id() for _ in range(20)]
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", run_id) for run_id in ids)
    assert len(set(ids)) > 15
    assert [run_id[:15] for run_id in ids] == sorted(run_id[:15] for run_id in ids)


@pytest.mark.parametrize(
    ("error", "state", "facts"),
    [
        (StoppedError("please"), "stopped", {"by": "request"}),
        (KeyboardInterrupt(), "stopped", {"by": "KeyboardInterrupt"}),
        (SystemExit(143), "stopped", {"by": "SystemExit"}),
        (ValueError("x" * 5000), "failed", {"error": "ValueError: " + "x" * 1988}),
    ],
)
def test_an_early_end_is_recorded_and_its_reason_forgotten_by_the_next_attempt(
    store: Store, error: BaseException, state: str, facts: dict[str, str]
) -> None:
    run = _create(store)
    with pytest.raises(type(error)), run.recorded(call="again"):
        raise error
    status = run.status()
    assert status["state"] == state
    assert {name: status.get(name) for name in ("by", "error") if status.get(name)} == facts
    with run.recorded(call="again"):
        assert not [name for name in ("by", "error") if run.status().get(name)]
    assert run.status()["state"] == "running"  # that it is finished, the block says itself


# ---- who is at it ----


def test_a_status_names_its_process_and_a_heartbeat_changes_nothing_else(store: Store) -> None:
    run = _create(store)
    assert run.heartbeat() is None
    run.set_status("running")
    run.log_metrics({"step": 1, "loss": math.nan})
    before = run.status()
    assert {name: before[name] for name in ("pid", "pid_started", "host", "machine")} == this_process()
    run.write_heartbeat(facts={"attempt": 2})
    beat = Run.open(run.url, storage_options=store.storage_options).heartbeat()
    assert beat is not None
    assert {name: beat[name] for name in ("pid", "pid_started", "machine", "attempt", "row")} == {
        **{name: before[name] for name in ("pid", "pid_started", "machine")},
        "attempt": 2,
        "row": {"step": 1, "loss": None},
    }
    assert abs(beat["time"] - time.time()) < 60
    assert run.status() == before


def test_beating_while_the_status_is_written(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r1")
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            run.write_heartbeat()

    thread = threading.Thread(target=beat)
    thread.start()
    for step in range(100):
        run.set_status("running", facts={f"fact{step}": step})
    ended.set()
    thread.join()
    assert [run.status()[f"fact{step}"] for step in range(100)] == list(range(100))


def test_a_request_to_stop() -> None:
    run = Run("memory://nowhere/r1", spec={})
    assert not run.stop_requested
    with run.stopping_in_time():
        assert run.stops_in_time
        run.request_stop()
    assert run.stop_requested
    assert not run.stops_in_time


def test_the_end_of_a_log(store: Store) -> None:
    run = _create(store)
    assert run.log() == run.log(last_bytes=10) == ""
    run.log_text("a" * 50 + "\n")
    run.log_text("é last\n")
    assert run.log() == "a" * 50 + "\né last\n"
    assert run.log(last_bytes=9) == "\né last\n"
    assert run.log(last_bytes=6_000) == run.log()


def test_processes_are_told_apart() -> None:
    me = this_process()
    assert is_alive(me) is True
    assert is_alive({**me, "pid_started": me["pid_started"] - 60}) is False  # its number was used again
    assert is_alive({**me, "machine": "elsewhere"}) is None
    assert is_alive({}) is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = describe_process(child.pid)
    assert is_alive(told) is True
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert is_alive(told) is False  # ended, though nobody has waited for it
    child.communicate()
    assert is_alive(told) is False
    with pytest.raises(ProcessLookupError):
        describe_process(child.pid)
