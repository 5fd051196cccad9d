"""Processes that are killed at a chosen moment, and what a reader finds then.

Each is forked, within milliseconds, from one that has imported everything and started no thread (`killed_verbs`).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from places import ROOT, SUPPORT
from processes import FRESH, LONG_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.context import ForkServerProcess

    from fault_proxy import FaultProxy

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # sums over two threads round otherwise
_CHANGED = {
    "os.remove": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.mkdir": 0,
    "os.truncate": 0,
}  # the argument that is changed


class Death(NamedTuple):
    """When a process is killed.

    Attributes:
        change: before this change of its folder, from 0: a file that is opened for writing, synced, renamed, linked,
            deleted. One that is synced or appended to is cut first. On S3: before this request that changes something.
        after: part of a path; changes are counted from the first of such a file on, itself included.
        seconds: after its start.
        share: of the content of a file that is cut, 0..1.
    """

    change: int | None = None
    after: str = ""
    seconds: float | None = None
    share: float = 0.5


class Life(NamedTuple):
    """What one process did.

    Attributes:
        exitcode: 0, or -9 where it was killed.
        told: what the last call returned, as JSON; None where it was killed.
        changes: of its folder in the first call, or requests that change something.
        seconds: that the first call took.
    """

    exitcode: int
    told: Any
    changes: int
    seconds: float


@contextlib.contextmanager
def zygote(folder: Path) -> Iterator[None]:
    """Let the processes within the block be forked from one that has imported all verbs."""
    kept = dict(os.environ)
    own = {"ONLINEML_CACHE": str(folder / "cache"), "ONLINEML_LOCAL_IMAGES": str(folder)}  # of the projects on S3, too
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"), **own)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SUPPORT), str(ROOT / "src"), kept.get("PYTHONPATH", "")])
    FRESH.set_forkserver_preload(["killed_verbs"])
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


class Victim:
    """A process that calls functions of `killed_verbs`, each named by its path there, until it is killed.

    Args:
        calls: names of functions with their arguments, see `_called`.
        folder: whose changes are counted.
        death: when it is killed; None lets it live.
        proxy: to S3, through which it works; its requests are counted instead.
    """

    def __init__(
        self,
        calls: Sequence[tuple[Any, tuple[Any, ...]]],
        *,
        folder: str = "",
        death: Death | None = None,
        proxy: FaultProxy | None = None,
    ) -> None:
        self.death, self.proxy = death, proxy
        self._reader, writer = FRESH.Pipe(duplex=False)
        own = None if proxy is not None else death
        self._process: ForkServerProcess = FRESH.Process(target=_live, args=(calls, folder, own, writer))
        self._requests, self._counts, self._lock = 0, False, threading.Lock()
        if proxy is not None:
            proxy.fault = self._before_request
        self._process.start()
        writer.close()
        assert self._reader.poll(LONG_S), "it does not start"
        assert self._reader.recv(), "other tests began with processes that have not imported the verbs: run these alone"
        self._began = time.monotonic()

    def wait(self) -> Life:
        """Wait until it ends, or kill it when its time has come."""
        seconds = None if self.death is None else self.death.seconds
        if seconds is not None:
            self._process.join(max(0.0, self._began + seconds - time.monotonic()))
            self._process.kill()
        told: Any = None
        with contextlib.suppress(EOFError):
            assert self._reader.poll(LONG_S), "it does not end"
            told = self._reader.recv()
        self._process.join(LONG_S)
        code = self._process.exitcode
        self._process.close()
        self._reader.close()
        assert code == -signal.SIGKILL or (code == 0 and told is not None), (code, told)
        if told is None:
            return Life(int(code), None, self._requests, 0.0)
        assert "error" not in told, told["error"]
        seconds, changes = told["took"]
        return Life(int(code), told["told"], changes if self.proxy is None else self._requests, seconds)

    def _before_request(self, method: str, path: str, number: int) -> str | None:
        del number
        if method in {"GET", "HEAD"}:
            return None
        with self._lock:
            self._counts = self._counts or self.death is None or self.death.after in path
            due = self._counts and self.death is not None and self._requests == self.death.change
            self._requests += self._counts
        if due:
            self._process.kill()
            return "reset"
        return None


def deaths(seed: str, *, n: int, whole: Life, end: tuple[str, int]) -> Iterator[Death]:
    """Moments of death within what an undisturbed process did: by change, by time, and in turn at the end.

    Args:
        seed: of chance.
        n: moments.
        whole: what the undisturbed process did.
        end: where the end begins, as `Death.after`, or ``""``; and the number of changes there.
    """
    chance = random.Random(seed)
    after, changes = end
    for number in range(n):
        if number % 3 == 1:
            yield Death(seconds=chance.uniform(0, whole.seconds))
        elif number % 3 == 0:
            # checkpoints that take longer are fewer
            yield Death(
                change=chance.randrange(whole.changes * 2 // 3 if after else whole.changes), share=chance.random()
            )
        else:
            first = 0 if after else max(0, whole.changes - changes)
            yield Death(
                change=first + chance.randrange(min(changes, whole.changes)), after=after, share=chance.random()
            )


# ---- in the process that dies ----


def _live(calls: Sequence[tuple[Any, tuple[Any, ...]]], folder: str, death: Death | None, writer: Any) -> None:
    writer.send("killed_verbs" in sys.modules)  # imported by the process that this one was forked from
    import torch

    import killed_verbs

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    assert {"python", "jemalloc_bg_thd"} >= killed_verbs.THREADS, killed_verbs.THREADS
    torch.set_num_threads(1)
    changes = Changes(folder, death)
    took: list[tuple[float, int]] = []
    try:
        began = time.monotonic()
        for name, arguments in calls:
            told = _called(killed_verbs, name, arguments)
            took.append((time.monotonic() - began, changes.n))
        writer.send({"told": json.loads(json.dumps(told, default=str)), "took": took[0]})
    except Exception:  # noqa: BLE001 (told by the test)
        writer.send({"error": traceback.format_exc()})
    os._exit(0)


def _called(verbs: Any, name: str | tuple[str, str], arguments: tuple[Any, ...]) -> Any:
    """Call a function of `killed_verbs`, or one of a verb's, which takes a `Place`."""
    if isinstance(name, str):
        return getattr(verbs, name)(*arguments)
    return getattr(verbs.VERBS[name[0]], name[1])(verbs.Place(*arguments))


