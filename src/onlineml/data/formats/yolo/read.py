"""Reader of YOLO folders with the ``data.yaml`` of Ultralytics: ``images`` and ``labels`` side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import yaml

from onlineml.data.formats.boxes import (
    DECLARED,
    BoxRows,
    boxes_table,
    identified,
    parts_holding,
    refused_names,
    require_no_problems,
    safe_name,
)
from onlineml.data.formats.format import Format, Source
from onlineml.data.formats.parts import Parts, absolute, is_hidden, valid_names
from onlineml.data.formats.yolo.rows import YoloRow, parse_rows
from onlineml.data.formats.yolo.write import write_yolo
from onlineml.data.images.policies import is_image_name
from onlineml.data.images.sizes import upright_sizes_hw
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

__all__ = ["YOLO", "read_yolo", "write_yolo"]

_YAML = (".yaml", ".yml")
_NOTHING = {"", "~", "null", "Null", "NULL", "None"}
_TOGETHER = 4096  # label files in memory at a time
_MOST_CLASSES = 1_000_000  # larger numbers are not class ids, and may be too large to format


def read_yolo(source: Source, *, holds: str) -> Parts:
    """Read YOLO folders, see `Manifest.from_yolo`."""
    storage_options = source.options
    where = _yaml_url(source.where, storage_options)
    facts = _facts(where, storage_options)
    names = _names(facts, where)
    problems: list[str] = []
    folder, paths = _root(facts, where, source.root, storage_options)
    split_of = _split_of(facts, folder, paths, problems, storage_options)
    require_no_problems(where, problems)
    images = sorted(split_of)
    labels = {path: _label_path(path) for path in images}
    texts = _texts([path for path in labels.values() if path in paths], folder, storage_options)
    sizes = _sizes([path for path in images if texts.get(labels[path], "").strip()], folder, storage_options)
    parsed = [_rows(path, texts.get(path, ""), sizes.get(image), problems) for image, path in labels.items()]
    require_no_problems(where, problems)
    found = [row for rows in parsed for row in rows]
    rows = BoxRows(
        uris=images,
        lengths=np.array([len(rows) for rows in parsed], dtype=np.int64),
        missing=np.zeros(len(images), dtype=bool),
        boxes_xyxy=np.array([box for _, box in found], dtype=np.float64).reshape(-1, 4),
        labels=[_label(number, names) for number, _ in found],
        splits=[split_of[path] for path in images],
        per_image={
            name: pa.array([sizes[path][side] if path in sizes else None for path in images], pa.int64())
            for side, name in enumerate(DECLARED)
        },
    )
    table = identified(boxes_table(rows), folder, where=where, storage_options=storage_options)
    n_ignored = len(paths - split_of.keys() - texts.keys() - {where.removeprefix(f"{folder}/")})
    ids = tuple(names) if list(names) != list(range(len(names))) else ()
    return parts_holding(Parts(table, tuple(names.values()), folder, n_ignored, class_ids=ids), holds)


# ---- data.yaml ----


def _yaml_url(where: str, storage_options: Mapping[str, Any] | None) -> str:
    if where.lower().endswith(_YAML):
        return where
    files = [info.path for info in io.list_files(where, recursive=False, storage_options=storage_options)]
    found = [path for path in files if path.lower().endswith(_YAML) and not is_hidden(path)]
    chosen = [path for path in found if path.lower() in {"data.yaml", "data.yml"}] or found
    if len(chosen) != 1:
        raise DataError(f"expected a data.yaml in {where}, found {examples(chosen) or 'none'}; pass the file's URL")
    return io.join(where, chosen[0])


def _facts(where: str, storage_options: Mapping[str, Any] | None) -> dict[str, Any]:
    data = io.read_bytes(where, storage_options=storage_options)
    try:
        # a safe loader, which creates only texts, lists and mappings: 'no' and '007' are valid names
        facts = yaml.load(data, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not YAML: {error}") from error
    if not isinstance(facts, dict):
        raise DataError(f"{where} must be a mapping with names and train, val or test; found {type(facts).__name__}")
    return {str(key): value for key, value in facts.items() if not (isinstance(value, str) and value in _NOTHING)}


def _names(facts: Mapping[str, Any], where: str) -> dict[int, str]:
    """Return class names by number, in the order of their numbers."""
    names = facts.get("names")
    try:
        if names is None and "nc" in facts:
            count = min(int(facts["nc"]), _MOST_CLASSES)
            return {number: f"class_{number}" for number in range(count)}  # the names that Ultralytics uses
        pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
        found = {int(number): str(name) for number, name in pairs if isinstance(name, str)}
    except ValueError:
        found = {}
    if not found or len(found) != len(names or ()):
        # never the value itself: through anchors, a small file can expand to an endless one
        what = f"a {type(names).__name__} with other values" if names else "none"
        raise DataError(f"{where}: expected names as a list, or a mapping of integers to names; found {what}")
    return dict(sorted(found.items()))


def _root(
    facts: Mapping[str, Any],
    where: str,
    root: str | os.PathLike[str] | None,
    storage_options: Mapping[str, Any] | None,
) -> tuple[str, set[str]]:
    """Return the folder of the dataset, and the paths of all its files."""
    home = io.parent(where) if root is None else absolute(root)
    paths = set(valid_names([info.path for info in io.list_files(home, storage_options=storage_options)], home))
    inside = safe_name(facts.get("path", "")) if root is None else None
    below = {path.removeprefix(f"{inside}/") for path in paths if path.startswith(f"{inside}/")}
    return (io.join(home, inside), below) if inside and below else (home, paths)


def _split_of(
    facts: Mapping[str, Any],
    folder: str,
    paths: set[str],
    problems: list[str],
    storage_options: Mapping[str, Any] | None,
) -> dict[str, str]:
    """Return the split of each image."""
    split_of: dict[str, str] = {}
    several: list[str] = []
    refused: list[str | None] = []
    for split in SPLITS:
        given = facts.get(split, [])
        for entry in given if isinstance(given, list) else [given]:
            inside = _inside(entry, folder)
            if inside is None:
                refused.append(entry if isinstance(entry, str) else None)
                continue
            own = _listed(inside, folder, paths, refused, storage_options)
            if not own:
                problems.append(
                    f"{split}: {entry!r} contains no images in {folder}; set root=<the folder of the dataset>"
                )
            several += [path for path in own if split_of.setdefault(path, split) != split]
    problems += refused_names(refused, "data.yaml and its lists")
    if several:
        problems.append(f"{len(several):,} images are in several splits: {examples(several)}; each may be in only one")
    if not any(facts.get(split) for split in SPLITS):
        problems.append("none of train, val and test is set")
    return split_of


def _inside(entry: Any, folder: str) -> str | None:
    """Return a path below the folder, ``""`` for the folder itself; None for one outside.

    Roboflow writes ``../train/images`` for a folder beside the file, and Ultralytics interprets it as such.
    """
    if not isinstance(entry, str):
        return None
    path = entry.removeprefix(f"{folder}/").removeprefix("../")
    return "" if path in {"", ".", "./"} else safe_name(path)


def _listed(
    inside: str, folder: str, paths: set[str], refused: list[str | None], storage_options: Mapping[str, Any] | None
) -> list[str]:
    """Return the images of a folder, or of a text file with one path per line."""
    if not inside.endswith(".txt"):
        prefix = f"{inside}/" if inside else ""
        return [path for path in paths if path.startswith(prefix) and is_image_name(path) and not is_hidden(path)]
    text = io.read_bytes(io.join(folder, inside), storage_options=storage_options).decode("utf-8-sig", "replace")
    own = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name = safe_name(line.removeprefix(f"{folder}/"))
        if name is None:
            refused.append(line)
            continue
        beside = f"{inside.rpartition('/')[0]}/{name}".lstrip("/")
        own.append(beside if beside in paths or (line.startswith("./") and name not in paths) else name)
    return own


# ---- labels ----


def _label_path(image: str) -> str:
    """Return the path of an image's labels: its path with the last folder ``images`` replaced by ``labels``."""
    stem = f"/{image}".rpartition(".")[0]
    before, found, behind = stem.rpartition("/images/")
    return f"{before}/labels/{behind}.txt".lstrip("/") if found else f"{stem}.txt".lstrip("/")


