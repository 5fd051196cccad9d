"""Record of one run: a folder of small files that can be read while the run is going on, and after it was killed.

``spec.json`` (the request), ``status.json`` (the state), ``heartbeat.json`` (sign that a process is working on it),
``metrics.jsonl`` (one row per step or epoch), ``log.txt``, and other files of the run, such as ``last.ckpt``.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, get_args

from onlineml.errors import ConfigError, NotFoundError, StoppedError
from onlineml.runs.append import BufferedAppender, finite, line_of, rows_of
from onlineml.runs.backlog import FIRST_S, Backlog
from onlineml.runs.process import end_of, is_alive, this_process
from onlineml.runs.records import Heartbeat, State, Status
from onlineml.storage import io, patience
from onlineml.storage.credentials import publishable, refuse_secrets
from onlineml.storage.documents import read_json
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.patience import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ENDED", "Run", "State", "new_run_id"]

ENDED = ("finished", "failed", "stopped")

_SILENT_S = 86400.0  # of a process elsewhere that is taken for gone; only jobs write heartbeats


def new_run_id() -> str:
    """Return a new name for a run: its start in UTC and four random hex digits, ``20261124-021507-3f9a``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Run:
    """Record of one run. Create it with `Run.create` or `Run.open`.

    Several threads may write through one object; only one process at a time may write a run. A pickled run loses its
    storage options: open it again by its URL.

    Attributes:
        location: the run's folder; its options are never shown, stored or pickled.
        id: the folder's name.
        spec: the request.
        stops_in_time: whether the code working on the run now checks `stop_requested` between its steps, and stops when
            nothing is lost.
        last_row: the last row of metrics that this object logged or noted.
    """

    def __init__(self, url: Url, *, spec: Mapping[str, Any], storage_options: Options = None) -> None:
        self.location = Location.of(url, storage_options).folder
        self.id = self.location.name
        self.spec = dict(spec)
        self._backlog = Backlog(str(self.location))
        self._metrics = BufferedAppender(self.location / "metrics.jsonl", self._backlog)
        self._log = BufferedAppender(self.location / "log.txt", self._backlog)
        self._status: dict[str, Any] = {}  # the last one that this object set
        self._stop = threading.Event()
        self._blocks = 0  # of `recorded`, one within another
        self.stops_in_time = False
        self.last_row: dict[str, float | str] = {}

    @classmethod
    def create(cls, url: Url, *, spec: Mapping[str, Any] | None = None, storage_options: Options = None) -> Self:
        """Create a new record.

        Args:
            url: a folder that does not contain a run yet.
            spec: the request: JSON values without secrets, because it is stored.
            storage_options: options of the filesystem.

        Raises:
            AlreadyExistsError: the folder contains a run.
            ConfigError: the spec contains a secret or a value that is not JSON.
        """
        run = cls(url, spec=spec or {}, storage_options=storage_options)
        io.create_bytes(run.location / "spec.json", run._encoded(run.spec))
        run.set_status("created")
        return run

    @classmethod
    @click
    def open(cls, url: Url, *, storage_options: Options = None) -> Self:
        """Open a record, to read it or to continue it.

        Raises:
            NotFoundError: there is no run at this URL.
        """
        location = Location.of(url, storage_options).folder
        try:
            spec = read_json(location / "spec.json")
        except NotFoundError as err:
            raise NotFoundError(f"{location} is not a run: no spec.json; see project.runs.list()") from err
        return cls(location, spec=spec)

    @property
    def url(self) -> str:
        """The run's folder."""
        return self.location.url

    def update_spec(self, spec: Mapping[str, Any]) -> None:
        """Add facts to the spec that become known during execution.

        Raises:
            ConfigError: the spec contains a secret or a value that is not JSON.
        """
        merged = {**self.spec, **spec}
        if merged != self.spec:
            self.write("spec.json", self._encoded(merged))
            self.spec = merged

    def _encoded(self, spec: Mapping[str, Any]) -> bytes:
        refuse_secrets(spec, self.location)
        try:
            return json.dumps(dict(spec), indent=2, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as err:
            raise ConfigError(f"the spec of a run must contain only JSON values: {err}") from err

    def path(self, name: str) -> str:
        """Return the URL of one of the run's files."""
        return (self.location / name).url

    @click
    def status(self) -> dict[str, Any]:
        """Return ``state``, ``time`` (ISO, UTC), the process that set the state, and the facts it added.

        The process is given by ``pid``, ``pid_started`` (seconds since 1970), ``host`` and ``machine``.
        """
        if "status.json" in self._backlog:
            return dict(self._status)
        try:
            return read_json(self.location / "status.json", Status)
        except NotFoundError:  # killed between writing the first two files
            return {"state": "created"}

    def set_status(self, state: State, *, facts: Mapping[str, Any] | None = None) -> None:
        """Set the state; earlier facts remain unless overwritten. Rows and lines logged before are stored first.

        If it cannot be stored now, it is kept and stored as soon as possible.

        Args:
            state: one of created, running, finished, failed, stopped.
            facts: a few small JSON values.
        """
        if state not in get_args(State):
            raise ConfigError(f"state must be one of {', '.join(get_args(State))}; found {state!r}")
        self._metrics.store()
        self._log.store()
        if state in ENDED and self._blocks > 1:  # a training within an attempt to improve: the run goes on
            state = "running"
        now = {"state": state, "time": datetime.now(UTC).isoformat(timespec="seconds"), **this_process()}
        self._status = {**self._known_status(), **self._row(facts or {}), **now}
        data = json.dumps(self._status, indent=2, ensure_ascii=False).encode()
        self.write("status.json", data, lasting=state in ENDED)

    def _known_status(self) -> dict[str, Any]:
        try:
            with patience.at_most(FIRST_S):
                return self.status()
        except OSError:
            return dict(self._status)

    def write(self, name: str, data: bytes, *, lasting: bool = False) -> None:
        """Write one of the run's small files. If the store is unavailable, it is kept and written later.

        Args:
            name: of the file.
            data: its content.
            lasting: wait for the store as long as work does, because nothing follows.
        """
        self._backlog.write(name, lambda: io.write_bytes(self.location / name, data), lasting=lasting)

    def begin(self) -> None:
        """Set the state to running, without the reason why an earlier attempt ended."""
        self.set_status("running", facts=dict.fromkeys(set(self._known_status()) & {"error", "by", "remedy"}))

    @contextlib.contextmanager
    def recorded(self, *, call: str) -> Iterator[None]:
        """Begin, and record that and why the block was stopped or failed; a block that finishes sets that itself.

        A request to stop is fulfilled then, so that the same object can go on, by the ``call`` that the status names.
        """
        self.begin()
        self._blocks += 1
        try:
            yield
        except BaseException as error:
            state, facts = end_of(error, at=self.location)
            remedy = f"to continue, call {call} with this run: project.runs.get({self.id!r}), or its URL"
            self.set_status(state, facts={**facts, "remedy": remedy})
            if isinstance(error, StoppedError | KeyboardInterrupt):
                self._stop.clear()
            raise
        finally:
            self._blocks -= 1

    def log_metrics(self, row: Mapping[str, float | str]) -> None:
        """Append one row of numbers and short texts. On an object store it becomes visible after 2 s or `flush`."""
        self._metrics.append(line_of(self._row(row)))
        self.last_row = dict(row)

    def note(self, row: Mapping[str, float | str]) -> None:
        """Update the current row without logging it; heartbeats include it."""
        self.last_row = {**self.last_row, **row}

    @click
    def metrics(self) -> list[dict[str, Any]]:
        """Return all logged rows in order, without a row that a kill truncated."""
        return rows_of(self._metrics.read())

    def rewind(self, n_rows: int) -> list[dict[str, Any]]:
        """Keep only the first ``n_rows`` rows: a run that continues from a checkpoint logs the later ones again."""
        rows = self.metrics()
        if len(rows) > n_rows:
            rows = rows[:n_rows]
            self._metrics.replace("".join(line_of(row) for row in rows))
        return rows

    def log_line(self, text: str) -> None:
        """Append one line to ``log.txt``, preceded by the time."""
        self.log_text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text.rstrip()}\n")

    def log_text(self, text: str) -> None:
        """Append text to ``log.txt``, such as the output of a program, without credentials of URLs and of the run."""
        self._log.append(publishable(text, self.location))

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the strict JSON values of a row, without secrets."""
        return {name: publishable(value, self.location) for name, value in finite(row).items()}

    @click
    def log(self, *, last_bytes: int | None = None) -> str:
        """Return ``log.txt``, or only its last bytes, which on a local disk avoids reading all of it."""
        return self._log.read(last_bytes)

    def write_heartbeat(self, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write a heartbeat of this process, in a separate file, so that any thread may call it at any time."""
        now = {"time": time.time(), **this_process(), "row": self._row(self.last_row), **self._row(facts or {})}
        io.write_bytes(self.location / "heartbeat.json", json.dumps(now, ensure_ascii=False).encode())

    @click
    def heartbeat(self) -> dict[str, Any] | None:
        """Return the last heartbeat: ``time`` (seconds since 1970, writer's clock), process, last row; None if none."""
        try:
            return read_json(self.location / "heartbeat.json", Heartbeat)
        except NotFoundError:
            return None

    @click
    def is_active(self) -> bool:
        """Return whether a process is working on the run; for one of another machine, by its signs of the last day."""
        status = self.status()
        if status["state"] != "running":
            return False
        last = float((self.heartbeat() or {}).get("time") or datetime.fromisoformat(status["time"]).timestamp())
        return time.time() - last < _SILENT_S if (alive := is_alive(status)) is None else alive

    def request_stop(self) -> None:
        """Ask the code that works on the run through this object to stop: `onlineml.fit` stores a checkpoint first."""
        self._stop.set()

    @property
    def stop_requested(self) -> bool:
        """True from `request_stop` until the work has stopped."""
        return self._stop.is_set()

    @contextlib.contextmanager
    def stopping_in_time(self) -> Iterator[None]:
        """Set `stops_in_time` to true within the block."""
        before, self.stops_in_time = self.stops_in_time, True
        try:
            yield
        finally:
            self.stops_in_time = before

    def flush(self) -> None:
        """Store all that was logged or kept; raise an `OSError` if that is impossible now."""
        self._metrics.flush()
        self._log.flush()
        self._backlog.flush()

    def __repr__(self) -> str:
        return f"Run({str(self.location)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.location, self.spec)


def _restore(location: Location, spec: dict[str, Any]) -> Run:
    return Run(location, spec=spec)
