"""Writers that race for the same files, in processes of their own: ``python storage_racer.py < task.json``.

A fresh process, for a fork of one that has clients and threads would not be like the processes of a cluster.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from onlineml.errors import AlreadyExistsError, ConflictError
from onlineml.storage import conditions, io
from onlineml.storage.filesystems import filesystem
from onlineml.storage.location import Location
from onlineml.storage.log.log import AppendLog
from onlineml.storage.urls import local_path


def race(number: int, start: Any, task: dict[str, Any]) -> dict[str, Any]:
    """What one writer did until the time was over: rounds in which it created, swaps that it made, ids it appended."""
    url, options = task["url"], task["storage_options"]
    _believe(task)
    log = AppendLog(io.join(url, "log"), storage_options=options)
    created: list[int] = []
    swapped = 0
    appended: list[str] = []
    io.exists(url, storage_options=options)  # it has its connection
    for turn in range(task["turns"]):
        start.wait()
        try:
            io.create_bytes(io.join(url, f"new-{turn}"), f"{number}".encode(), storage_options=options)
            created.append(turn)
        except AlreadyExistsError:
            pass
        appended.append(log.append({"writer": number, "turn": turn, "filling": "x" * 500}))
        if task["swap"]:
            swapped += _count_up(io.join(url, "counter"), options)
    return {"created": created, "swapped": swapped, "appended": appended}


def _count_up(url: str, options: dict[str, Any] | None) -> bool:
    data, version = io.read_versioned(url, storage_options=options)
    try:
        io.swap_bytes(url, str(int(data) + 1).encode(), version=version, storage_options=options)
    except ConflictError:
        return False
    return True


def _believe(task: dict[str, Any]) -> None:
    """What the test has found out of the store already, so that not each of the writers tries it out."""
    if local_path(task["url"]) is None:
        fs, path = filesystem(Location(task["url"], task["storage_options"]))
        key = fs, path.partition("/")[0]
        conditions._created[key], conditions._swapped[key] = task["create"], task["swap"]


def in_threads(task: dict[str, Any], writers: int) -> list[dict[str, Any]]:
    start = threading.Barrier(writers)
    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(lambda number: race(number, start, task), range(writers)))


def _in_process(number: int, start: Any, task: dict[str, Any], results: Any) -> None:
    results.put(race(number, start, task))


def in_processes(task: dict[str, Any], writers: int) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(writers), context.SimpleQueue()
    processes = [context.Process(target=_in_process, args=(n, start, task, results)) for n in range(writers)]
    for process in processes:
        process.start()
    found: list[dict[str, Any]] = []
    while len(found) < writers:
        if results.empty():
            if any(process.exitcode for process in processes):
                sys.exit("a writer failed")
            time.sleep(0.01)
        else:
            found.append(results.get())
    for process in processes:
        process.join()
    return found


if __name__ == "__main__":
    import s3fs  # noqa: F401 (so that not each of the writers imports it)

    asked = json.load(sys.stdin)
    json.dump(in_processes(asked, asked["writers"]), sys.stdout)
