"""Versions of models and the references to them: one immutable folder per version, and a log of promotions.

A version is named ``<number>-<six hex digits of its content's hash>``. Two concurrent publishers may choose the same
number; their versions then differ in the digits, and neither is lost. Aliases such as ``champion`` are in
`onlineml.registry.promotions`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.arguments.similar import valid_names
from onlineml.errors import AlreadyExistsError, ConfigError, ConflictError, NotFoundError, StorageError
from onlineml.pages import markup
from onlineml.registry.promotions import ALIAS, AliasState, aliases, check_alias, default_author, promotion_history
from onlineml.storage import io
from onlineml.storage.documents import read_json
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DELETED",
    "DESCRIPTOR",
    "EXPORT",
    "ModelVersion",
    "aliases",
    "content_digits",
    "default_author",
    "is_version_name",
    "list_exports",
    "list_versions",
    "promote",
    "promotion_history",
    "publish_to",
    "publish_version",
    "resolve",
    "rollback",
]

DESCRIPTOR = "model.json"
EXPORT = "export.json"  # written last, as a version's descriptor
DELETED = "deleted.json"  # a version with this file does not exist; it keeps the number in use
_VERSION = re.compile(r"(\d+)-([0-9a-f]{6})")
_PREFIX = re.compile(r"\d+(-[0-9a-f]{0,6})?")
_ATTEMPTS = 16  # each further attempt means that another publisher had the same number and the same six digits (2^-24)


@dataclass(frozen=True, eq=False)
class ModelVersion:
    """A published model; versions with the same URL are equal, whatever options open them.

    Attributes:
        location: its folder; its options are never shown or pickled.
        version: its name, ``7-3fa9c1``; for a model outside a project, the folder's name.
        project_url: the project that it belongs to, or ``""``.
    """

    location: Location
    version: str
    project_url: str = ""

    @property
    def url(self) -> str:
        """Its folder."""
        return self.location.url

    def descriptor(self) -> dict[str, Any]:
        """Return the content of ``model.json``: architecture, class names, preprocessing, the data's hash and more."""
        return read_json(self.location / DESCRIPTOR)

    def path(self, name: str) -> str:
        """Return the URL of one of the version's files."""
        return (self.location / name).url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelVersion) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __str__(self) -> str:
        return str(self.location)

    def __repr__(self) -> str:
        return f"ModelVersion({str(self)!r})"

    def _repr_html_(self) -> str:
        return markup("<b>{}</b> <code>{}</code>", self.version, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.location, self.version, storable(self.project_url))


def content_digits(files: Mapping[str, bytes]) -> str:
    """Return the six hex digits in the name of the version that consists of these files."""
    content = hashlib.sha256()
    for name in sorted(files):
        content.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return content.hexdigest()[:6]


def publish_version(project: Url, files: Mapping[str, bytes], *, descriptor: str = DESCRIPTOR) -> ModelVersion:
    """Publish a model as a project's next version; readers see all of its files or none.

    The same files again are the same version: a publish that was killed may be repeated.

    Args:
        project: its folder.
        files: content by name, including the descriptor.
        descriptor: the file that is written last.
    """
    digits = content_digits(files)
    folder = Location.of(project)
    models = folder / "models"
    for _ in range(_ATTEMPTS):
        for known in list_versions(folder):
            same = known.version.endswith(f"-{digits}")
            if same and io.read_bytes(known.location / descriptor) == files[descriptor]:
                return known
        number = 1 + max(_numbers(models), default=0)
        version = f"{number}-{digits}"
        try:
            io.publish(models / version, files, descriptor=descriptor)
        except AlreadyExistsError:
            continue
        if not io.exists(models / version / DELETED):  # as one that nobody had worked on for a day
            return ModelVersion(models / version, version, folder.url)
    raise StorageError(f"{models}: all {_ATTEMPTS} attempts found an existing version of the same name; try again")


def publish_to(url: Url, files: Mapping[str, bytes], *, descriptor: str = DESCRIPTOR) -> ModelVersion:
    """Publish a model to any folder, outside a project.

    Raises:
        AlreadyExistsError: the folder contains a model.
    """
    folder = Location.of(url).folder
    io.publish(folder, files, descriptor=descriptor)
    return ModelVersion(folder, folder.name)


def is_version_name(name: str) -> bool:
    """Return whether a folder's name is that of a version."""
    return _VERSION.fullmatch(name) is not None


def _numbers(models: Location) -> set[int]:
    """Return the numbers in use, including those of incomplete versions."""
    folders = {info.path.partition("/")[0] for info in io.list_files(models)}
    return {int(match[1]) for folder in folders if (match := _VERSION.fullmatch(folder))}


def list_versions(project: Url) -> list[ModelVersion]:
    """Return the versions of the project in a folder, in the order of their numbers."""
    folder = Location.of(project)
    models = folder / "models"
    found = []
    parts = [info.path.partition("/") for info in io.list_files(models)]
    deleted = {version for version, _, name in parts if name == DELETED}
    for version, _, name in parts:
        if name == DESCRIPTOR and version not in deleted and (match := _VERSION.fullmatch(version)):
            found.append((int(match[1]), ModelVersion(models / version, version, folder.url)))
    return [version for _, version in sorted(found, key=lambda pair: (pair[0], pair[1].version))]


