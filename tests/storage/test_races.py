"""Sixteen writers at once on every kind of storage: nothing is lost, and one wins where the store can promise it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from onlineml.errors import StorageError
from onlineml.storage import io
from onlineml.storage.log.log import AppendLog
from places import SUPPORT
from processes import LONG_S
from storage_racer import in_threads
from stores import KINDS, SWIFT, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITERS = 16
TURNS = {"memory": 40, "local": 40, "s3": 6, "swift": 3, "fastdfs": 10}  # a few seconds


@pytest.fixture(params=[*KINDS, SWIFT])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as opened:
        yield opened


def _raced(store: Store, task: dict[str, Any]) -> list[dict[str, Any]]:
    if store.kind == "memory":  # which is each process's own
        return in_threads(task, WRITERS)
    script = SUPPORT / "storage_racer.py"
    command = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, check=False, timeout=LONG_S)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_sixteen_writers_at_once(store: Store) -> None:
    options = {"storage_options": store.storage_options}
    promised = io.guarantees(store.url, **options)
    assert (promised.create, promised.swap) == ((False, False) if store.kind == "swift" else (True, True))
    counter = io.join(store.url, "counter")
    io.write_bytes(counter, b"0", **options)
    turns = TURNS[store.kind]
    task = {
        "url": store.url,
        "storage_options": store.storage_options,
        "turns": turns,
        "create": promised.create,
        "swap": promised.swap,
        "writers": WRITERS,
    }
    found = _raced(store, task)

    winners = Counter(turn for one in found for turn in one["created"])
    assert set(winners) == set(range(turns))
    if promised.create:
        assert set(winners.values()) == {1}
    for turn in range(turns):
        who = int(io.read_bytes(io.join(store.url, f"new-{turn}"), **options))
        assert who in range(WRITERS)

    entries = AppendLog(io.join(store.url, "log"), **options).read()
    assert [entry.id for entry in entries] == sorted(ulid for one in found for ulid in one["appended"])
    assert {(entry.record["writer"], entry.record["turn"]) for entry in entries} == {
        (writer, turn) for writer in range(WRITERS) for turn in range(turns)
    }
    assert {entry.record["filling"] for entry in entries} == {"x" * 500}

    if promised.swap:
        swapped = sum(one["swapped"] for one in found)
        assert swapped >= turns  # in each turn somebody came first
        assert io.read_bytes(counter, **options) == str(swapped).encode()  # no success was overwritten unseen
    else:
        data, version = io.read_versioned(counter, **options)
        with pytest.raises(StorageError, match="guarantees"):
            io.swap_bytes(counter, b"1", version=version, **options)
        assert data == b"0"
