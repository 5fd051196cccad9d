"""The process of a job: ``python -m onlineml.worker``, with its order in an environment variable; or this one.

It says that it lives, does what it was ordered, and says truthfully how that ended: finished, failed, or stopped
because it was asked to. Only a process that is killed at once says nothing, and is found to be lost.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from onlineml.errors import NotFoundError, OnlineMLError, StoppedError
from onlineml.jobs.launch import ORDER, imported
from onlineml.jobs.state import BEAT_S, cancel_name, claim_name, handle_name
from onlineml.runs.process import this_process
from onlineml.runs.run import Run
from onlineml.storage import io
from onlineml.storage.urls import local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from onlineml.runs.run import State

__all__ = ["main", "run_here"]

_JOIN_S = 30.0  # for a thread that waits for a store
_PUMP_S = 1.0  # between two looks at what was printed
_LOG_BYTES = 8 << 20  # an object store is given the log as a whole each time: no more of it than this
_PATIENCE_S = (1, 2, 4, 8, 16, 32)  # a store that is away when the job ends


class _JobRun(Run):
    """The run of a job, which is over when the job is: a training that is finished within it is not the end."""

    attempt = 1
    over = False
    signal_number = int(signal.SIGTERM)  # by which it was asked to stop

    def set_status(self, state: State, *, facts: Mapping[str, Any] | None = None) -> None:
        held = state in {"finished", "failed", "stopped"} and not self.over
        super().set_status("running" if held else state, facts={**(facts or {}), "attempt": self.attempt})


def main() -> int:
    """Do what was ordered; returns the exit code."""
    order = json.loads(os.environ.pop(ORDER))
    sys.path += [place for place in order["sys_path"] if place not in sys.path]
    run = _JobRun.open(order["run"], storage_options=order["storage_options"])
    run.attempt = order["attempt"]
    with _logged(run):
        return _worked(run, order["function"], order["arguments"])


def run_here(url: str, *, function: str, arguments: Mapping[str, Any]) -> int:
    """Do a job in this process, as a scheduler wants it, with the same record as if it had been submitted.

    What Python prints goes to the run's log as well. Signals are handled while it goes on, so this must be the main
    thread.

    Args:
        url: of the new run; where it is ``<project>/runs/<id>``, the job belongs to that project.
        function: as `onlineml.jobs.ProjectJobs.submit` has it.
        arguments: as checked.

    Returns:
        The exit code: 0 finished, 1 failed, 128 + the number of the signal that stopped it.
    """
    run = _JobRun.create(url, spec={"job": {"function": function, "arguments": dict(arguments), "executor": "local"}})
    for name, value in ((claim_name(1), {"time": time.time(), "executor": "local"}), (handle_name(1), this_process())):
        io.write_bytes(run.path(name), json.dumps(value).encode())
    with contextlib.redirect_stdout(_Both(sys.stdout, run)):
        return _worked(run, function, arguments)


class _Both:
    """Writes to a stream and to a run's log."""

    def __init__(self, stream: TextIO, run: Run) -> None:
        self._stream, self._run = stream, run

    def write(self, text: str) -> int:
        self._run.log_text(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


def _worked(run: _JobRun, function: str, arguments: Mapping[str, Any]) -> int:
    run.stops_in_time = True  # a request that comes before it begins is seen when it does
    _stop_when_told(run)
    with _alive(run):
        state, facts = _executed(run, function, arguments)
        run.over = True
        _patiently(lambda: run.set_status(state, facts=facts))
    return {"finished": 0, "stopped": 128 + run.signal_number}.get(state, 1)


def _executed(run: _JobRun, function: str, arguments: Mapping[str, Any]) -> tuple[State, dict[str, Any]]:
    """Execute the function and return the final state with the facts to record about it."""
    over = dict.fromkeys(set(run.status()) & {"error", "by"})  # of an earlier attempt
    try:
        run.set_status("running", facts=over)
        _begin(run)
        result = imported(function)(run, _project(run), **arguments)
        if result is not None:
            data = json.dumps(_defined(result), indent=1, ensure_ascii=False, allow_nan=False).encode()
            io.write_bytes(run.path("result.json"), data, storage_options=run.storage_options)
    except (StoppedError, SystemExit, KeyboardInterrupt) as error:
        if run.stop_requested or not isinstance(error, SystemExit):
            sys.stdout.write("stopped, as it was asked to\n")
            return "stopped", {"by": signal.Signals(run.signal_number).name}
        if error.code not in {None, 0}:
            return "failed", {"error": f"it ended itself with the exit code {error.code}"}
    except OnlineMLError as error:  # which says all that there is to say
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        return "failed", {"error": f"{type(error).__name__}: {error}"[:2000]}
    except Exception as error:  # noqa: BLE001 (whatever it is, the record says so)
        sys.stdout.write(traceback.format_exc())
        return "failed", {"error": f"{type(error).__name__}: {error}"[:2000]}
    finally:
        run.stops_in_time = True  # what is left to say is said
    return "finished", {}


def _begin(run: Run) -> None:
    """From here on a request to stop interrupts; one that came before is obeyed now."""
    run.stops_in_time = False
    if run.stop_requested:
        raise StoppedError("asked to stop before it began")


def _defined(value: Any) -> Any:
    """A result with null in place of what is not a finite number, as JSON has it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _defined(inner) for name, inner in value.items()}
    return [_defined(inner) for inner in value] if isinstance(value, list | tuple) else value


def _project(run: Run) -> Any:
    """The project whose run it is, as the run's folder is ``<project>/runs/<id>``; None where there is none."""
    from onlineml.project.project import Project  # noqa: PLC0415

    if io.name(io.parent(run.url)) != "runs":
        return None
    try:
        return Project.open(io.parent(io.parent(run.url)), storage_options=run.storage_options)
    except NotFoundError:  # a notebook may well make it
        return None


def _stop_when_told(run: _JobRun) -> None:
    """On SIGTERM or SIGINT, ask for a stop; who does not look for that between steps is interrupted."""

    def stop(number: int, _: object) -> None:
        run.signal_number = number
        run.request_stop()
        if not run.stops_in_time:
            raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


@contextlib.contextmanager
def _beside(work: Callable[[threading.Event], None], *, name: str) -> Iterator[None]:
    """Within, a thread does its work, until the event that it is given is set at the end."""
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=_JOIN_S)