def list_exports(version: ModelVersion) -> dict[str, str]:
    """Map the format of each complete export of a version to its folder."""
    folder = version.location / "exports"
    parts = [info.path.partition("/") for info in io.list_files(folder)]
    return {format_: (folder / format_).url for format_, _, name in sorted(parts) if name == EXPORT}


def resolve(ref: Url | ModelVersion) -> ModelVersion:
    """Find a published model.

    Args:
        ref: a version; a folder with ``model.json``; ``…/models/7`` if only one version has this number;
            ``<project>@champion`` or any other alias; ``<project>@7``.

    Raises:
        NotFoundError: there is no such model, or more than one.
    """
    if isinstance(ref, ModelVersion):
        return ref
    folder = Location.of(ref).folder
    in_project = folder.parent.name == "models"
    if io.exists(folder / DESCRIPTOR):
        return ModelVersion(folder, folder.name, folder.parent.parent.url if in_project else "")
    project_url, at, name = folder.url.rpartition("@")
    if at and "/" not in name:
        return _resolve_in(folder.to(project_url), name)
    if in_project and _PREFIX.fullmatch(folder.name):
        return _resolve_in(folder.parent.parent, folder.name)
    raise NotFoundError(
        f"there is no model at {folder}; expected a folder with {DESCRIPTOR}, <project>/models/<number>, "
        "or <project>@<alias or number>"
    )


def _resolve_in(project: Location, name: str) -> ModelVersion:
    versions = list_versions(project)
    if not versions and not io.exists(project / "project.json"):
        raise NotFoundError(f"{project} contains no project, and so no {name!r}; check the path")
    wanted = name
    if ALIAS.fullmatch(name):
        known = aliases(project)
        if name not in known:
            raise NotFoundError(
                f"{project} has no {name!r}; its aliases: {valid_names(name, known)}; publish a model and promote it"
            )
        wanted = known[name]
    matches = [version for version in versions if wanted in {version.version, version.version.partition("-")[0]}]
    if not matches and _PREFIX.fullmatch(wanted) and "-" in wanted:
        matches = [version for version in versions if version.version.startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(version.version for version in matches or versions) or "none yet"
    problem = (
        f"several models {wanted!r}: {names}; give one's full name" if matches else f"no {wanted!r}; it has {names}"
    )
    raise NotFoundError(f"{project} has {problem}")


def promote(
    project_url: Url,
    version: str | int | ModelVersion,
    *,
    alias: str = "champion",
    replaces: str | ModelVersion | None = None,
    reason: str = "",
    author: str | None = None,
    storage_options: Options = None,
) -> ModelVersion:
    """Point an alias to a version, by adding a record to the promotion log.

    Args:
        project_url: the project.
        version: a version of the project, its name or its number.
        alias: lower-case letters, digits, ``-`` and ``_``, starting with a letter.
        replaces: promote only if the alias still refers to this version (``""``: to none), which the caller should set
            to the version it compared with; None replaces whatever version it refers to when the call begins.
        reason: reason of the promotion, as free text.
        author: author of the promotion; by default the user of the hub or the machine.
        storage_options: options of the filesystem.

    Raises:
        ConflictError: the alias refers to another version than `replaces`, or another process promoted at the same
            moment.
    """
    check_alias(alias)
    project = Location.of(project_url, storage_options)
    name = version.version if isinstance(version, ModelVersion) else str(version)
    if not _PREFIX.fullmatch(name):
        raise ConfigError(f"{name!r} is not a version of {project}; expected a name such as '7' or '7-3fa9c1'")
    state = AliasState(project, alias)
    chosen = _resolve_in(project, name)
    now = state.versions[-1] if state.versions else ""
    expected = replaces.version if isinstance(replaces, ModelVersion) else replaces
    if expected is not None and expected != now:
        raise ConflictError(
            f"{project}: expected {alias!r} to be {expected or 'nothing yet'}, but it is "
            f"{now or 'nothing yet'}; compare the two, and promote again if yours is better"
        )
    state.follow(event="promoted", version=chosen.version, reason=reason, author=author)
    if io.exists(chosen.location / DELETED):
        if now:
            AliasState(project, alias).follow(event="rolled_back", version=now, reason="it was deleted", author=author)
        raise ConflictError(f"{chosen.version} was deleted by another process at the same moment; promote another one")
    return chosen


def rollback(project: Url, *, alias: str = "champion", reason: str = "", author: str | None = None) -> ModelVersion:
    """Point the alias to the version it referred to before; a second call goes back one more version.

    Deleted versions are passed over.

    Raises:
        NotFoundError: there is no earlier version.
        ConflictError: another process promoted at the same moment.
    """
    check_alias(alias)
    folder = Location.of(project)
    state = AliasState(folder, alias)
    there = {version.version: version for version in list_versions(folder)} if len(state.versions) > 1 else {}
    earlier = [there[name] for name in state.versions[:-1] if name in there]
    if not earlier:
        now = state.versions[-1] if state.versions else "now"
        raise NotFoundError(f"{folder}: no version was {alias!r} before {now}")
    chosen = earlier[-1]
    state.follow(event="rolled_back", version=chosen.version, reason=reason, author=author)
    return chosen
