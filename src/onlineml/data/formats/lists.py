"""Splits of a dataset that says none: ``ImageSets/Main``, lists beside the folders, or the folders' names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from onlineml.arguments.counted import count
from onlineml.data.formats.locate import locate
from onlineml.data.formats.pairs import folder_of, split_of_folder
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split, stable_split
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from onlineml.storage.location import Location

__all__ = ["SplitList", "read_lines", "split_lists", "splits_by_folder", "splits_by_list"]

_TRAINVAL = {"train": 0.9, "val": 0.1}
_LISTS = "imagesets"
_PLACES = (f"{_LISTS}/main", _LISTS, "")  # the first that has lists counts; beside the folders, others may be called so
_OTHER_LISTS = re.compile(rf"(?i)(?:^|/){_LISTS}/(?!main/)[^/]+/")  # of masks, actions, parts of people
_FLAG = re.compile(r"\s+-?[01]$")  # after the names in lists for single classes


class SplitList(NamedTuple):
    """A file with the name of an image in each line: its path, its split or ``"trainval"``, and its images' folder."""

    path: str
    split: str
    base: str


def split_lists(paths: Iterable[str]) -> list[SplitList]:
    """Return the lists of images among all files, at most one for a split of a folder."""
    found: dict[tuple[str, str], dict[str, SplitList]] = {}
    for path in paths:
        if not path.lower().endswith(".txt") or _OTHER_LISTS.search(path):
            continue
        folder, name = folder_of(path), path.rpartition("/")[2][:-4].lower().removesuffix("_list")
        place = next(place for place in _PLACES if f"/{folder.lower()}".endswith(f"/{place}" if place else ""))
        split = "trainval" if name in {"trainval", "train_val"} else normalised_split(name)
        if split:
            base = folder[: len(folder) - len(place)].rstrip("/")
            found.setdefault((base, place), {})[split] = SplitList(path, split, base)
    lists = []
    for base in dict.fromkeys(base for base, _ in found):
        own = next(found[base, place] for place in _PLACES if (base, place) in found)
        both = own.keys() & {"train", "val"}
        lists += [one for split, one in own.items() if not (split == "trainval" and both)]
    return lists


def splits_by_list(
    lists: Sequence[SplitList], images: Sequence[str], at: Location, problems: list[str], notes: list[str]
) -> dict[str, str]:
    """Return the split of each image that is listed; images of ``trainval`` are divided by a hash."""
    split_of: dict[str, str] = {}
    twice, absent = set(), []
    for one in lists:
        inside = f"{one.base}/" if one.base else ""
        lines = read_lines(at / one.path)
        own = [image for image in images if image.startswith(inside)]  # lists may lie among the annotations
        named = _named(lines, own or images, one.base)
        if lines and not any(named):
            told = problems if one.path.lower().startswith(_LISTS, len(inside)) else notes
            told.append(f"{one.path}: none of its {len(lines):,} lines names an image that is there")
            continue
        absent += [f"{one.path}: {line}" for line, image in zip(lines, named, strict=True) if image is None]
        own = [image for image in named if image is not None]
        divided = stable_split(own, fractions=_TRAINVAL).tolist() if one.split == "trainval" else [one.split] * len(own)
        for image, split in zip(own, divided, strict=True):
            if split_of.setdefault(image, split) != split:
                twice.add(image)
    if twice:
        problems.append(f"{count(len(twice), 'image is')} in the lists of several splits: {examples(sorted(twice))}")
    if absent:
        notes.append(
            f"{count(len(absent), 'name in lists matches', 'names in lists match')} no image: {examples(absent)}"
        )
    return split_of


def read_lines(at: Location) -> list[str]:
    """Return the lines of a text file that are not blank, without blanks at their ends."""
    text = io.read_bytes(at).decode("utf-8-sig", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _named(lines: Sequence[str], images: Sequence[str], beside: str) -> list[str | None]:
    """Return the image that each line names: a path or a name, with or without extension, flag or further words."""
    found: list[str | None] = [None] * len(lines)
    for cut in (str, lambda line: _FLAG.sub("", line), lambda line: line.split()[0]):
        left = [row for row, image in enumerate(found) if image is None]
        if left:
            for row, image in zip(
                left, locate([cut(lines[row]) for row in left], images, beside=beside).paths, strict=True
            ):
                found[row] = image
    return found


def splits_by_folder(images: Sequence[str], annotated: Container[str], notes: list[str]) -> list[str | None] | None:
    """Return the split that the folders of each image say; None if no annotated image is in such a folder."""
    by_folder = {folder: split_of_folder(folder) for folder in {folder_of(image) for image in images}}
    splits = [by_folder[folder_of(image)] for image in images]
    if not any(split for image, split in zip(images, splits, strict=True) if image in annotated):
        return None
    outside = [image for image, split in zip(images, splits, strict=True) if split is None]
    if outside:
        notes.append(
            f"{count(len(outside), 'image is')} in no folder of a split, and so without one: {examples(outside)}"
        )
    return splits
