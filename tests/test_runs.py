"""`onlineml.runs` on every kind of storage."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
from typing import TYPE_CHECKING

import pytest

from onlineml import runs
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError, StorageError
from onlineml.runs import Run, new_run_id

if TYPE_CHECKING:
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
    monkeypatch.setattr(runs.time, "monotonic", lambda: now[0])
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
    with pytest.raises(StorageError, match="must hold a JSON object"):
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
    run.storage_options = {"secret": "hunter2-hunter2"}
    copy = pickle.loads(pickle.dumps(run))  # noqa: S301 (our own)
    assert b"hunter2" not in pickle.dumps(run)
    assert "hunter2" not in repr(run)
    assert copy.storage_options is None
    assert copy.url == run.url


def test_ids_sort_by_time_and_differ() -> None:
    ids = [new_run_id() for _ in range(20)]
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", run_id) for run_id in ids)
    assert len(set(ids)) > 15
    assert [run_id[:15] for run_id in ids] == sorted(run_id[:15] for run_id in ids)
