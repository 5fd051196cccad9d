"""Everything that is run on this repository: `nox -s NAME`, or `python3 noxfile.py NAME` where nox is not installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

if __name__ == "__main__":
    from tools import bootstrap

    bootstrap.run(sys.argv[1:])

import nox
from nox.project import load_toml
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent
UV = find_uv_bin()
# The one environment that holds torch: it weighs gigabytes, so the sessions that need it share it.
TORCH = ROOT / ".nox" / "torch"

UNMARKED = ["-m", "not slow and not notebooks and not browser and not hub and not peers and not ray"]
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # a process: tests share the cores
BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}  # written, whatever the machine says: the tests start hundreds of processes

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "typecheck", "notebooks", "docs"]


def parallel(dist: str) -> list[str]:
    """As many tests at a time as there are cores."""
    return ["-n", str(min(os.cpu_count() or 1, 8)), "--dist", dist]


def install(session: nox.Session, home: Path, *arguments: str) -> None:
    """Installs into the environment at `home`, once for the same arguments and the same pyproject.toml."""
    state = hashlib.sha256(repr((arguments, sys.version)).encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = home / "installed.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return
    stamp.unlink(missing_ok=True)
    session.run(UV, "pip", "install", "--quiet", "--python", str(home), *arguments, external=True)
    stamp.write_text(state, encoding="utf-8")


def make(session: nox.Session, home: Path) -> None:
    """Makes an empty environment at `home` unless there is one that works."""
    if not (home / "bin" / "python").exists():
        session.run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(home), external=True)


def with_torch(session: nox.Session, program: str, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Runs a program where the library is installed with all that running, testing and type checking it need."""
    make(session, TORCH)
    if not (TORCH / "installed.txt").exists():
        session.log("installing torch and the rest into .nox/torch: some gigabytes, once")
    install(session, TORCH, "-e", ".[pretrained,transformers]", "--group", "test", "--group", "typecheck")
    path = f"{TORCH / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**BYTECODE, **(env or {}), "PATH": path, "VIRTUAL_ENV": str(TORCH)}
    session.run(str(TORCH / "bin" / program), *arguments, env=environment, external=True)


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Make a sample project in ./demo (or the folder given after --) and run the four notebooks on it."""
    with_torch(session, "python", "-m", "onlineml.cli.demo", *(session.posargs or ["demo"]))


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the tests, less the notebooks, the browser and those marked slow; arguments after -- go to pytest instead."""
    chosen = session.posargs or [*UNMARKED, *parallel("loadfile")]  # a file's tests share what they set up
    with_torch(session, "pytest", *chosen, env=None if session.posargs else ONE_THREAD)


@nox.session(venv_backend="none")
def typecheck(session: nox.Session) -> None:
    """Check the types, strictly."""
    with_torch(session, "mypy", *session.posargs)


@nox.session(venv_backend="none")
def notebooks(session: nox.Session) -> None:
    """Run the notebooks in a local folder, and under papermill on S3, as a scheduler would; `docs` runs their demo."""
    with_torch(
        session,
        "pytest",
        "-m",
        "notebooks and not slow",
        "-k",
        "not demonstration",
        "tests/test_notebooks.py",
        *(session.posargs or parallel("load")),
    )


@nox.session(venv_backend="none")
def ray(session: nox.Session) -> None:
    """Train, predict and evaluate on a Ray cluster of two nodes on this machine, and run jobs there."""
    with_torch(
        session,
        "pytest",
        "-m",
        "ray and not slow",
        "-W",
        "default",  # Ray has warnings of its own
        "tests/cluster",
        "tests/test_docs.py",
        *session.posargs,
        env=ONE_THREAD,
    )


def debian(session: nox.Session, **programs: str) -> None:
    """Installs Debian's packages of these programs where they are missing and this is root's machine."""
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if missing and shutil.which("apt-get") is not None and os.geteuid() == 0:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        session.run("apt-get", "-qq", "update", external=True)
        command = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing, "fonts-dejavu-core"]
        session.run(*command, env=quiet, external=True)


def npm(session: nox.Session, home: Path, package: str) -> None:
    """Installs a package of npm into a folder."""
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home)]
    session.run(*command, package, external=True)


@nox.session(venv_backend="none")
def browser(session: nox.Session) -> None:
    """Click in JupyterLab, in Debian's Chromium, which is installed where it is missing; pictures go to .browser/.

    Where there is npm, axe-core looks at every widget too.
    """
    debian(session, chromium="chromium")
    script = ROOT / ".nox" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if shutil.which("npm") and not script.exists():
        npm(session, ROOT / ".nox" / "axe", "axe-core@4")
    env = {"ONLINEML_AXE": str(script)} if script.exists() else None
    with_torch(session, "pytest", "-m", "browser", "tests/browser", *session.posargs, env=env)


@nox.session(venv_backend="none")
def formats(session: nox.Session) -> None:
    """Compare the annotation formats with datumaro and supervision, which have an environment of their own."""
    home = ROOT / ".nox" / "formats"
    make(session, home)
    install(session, home, "datumaro", "supervision")
    peers = {"ONLINEML_PEERS": str(home / "bin" / "python")}
    with_torch(session, "pytest", "-m", "peers", "tests/data/formats/test_peer_formats.py", *session.posargs, env=peers)


