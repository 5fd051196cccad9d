"""Versions of models and the references to them: one immutable folder per version, and a log of promotions.

A version is named ``<number>-<six hex digits of its content's hash>``. Two concurrent publishers may choose the same
number; their versions then differ in the digits, and neither is lost. Aliases such as ``champion`` are in
`onlineml.registry.promotions`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onlineml.errors import AlreadyExistsError, ConfigError, ConflictError, NotFoundError, StorageError
from onlineml.pages import markup
from onlineml.registry.promotions import ALIAS, AliasState, aliases, check_alias, default_author, promotion_history
from onlineml.storage import io
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = [
    "ModelVersion",
    "aliases",
    "content_digits",
    "default_author",
    "list_versions",
    "promote",
    "promotion_history",
    "publish_to",
    "publish_version",
    "resolve",
    "rollback",
]

DESCRIPTOR = "model.json"
_VERSION = re.compile(r"(\d+)-([0-9a-f]{6})")
_PREFIX = re.compile(r"\d+(-[0-9a-f]{0,6})?")
_ATTEMPTS = 16  # each further attempt means that another publisher had the same number and the same six digits (2^-24)


@dataclass(frozen=True)
class ModelVersion:
    """A published model.

    Attributes:
        url: its folder.
        version: its name, ``7-3fa9c1``; for a model outside a project, the folder's name.
        project_url: the project that it belongs to, or ``""``.
        storage_options: options of the filesystem; never shown or pickled.
    """

    url: str
    version: str
    project_url: str = ""
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False, compare=False, kw_only=True)

    def descriptor(self) -> dict[str, Any]:
        """Return the content of ``model.json``: architecture, class names, preprocessing, the data's hash and more."""
        url = io.join(self.url, DESCRIPTOR)
        try:
            value = json.loads(io.read_bytes(url, storage_options=self.storage_options))
        except ValueError as err:
            raise StorageError(f"{redacted(url)} is not JSON: {err}") from err
        if not isinstance(value, dict):
            raise StorageError(f"{redacted(url)} must contain a JSON object; found a {type(value).__name__}")
        return value

    def path(self, name: str) -> str:
        """Return the URL of one of the version's files."""
        return io.join(self.url, name)

    def __str__(self) -> str:
        return redacted(self.url)

    def _repr_html_(self) -> str:
        return markup("<b>{}</b> <code>{}</code>", self.version, redacted(self.url))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.url, self.version, self.project_url)


def content_digits(files: Mapping[str, bytes]) -> str:
    """Return the six hex digits in the name of the version that consists of these files."""
    content = hashlib.sha256()
    for name in sorted(files):
        content.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return content.hexdigest()[:6]


