"""Running a notebook under papermill so that its end is told truthfully.

Papermill's own record is no evidence: a notebook that was interrupted, or ran into its time limit, says that its cells
are completed. So papermill runs in a process of its own, which this one watches, stops and judges.
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
from onlineml.storage.urls import local_path, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOTEBOOKS", "notebooks_folder", "own_notebook", "parameters_of", "require_papermill", "run_notebook"]

NOTEBOOKS = ("1_build", "2_test", "3_evaluate", "4_improve")

_GRACE_S = 20.0  # for a kernel to be shut down
_LOOK_S = 0.5


def notebooks_folder() -> Path:
    """Return the folder of the notebooks: inside the installed package, or in the repository that it is run from.

    Raises:
        NotFoundError: they are in neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "notebooks", package.parents[1] / "notebooks"):
        if (folder / f"{NOTEBOOKS[0]}.ipynb").exists():
            return folder
    msg = f"the notebooks are neither in {package} nor in the repository around it; install onlineml anew"
    raise NotFoundError(msg)


def require_papermill() -> None:
    """Raise MissingDependencyError where notebooks cannot be run."""
    for package in ("papermill", "ipykernel"):
        if not find_spec(package):
            raise MissingDependencyError(f"running notebooks needs {package}: pip install 'onlineml[notebook]'")


def own_notebook(name: str) -> Path | None:
    """One of the guided notebooks by its name, with or without its ending; None for any other name."""
    stem = name.removesuffix(".ipynb")
    if not stem or "/" in stem or "\\" in stem:
        return None
    try:
        path = notebooks_folder() / f"{stem}.ipynb"
    except NotFoundError:
        return None
    return path if path.exists() else None


def parameters_of(notebook: str) -> dict[str, Any]:
    """The parameters of a notebook and their defaults; of one that is no literal, its text.

    Args:
        notebook: the name of a guided one, a path or a URL.

    Raises:
        NotFoundError: there is none.
        ConfigError: it is not a notebook.
        MissingDependencyError: papermill is not installed.
    """
    source = _located(notebook)
    try:
        document = json.loads(io.read_bytes(source))
        cells = [cell for cell in document["cells"] if "parameters" in cell.get("metadata", {}).get("tags", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
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
            f"there is no notebook {redacted(notebook)}; give a path, a URL, or one of {', '.join(NOTEBOOKS)}"
        )
    return notebook


def run_notebook(
    notebook: str, output: str, *, parameters: Mapping[str, Any], kernel: str = "", timeout_s: float | None = None
) -> None:
    """Run a notebook, store it with its results while it goes on, and print what its cells print.

    Whatever interrupts this call (SystemExit, KeyboardInterrupt) stops the notebook first.

    Args:
        notebook: the name of a guided one, a path or a URL.
        output: the path or URL of the executed one.
        parameters: JSON values by name.
        kernel: a kernel's name; by default the notebook's own, else ``python3``.
        timeout_s: seconds that all of it may take.

    Raises:
        ConfigError: a parameter is not one of the notebook's.
        NotebookError: a cell failed, the kernel died, or the time was over.
        NotFoundError: there is no such notebook.
    """
    source = _located(notebook)
    known = parameters_of(notebook)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ConfigError(
            f"{redacted(notebook)} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        )
    local = local_path(output)
    if local is not None:  # papermill makes no folder
        Path(local).parent.mkdir(parents=True, exist_ok=True)
    order = {
        "source": source,
        "output": output,
        "parameters": dict(parameters),
        "kernel": kernel,
        "parent": os.getpid(),
        "mark": secrets.token_hex(16),  # begins the line on which the other process says what failed
    }
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "onlineml.jobs.notebooks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # an interrupt from the terminal comes to this process, which decides
        text=True,
        encoding="utf-8",
    )
    with process:
        try:
            failure = _conversed(process, order, timeout_s)
        except BaseException:
            _ended(process)
            _banner(output, "was stopped before its end")
            raise
    if failure:
        if failure.get("timeout"):
            _banner(output, f"ran into its limit of {timeout_s:g} s")
        raise NotebookError(f"{redacted(notebook)}: {failure['text']}")


def _conversed(
    process: subprocess.Popen[str], order: Mapping[str, Any], timeout_s: float | None
) -> dict[str, Any] | None:
    """Hand the order over, pass on what is printed, and return what failed, if something did."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (both are pipes)
    process.stdin.write(json.dumps(order))
    process.stdin.close()
    late = threading.Event()

    def expire() -> None:
        late.set()
        _ended(process)

    timer = threading.Timer(timeout_s or 0, expire)
    if timeout_s is not None:
        timer.start()
    said: dict[str, Any] | None = None
    try:
        for line in process.stdout:
            if line.startswith(order["mark"]):
                said = json.loads(line.removeprefix(order["mark"]))
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
    return said or {"text": f"its process ended with the exit code {code}"}


def _ended(process: subprocess.Popen[str]) -> None:
    """End the notebook's process, and with it its kernel."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _banner(output: str, text: str) -> None:
    """Say at the top of a notebook that was cut off that it was: its cells do not."""
    import nbformat  # noqa: PLC0415 (papermill brings it)

    try:
        document = nbformat.reads(io.read_bytes(output).decode(), as_version=4)  # type: ignore[no-untyped-call]
    except NotFoundError:
        return
    now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    cell = nbformat.v4.new_markdown_cell(  # type: ignore[no-untyped-call]
        f'<span style="color:red">**This run {text}** ({now} UTC). What cells say of their end is not true.</span>'
    )
    cell.id = "onlineml-ended"
    document.cells = [cell, *(c for c in document.cells if c.get("id") != cell.id)]
    text = nbformat.writes(document)  # type: ignore[no-untyped-call]
    io.write_bytes(output, text.encode())


# ---- in the process of its own ----


def _main() -> int:
    import papermill  # noqa: PLC0415

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
            # A kernel is shut down by an interrupt, and calls it an error when that finds it still awake.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except papermill.PapermillExecutionError as error:
        text = f"cell {error.exec_count} failed: {error.ename}: {error.evalue}"
    except Exception as error:  # noqa: BLE001 (a dead kernel, a store that is away, an output that cannot be written)
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
    """End with the process that watches, so that nothing goes on which nobody answers for."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(_main())
