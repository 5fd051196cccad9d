"""Reader of Pascal VOC folders: ``JPEGImages``, ``Annotations`` and the lists of ``ImageSets/Main``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from onlineml.data.formats.boxes import (
    DECLARED,
    OURS,
    BoxRows,
    boxes_table,
    identified,
    parts_holding,
    require_no_problems,
)
from onlineml.data.formats.format import Format, Source
from onlineml.data.formats.parts import Parts, is_hidden, naturally_sorted, valid_names
from onlineml.data.formats.voc.write import write_voc
from onlineml.data.formats.voc.xml import VocImage, leaf_xml, read_annotation, typed_column
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split, stable_split
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["VOC", "read_voc", "write_voc"]

_TOGETHER = 1024  # XML files in memory at a time
_RESERVED = OURS | {"voc_annotation", "voc_object"}
_TRAINVAL = {"train": 0.9, "val": 0.1}
_FLAG = re.compile(r"\s+-?[01]$")  # after the names in lists for single classes


@dataclass(frozen=True)
class _Layout:
    """Files by kind. A key is a path without top folder and extension, which an image and its XML file share."""

    images: dict[str, str]
    annotations: dict[str, str]
    lists: dict[str, str]  # by split, or "trainval"
    n_others: int

    @classmethod
    def of(cls, paths: Sequence[str], problems: list[str]) -> _Layout:
        apart = any(path.startswith(("JPEGImages/", "Annotations/")) for path in paths)
        home, notes = ("JPEGImages/", "Annotations/") if apart else ("", "")
        images: dict[str, str] = {}
        annotations: dict[str, str] = {}
        twice = []
        for path in paths:
            if is_hidden(path):
                continue
            if path.startswith(home) and is_image_name(path):
                if images.setdefault(_key(path, home), path) != path:
                    twice.append(path)
            elif path.startswith(notes) and path.lower().endswith(".xml"):
                annotations[_key(path, notes)] = path
        if twice:
            problems.append(f"{len(twice):,} images have the same name as another one: {examples(twice)}")
        lists = _lists(paths, "ImageSets/Main/") or _lists(paths, "ImageSets/")
        return cls(images, annotations, lists, len(paths) - len(images) - len(annotations) - len(lists))


def _key(path: str, folder: str) -> str:
    return path.removeprefix(folder).rpartition(".")[0]


def _lists(paths: Iterable[str], folder: str) -> dict[str, str]:
    found = {}
    for path in paths:
        name = path.removeprefix(folder).removesuffix(".txt")
        if path == f"{folder}{name}.txt" and (normalised_split(name) or name == "trainval"):
            found[normalised_split(name) or name] = path
    return found


def read_voc(source: Source, *, holds: str) -> Parts:
    """Read Pascal VOC folders, see `Manifest.from_voc`."""
    storage_options = source.options
    root = source.where
    paths = valid_names([info.path for info in io.list_files(root, storage_options=storage_options)], root)
    problems: list[str] = []
    layout = _Layout.of(paths, problems)
    read = _read_annotations(layout, root, problems, storage_options)
    if not read or not layout.images.keys() & read.keys():
        found = f"{len(layout.images):,} images and {len(read):,} annotations without a common name"
        require_no_problems(root, problems)
        raise DataError(
            f"{root} is not in the layout of Pascal VOC: expected JPEGImages/<name>.jpg with Annotations/<name>.xml, "
            f"or both in one folder; found {found}"
        )
    keys = sorted(layout.images.keys() | read.keys())
    splits = _splits(layout, keys, root, problems, storage_options)
    require_no_problems(root, problems)
    home = "JPEGImages/" if any(path.startswith("JPEGImages/") for path in layout.images.values()) else ""
    uris = [layout.images.get(key, f"{home}{key}.jpg") for key in keys]
    table = boxes_table(_rows(uris, [read.get(key) for key in keys], splits))
    table = identified(table, root, where=root, storage_options=storage_options)
    boxes = [box for image in read.values() for box in image.boxes]
    names = naturally_sorted({box.label for box in boxes if box.label is not None})
    return parts_holding(Parts(table, names, root, layout.n_others + len(layout.annotations) - len(read)), holds)


def _read_annotations(
    layout: _Layout, root: str, problems: list[str], storage_options: Mapping[str, Any] | None
) -> dict[str, VocImage]:
    """Read the annotations by key; XML files of other kinds are skipped."""
    read: dict[str, VocImage] = {}
    bad = []
    pairs = list(layout.annotations.items())
    for start in range(0, len(pairs), _TOGETHER):
        chunk = pairs[start : start + _TOGETHER]
        urls = [io.join(root, path) for _, path in chunk]
        contents = io.read_many(urls, storage_options=storage_options)
        for (key, path), content in zip(chunk, contents, strict=True):
            if isinstance(content, OSError):
                raise content
            try:
                image = read_annotation(content, reserved=_RESERVED)
            except ValueError as error:
                bad.append(f"{path}: {error}")
                continue
            if image is not None:
                read[key] = image
    if bad:
        problems.append(f"{len(bad):,} XML files cannot be read (DTDs and entities are refused): {examples(bad)}")
    return read


def _splits(
    layout: _Layout,
    keys: Sequence[str],
    root: str,
    problems: list[str],
    storage_options: Mapping[str, Any] | None,
) -> list[str | None] | None:
    """Return the splits from the lists, or else from the folders; None if they are to be chosen by a hash."""
    if not layout.lists:
        by_folder = [normalised_split(key.partition("/")[0]) if "/" in key else None for key in keys]
        return None if None in by_folder else by_folder
    known = set(keys)
    listed = {
        name: [_listed_key(line, known) for line in _lines(io.join(root, path), storage_options)]
        for name, path in layout.lists.items()
    }
    if "train" in listed or "val" in listed:
        listed.pop("trainval", None)
    missing = [f"{layout.lists[name]}: {key}" for name, own in listed.items() for key in own if key not in known]
    if missing:
        problems.append(f"{len(missing):,} names in lists match no image: {examples(missing)}")
    split_of: dict[str, str] = {}
    twice = set()
    for name, own in listed.items():
        divided = stable_split(own, fractions=_TRAINVAL).tolist() if name == "trainval" else [name] * len(own)
        for key, split in zip(own, divided, strict=True):
            if split_of.setdefault(key, split) != split:
                twice.add(key)
    if twice:
        problems.append(f"{len(twice):,} images are in the lists of several splits: {examples(sorted(twice))}")
    return [split_of.get(key) for key in keys]


def _lines(url: str, storage_options: Mapping[str, Any] | None) -> list[str]:
    text = io.read_bytes(url, storage_options=storage_options).decode("utf-8-sig", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _listed_key(line: str, known: set[str]) -> str:
    """Return the key that a line names; some tools append an extension or a flag."""
    candidates = [line, _FLAG.sub("", line)]
    candidates += [name.rpartition(".")[0] for name in candidates if is_image_name(name)]
    return next((name for name in candidates if name in known), line)


def _rows(uris: list[str], images: Sequence[VocImage | None], splits: Sequence[str | None] | None) -> BoxRows:
    boxes = [box for image in images if image is not None for box in image.boxes]
    sizes = [(None, None) if image is None or image.size_hw is None else image.size_hw for image in images]
    leaves = [{} if image is None else dict(image.leaves) for image in images]
    tags = dict.fromkeys(tag for box in boxes for tag in box.leaves)
    per_box = {tag: typed_column([box.leaves.get(tag) for box in boxes]) for tag in tags}
    per_box["pose"] = pa.array([box.leaves.get("pose") for box in boxes], pa.string())
    per_box["voc_object"] = pa.array([box.rest for box in boxes], pa.string())
    per_image = {name: pa.array([size[side] for size in sizes], pa.int64()) for side, name in enumerate(DECLARED)}
    groups = [own.pop("group", None) for own in leaves]
    for tag in dict.fromkeys(tag for own in leaves for tag in own if tag not in per_box):
        per_image[tag] = typed_column([own.pop(tag, None) for own in leaves])
    rests = ["" if image is None else image.rest or "" for image in images]
    rests = [rest + "".join(map(leaf_xml, own, own.values())) for rest, own in zip(rests, leaves, strict=True)]
    per_image["voc_annotation"] = pa.array([rest or None for rest in rests], pa.string())
    return BoxRows(
        uris=uris,
        lengths=np.array([0 if image is None else len(image.boxes) for image in images], dtype=np.int64),
        missing=np.array([image is None for image in images], dtype=bool),
        boxes_xyxy=np.array([box.box_xyxy for box in boxes], dtype=np.float64).reshape(-1, 4),
        labels=[box.label for box in boxes],
        splits=splits,
        groups=groups,
        per_box=per_box,
        per_image=per_image,
    )


VOC = Format(
    "voc",
    holds=("boxes_xyxy", "labels"),
    expected="a folder with Annotations/*.xml",
    detect=lambda place: place.source() if place.has("Annotations") else None,
    read=read_voc,
    write=write_voc,
)