class Changes:
    """Counts the changes that this process makes to a folder, and ends the process before one of them.

    Attributes:
        n: changes so far.
    """

    def __init__(self, folder: str, death: Death | None) -> None:
        self.n, self._folder, self._death = 0, folder, death
        self._counts = death is None or not death.after
        self._lock, self._dying = threading.Lock(), False
        self._sync, self._pwrite = os.fsync, os.pwrite
        if folder:
            sys.addaudithook(self._see)
            os.fsync, os.pwrite = self._synced, self._written

    def _is_due(self) -> bool:
        with self._lock:
            self.n += self._counts
            self._dying = self._counts and self._death is not None and self._death.change == self.n - 1
            return self._dying

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._dying or (event != "open" and event not in _CHANGED):
            return
        path = arguments[_CHANGED.get(event, 0)]
        if isinstance(path, int) or not os.fsdecode(path).startswith(self._folder):
            return
        self._counts = self._counts or (self._death is not None and self._death.after in os.fsdecode(path))
        flags = arguments[2] if event == "open" else os.O_WRONLY
        if flags & (os.O_WRONLY | os.O_RDWR) and self._is_due():
            if event == "open" and flags & os.O_APPEND:
                with open(path, "ab") as file:  # noqa: PTH123
                    file.write(b'{"epoch": 0, "st')
            _die()

    def _synced(self, descriptor: int) -> None:
        if self._is_due() and self._death is not None:
            place, size = Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor).st_size
            os.truncate(place, int(self._death.share * size))  # the descriptor may be one for reading
            _die()
        self._sync(descriptor)

    def _written(self, descriptor: int, data: Any, position: int) -> int:
        if self._is_due() and self._death is not None:
            self._pwrite(descriptor, data[: int(self._death.share * len(data))], position)
            _die()
        return self._pwrite(descriptor, data, position)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(LONG_S)
