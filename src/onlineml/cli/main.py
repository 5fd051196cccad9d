"""The command line: ``onlineml demo | notebooks | run | jobs | export | release | serve | doctor | sweep``."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from onlineml import __version__
from onlineml.cli.export import add_export
from onlineml.cli.serve import add_serve
from onlineml.errors import AlreadyExistsError, ConfigError, OnlineMLError, without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.jobs.project_jobs import ProjectJobs

__all__ = ["EXIT_CODES", "main"]

EXIT_CODES = "Exit codes: 0 success, 1 failure, 2 wrong usage, 128 + n stopped by signal n (130: Ctrl+C)."
_SIGPIPE = 13  # not in `signal` on Windows
_USAGE = 2  # argparse's exit code for wrong usage
_CONSTANTS = {"true": True, "false": False, "none": None}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code, see `EXIT_CODES`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parser().parse_args(given[:1] if given[:1] == ["demo"] else given)
    try:
        code = int(chosen.command(given[1:] if chosen.name == "demo" else chosen))
        sys.stdout.flush()
    except (OnlineMLError, PermissionError, ImportError) as error:
        sys.stderr.write(f"onlineml {chosen.name}: {without_credentials(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"onlineml {chosen.name}: interrupted\n")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of the output, such as head, has ended
        with contextlib.suppress(OSError, ValueError):  # without a file of its own in tests
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + _SIGPIPE
    return code


class _Parser(argparse.ArgumentParser):
    """A parser whose messages quote no credentials of URLs."""

    def error(self, message: str) -> NoReturn:
        super().error(without_credentials(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="onlineml",
        description="Build, improve, test and evaluate image models on photos in a bucket.",
        epilog=EXIT_CODES,
    )
    version = f"onlineml {__version__} (Python {sys.version.split()[0]})"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="make sample photos, run the notebooks and print a summary", add_help=False)
    demo.set_defaults(command=_demo)

    notebooks = commands.add_parser("notebooks", help="copy the guided notebooks into a folder")
    notebooks.add_argument("folder", help="the target folder; modified notebooks in it are kept")
    notebooks.add_argument("--force", action="store_true", help="overwrite modified notebooks")
    notebooks.set_defaults(command=_notebooks)
    _add_run(commands)
    _add_jobs(commands)
    add_export(commands)
    add_serve(commands)
    _add_upkeep(commands)
    return parser


_Commands = Any  # argparse's own type has no public name


def _add_run(commands: _Commands) -> None:
    run = commands.add_parser(
        "run",
        help="run a notebook unattended, with a record of how it ended",
        epilog="Exit code: 0 completed, 1 failed, 128 + n stopped by signal n.",
    )
    run.add_argument("notebook", help="the name of a guided notebook, such as 1_build, a path or a URL")
    run.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="value of one of its parameters: JSON, true, false, none or text; may be repeated (default: its own)",
    )
    run.add_argument("--output", help="path or URL of the executed notebook (default: in the run's folder)")
    run.add_argument("--record", help="folder of the run's record (default: a new one in the project's runs)")
    run.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="time limit of the whole notebook (default: none)"
    )
    run.add_argument("--kernel", default="", help="name of the kernel (default: the notebook's)")
    run.set_defaults(command=_run)


def _add_jobs(commands: _Commands) -> None:
    jobs = commands.add_parser("jobs", help="list a project's background runs, or manage one")
    jobs.add_argument("project", help="path or URL of the project")
    jobs.add_argument("id", nargs="?", help="a job's id or a unique prefix: show its state and the end of its log")
    jobs.add_argument("--lines", type=int, default=20, help="number of log lines (default: 20)")
    one = jobs.add_mutually_exclusive_group()
    one.add_argument("--watch", action="store_true", help="show its output until it ends")
    one.add_argument("--cancel", action="store_true", help="request a stop; a training stores a checkpoint first")
    one.add_argument("--resume", action="store_true", help="continue from its last checkpoint, on this machine")
    one.add_argument("--resume-lost", action="store_true", help="continue every lost job, on this machine")
    jobs.add_argument("--trust", action="store_true", help="when resuming: also run code that a job's record names")
    jobs.set_defaults(command=_jobs)


def _add_upkeep(commands: _Commands) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="check this installation, this machine and a storage, with remedies",
        epilog="Exit code: 1 if there is a problem.",
    )
    doctor.add_argument("url", nargs="?", help="a project, folder or bucket to check, including write access")
    doctor.set_defaults(command=_doctor)

    sweep = commands.add_parser(
        "sweep", help="list what a project no longer needs, with sizes, and delete it if told so", epilog=EXIT_CODES
    )
    sweep.add_argument("project", help="path or URL of the project")
    sweep.add_argument("--delete", action="store_true", help="delete what is listed (default: only list it)")
    sweep.add_argument(
        "--older-than", type=float, default=24.0, metavar="HOURS", help="spare what is younger (default: 24 hours)"
    )
    sweep.set_defaults(command=_sweep)


def _demo(arguments: Sequence[str]) -> int:
    from onlineml.cli import demo  # noqa: PLC0415 (each command loads what it needs)

    demo.main(list(arguments))
    return 0


def _notebooks(chosen: argparse.Namespace) -> int:
    from onlineml.jobs.notebooks import notebooks_folder  # noqa: PLC0415

    if "://" in chosen.folder:
        raise ConfigError(f"{chosen.folder}: expected a folder of this machine, as Jupyter opens them there")
    target, refused = Path(chosen.folder).expanduser(), []
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(notebooks_folder().glob("*.ipynb")):
        place, data = target / source.name, source.read_bytes()
        if place.exists() and place.read_bytes() != data and not chosen.force:
            refused.append(source.name)
            continue
        place.write_bytes(data)
        sys.stdout.write(f"{place}\n")
    if refused:
        sys.stderr.write(
            f"not overwritten, because modified: {', '.join(refused)}; choose another folder or use --force\n"
        )
    return 1 if refused else 0


def _run(chosen: argparse.Namespace) -> int:
    from onlineml.jobs.launch import checked  # noqa: PLC0415
    from onlineml.jobs.notebooks import NOTEBOOKS, own_notebook, parameters_of  # noqa: PLC0415
    from onlineml.project.project import Project  # noqa: PLC0415
    from onlineml.runs.run import new_run_id  # noqa: PLC0415
    from onlineml.storage import io  # noqa: PLC0415
    from onlineml.storage.urls import redacted  # noqa: PLC0415
    from onlineml.worker.process import run_here  # noqa: PLC0415

    parameters = {name: _value(text) for name, text in chosen.parameters}
    known = parameters_of(chosen.notebook)
    _check_parameters(parameters, known, chosen.notebook)
    project = parameters.get("project_url", known.get("project_url"))
    own = own_notebook(chosen.notebook)
    if own is not None and own.stem != NOTEBOOKS[0] and not Path(chosen.notebook).exists():
        Project.open(str(project))  # only the first one creates it; a wrong URL must not leave a record behind
    record = chosen.record or io.join(str(project or "."), "runs", new_run_id())
    arguments = {
        "notebook": chosen.notebook,
        "parameters": parameters,
        "output": chosen.output,
        "kernel": chosen.kernel,
        "timeout_s": chosen.timeout,
    }
    code = run_here(record, function="notebook", arguments=checked("notebook", arguments))
    sys.stdout.write(f"record: {redacted(record)}\n")
    return code


def _check_parameters(given: Mapping[str, Any], known: Mapping[str, Any], notebook: str) -> None:
    """Refuse parameters that the notebook does not have, before anything is written.

    Raises:
        ConfigError: with the nearest names.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            raise ConfigError(f"{notebook} has no parameter {name!r}; {meant}It has {', '.join(known) or 'none'}")


