"""The record of one run: a folder of small files that anybody can read while the run goes on, and after it was killed.

``spec.json`` (what was asked for), ``status.json`` (how it stands), ``heartbeat.json`` (that somebody is at it),
``metrics.jsonl`` (one row a step or epoch), ``log.txt``, and whatever else belongs to the run, such as ``last.ckpt``.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from onlineml.errors import ConfigError, NotFoundError, StorageError
from onlineml.runs.append import BufferedAppender
from onlineml.runs.process import this_process
from onlineml.storage import io
from onlineml.storage.filesystems import secrets_of
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

__all__ = ["Run", "State", "new_run_id"]

State = Literal["created", "running", "finished", "failed", "stopped"]

_SECRET = re.compile(r"storage_options|secret|passw(or)?d|credential|(^|_)token$|api_?key|access_?key", re.IGNORECASE)
_INFINITE = {"inf": math.inf, "-inf": -math.inf}


def new_run_id() -> str:
    """A new name for a run: its start in UTC and four random digits, ``20261124-021507-3f9a``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Run:
    """One run's record. Make it with `Run.create` or `Run.open`.

    Several threads may write through one object; one process at a time may write a run. A pickled run leaves its
    storage options behind: open it again by its URL.

    Attributes:
        url: the run's folder.
        id: the folder's name.
        spec: what was asked for.
        storage_options: of the filesystem; never shown, stored or pickled.
        stops_in_time: whether whoever works on the run now looks at `stop_requested` between its steps, and stops
            when nothing is lost.
        last_row: the last row of figures that this object logged or was told.
    """

    def __init__(self, url: str, *, spec: Mapping[str, Any], storage_options: Mapping[str, Any] | None = None) -> None:
        self.url = url.rstrip("/")
        self.id = io.name(self.url)
        self.spec = dict(spec)
        self.storage_options = storage_options
        self._metrics = BufferedAppender(self.path("metrics.jsonl"), storage_options)
        self._log = BufferedAppender(self.path("log.txt"), storage_options)
        self._stop = threading.Event()
        self.stops_in_time = False
        self.last_row: dict[str, float | str] = {}

    @classmethod
    def create(
        cls,
        url: str | os.PathLike[str],
        *,
        spec: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Start a new record.

        Args:
            url: a folder that holds no run yet.
            spec: what is asked for: JSON values, and nothing secret, for it is stored.
            storage_options: of the filesystem.

        Raises:
            AlreadyExistsError: the folder holds a run.
            ConfigError: the spec holds a secret or something that is not JSON.
        """
        run = cls(str(url), spec=spec or {}, storage_options=storage_options)
        io.create_bytes(run.path("spec.json"), run._encoded(run.spec), storage_options=storage_options)
        run.set_status("created")
        return run

    @classmethod
    def open(cls, url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> Self:
        """Open a record, to read it or to go on with it.

        Raises:
            NotFoundError: there is no run at this URL.
        """
        target = io.join(str(url).rstrip("/"), "spec.json")
        try:
            spec = _read_json(target, storage_options)
        except NotFoundError as err:
            raise NotFoundError(f"{redacted(str(url))} is no run: it holds no spec.json; see project.runs()") from err
        return cls(str(url), spec=spec, storage_options=storage_options)

    def update_spec(self, spec: Mapping[str, Any]) -> None:
        """Add to what was asked for, as who executes a run knows more than who made it.

        Raises:
            ConfigError: the spec holds a secret or something that is not JSON.
        """
        merged = {**self.spec, **spec}
        if merged != self.spec:
            io.write_bytes(self.path("spec.json"), self._encoded(merged), storage_options=self.storage_options)
            self.spec = merged

    def _encoded(self, spec: Mapping[str, Any]) -> bytes:
        _refuse_secrets(spec, secrets_of(self.storage_options))
        try:
            return json.dumps(dict(spec), indent=2, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as err:
            raise ConfigError(f"the spec of a run must hold JSON values only: {err}") from err

    def path(self, name: str) -> str:
        """The URL of one of the run's files."""
        return io.join(self.url, name)

    def status(self) -> dict[str, Any]:
        """How the run stands: ``state``, ``time`` (ISO, UTC), the process that said so, and the facts that it gave.

        The process is told by ``pid``, ``pid_started`` (seconds since 1970), ``host`` and ``machine``.
        """
        try:
            return _read_json(self.path("status.json"), self.storage_options)
        except NotFoundError:  # killed between its first two files
            return {"state": "created"}

    def set_status(self, state: State, *, facts: Mapping[str, Any] | None = None) -> None:
        """Say how the run stands; earlier facts stay unless given anew. What was logged before is stored first.

        Args:
            state: one of created, running, finished, failed, stopped.
            facts: few and small JSON values.
        """
        if state not in get_args(State):
            raise ConfigError(f"state must be one of {', '.join(get_args(State))}; it is {state!r}")
        self.flush()
        now = {"state": state, "time": datetime.now(UTC).isoformat(timespec="seconds"), **this_process()}
        status = {**self.status(), **_finite(facts or {}), **now}
        data = json.dumps(status, indent=2, ensure_ascii=False).encode()
        io.write_bytes(self.path("status.json"), data, storage_options=self.storage_options)

    def log_metrics(self, row: Mapping[str, float | str]) -> None:
        """Append one row of numbers and short texts. On an object store it is visible after 2 s or `flush`."""
        self._metrics.append(_metrics_line(row))
        self.last_row = dict(row)

    def note(self, row: Mapping[str, float | str]) -> None:
        """Say how it stands between two rows, without logging it: signs of life tell it."""
        self.last_row = {**self.last_row, **row}

    def metrics(self) -> list[dict[str, Any]]:
        """All rows that were logged, in order; a row that a kill cut off is left out."""
        rows = []
        for line in self._metrics.read().split("\n"):
            with contextlib.suppress(json.JSONDecodeError):
                rows.append({name: _restored(value) for name, value in json.loads(line).items()})
        return rows

    def rewind(self, n_rows: int) -> list[dict[str, Any]]:
        """Keep only the first ``n_rows`` rows, as who goes on from a checkpoint tells again what came after it."""
        rows = self.metrics()
        if len(rows) > n_rows:
            rows = rows[:n_rows]
            self._metrics.replace("".join(_metrics_line(row) for row in rows))
        return rows

    def log_line(self, text: str) -> None:
        """Append one line to ``log.txt``, with the time before it."""
        self.log_text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text.rstrip()}\n")

    def log_text(self, text: str) -> None:
        """Append text to ``log.txt`` as it is, such as what a program printed."""
        self._log.append(text)

    def log(self, *, last_bytes: int | None = None) -> str:
        """``log.txt``, or only so much of its end, which spares reading all of it on a local disk."""
        return self._log.read(last_bytes)

    def write_heartbeat(self, *, facts: Mapping[str, Any] | None = None) -> None:
        """Say that this process is at it, in a file of its own: any thread may, whatever else is being written."""
        now = {"time": time.time(), **this_process(), "row": _finite(self.last_row), **_finite(facts or {})}
        data = json.dumps(now, ensure_ascii=False).encode()
        io.write_bytes(self.path("heartbeat.json"), data, storage_options=self.storage_options)

    def heartbeat(self) -> dict[str, Any] | None:
        """The last sign of life: ``time`` (seconds since 1970, by its writer's clock), its process, its last row."""
        try:
            return _read_json(self.path("heartbeat.json"), self.storage_options)
        except NotFoundError:
            return None

    def request_stop(self) -> None:
        """Ask whoever works on the run through this object to stop: `onlineml.fit` stores a checkpoint first."""
        self._stop.set()

    @property
    def stop_requested(self) -> bool:
        """Whether `request_stop` was called."""
        return self._stop.is_set()

    @contextlib.contextmanager
    def stopping_in_time(self) -> Iterator[None]:
        """Within, `stops_in_time` is true."""
        before, self.stops_in_time = self.stops_in_time, True
        try:
            yield
        finally:
            self.stops_in_time = before

    def flush(self) -> None:
        """Store what was logged; `set_status` does it too."""
        self._metrics.flush()
        self._log.flush()

    def __repr__(self) -> str:
        return f"Run({redacted(self.url)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.url, self.spec)


