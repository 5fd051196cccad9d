"""Images of each split of a YOLO dataset: the folders and lists that its description names, wherever they are now."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.data.formats.lists import read_lines
from onlineml.data.formats.locate import locate
from onlineml.data.formats.pairs import folder_of, stem
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.storage.urls import name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from onlineml.data.formats.yolo.description import Description
    from onlineml.storage.location import Location

__all__ = ["Splits"]

_PATTERN = re.compile(r"(/\*\*)?/\*[^/]*$")  # as in 'images/train/*.jpg'


class Splits:
    """The search for the folders and lists that a description names.

    Attributes:
        split_of: the split of each image.
        lists: the lists that were read.
        notes: about what is not there.
    """

    def __init__(self, about: Description, at: Location, others: Sequence[str], images: Sequence[str]) -> None:
        self._about, self._at, self._images = about, at, images
        named = {_last(entry) for entries in about.splits.values() for entry in entries if isinstance(entry, str)}
        self._files = {path.casefold(): path for path in others if path[path.rfind("/") + 1 :].casefold() in named}
        self._folders = {folder.casefold(): folder for folder in _folders(images)}
        self.split_of: dict[str, str] = {}
        self.lists: set[str] = set()
        self.notes: list[str] = []

    def find(self, problems: list[str]) -> None:
        """Set the split of each image that a folder or list of the description holds.

        Args:
            problems: a list that the problems are added to.
        """
        several: list[str] = []
        whole: dict[frozenset[str], str] = {}
        for split, entries in self._about.splits.items():
            images: list[str] = []
            for entry in entries:
                own = self._images_of(entry) if isinstance(entry, str) else []
                if not own:
                    shown = f"{entry!r:.100}" if isinstance(entry, str) else f"a {type(entry).__name__}"
                    self.notes.append(f"{split}: {shown} contains no images in {self._at}, so it is left out")
                images += own
            if images and (same := whole.setdefault(frozenset(images), split)) != split:
                self.notes.append(f"{split} names the same images as {same}: they were imported once, as {same}")
                continue
            several += [path for path in images if self.split_of.setdefault(path, split) != split]
        if several:
            problems.append(
                f"{count(len(several), 'image is')} in several splits: {examples(several)}; each may be in only "
                f"one, so make the folders and lists that {self._about.path} names differ"
            )

    def _images_of(self, entry: str) -> list[str]:
        place = self._place(entry)
        if place is None:
            return []
        if place in self._files.values():
            return self._listed(place)
        start = f"{place}/" if place else ""
        return [image for image in self._images if image.startswith(start)]

    def _place(self, entry: str) -> str | None:
        """Return the folder or list that is meant, which may have been written on another machine."""
        root = self._at.url
        inside, entry = (text.strip().replace("\\", "/") for text in (self._about.inside, entry))
        entry = _PATTERN.sub("", entry).removeprefix(f"{root}/") if entry != root else "."
        beside = folder_of(self._about.path)
        relative = [
            posixpath.join(*parts, entry) for parts in ((beside, inside), (beside,), ("",)) if parts[-1][:1] != "/"
        ]
        for candidate in relative:
            if (found := self._known(_upwards(posixpath.normpath(candidate)))) is not None:
                return found
        parts = [part for part in posixpath.normpath(entry).split("/") if part not in {"", "..", "."}]
        for start in range(len(parts) + 1):
            if (
                start
                and normalised_split(parts[start - 1])
                and not any(normalised_split(stem(p)) for p in parts[start:])
            ):
                return None  # what is left does not say the split any more
            if start and start == len(parts) and parts[-1] != name(root):
                return None
            for folder in dict.fromkeys((beside, "")):
                if (found := self._known(posixpath.join(folder, *parts[start:]).strip("/"))) is not None:
                    return found
        return None

    def _known(self, path: str) -> str | None:
        if path in {"", "."}:
            return ""
        return self._files.get(path.casefold(), self._folders.get(path.casefold()))

    def _listed(self, path: str) -> list[str]:
        """Return the images that a text file names, a path in each line."""
        self.lists.add(path)
        lines = read_lines(self._at / path)
        found = locate(lines, self._images, beside=folder_of(path))
        absent = [line for line, image in zip(lines, found.paths, strict=True) if image is None]
        if absent:
            self.notes.append(
                f"{count(len(absent), f'line of {path} names', f'lines of {path} name')} no image that is "
                f"there: {examples(absent)}"
            )
        return list(dict.fromkeys(image for image in found.paths if image is not None))


def _last(entry: str) -> str:
    """Return the last part of what a description names, in one spelling."""
    return posixpath.basename(posixpath.normpath(entry.strip().replace("\\", "/"))).casefold()


def _upwards(path: str) -> str:
    """Return a path without the leading ``..`` that Roboflow writes for a folder beside the file."""
    while path.startswith("../"):
        path = path[3:]
    return path.strip("/")


def _folders(images: Iterable[str]) -> set[str]:
    """Return all folders with images anywhere below them."""
    found: set[str] = set()
    left = {folder_of(image) for image in images} - {""}
    while left:
        found |= left
        left = {folder_of(folder) for folder in left} - found - {""}
    return found
