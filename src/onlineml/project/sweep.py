"""Files that a project no longer needs: found, shown with sizes, and deleted.

Nothing that is referred to is found: no image, entry of a log, frozen dataset or published model, no file of a run that
is not finished, and no features of the backbone of a published model. What is younger than a day is spared as well,
because a writer may be at work on it, by the store's own clock.
"""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError, StorageError
from onlineml.pages import markup, table
from onlineml.registry import deletion, versions
from onlineml.storage import io
from onlineml.storage import local as local_files
from onlineml.storage.documents import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd

    from onlineml.project.project import Project
    from onlineml.storage.io import FileInfo

__all__ = ["Leftover", "Sweep", "sweep"]

_LEAST_S = 3600.0  # a slow upload of one file
_PROBES = re.compile(r"(?:.*/)?\.onlineml-(?:probe|doctor|sweep)-[0-9a-f]{16}")
_HEADER = ("kind", "path", "files", "size", "age", "reason")


@dataclass(frozen=True)
class Leftover:
    """Files that are no longer needed.

    Attributes:
        kind: ``"killed write"``, ``"killed publish"``, ``"deleted model"``, ``"probe"``, ``"checkpoint"`` or
            ``"features"``.
        path: the file or folder, relative to the project's folder.
        files: paths relative to the project's folder.
        size: bytes of all.
        age_s: seconds since the last change of any of them.
        reason: why it is not needed.
    """

    kind: str
    path: str
    files: tuple[str, ...]
    size: int
    age_s: float
    reason: str


@dataclass(frozen=True)
class Sweep:
    """Result of a search for files that a project no longer needs.

    Attributes:
        project: URL of the project.
        leftovers: what was found, by kind and path.
        deleted: whether it was deleted, too.
        notes: what could not be judged, and was spared.
    """

    project: str
    leftovers: tuple[Leftover, ...]
    deleted: bool
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all leftovers."""
        return sum(found.size for found in self.leftovers)

    def to_frame(self) -> pd.DataFrame:
        """One row per leftover."""
        import pandas as pd  # noqa: PLC0415

        rows = [(f.kind, f.path, len(f.files), f.size, f.age_s, f.reason) for f in self.leftovers]
        return pd.DataFrame(rows, columns=["kind", "path", "files", "size", "age_s", "reason"])

    def __str__(self) -> str:
        rows = [list(_HEADER), *self._rows()] if self.leftovers else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, self._summary(), *self.notes])

    def _repr_html_(self) -> str:
        head = markup("<b>{}</b>", self._summary())
        return table(head, _HEADER, self._rows(), foot="; ".join(self.notes))

    def _rows(self) -> list[list[str]]:
        return [
            [f.kind, f.path, f"{len(f.files):,}", _size(f.size), f"{f.age_s / 86400:.1f} days", f.reason]
            for f in self.leftovers
        ]

    def _summary(self) -> str:
        if not self.leftovers:
            return f"nothing to sweep in {self.project}"
        what = f"{count(sum(len(f.files) for f in self.leftovers), 'file')}, {_size(self.size)}"
        return f"deleted {what}" if self.deleted else f"{what} can be deleted: sweep(delete=True), or sweep --delete"


def sweep(project: Project, *, delete: bool, older_than_s: float) -> Sweep:
    """Find what a project no longer needs, and delete it if told so; see `Project.sweep`."""
    if not older_than_s >= _LEAST_S:
        raise ConfigError(
            f"older_than_s={older_than_s:g}: expected at least {_LEAST_S:g} seconds, as a writer may be at work on "
            "what is younger"
        )
    seen = _Seen(project, now=_store_time(project) if delete else time.time(), older_than_s=older_than_s)
    searches: tuple[Callable[[_Seen], Iterable[Leftover]], ...] = (_writes, _models, _checkpoints, _features)
    found = sorted((one for search in searches for one in search(seen)), key=lambda one: (one.kind, one.path))
    for one in found if delete else ():
        _delete(project, one)
    return Sweep(str(project.location), tuple(found), delete, tuple(seen.notes))


class _Seen:
    """The files of a project, and the rule about their age."""

    def __init__(self, project: Project, *, now: float, older_than_s: float) -> None:
        self.project = project
        self.notes: list[str] = []
        self.files = self._own(io.list_files(project.location))
        self.temporary = self._own(io.list_temporary(project.location))
        self._now, self._older_than_s = now, older_than_s

    def _own(self, files: Sequence[FileInfo]) -> list[FileInfo]:
        """Return the files that are not behind a link to another folder, of which nothing is deleted."""
        local = self.project.location.local
        links = () if local is None else local_files.links_above(local, [info.path for info in files])
        self.notes += [
            note for link in links if (note := f"{link} is a link: what is there is spared") not in self.notes
        ]
        return [info for info in files if not info.path.startswith(links)] if links else list(files)

    def folders(self, above: str) -> Iterator[tuple[str, dict[str, FileInfo]]]:
        """Yield each folder below one, with its files by their path in it."""
        found: dict[str, dict[str, FileInfo]] = defaultdict(dict)
        for info in self.files:
            if info.path.startswith(f"{above}/"):
                folder, _, path = info.path.removeprefix(f"{above}/").partition("/")
                found[f"{above}/{folder}"][path] = info
        yield from found.items()

    def old(self, kind: str, path: str, files: Sequence[FileInfo], reason: str) -> Iterator[Leftover]:
        """Yield a leftover if all its files are old; one whose time is unknown is not."""
        age_s = self._now - max((info.time for info in files), default=math.nan)
        if age_s >= self._older_than_s and not any(math.isnan(info.time) for info in files):
            size = sum(info.size for info in files)
            yield Leftover(kind, path, tuple(info.path for info in files), size, age_s, reason)


def _writes(seen: _Seen) -> Iterator[Leftover]:
    for info in seen.temporary:
        yield from seen.old("killed write", info.path, [info], "its writer was killed before the file was complete")
    for info in seen.files:
        if _PROBES.fullmatch(info.path):
            yield from seen.old("probe", info.path, [info], "the test of this storage was killed")


def _models(seen: _Seen) -> Iterator[Leftover]:
    for folder, files in seen.folders("models"):
        if not versions.is_version_name(folder.removeprefix("models/")):
            continue
        rest = [info for path, info in files.items() if path != versions.DELETED]
        if rest and versions.DELETED in files:
            yield from seen.old("deleted model", folder, rest, "the version was deleted")
        elif rest and versions.DESCRIPTOR not in files:
            yield from seen.old("killed publish", folder, rest, "its publisher was killed: no model.json")


def _checkpoints(seen: _Seen) -> Iterator[Leftover]:
    """Yield checkpoints of finished runs: nothing resumes them. The best and last of a callback's are kept."""
    held = {folder: files for folder, files in seen.folders("runs") if any(path.endswith(".ckpt") for path in files)}
    location = seen.project.location
    statuses = io.read_many([location / folder / "status.json" for folder in held])
    for files, status in zip(held.values(), statuses, strict=True):
        if isinstance(status, OSError) or _state(status) != "finished":
            continue
        for path, info in files.items():
            name = path.rpartition("/")[2]
            own = path == "last.ckpt" and "model/model.json" in files
            if name.endswith(".ckpt") and (own or not ("best" in name or "last" in name)):
                yield from seen.old("checkpoint", info.path, [info], "the run is finished")


