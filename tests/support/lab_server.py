"""A JupyterLab for tests: started on a free port, with settings and files of its own, and stopped afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from late import Late

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

nbformat = Late("nbformat")

__all__ = ["NEWS", "Lab", "free_port", "jupyter_lab", "write_notebook", "write_settings"]

NEWS = "@jupyterlab/apputils-extension/notification"
_START_S = 120  # a cold start on a busy machine


@dataclass(frozen=True)
class Lab:
    """A running server: where it is, and the folder that it shows."""

    port: int
    root: Path
    token: str = "tok"  # noqa: S105 (of a server that lives for these tests)

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={self.token}&reset"

    def ask(self, path: str) -> object:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}?token={self.token}", timeout=10) as answer:
            return json.loads(answer.read())


def write_settings(folder: Path, name: str, values: dict[str, object]) -> None:
    path = folder / f"{name}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def jupyter_lab(home: Path) -> Iterator[Lab]:
    """A server whose every file lies in `home`."""
    lab = Lab(free_port(), home / "root")
    settings = home / "settings"
    lab.root.mkdir(parents=True)
    write_settings(
        settings, "@jupyterlab/apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False}
    )
    own = {f"JUPYTER_{kind.upper()}_DIR": str(home / kind) for kind in ("config", "data", "runtime")}
    environment = {
        **os.environ,
        **own,
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "ONLINEML_CACHE": str(home / "cache"),
        "IPYTHONDIR": str(home / "ipython"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={lab.port}", "--port-retries=0", f"--IdentityProvider.token={lab.token}"]
    command += [f"--ServerApp.root_dir={lab.root}", "--LabApp.expose_app_in_browser=True"]
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=home, env=environment)
        try:
            _wait_for(lab, process, home / "server.log")
            yield lab
        finally:
            process.terminate()  # the server ends its kernels
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"JupyterLab ended with {process.returncode}: {log.read_text()[-3000:]}")
        with contextlib.suppress(OSError):
            lab.ask("/api/status")
            return
        time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not answer within {_START_S} s: {log.read_text()[-3000:]}")


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """A notebook of these code cells."""
    document = nbformat.v4.new_notebook()
    document.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    document.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(document, path)
