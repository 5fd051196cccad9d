"""Files of an export: in a folder on any storage, or in one zip; with the programs that run it on a device."""

from __future__ import annotations

import io as buffers
import zipfile
from importlib import resources
from typing import TYPE_CHECKING

from onlineml.errors import NotFoundError, StorageError
from onlineml.registry.versions import EXPORT
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onlineml.storage.location import Location

__all__ = ["CERTIFICATE", "GRAPHS", "PROGRAMS", "exists", "names_of", "programs", "publish", "reader"]

# of each format, the files that answer: the graph and, if they are not within it, its weights
GRAPHS = {"onnx": ("model.onnx",), "onnx-int8": ("model.onnx",), "openvino": ("model.xml", "model.bin")}
CERTIFICATE = "certificate.json"
PROGRAMS = (
    "photos.py",
    "predict.py",
    "runtime.py",
    "update.py",
)  # run where nothing of onlineml is: copied, never imported
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can name
_MODE = 0o100644  # a plain file that everybody may read


def names_of(format: str) -> tuple[str, ...]:  # noqa: A002 - what every exporter calls it
    """Return the names of the files of an export, besides the programs."""
    return (*GRAPHS[format], EXPORT, CERTIFICATE, "certificate.html", "README.md")


def programs() -> dict[str, bytes]:
    """Return the content of the `PROGRAMS`, by file name."""
    folder = resources.files("onlineml.exporting") / "edge"
    return {name: (folder / name).read_bytes() for name in PROGRAMS}


def exists(at: Location) -> bool:
    """Return whether there is an export in a folder, or a zip."""
    return io.exists(at if _is_zip(at) else at / EXPORT)


def publish(at: Location, files: Mapping[str, bytes]) -> None:
    """Write an export with its programs; readers see all of it or nothing.

    Args:
        at: a folder, or a file whose name ends in ``.zip``.
        files: content of the files `names_of` its format.

    Raises:
        AlreadyExistsError: there is one already.
    """
    together = {**files, **programs()}
    if _is_zip(at):
        io.create_bytes(at, _zipped(together))
    else:
        io.publish(at, together, descriptor=EXPORT)


def reader(at: Location) -> Callable[[Sequence[str]], dict[str, bytes]]:
    """Return a function that returns the content of files of an export, by name; a zip is fetched once.

    The function raises:
        NotFoundError: there is no export, or a file of it is missing.
        StorageError: the zip is damaged, or was not written by `publish`.
    """
    if not _is_zip(at):
        return lambda names: {name: io.read_bytes(at / name) for name in names}
    content = io.read_bytes(at)
    return lambda names: _members(at, content, names)


def _members(at: Location, content: bytes, names: Sequence[str]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(buffers.BytesIO(content)) as archive:
            members = {one.filename: one for one in archive.infolist()}
            if missing := [name for name in names if name not in members]:
                raise NotFoundError(f"{at} has no {missing[0]}; expected a zip that oml.export wrote")
            if any(members[name].compress_type != zipfile.ZIP_STORED for name in names):
                raise StorageError(
                    f"{at} was not written by oml.export, which does not compress; export the model again"
                )
            return {name: archive.read(members[name]) for name in names}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        raise StorageError(f"{at} is no zip, or damaged: {error}; export the model again") from error


def _is_zip(at: Location) -> bool:
    return at.name.lower().endswith(".zip")


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip that depends on the files alone: no times, no compression, whose output differs between releases."""
    content = buffers.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = 3, _MODE << 16  # as on Unix, wherever it is written
            archive.writestr(info, files[name])
    return content.getvalue()
