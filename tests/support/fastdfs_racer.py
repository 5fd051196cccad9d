"""A process that forks others, which all do the same at once and race for the same names."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import fsspec

from onlineml.errors import AlreadyExistsError, ConflictError
from onlineml.storage import io
from onlineml.storage.fastdfs import upkeep
from onlineml.storage.log.log import AppendLog


def create(url: str, me: int, turns: int) -> list[int]:
    """Create numbered files; the numbers that this process got."""
    won = []
    for number in range(turns):
        try:
            io.create_bytes(f"{url}/created/{number}", f"{me}".encode())
        except AlreadyExistsError:
            continue
        won.append(number)
    return won


def swap(url: str, me: int, turns: int) -> list[int]:
    """Count up in one file; the values that this process put there."""
    fs, path = fsspec.url_to_fs(f"{url}/counter")
    done = []
    for _ in range(turns):
        ((data, tag),) = fs.cat_tagged([path], [None])
        try:
            fs.pipe_file(path, f"{int(data) + 1}".encode(), if_match=tag)
        except ConflictError:
            continue
        done.append(int(data) + 1)
    return done


def append(url: str, me: int, turns: int) -> list[str]:
    """Append to one log; the ids of the entries."""
    log = AppendLog(f"{url}/log")
    return [log.append({"me": me, "n": number}) for number in range(turns)]


def write(url: str, me: int, turns: int) -> int:
    """Overwrite a file of all and write some of one's own, with a new log of names every few records."""
    upkeep.LOG_BYTES = 20_000
    for number in range(turns):
        io.write_bytes(f"{url}/shared", f"{me} {number}".encode() * 50)
        io.write_bytes(f"{url}/own/{me}/{number}", f"{me} {number}".encode())
    return turns


def main() -> None:
    """Prints one JSON list: what each of the racers did."""
    task, url, count, turns = sys.argv[1:]
    tasks: dict[str, Any] = {"create": create, "swap": swap, "append": append, "write": write}
    gate, opened = os.pipe()
    results = []
    for me in range(int(count)):
        reader, writer = os.pipe()
        if not os.fork():
            os.close(opened)
            os.read(gate, 1)  # until all are there
            with os.fdopen(writer, "w") as pipe:
                json.dump(tasks[task](url, me, int(turns)), pipe)
            os._exit(0)
        os.close(writer)
        results.append(reader)
    os.close(opened)
    print("started", flush=True)  # noqa: T201
    found = [os.fdopen(reader).read() for reader in results]
    print(f"[{','.join(found)}]", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
