"""The base of the classes of which `Manifest` is composed."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from onlineml.data.formats.plausible import box_remarks
from onlineml.data.formats.spellings import with_one_spelling
from onlineml.data.kinds import kind_of
from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from onlineml.data.formats.format import Format, Source
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["ManifestBase", "Split", "Url"]

_log = logging.getLogger(__name__)

Url = str | os.PathLike[str]
Split = Literal["train", "val", "test"]


class ManifestBase:
    """The parts of `Manifest` that its methods in other modules use."""

    @classmethod
    def _from_parts(
        cls, parts: Parts, task: str, class_names: Sequence[str] | None, storage_options: Mapping[str, Any] | None
    ) -> Self:
        raise NotImplementedError

    @classmethod
    def _imported(
        cls,
        found: Format,
        source: Source,
        task: str,
        class_names: Sequence[str] | None,
    ) -> Self:
        kind = kind_of(task)
        if kind.key not in found.holds:
            raise ConfigError(f"the format {found.name!r} has no annotations for task={task!r}; see Manifest.from_any")
        try:
            parts = found.read(source._replace(class_names=class_names), holds=kind.key)
        except UnicodeEncodeError as error:  # JSON can write half of a character
            raise DataError(f"{source.shown}: {error.object!r:.100} is not valid text; correct it there") from error
        if not len(parts.table) and source.holds is not None:  # it was detected, so that something else may be meant
            raise DataError(f"{source.shown} is read as {found.name} and names no images; pass the file that does")
        parts = with_one_spelling(parts, kind.names)
        if not len(parts.table):
            parts = replace(parts, notes=(*parts.notes, "no images: what was read names none"))
        start = () if parts.notes and parts.notes[0].startswith("read as ") else (f"read as {found.name}",)
        notes = (*start, *parts.notes, *box_remarks(parts.table), *source.notes)
        parts = replace(parts, notes=tuple(source.published(notes)))
        try:
            manifest = cls._from_parts(parts, task, class_names, source.options)
        except DataError as error:
            if type(error) is not DataError:
                raise
            raise DataError(f"{source.shown} cannot be imported: {error}") from error
        _log.info("%s", cast("Manifest", manifest).summary())
        return manifest

    def _manifest(self) -> Manifest:
        return cast("Manifest", self)