@nox.session(venv_backend="none")
def loggers(session: nox.Session) -> None:
    """Train with TensorBoard, MLflow, W&B offline and Optuna, whose packages have an environment of their own."""
    home = ROOT / ".nox" / "loggers"
    make(session, home)
    packages = ("tensorboard", "mlflow-skinny", "sqlalchemy", "alembic", "wandb", "optuna", "optuna-integration")
    install(session, home, *packages)
    (found,) = home.glob("lib/python*/site-packages")
    peers = {"ONLINEML_LOGGERS": str(found)}  # what torch's environment has goes first
    with_torch(session, "pytest", "-m", "peers", "tests/training/test_loggers.py", *session.posargs, env=peers)


@nox.session(venv_backend="none")
def hub(session: nox.Session) -> None:
    """Start JupyterHub as its page in the documentation says, and have two people click there; npm brings its proxy."""
    debian(session, chromium="chromium", npm="npm")
    home = ROOT / ".nox" / "hub"
    make(session, home)
    install(session, home, "--group", "hub")
    if not (home / "node_modules" / ".bin" / "configurable-http-proxy").exists():
        npm(session, home, "configurable-http-proxy@5")
    # Users' servers need torch as well: what is not found here is found there.
    (packages,) = home.glob("lib/python*/site-packages")
    others = TORCH / packages.relative_to(home)
    (packages / "torch.pth").write_text(f"import site; site.addsitedir({str(others)!r})\n", encoding="utf-8")
    with_torch(session, "pytest", "-m", "hub", "tests/browser", *session.posargs, env={"ONLINEML_HUB": str(home)})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting; `-- --fix` mends what can be mended."""
    install(session, Path(session.virtualenv.location), "--group", "lint")
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("nbstripout", "--keep-id", "--verify", *map(str, sorted(Path("notebooks").glob("*.ipynb"))))


@nox.session
def docs(session: nox.Session) -> None:
    """Run and test the demonstration, and build the documentation with it into docs/_build/html; a warning fails."""
    shutil.rmtree(ROOT / "docs" / "_build" / "demo", ignore_errors=True)
    shown = {"ONLINEML_DEMO": str(ROOT / "docs" / "_build" / "demo")}
    chosen = ["-m", "notebooks and not slow", "-k", "demonstration", "tests/test_notebooks.py"]
    with_torch(session, "pytest", *chosen, env=shown)
    install(session, Path(session.virtualenv.location), "--group", "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session(venv_backend="none")
def pictures(session: nox.Session) -> None:
    """Make the documentation's pictures of the widgets anew, after `docs`, in Debian's Chromium."""
    debian(session, chromium="chromium")
    with_torch(session, "python", "docs/pictures.py")


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the tests with the lowest version of everything that pyproject.toml allows."""
    home = Path(session.virtualenv.location)
    install(session, home, "--resolution", "lowest-direct", "-e", ".", "--group", "test")
    session.run("pytest", *(session.posargs or [*UNMARKED, *parallel("loadfile")]), env={**BYTECODE, **ONE_THREAD})


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist into dist/, look into them and import what the wheel holds."""
    install(session, Path(session.virtualenv.location), "twine")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run(UV, "build", "--quiet", external=True)
    session.run("twine", "check", "--strict", *map(str, Path("dist").glob("onlineml-*")))
    wheel, sdist = next(Path("dist").glob("*.whl")), next(Path("dist").glob("*.tar.gz"))
    names = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    expected = {"onlineml/py.typed", *(f"onlineml/notebooks/{path.name}" for path in Path("notebooks").glob("*.ipynb"))}
    expected |= {path.relative_to("src").as_posix() for path in Path("src").glob("onlineml/*/templates/*")}
    missing = (expected - names) | ({"LICENSE", "README.md", "noxfile.py", "tools/bootstrap.py"} - packed)
    strays = {name for name in names if not name.startswith(("onlineml/", "onlineml-"))}
    if missing or strays or not any(name.endswith("/licenses/LICENSE") for name in names):
        session.error(f"missing: {sorted(missing)}; strays in the wheel: {sorted(strays)}; or the licence is missing")
    unpacked = Path(session.create_tmp()) / "wheel"
    session.run(UV, "pip", "install", "--quiet", "--no-deps", "--target", str(unpacked), str(wheel), external=True)
    session.run("python", "-I", "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r}); import onlineml")


@nox.session(venv_backend="none")
def benchmarks(session: nox.Session) -> None:
    """Run a race: `-- NAME [--json PATH] [--seconds S] [--seeds N] [--data DIR]`.

    A race names its peers in its first lines (PEP 723). They get an environment of their own, never ours; its Python is
    in ONLINEML_PEERS_PYTHON.
    """
    races = sorted(path.stem for path in Path("benchmarks").glob("*.py") if not path.stem.startswith("_"))
    name, *arguments = session.posargs or [""]
    if name not in races:
        session.error(f"there is no race {name!r}; there are: {', '.join(races) or 'none yet'}")
    environment = {}
    if peers := load_toml(f"benchmarks/{name}.py", missing_ok=True).get("dependencies", []):
        home = ROOT / ".nox" / f"peers-{name}"
        make(session, home)
        install(session, home, *peers)
        environment["ONLINEML_PEERS_PYTHON"] = str(home / "bin" / "python")
    with_torch(session, "python", f"benchmarks/{name}.py", *arguments, env=environment)