@contextlib.contextmanager
def _alive(run: _JobRun) -> Iterator[None]:
    """Within, a thread gives signs of life and looks for requests to stop from elsewhere."""

    def write_heartbeats(ended: threading.Event) -> None:
        while True:
            with contextlib.suppress(OSError):  # the store is away: the next one will tell
                run.write_heartbeat(facts={"attempt": run.attempt})
                if not run.stop_requested and _cancelled(run):
                    os.kill(os.getpid(), signal.SIGTERM)
            if ended.wait(BEAT_S):
                return

    with _beside(write_heartbeats, name="onlineml-heartbeat"):
        yield


def _cancelled(run: _JobRun) -> bool:
    return io.exists(run.path(cancel_name(run.attempt)), storage_options=run.storage_options)


@contextlib.contextmanager
def _logged(run: Run) -> Iterator[None]:
    """Within, what this process and its children print goes to the run's log."""
    local = local_path(run.path("log.txt"))
    with contextlib.ExitStack() as stack:
        if local is None:
            spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onlineml-job-"))) / "log.txt"
            stack.enter_context(_pumped(run, spool))
            local = str(spool)
        Path(local).parent.mkdir(parents=True, exist_ok=True)
        with Path(local).open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        yield
        sys.stdout.flush()
        sys.stderr.flush()


@contextlib.contextmanager
def _pumped(run: Run, spool: Path) -> Iterator[None]:
    """Within, a thread carries what is printed to a log that is not on this machine."""
    place = 0

    def carry() -> None:
        nonlocal place
        data = spool.read_bytes()[place:] if spool.exists() else b""
        if not data or place >= _LOG_BYTES:
            return
        place += len(data)
        with contextlib.suppress(OSError):  # kept, and stored with what comes next
            run.log_text(data.decode(errors="replace"))
            if place >= _LOG_BYTES:
                run.log_line("the log is not stored any further: it is too long for this storage")

    def work(ended: threading.Event) -> None:
        while not ended.wait(_PUMP_S):
            carry()

    try:
        with _beside(work, name="onlineml-log"):
            yield
    finally:
        carry()
        _patiently(run.flush)


def _patiently(store: Callable[[], None]) -> None:
    for wait_s in _PATIENCE_S:
        try:
            store()
        except OSError:
            time.sleep(wait_s)
        else:
            return
    store()
