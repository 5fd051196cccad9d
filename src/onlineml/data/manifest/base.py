"""The base of the classes of which `Manifest` is composed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, cast

from onlineml.data.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from onlineml.data.formats.format import Source
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["ManifestBase", "Split", "Url"]

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
        name: str,
        source: Source,
        task: str,
        class_names: Sequence[str] | None,
        storage_options: Mapping[str, Any] | None,
    ) -> Self:
        """Read a format of a name, which must hold annotations for the task."""
        from onlineml.data.formats.registry import format_of  # noqa: PLC0415 (it loads what all formats need)

        kind = kind_of(task)
        parts = format_of(name, kind).read(source, holds=kind.key, storage_options=storage_options)
        return cls._from_parts(parts, task, class_names, storage_options)

    def _manifest(self) -> Manifest:
        return cast("Manifest", self)
