"""Starting a job: validation of what is submitted, and the order passed to its process.

The process executes the order of the person who starts it, not the record on the storage: otherwise anyone with write
access to a bucket could choose what runs.
"""

from __future__ import annotations

import importlib
import inspect
import json
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlineml.errors import AlreadyExistsError, ConfigError
from onlineml.jobs.liveness import claim_name, handle_name
from onlineml.runs.process import end_of
from onlineml.storage import io
from onlineml.storage.cache import own_cache
from onlineml.tasks.descriptor import hub_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onlineml.jobs.executors import Executor
    from onlineml.runs.run import Run

__all__ = ["KINDS", "ORDER", "checked", "first_log", "imported", "launch", "untrusted_reference"]

KINDS = {name: f"onlineml.worker.kinds:{name}" for name in ("train", "evaluate", "improve", "notebook")}
ORDER = "ONLINEML_JOB"  # environment variable with a process's order
_OWN_BACKBONES = ("timm:", "transformers:")
_MOST_WORKERS = 64  # a record that asks for more is not a job of this library's users


def imported(function: str) -> Callable[..., Any]:
    """Return the function of a job kind, or of an import path ``"package.module:function"``.

    Raises:
        ConfigError: it does not exist.
    """
    path = KINDS.get(function, function)
    module, colon, name = path.partition(":")
    if not colon or not module or not name.isidentifier() or module == "__main__":
        raise ConfigError(
            f"function={function!r}: expected one of {', '.join(KINDS)}, or 'package.module:function'; put a function "
            "defined in a notebook into a .py file next to it, so that another process can import it"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"function={function!r} cannot be imported: {error}") from error
    if not callable(found):
        raise ConfigError(f"function={function!r} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def checked(function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments after a JSON round trip, if the function accepts them.

    Raises:
        ConfigError: the function does not exist or does not accept them, or they are not JSON.
    """
    found = imported(function)
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(arguments), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the arguments of a job must be JSON values: {error}") from error
    signature = inspect.signature(found)
    try:
        signature.bind(None, None, **plain)
    except TypeError as error:
        takes = ", ".join(str(parameter) for parameter in list(signature.parameters.values())[2:])
        raise ConfigError(
            f"{function}: {error}; besides the run and the project, its arguments are {takes or 'none'}"
        ) from None
    return plain


def untrusted_reference(function: str, arguments: Mapping[str, Any]) -> str:
    """Return what a stored record would execute, read or overwrite outside onlineml, with the verb; else ``""``."""
    if function not in KINDS:
        return f"execute the function {function!r}"
    if function == "notebook":
        from onlineml.jobs.notebooks import own_notebook  # noqa: PLC0415

        name, output = str(arguments.get("notebook")), arguments.get("output")
        if own_notebook(name) is None:
            return f"execute the notebook {name!r}"
        return f"execute a notebook and write {output!r}" if output else ""
    backbone = str(arguments.get("backbone", ""))
    if ":" in backbone and not backbone.startswith(_OWN_BACKBONES):
        return f"execute the factory {backbone!r}"
    weights = str(arguments.get("weights"))
    named = hub_reference(backbone) or (weights if "://" in weights else "")
    if named:
        return f"read {named!r}"
    workers = arguments.get("num_workers", 0)
    return f"start num_workers={workers!r}" if workers not in range(_MOST_WORKERS + 1) else ""


def launch(run: Run, *, function: str, arguments: Mapping[str, Any], attempt: int, executor: Executor) -> None:
    """Start a run for the n-th time; of several concurrent callers, exactly one succeeds.

    Raises:
        AlreadyExistsError: somebody else has just started it.
        ConfigError: the storage options cannot be passed to another process.
        OSError: the executor could not start it; this is recorded in the run.
    """
    order = {
        "run": run.url,
        "attempt": attempt,
        "function": function,
        "arguments": dict(arguments),
        "storage_options": None if run.location.options is None else dict(run.location.options),
        "sys_path": [str(Path.cwd()), *(place for place in sys.path if place)],
    }
    try:
        environment = {ORDER: json.dumps(order)}
    except TypeError as error:
        raise ConfigError(
            f"storage_options cannot be passed to another process ({error}): set the credentials in the environment "
            "or fsspec's configuration"
        ) from error
    claim = {"time": time.time(), "host": socket.gethostname(), "executor": executor.name}
    try:
        io.create_bytes(run.location / claim_name(attempt), json.dumps(claim).encode())
    except AlreadyExistsError as error:
        raise AlreadyExistsError(f"the run {run.id} was just started by somebody else; see its status()") from error
    try:
        handle = executor.start(
            [sys.executable, "-m", "onlineml.worker"], environment=environment, log=first_log(run, attempt)
        )
    except Exception as error:
        failure = end_of(error, at=run.location)[1]["error"]
        run.set_status("failed", facts={"error": f"it could not be started: {failure}", "attempt": attempt})
        raise
    io.write_bytes(run.location / handle_name(attempt), json.dumps(handle).encode())


def first_log(run: Run, attempt: int) -> Path:
    """Return a local file for output before the run's log is opened; the log itself, if it is local."""
    local = (run.location / "log.txt").local
    if local is not None:
        return Path(local)
    return own_cache("jobs") / f"{run.id}-{attempt}.log"
