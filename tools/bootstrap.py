"""Runs nox on a machine that has nothing but Python: `python3 noxfile.py SESSION` calls `run`.

nox and uv go into a small virtual environment of their own, `.nox/bootstrap`; the machine itself is left as it is. Only
the standard library is used, also where Debian and Ubuntu split `ensurepip` off into a package of its own.
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
    shutil.rmtree(HOME, ignore_errors=True)
    if importlib.util.find_spec("ensurepip"):
        venv.create(HOME, with_pip=True)
        pip = [str(PYTHON), "-m", "pip"]
    else:
        pip = [str(PYTHON), str(_debian_pip())]  # found first: a failure must leave no half-made environment
        venv.create(HOME)
    environment = {**os.environ, **_certificates()}
    for requirements in (["pip"], REQUIREMENTS):
        subprocess.run(
            [*pip, "install", "--quiet", "--disable-pip-version-check", *requirements], env=environment, check=True
        )


def _debian_pip() -> Path:
    """The pip that Debian and Ubuntu keep for making environments."""
    found = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    return (found or list(_debian_package("python3-pip-whl").glob("usr/share/python-wheels/pip-*.whl")))[-1] / "pip"


def _certificates() -> dict[str, str]:
    """What pip needs where no certificate authorities are installed: Debian's pip brings none of its own."""
    if importlib.util.find_spec("ensurepip") or AUTHORITIES.exists():
        return {}
    bundle = ROOT / ".nox" / "debian" / "certificates.pem"
    parts = sorted(_debian_package("ca-certificates").glob("usr/share/ca-certificates/mozilla/*.crt"))
    bundle.write_bytes(b"".join(part.read_bytes() for part in parts))
    return {"PIP_CERT": str(bundle)}


def _debian_package(name: str) -> Path:
    """A folder with the files of a Debian package: downloaded and unpacked, not installed."""
    folder = ROOT / ".nox" / "debian" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if os.geteuid() == 0 and not list(Path("/var/lib/apt/lists").glob("*_InRelease")):  # as in a fresh container
        subprocess.run(["apt-get", "-qq", "update"], check=False)
    try:
        subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", name], cwd=folder, check=True)
        subprocess.run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(folder)], check=True)
    except (OSError, StopIteration, subprocess.CalledProcessError):
        sys.exit(
            f"This Python cannot make virtual environments with pip in them (it lacks ensurepip), and Debian's package "
            f"{name} could not be downloaded to help out.\nOn Debian or Ubuntu this mends it:\n\n"
            "    sudo apt-get update && sudo apt-get install -y python3-venv ca-certificates\n"
        )
    return folder


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
