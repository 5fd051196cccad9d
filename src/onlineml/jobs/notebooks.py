"""Running a notebook with papermill, and recording reliably how it ended.

Papermill itself marks the cells of an interrupted or timed-out notebook as completed. So papermill runs in a separate
process, which this one watches and stops.
"""

from __future__ import annotations

import ast
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError, MissingDependencyError, NotebookError, NotFoundError
from onlineml.storage import io
from onlineml.storage.credentials import refuse_secrets
from onlineml.storage.documents import json_value
from onlineml.storage.location import Location
from onlineml.storage.urls import local_path, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOTEBOOKS", "notebooks_folder", "own_notebook", "parameters_of", "require_papermill", "run_notebook"]

NOTEBOOKS = ("1_build", "2_test", "3_evaluate", "4_improve")

_GRACE_S = 45.0  # for a kernel to shut down
_CHECKPOINT_S = 30.0  # of these, for an interrupted training to end its step and store a checkpoint
_POLL_S = 0.5


def notebooks_folder() -> Path:
    """Return the folder of the notebooks, in the installed package or in the repository.

    Raises:
        NotFoundError: they are in neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "notebooks", package.parents[1] / "notebooks"):
        if (folder / f"{NOTEBOOKS[0]}.ipynb").exists():
            return folder
    raise NotFoundError(f"the notebooks are neither in {package} nor in the repository around it; reinstall onlineml")


def require_papermill() -> None:
    """Raise MissingDependencyError if papermill or ipykernel is not installed."""
    for package in ("papermill", "ipykernel"):
        if not find_spec(package):
            raise MissingDependencyError(f"running notebooks needs {package}: pip install {package}")


def own_notebook(name: str) -> Path | None:
    """Return the path of a guided notebook by its name, with or without extension; None for any other name."""
    stem = name.removesuffix(".ipynb")
    if not stem or "/" in stem or "\\" in stem:
        return None
    try:
        path = notebooks_folder() / f"{stem}.ipynb"
    except NotFoundError:
        return None
    return path if path.exists() else None


def parameters_of(notebook: str) -> dict[str, Any]:
    """Return the parameters of a notebook and their defaults; for a default that is not a literal, its source.

    Args:
        notebook: the name of a guided notebook, a path or a URL.

    Raises:
        NotFoundError: it does not exist.
        ConfigError: it is not a notebook.
        MissingDependencyError: papermill is not installed.
    """
    source = _located(notebook)
    try:
        document = json_value(io.read_bytes(source))
        cells = [cell for cell in document["cells"] if "parameters" in cell.get("metadata", {}).get("tags", ())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{redacted(source)} is not a Jupyter notebook: {error!r}") from error
    found: dict[str, Any] = {}
    for cell in cells[:1]:
        try:
            statements = ast.parse("".join(cell["source"])).body
        except SyntaxError:
            continue
        for statement in statements:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            value = getattr(statement, "value", None)
            found |= {target.id: _literal(value) for target in targets if isinstance(target, ast.Name)}
    return found


def _literal(value: ast.expr | None) -> Any:
    if value is None:
        return None
    try:
        return ast.literal_eval(value)
    except ValueError:
        return ast.unparse(value)


def _located(notebook: str) -> str:
    require_papermill()
    own = own_notebook(notebook)
    if own is not None and not Path(notebook).exists():
        return str(own)
    if not io.exists(notebook):
        raise NotFoundError(
            f"there is no notebook {redacted(notebook)}; pass a path, a URL, or one of {', '.join(NOTEBOOKS)}"
        )
    return notebook


def run_notebook(
    notebook: str, output: str, *, parameters: Mapping[str, Any], kernel: str = "", timeout_s: float | None = None
) -> None:
    """Run a notebook, store its results continuously, and print its cells' output.

    An interruption of this call (SystemExit, KeyboardInterrupt) stops the notebook first.

    Args:
        notebook: the name of a guided notebook, a path or a URL.
        output: path or URL of the executed notebook.
        parameters: JSON values by name.
        kernel: name of the kernel; by default the notebook's own, else ``python3``.
        timeout_s: time limit of the whole notebook in seconds.

    Raises:
        ConfigError: the notebook does not have one of the parameters, or a parameter or an address contains a secret.
        NotebookError: a cell failed, the kernel died, or the time limit was exceeded.
        NotFoundError: the notebook does not exist.
    """
    source = _located(notebook)
    known = parameters_of(notebook)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ConfigError(
            f"{redacted(notebook)} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        )
    refuse_secrets({"parameters": dict(parameters), "output": output, "source": source}, Location(output), "notebook")
    local = local_path(output)
    if local is not None:  # papermill does not create folders
        Path(local).parent.mkdir(parents=True, exist_ok=True)
    order = {
        "source": source,
        "output": output,
        "parameters": dict(parameters),
        "kernel": kernel,
        "parent": os.getpid(),
        "mark": secrets.token_hex(16),  # starts the line with which the other process reports a failure
    }
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "onlineml.jobs.notebooks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # interrupts from the terminal reach only this process
        text=True,
        encoding="utf-8",
    )
    with process:
        try:
            failure = _supervise(process, order, timeout_s)
        except BaseException:
            _terminate(process)
            _banner(output, "was stopped before its end")
            raise
    if failure:
        if failure.get("timeout"):
            _banner(output, f"exceeded its time limit of {timeout_s:g} s")
        raise NotebookError(f"{redacted(notebook)}: {failure['text']}")


def _supervise(
    process: subprocess.Popen[str], order: Mapping[str, Any], timeout_s: float | None
) -> dict[str, Any] | None:
    """Pass the order to the process, forward its output, and return its failure, if any."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (both are pipes)
    process.stdin.write(json.dumps(order))
    process.stdin.close()
    late = threading.Event()

    def expire() -> None:
        late.set()
        _terminate(process)

    timer = threading.Timer(timeout_s or 0, expire)
    if timeout_s is not None:
        timer.start()
    failure: dict[str, Any] | None = None
    try:
        for line in process.stdout:
            if line.startswith(order["mark"]):
                failure = json.loads(line.removeprefix(order["mark"]))
            else:
                sys.stdout.write(line)
                sys.stdout.flush()
        code = process.wait()
    finally:
        timer.cancel()
    if late.is_set():
        return {"text": f"not finished after {timeout_s:g} s", "timeout": True}
    if code == 0:
        return None
    return failure or {"text": f"its process ended with the exit code {code}"}


