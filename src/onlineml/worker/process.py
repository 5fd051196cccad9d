"""The process of a job: ``python -m onlineml.worker``, with its order in an environment variable; or this one.

It writes heartbeats, executes the job's function and records how that ended: finished, failed or stopped on request.
A process that is killed records nothing, and is later considered lost.
"""

from __future__ import annotations

import contextlib
import json
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
from onlineml.jobs.liveness import BEAT_S, cancel_name, claim_name, handle_name
from onlineml.runs.process import end_of, this_process
from onlineml.runs.run import ENDED, Run
from onlineml.storage import io
from onlineml.storage.codec import encode, plain
from onlineml.storage.credentials import publishable, scrubbed
from onlineml.storage.patience import background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from onlineml.runs.run import State

__all__ = ["main", "run_here"]

_JOIN_S = 30.0  # for a thread that waits for a store
_PUMP_S = 1.0  # between two uploads of the output
_LOG_BYTES = 8 << 20  # an object store rewrites the whole log each time, so its size is limited
_RETRY_S = (1, 2, 4, 8, 16, 32)  # waits for a store that is unavailable when the job ends


class _JobRun(Run):
    """The run of a job: it ends with the job, not with a training inside it."""

    attempt = 1
    over = False
    signal_number = int(signal.SIGTERM)  # that requested the stop

    def set_status(self, state: State, *, facts: Mapping[str, Any] | None = None) -> None:
        held = state in ENDED and not self.over
        own = {name: value for name, value in (facts or {}).items() if name != "remedy"}  # a job is resumed otherwise
        super().set_status("running" if held else state, facts={**own, "attempt": self.attempt})


def main() -> int:
    """Execute the order; return the exit code."""
    order = json.loads(os.environ.pop(ORDER))
    sys.path += [place for place in order["sys_path"] if place not in sys.path]
    run = _JobRun.open(order["run"], storage_options=order["storage_options"])
    run.attempt = order["attempt"]
    with _logged(run):
        return _execute_job(run, order["function"], order["arguments"])


def run_here(url: str, *, function: str, arguments: Mapping[str, Any]) -> int:
    """Execute a job in this process, for schedulers, with the same record as a submitted job.

    Python's output also goes to the run's log. Call it in the main thread: it installs signal handlers.

    Args:
        url: of the new run; if it is ``<project>/runs/<id>``, the job belongs to that project.
        function: see `onlineml.jobs.ProjectJobs.submit`.
        arguments: already checked.

    Returns:
        The exit code: 0 finished, 1 failed, 128 + the number of the signal that stopped it.
    """
    run = _JobRun.create(url, spec={"job": {"function": function, "arguments": dict(arguments), "executor": "local"}})
    for name, value in ((claim_name(1), {"time": time.time(), "executor": "local"}), (handle_name(1), this_process())):
        io.write_bytes(run.location / name, json.dumps(value).encode())
    with contextlib.redirect_stdout(_Both(sys.stdout, run)):
        return _execute_job(run, function, arguments)


