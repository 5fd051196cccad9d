"""`release`: the export that devices fetch, in a folder that any web server or bucket can hand out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from onlineml.errors import NotFoundError, OnlineMLError
from onlineml.exporting import bundle
from onlineml.exporting.export import Export, load_export
from onlineml.registry.versions import EXPORT, ModelVersion, list_exports, resolve
from onlineml.storage import io
from onlineml.storage.codec import encode
from onlineml.storage.location import Location, Options, Url

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LATEST", "release"]

LATEST = "latest.json"
_FORMAT = 1  # of latest.json; edge/update.py knows it


def release(export: Export | ModelVersion | Url, url: Url, *, storage_options: Options = None) -> str:
    """Make an export the one that devices fetch with their ``update.py``.

    Its files are copied below the folder, under a name made of their hashes, and ``latest.json`` is pointed to them in
    one step. Releasing an earlier export again takes devices back to it.

    Args:
        export: what `onlineml.export` returned, its folder or zip, or a published version that was exported into its
            own folder, such as ``"s3://lab/butterflies@champion"``.
        url: a folder that devices can read, the same for all releases.
        storage_options: of the filesystem, for both.

    Returns:
        URL of ``latest.json``.

    Raises:
        NotFoundError: there is no such export.
        WeightsError: it is damaged.
    """
    at, version = _found(export, storage_options)
    described = load_export(at).described  # checks the graph and its hash
    names = bundle.names_of(described.runtime)
    files = bundle.reader(at)(names)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    deciding = (*bundle.GRAPHS[described.runtime], EXPORT)
    digits = hashlib.sha256("".join(hashes[name] for name in deciding).encode()).hexdigest()[:12]
    home = Location.of(url, storage_options).folder
    folder = home / f"model-{digits}"
    if not io.exists(folder / EXPORT):
        io.publish(folder, {**files, **bundle.programs()}, descriptor=EXPORT)
    else:  # as it was released before: a certificate measures other times each time
        files = bundle.reader(folder)(names)
    latest = {
        "format": _FORMAT,
        "version": version or described.source.rpartition("/")[2] or folder.name,
        "folder": folder.name,
        "files": _listed(files),
    }
    io.write_bytes(home / LATEST, encode(latest, indent=1))
    return (home / LATEST).url


def _listed(files: Mapping[str, bytes]) -> dict[str, dict[str, int | str]]:
    return {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()
    }


def _found(export: Export | ModelVersion | Url, options: Options) -> tuple[Location, str]:
    """Return where an export is, and the version that it is of, if that is how it was named."""
    if isinstance(export, Export):
        return export.location, ""
    if not isinstance(export, ModelVersion):
        at = Location.of(export, options).folder
        if bundle.exists(at):
            return at, ""
        try:
            export = resolve(at)
        except OnlineMLError as error:
            raise NotFoundError(f"there is no export at {at}, and no published model: {error}") from error
    exports = list_exports(export)
    if not exports:
        raise NotFoundError(f"{export} was not exported: call oml.export({str(export)!r}) first")
    return export.location.to(next(iter(exports.values()))), export.version