def _terminate(process: subprocess.Popen[str]) -> None:
    """Terminate the notebook's process and its kernel."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _banner(output: str, text: str) -> None:
    """Add a note at the top of an interrupted notebook, whose cells look completed."""
    try:
        document = json_value(io.read_bytes(output))
    except NotFoundError:
        return
    except ValueError:  # cut off while it was written
        document = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    told = f'<span style="color:red">**This run {text}** ({now} UTC). Cells marked as completed may not be.</span>'
    cell = {"cell_type": "markdown", "id": "onlineml-ended", "metadata": {}, "source": told}
    document["cells"] = [cell, *(other for other in document["cells"] if other.get("id") != cell["id"])]
    io.write_bytes(output, json.dumps(document, indent=1, ensure_ascii=False).encode())


# ---- in the separate process ----


def _main() -> int:
    import papermill  # noqa: PLC0415
    from traitlets.config import Config  # noqa: PLC0415 (of papermill's dependencies)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # papermill interrupts the kernel, and waits for it

    order = json.loads(sys.stdin.read())
    threading.Thread(target=_die_with, args=(order["parent"],), daemon=True).start()
    try:
        papermill.execute_notebook(
            order["source"],
            order["output"],
            parameters=order["parameters"],
            kernel_name=order["kernel"] or _kernel_of(order["source"]),
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stdout,
            # A kernel is shut down by an interrupt, which a busy kernel logs as an error.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            config=Config({"KernelManager": {"shutdown_wait_time": _CHECKPOINT_S}}),
        )
    except KeyboardInterrupt:  # terminated, which the other process records
        return 128 + signal.SIGTERM
    except papermill.PapermillExecutionError as error:
        text = f"cell {error.exec_count} failed: {error.ename}: {error.evalue}"
    except Exception as error:  # noqa: BLE001 (a dead kernel, an unavailable store, an output that is not writable)
        text = f"{type(error).__name__}: {error}"
    else:
        return 0
    sys.stdout.write(f"{text}\n{order['mark']}{json.dumps({'text': text[:2000]})}\n")
    return 1


def _kernel_of(source: str) -> str:
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415 (papermill brings it)

    document = json.loads(io.read_bytes(source))
    name = str(document.get("metadata", {}).get("kernelspec", {}).get("name", ""))
    return name if name in KernelSpecManager().find_kernel_specs() else "python3"


def _die_with(parent: int) -> None:
    """End together with the supervising process."""
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(_main())