def _texts(paths: Sequence[str], folder: str, storage_options: Mapping[str, Any] | None) -> dict[str, str]:
    texts = {}
    for start in range(0, len(paths), _TOGETHER):
        chunk = paths[start : start + _TOGETHER]
        contents = io.read_many([io.join(folder, path) for path in chunk], storage_options=storage_options)
        for path, content in zip(chunk, contents, strict=True):
            if isinstance(content, OSError):
                raise content
            texts[path] = content.decode("utf-8-sig", "replace")
    return texts


def _sizes(paths: Sequence[str], folder: str, storage_options: Mapping[str, Any] | None) -> dict[str, tuple[int, int]]:
    """Return height and width of the readable images."""
    sizes = upright_sizes_hw([Location(io.join(folder, path), storage_options) for path in paths])
    return {path: (height, width) for path, (height, width) in zip(paths, sizes.tolist(), strict=True) if height}


def _rows(path: str, text: str, size_hw: tuple[int, int] | None, problems: list[str]) -> list[YoloRow]:
    try:
        return parse_rows(text, size_hw=size_hw)
    except DataError as error:
        problems.append(f"{path}: {error}; expected 'class cx cy width height', or a class and at least three points")
        return []


def _label(number: Decimal, names: Mapping[int, str]) -> str:
    """Return the class of a row; a text that is not a class name if the number has no class."""
    whole = number.is_finite() and -_MOST_CLASSES < number < _MOST_CLASSES and number == int(number)
    return names.get(int(number), f"class {number}") if whole else f"class {number}"


YOLO = Format(
    "yolo",
    holds=("boxes_xyxy", "labels"),
    expected="data.yaml, or its folder",
    detect=lambda place: place.source() if place.ending in _YAML or place.has("data.yaml") else None,
    read=read_yolo,
    write=write_yolo,
)