class _Both:
    """Writes to a stream and to a run's log."""

    def __init__(self, stream: TextIO, run: Run) -> None:
        self._stream, self._run = stream, run

    def write(self, text: str) -> int:
        self._run.log_text(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


@background()
def _execute_job(run: _JobRun, function: str, arguments: Mapping[str, Any]) -> int:
    run.stops_in_time = True  # a request before the start takes effect in _begin
    _install_signal_handlers(run)
    with _heartbeats(run):
        state, facts = _execute(run, function, arguments)
        run.over = True
        run.set_status(state, facts=facts)
        _retry(run.flush)
    return {"finished": 0, "stopped": 128 + run.signal_number}.get(state, 1)


def _execute(run: _JobRun, function: str, arguments: Mapping[str, Any]) -> tuple[State, dict[str, Any]]:
    """Execute the function; return the final state and the facts to record."""
    try:
        run.begin()
        _begin(run)
        result = imported(function)(run, _project(run), **arguments)
        if result is not None:
            io.write_bytes(run.location / "result.json", encode(publishable(plain(result), run.location), indent=1))
    except (StoppedError, SystemExit, KeyboardInterrupt) as error:
        if run.stop_requested or not isinstance(error, SystemExit):
            sys.stdout.write("stopped on request\n")
            return "stopped", {"by": signal.Signals(run.signal_number).name}
        if error.code not in {None, 0}:
            return "failed", {"error": f"the job ended with exit code {error.code}"}
    except Exception as error:  # noqa: BLE001 (recorded, whatever it is)
        known = isinstance(error, OnlineMLError)  # its message is enough
        text = f"{type(error).__name__}: {error}\n" if known else traceback.format_exc()
        sys.stdout.write(scrubbed(text, run.location))
        return end_of(error, at=run.location)
    finally:
        run.stops_in_time = True  # the final status is still written
    return "finished", {}


def _begin(run: Run) -> None:
    """Let stop requests interrupt from now on; stop if there was one already."""
    run.stops_in_time = False
    if run.stop_requested:
        raise StoppedError("stopped on request before it started")


def _project(run: Run) -> Any:
    """The project of a run in ``<project>/runs/<id>``; None if there is none."""
    from onlineml.project.project import Project  # noqa: PLC0415

    runs = run.location.parent
    if runs.name != "runs":
        return None
    try:
        return Project.open(runs.parent)
    except NotFoundError:  # a notebook may create it
        return None


def _install_signal_handlers(run: _JobRun) -> None:
    """Request a stop on SIGTERM or SIGINT; interrupt code that does not check for requests, and at a second SIGINT."""

    def stop(number: int, _: object) -> None:
        again = run.stop_requested and number == signal.SIGINT and not run.over
        run.signal_number = number
        run.request_stop()
        if again or not run.stops_in_time:
            raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


@contextlib.contextmanager
def _beside(work: Callable[[threading.Event], None], *, name: str) -> Iterator[None]:
    """Run a thread within the block; its event is set at the end."""
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=_JOIN_S)


@contextlib.contextmanager
def _heartbeats(run: _JobRun) -> Iterator[None]:
    """Write heartbeats and check for stop requests from elsewhere, in a thread, within the block."""

    def write_heartbeats(ended: threading.Event) -> None:
        while True:
            with contextlib.suppress(OSError):  # the store is unavailable: retried with the next heartbeat
                run.write_heartbeat(facts={"attempt": run.attempt})
                if not run.stop_requested and _cancelled(run):
                    os.kill(os.getpid(), signal.SIGTERM)
            if ended.wait(BEAT_S):
                return

    with _beside(write_heartbeats, name="onlineml-heartbeat"):
        yield


def _cancelled(run: _JobRun) -> bool:
    return io.exists(run.location / cancel_name(run.attempt))


@contextlib.contextmanager
def _logged(run: Run) -> Iterator[None]:
    """Redirect the output of this process and its children to the run's log, within the block."""
    local = (run.location / "log.txt").local
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
    """Upload the output to a log that is not on this machine, in a thread, within the block."""
    place = 0

    def carry() -> None:
        nonlocal place
        data = spool.read_bytes()[place:] if spool.exists() else b""
        if not data or place >= _LOG_BYTES:
            return
        place += len(data)
        with contextlib.suppress(OSError):  # kept, and stored with the next part
            run.log_text(data.decode(errors="replace"))
            if place >= _LOG_BYTES:
                run.log_line(f"the log reached {_LOG_BYTES >> 20} MB, the limit of this storage; the rest is omitted")

    def work(ended: threading.Event) -> None:
        while not ended.wait(_PUMP_S):
            carry()

    try:
        with _beside(work, name="onlineml-log"):
            yield
    finally:
        carry()
        _retry(run.flush)


def _retry(store: Callable[[], None]) -> None:
    for wait_s in _RETRY_S:
        try:
            store()
        except OSError:
            time.sleep(wait_s)
        else:
            return
    store()