def publish_version(
    project_url: str,
    files: Mapping[str, bytes],
    *,
    descriptor: str = DESCRIPTOR,
    storage_options: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Publish a model as a project's next version; readers see all of its files or none.

    Args:
        project_url: the project.
        files: content by name, including the descriptor.
        descriptor: the file that is written last.
        storage_options: options of the filesystem.
    """
    digits = content_digits(files)
    models = io.join(project_url, "models")
    for _ in range(_ATTEMPTS):
        number = 1 + max(_numbers(models, storage_options), default=0)
        version = f"{number}-{digits}"
        url = io.join(models, version)
        try:
            io.publish(url, files, descriptor=descriptor, storage_options=storage_options)
        except AlreadyExistsError:
            continue
        return ModelVersion(url, version, project_url, storage_options=storage_options)
    raise StorageError(
        f"{redacted(models)}: all {_ATTEMPTS} attempts found an existing version of the same name; try again"
    )


def publish_to(
    url: str,
    files: Mapping[str, bytes],
    *,
    descriptor: str = DESCRIPTOR,
    storage_options: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Publish a model to any folder, outside a project.

    Raises:
        AlreadyExistsError: the folder contains a model.
    """
    io.publish(url, files, descriptor=descriptor, storage_options=storage_options)
    return ModelVersion(url.rstrip("/"), io.name(url), storage_options=storage_options)


def _numbers(models: str, storage_options: Mapping[str, Any] | None) -> set[int]:
    """Return the numbers in use, including those of incomplete versions."""
    folders = {info.path.partition("/")[0] for info in io.list_files(models, storage_options=storage_options)}
    return {int(match[1]) for folder in folders if (match := _VERSION.fullmatch(folder))}


def list_versions(project_url: str, *, storage_options: Mapping[str, Any] | None = None) -> list[ModelVersion]:
    """Return the project's versions in the order of their numbers."""
    models = io.join(project_url, "models")
    found = []
    for info in io.list_files(models, storage_options=storage_options):
        version, _, name = info.path.partition("/")
        if name == DESCRIPTOR and (match := _VERSION.fullmatch(version)):
            url = io.join(models, version)
            found.append((int(match[1]), ModelVersion(url, version, project_url, storage_options=storage_options)))
    return [version for _, version in sorted(found, key=lambda pair: (pair[0], pair[1].version))]


def resolve(
    ref: str | os.PathLike[str] | ModelVersion, *, storage_options: Mapping[str, Any] | None = None
) -> ModelVersion:
    """Find a published model.

    Args:
        ref: a version; a folder with ``model.json``; ``…/models/7`` if only one version has this number;
            ``<project>@champion`` or any other alias; ``<project>@7``.
        storage_options: options of the filesystem.

    Raises:
        NotFoundError: there is no such model, or more than one.
    """
    if isinstance(ref, ModelVersion):
        return ref
    url = str(ref).rstrip("/")
    if io.exists(io.join(url, DESCRIPTOR), storage_options=storage_options):
        in_project = io.name(io.parent(url)) == "models"
        project_url = io.parent(io.parent(url)) if in_project else ""
        return ModelVersion(url, io.name(url), project_url, storage_options=storage_options)
    project_url, at, name = url.rpartition("@")
    if at and "/" not in name:
        return _resolve_in(project_url, name, storage_options)
    if _PREFIX.fullmatch(io.name(url)) and io.name(io.parent(url)) == "models":
        return _resolve_in(io.parent(io.parent(url)), io.name(url), storage_options)
    raise NotFoundError(
        f"there is no model at {redacted(url)}; expected a folder with {DESCRIPTOR}, <project>/models/<number>, "
        "or <project>@<alias or number>"
    )


def _resolve_in(project_url: str, name: str, storage_options: Mapping[str, Any] | None) -> ModelVersion:
    versions = list_versions(project_url, storage_options=storage_options)
    wanted = name
    if ALIAS.fullmatch(name):
        known = aliases(project_url, storage_options=storage_options)
        if name not in known:
            raise NotFoundError(
                f"{redacted(project_url)} has no {name!r}; its aliases are {', '.join(known) or 'none yet'}; "
                "publish a model and promote it"
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
    raise NotFoundError(f"{redacted(project_url)} has {problem}")


def promote(
    project_url: str,
    version: str | int | ModelVersion,
    *,
    alias: str = "champion",
    replaces: str | ModelVersion | None = None,
    reason: str = "",
    author: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
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
    name = version.version if isinstance(version, ModelVersion) else str(version)
    if not _PREFIX.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a version of {redacted(project_url)}; expected a name such as '7' or '7-3fa9c1'"
        )
    state = AliasState(project_url, alias, storage_options=storage_options)
    chosen = _resolve_in(project_url, name, storage_options)
    now = state.versions[-1] if state.versions else ""
    expected = replaces.version if isinstance(replaces, ModelVersion) else replaces
    if expected is not None and expected != now:
        raise ConflictError(
            f"{redacted(project_url)}: expected {alias!r} to be {expected or 'nothing yet'}, but it is "
            f"{now or 'nothing yet'}; compare the two, and promote again if yours is better"
        )
    state.follow(event="promoted", version=chosen.version, reason=reason, author=author)
    return chosen


def rollback(
    project_url: str,
    *,
    alias: str = "champion",
    reason: str = "",
    author: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Point the alias to the version it referred to before; a second call goes back one more version.

    Raises:
        NotFoundError: there is no earlier version.
        ConflictError: another process promoted at the same moment.
    """
    check_alias(alias)
    state = AliasState(project_url, alias, storage_options=storage_options)
    if len(state.versions) < 2:
        now = state.versions[-1] if state.versions else "now"
        raise NotFoundError(f"{redacted(project_url)}: no version was {alias!r} before {now}")
    chosen = _resolve_in(project_url, state.versions[-2], storage_options)
    state.follow(event="rolled_back", version=chosen.version, reason=reason, author=author)
    return chosen
