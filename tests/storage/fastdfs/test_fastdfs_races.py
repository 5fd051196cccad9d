"""Many processes at once on one volume, and processes that are killed: one winner each, nothing lost, nothing torn."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from onlineml.storage import io
from onlineml.storage.fastdfs.administer import create_volume
from onlineml.storage.fastdfs.places import InVolume
from onlineml.storage.log.log import AppendLog
from places import SUPPORT
from processes import LONG_S

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.fastdfs

RACER = SUPPORT / "fastdfs_racer.py"
N_RACERS = 16
TURNS = 10


@contextlib.contextmanager
def racers(task: str, url: str, *, count: int = N_RACERS, turns: int = TURNS) -> Iterator[subprocess.Popen[str]]:
    """Processes that have all begun."""
    command = [sys.executable, str(RACER), task, url, str(count), str(turns)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout.readline() == "started\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def race(task: str, url: str, **options: Any) -> list[list[Any]]:
    """What each of the racing processes says it did."""
    with racers(task, url, **options) as process:
        return json.loads(process.communicate(timeout=LONG_S)[0])


def states_agree(url: str) -> None:
    """A fresh reader that begins with the newest snapshot, and one that reads on, see the same."""
    fs, path = fsspec.url_to_fs(url)
    place = fs.place(path)
    assert isinstance(place, InVolume)
    command = (
        "import sys, json, fsspec; fs, path = fsspec.url_to_fs(sys.argv[1]);"
        "print(json.dumps({name: info['ETag'] for name, info in fs.find(path, detail=True).items()}))"
    )
    fresh = subprocess.run([sys.executable, "-c", command, url], capture_output=True, text=True, check=True)
    assert json.loads(fresh.stdout) == {name: info["ETag"] for name, info in fs.find(path, detail=True).items()}


def test_every_name_is_created_by_exactly_one(fastdfs_trackers: str) -> None:
    url = create_volume(fastdfs_trackers)
    won = race("create", url)
    assert collections.Counter(number for own in won for number in own) == dict.fromkeys(range(TURNS), 1)
    winner = {number: str(me).encode() for me, own in enumerate(won) for number in own}
    assert io.read_many([f"{url}/created/{number}" for number in range(TURNS)]) == [winner[n] for n in range(TURNS)]
    assert len(io.list_files(url)) == TURNS


def test_every_value_is_swapped_in_by_exactly_one(fastdfs_trackers: str) -> None:
    url = create_volume(fastdfs_trackers)
    io.write_bytes(f"{url}/counter", b"0")
    values = [value for own in race("swap", url) for value in own]
    assert sorted(values) == list(range(1, len(values) + 1))
    assert len(values) >= TURNS  # in each turn somebody came first
    assert io.read_bytes(f"{url}/counter") == str(len(values)).encode()


def test_no_appended_record_is_lost_or_torn(fastdfs_trackers: str) -> None:
    url = create_volume(fastdfs_trackers)
    ids = race("append", url)
    entries = AppendLog(f"{url}/log").read()
    assert {entry.id for entry in entries} == {entry for own in ids for entry in own}
    for me in range(N_RACERS):
        assert [entry.record["n"] for entry in entries if entry.record["me"] == me] == list(range(TURNS))


def test_logs_are_replaced_while_many_write(fastdfs_trackers: str) -> None:
    url = create_volume(fastdfs_trackers)
    fs, path = fsspec.url_to_fs(url)
    place = fs.place(path)
    with racers("write", url, count=6, turns=40) as process:
        while process.poll() is None:
            for name in fs.find(path):
                assert fs.cat_file(name)
            time.sleep(0.05)
        assert json.loads(process.stdout.read()) == [40] * 6
    assert place.volume.position()[1] >= 2  # as many logs were ended
    assert len(place.volume.pointers()) >= 2
    wanted = {f"own/{me}/{number}" for me in range(6) for number in range(40)} | {"shared"}
    assert {info.path for info in io.list_files(url)} == wanted
    states_agree(url)


def test_killed_writers_leave_a_volume_that_works(fastdfs_trackers: str) -> None:
    for turn in range(3):
        url = create_volume(fastdfs_trackers)
        with racers("write", url, count=4, turns=1_000_000):
            while len(io.list_files(url)) < 20:
                time.sleep(0.01 + turn * 0.007)
        found = io.list_files(url)
        assert all(isinstance(content, bytes) and content for content in io.read_many([info.url for info in found]))
        for me in range(4):
            own = sorted(int(info.path.split("/")[2]) for info in found if info.path.startswith(f"own/{me}/"))
            assert own == list(range(len(own)))  # nothing that came before what is there is missing
        states_agree(url)
        io.create_bytes(f"{url}/after/{turn}", b"1")
        assert io.read_bytes(f"{url}/after/{turn}") == b"1"