def _state(status: bytes) -> Any:
    with contextlib.suppress(StorageError):
        return decoded(status, dict[str, Any], "a status").get("state")
    return None


def _features(seen: _Seen) -> Iterator[Leftover]:
    held = dict(seen.folders("features"))
    if not held:
        return
    try:
        known = {_key(version) for version in seen.project.models.list()}
    except Exception as error:  # noqa: BLE001 (a network that only its owner can build, a missing package)
        seen.notes.append(f"features are spared, because a published model cannot be loaded: {error}")
        return
    if held.keys() - {f"features/{key}" for key in known}:
        known.add(_key_of_any())
    for folder, files in held.items():
        if folder.removeprefix("features/") not in known:
            yield from seen.old("features", folder, list(files.values()), "no published model has this backbone")


def _key(version: versions.ModelVersion) -> str:
    """Return the name of the folder of a model's features; ``""`` for a model without."""
    from onlineml.tasks.loading import load_model  # noqa: PLC0415 (torch)
    from onlineml.training.features import backbone_key  # noqa: PLC0415

    model = load_model(version)
    try:
        return backbone_key(model)
    except ConfigError:  # no linear head
        return ""


def _key_of_any() -> str:
    """Return the name of the folder of the features of a project without a model, see `Project.features`."""
    from onlineml.training.embedding import embedder  # noqa: PLC0415 (torch)
    from onlineml.training.features import backbone_key  # noqa: PLC0415

    return backbone_key(embedder())


def _delete(project: Project, found: Leftover) -> None:
    if found.kind in {"killed publish", "deleted model"}:
        deletion.delete_files(project.location, found.path, found.files, reason=found.reason)
    else:
        io.delete_below(project.location, found.files)


def _store_time(project: Project) -> float:
    """Return the present time in seconds since 1970 by the store's clock: this machine's may be wrong."""
    name = f".onlineml-sweep-{secrets.token_hex(8)}"
    io.write_bytes(project.location / name, b"")
    try:
        own = [info.time for info in io.list_files(project.location, recursive=False) if info.path == name]
    finally:
        io.delete(project.location / name)
    return min([time.time(), *(one for one in own if not math.isnan(one))])


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:,.1f} kB"