def _value(text: str) -> Any:
    """Parse a parameter: true, false, none, JSON, else text."""
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text


def _jobs(chosen: argparse.Namespace) -> int:
    from onlineml.jobs.project_jobs import ProjectJobs  # noqa: PLC0415

    jobs = ProjectJobs(chosen.project)
    if chosen.resume_lost:
        return _resume_lost(jobs, trust=chosen.trust)
    if chosen.id is None:
        if chosen.watch or chosen.cancel or chosen.resume:
            sys.stderr.write("onlineml jobs: --watch, --cancel and --resume need the id of a job\n")
            return _USAGE
        sys.stdout.write(f"{jobs.list()}\n")
        return 0
    job = jobs.get(chosen.id)
    if chosen.cancel:
        job.cancel()
        job.wait(60)
    elif chosen.resume:
        job.resume(trust=chosen.trust)
    elif chosen.watch:
        job.watch()
    status = job.status()
    log = "" if chosen.watch else job.tail(chosen.lines)
    sys.stdout.write(f"{log}\n{status}\n" if log else f"{status}\n")
    return 1 if status.state in {"failed", "lost"} else 0


def _resume_lost(jobs: ProjectJobs, *, trust: bool) -> int:
    """Resume lost jobs, except those that somebody else resumes at the same moment."""
    failed = False
    for lost in (status for status in jobs.list() if status.state == "lost"):
        try:
            jobs.get(lost.id).resume(trust=trust)
        except AlreadyExistsError:
            continue
        except OnlineMLError as error:
            sys.stderr.write(f"onlineml jobs: {error}\n")
            failed = True
        else:
            sys.stdout.write(f"resumed {lost.id}\n")
    return int(failed)


def _doctor(chosen: argparse.Namespace) -> int:
    from onlineml.cli.doctor import check_all, report  # noqa: PLC0415

    findings = check_all(chosen.url)
    sys.stdout.write(f"{report(findings)}\n")
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def _sweep(chosen: argparse.Namespace) -> int:
    from onlineml.project.project import Project  # noqa: PLC0415

    project = Project.open(chosen.project)
    swept = project.sweep(delete=chosen.delete, older_than_s=3600.0 * chosen.older_than)
    sys.stdout.write(f"{swept}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
