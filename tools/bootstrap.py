"""Runs nox on a machine that has nothing but Python: `python3 noxfile.py SESSION` calls `run`.

nox and uv go into a small virtual environment of their own, `.nox/bootstrap`; the machine itself is left as it is.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".nox" / "bootstrap"
PYTHON = HOME / "bin" / "python"
REQUIREMENTS = ("nox[uv]>=2025.2.9",)  # sessions that share an environment; uv builds the environments
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")  # Debian's and Ubuntu's, with those that the owner has added
# uv reads no pip settings: these are handed on, so that a machine that installs from a mirror goes on doing so.
FROM_PIP = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}


def run(arguments: list[str]) -> None:
    """Replaces this process by nox with these arguments; a word without a dash in front is a session."""
    if sys.version_info < (3, 11):  # noqa: UP036 - who comes with an older one is told so
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"onlineml needs Python 3.11 or newer; this is {version}. Try: python3.12 noxfile.py {' '.join(arguments)}"
        )
    done = HOME / "installed.txt"
    if not done.exists() or done.read_text(encoding="utf-8") != str(REQUIREMENTS):
        print(f"Installing nox and uv into {HOME.relative_to(ROOT)} ...", flush=True)
        _install()
        done.write_text(str(REQUIREMENTS), encoding="utf-8")
    options = arguments if not arguments or arguments[0].startswith("-") else ["--sessions", *arguments]
    command = [str(PYTHON), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *(options or ["--list"])]
    environment = {**_pip_settings(), "UV_PYTHON_DOWNLOADS": "never", **os.environ}
    os.execve(command[0], command, environment)


def _install() -> None:
    if not importlib.util.find_spec("ensurepip"):  # Debian and Ubuntu split it off into a package of its own
        sys.exit(
            "This Python cannot make virtual environments (it lacks ensurepip). On Debian or Ubuntu, install the "
            "package python3-venv:\n\n    sudo apt-get update && sudo apt-get install -y python3-venv\n"
        )
    shutil.rmtree(HOME, ignore_errors=True)
    venv.create(HOME, with_pip=True)
    for requirements in (["pip"], REQUIREMENTS):
        subprocess.run(
            [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], check=True
        )


def _pip_settings() -> dict[str, str]:
    """Where pip is told to install from and whom to trust, as uv wants to hear it."""
    listing = subprocess.run([str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    found = {"SSL_CERT_FILE": str(AUTHORITIES)} if AUTHORITIES.exists() else {}  # pip trusts these by itself
    for line in listing.stdout.splitlines():
        key, _, value = line.partition("=")
        name = FROM_PIP.get(key.rpartition(".")[2])
        if name and value:
            found[name] = shlex.split(value)[0]
    return found
