"""The COCO files that an import reads, each with its split and the folder of its images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from onlineml.data.formats.coco.find import is_coco, without_rivals
from onlineml.data.formats.inputs import Input, inputs, single_input
from onlineml.data.formats.parts import Listing, absolute, common_folder
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import ConfigError
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from onlineml.data.formats.format import Source

__all__ = ["coco_inputs"]

Url = str | os.PathLike[str]


def coco_inputs(source: Source) -> tuple[list[Input], list[str]]:
    """Return the files to read, and notes for people; files without boxes are left out beside files of boxes.

    Raises:
        ConfigError: the arguments contradict each other.
        DataError: the folder has no COCO files.
    """
    if isinstance(source.url, Mapping):
        return _by_split(source, source.url), []
    found, notes = inputs(source, is_coco, name="coco")
    kept = without_rivals([one.at.url for one in found])
    others = [io.name(one.at.url) for one in found if one.at.url not in kept]
    notes += [f"left out beside files of boxes: {examples(others)}"] if others else []
    return [one for one in found if one.at.url in kept], notes


def _by_split(source: Source, urls: Mapping[str, Url]) -> list[Input]:
    if source.split is not None:
        raise ConfigError("split= is for a single file; for several files, the keys of url are the splits")
    wrong = [name for name in urls if not normalised_split(name)]
    if wrong or not urls:
        raise ConfigError(f"expected files for the splits train, val and test; found {examples(wrong) or 'none'}")
    given = source.images
    folders: Mapping[str, Url | None] = given if isinstance(given, Mapping) else dict.fromkeys(urls, given)
    lacking = [name for name in urls if name not in folders]
    if lacking:
        raise ConfigError(f"images= has no folder for {examples(lacking)}")
    if any(folders.values()) and not common_folder([absolute(folder) for folder in folders.values() if folder]):
        unlisted = Listing(())  # on several stores, of which the options can open one
        places = [(name, absolute(url), folders[name] or io.parent(absolute(url))) for name, url in urls.items()]
        return [
            Input(normalised_split(name), Location(url, source.options), absolute(folder), unlisted)
            for name, url, folder in places
        ]
    return [single_input(Location(absolute(url), source.options), folders[name], name) for name, url in urls.items()]