def _restore(url: str, spec: dict[str, Any]) -> Run:
    return Run(url, spec=spec)


def _metrics_line(row: Mapping[str, float | str]) -> str:
    return json.dumps(_finite(row), ensure_ascii=False, allow_nan=False) + "\n"


def _read_json(url: str, storage_options: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        value = json.loads(io.read_bytes(url, storage_options=storage_options))
    except ValueError as err:
        raise StorageError(f"{redacted(url)} is not JSON: {err}") from err
    if not isinstance(value, dict):
        raise StorageError(f"{redacted(url)} must hold a JSON object; it holds a {type(value).__name__}")
    return value


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as strict JSON has it: nan becomes null, the infinities become texts."""
    return {name: _strict(value) for name, value in row.items()}


def _strict(value: Any) -> Any:
    if hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _restored(value: Any) -> Any:
    return math.nan if value is None else _INFINITE.get(value, value) if isinstance(value, str) else value


def _refuse_secrets(value: Any, known: set[str], where: str = "spec") -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if _SECRET.search(str(name)) and inner:
                msg = f"{where}[{name!r}] looks secret, and the spec is stored; pass storage_options to the call"
                raise ConfigError(msg)
            _refuse_secrets(inner, known, f"{where}[{name!r}]")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _refuse_secrets(inner, known, f"{where}[{index}]")
    elif isinstance(value, str) and any(secret in value for secret in known):
        raise ConfigError(f"{where} holds a secret of storage_options, and the spec is stored; leave it out")
