"""Description of a YOLO dataset: data.yaml of Ultralytics, obj.data of Darknet, or nothing but a list of classes."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from onlineml.arguments.counted import count
from onlineml.data.formats.encodings import utf8
from onlineml.data.formats.pairs import folder_of
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.documents import decoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.storage.location import Location

__all__ = ["CLASS_LISTS", "YAML", "Description", "described", "describes", "names_by_number"]

YAML = (".yaml", ".yml")
CLASS_LISTS = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "class_names.txt", "names.txt")
_USUAL = {f"{name}{ending}" for name in ("data", "dataset") for ending in YAML}
_ULTRALYTICS = re.compile(rb"(?m)^[\"']?(?:names|nc)[\"']?\s*:")
_DARKNET = re.compile(rb"(?m)^\s*names\s*=")
_NOTHING = {"", "~", "null", "Null", "NULL", "None"}
_MOST_FILES = 64  # in which a description is looked for, those nearest to the top
_NUMBER = re.compile(r"\d{1,99}")  # Python refuses to convert thousands
_MOST_BYTES = 8_000_000
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # ten times as fast, where libyaml is there
_MOST_CLASSES = 100_000  # larger numbers are not class ids, and may be too large to format


class _Category(msgspec.Struct):
    id: int
    name: str


class _Notes(msgspec.Struct):
    """Label Studio's ``notes.json``."""

    categories: list[_Category] = []


@dataclass(frozen=True)
class Description:
    """Facts about a dataset.

    Attributes:
        path: of the file below the root, ``""`` if there is none.
        names: the classes by number, in the order of their numbers; empty if they are not given.
        splits: for each split, the folders and lists that are named, as they are written.
        inside: the folder that these are relative to, as it is written.
        n_keypoints: how many numbers of keypoints follow each box; None if there is no word of keypoints.
        notes: for people.
    """

    path: str = ""
    names: Mapping[int, str] = field(default_factory=dict)
    splits: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    inside: str = ""
    n_keypoints: int | None = None
    notes: tuple[str, ...] = ()


def described(at: Location, paths: Sequence[str], *, file: str, with_names: bool) -> Description:
    """Return what is said about the dataset below a folder.

    Args:
        at: the folder.
        paths: of the files below it.
        file: the path of the description; ``""``: it is looked for.
        with_names: whether the names of the classes are needed from it.

    Raises:
        DataError: there are several descriptions, or it cannot be read, or has no names.
    """
    path, others = (file, []) if file else _found(at, paths)
    if path.lower().endswith(YAML):
        about = _of_yaml(at, path, paths, with_names=with_names)
        return replace(about, notes=(*about.notes, *_beside(at, about, [one for one in others if one.endswith(YAML)])))
    if path.lower().endswith(".data"):
        return _of_darknet(at, path, paths)
    return Description(path, _listed_names(at, paths) if with_names else {})


def _found(at: Location, paths: Sequence[str]) -> tuple[str, list[str]]:
    """Return the path of the description, the one nearest to the top, ``""`` if there is none; and those of others."""
    usual = [path for path in paths if path.rpartition("/")[2].lower() in _USUAL]
    every = [path for path in paths if path.lower().endswith((*YAML, ".data"))]
    every.sort(key=lambda path: path.count("/"))
    every = [path for path in every[:_MOST_FILES] if describes(path, io.read_bytes(at / path))]
    others = [] if usual else every
    for wanted in (usual, [path for path in others if not path.lower().endswith(".data")], others):
        nearest = [path for path in wanted if path.count("/") == min(other.count("/") for other in wanted)]
        best = [path for path in nearest if path.rpartition("/")[2].lower().startswith("data.")] or nearest
        if len(best) > 1:
            raise DataError(f"expected a data.yaml in {at}, found {examples(best)}; pass the file's URL")
        if best:
            return best[0], [path for path in every if path != best[0]]
    return "", []


def _beside(at: Location, about: Description, others: Sequence[str]) -> list[str]:
    """Return notes on further descriptions that say something else.

    Raises:
        DataError: one in the same folder gives other names to the numbers of classes.
    """
    notes = []
    for path in others:
        try:
            facts = _facts(at / path, path)
            names, splits = _names(facts, path, at, ()) if "names" in facts else {}, _splits(facts)
        except DataError:  # whoever passes this very file will hear of it
            continue
        differ = about.names and any(about.names.get(number, name) != name for number, name in names.items())
        if differ and folder_of(path) == folder_of(about.path):
            raise DataError(
                f"{at} has two descriptions with different classes, {about.path} and {path}; pass the URL of the one "
                "that counts, or remove the other"
            )
        if differ or (splits and splits != about.splits):
            what = "other classes" if differ else "other folders"
            notes.append(f"{path} names {what} than {about.path}, which counts; pass its URL to read it instead")
    return notes


def describes(path: str, head: bytes) -> bool:
    """Return whether a file is the description of a dataset, by its name or its first bytes."""
    name = path.rpartition("/")[2].lower()
    return name in _USUAL or bool((_DARKNET if name.endswith(".data") else _ULTRALYTICS).search(head))


# ---- data.yaml ----


def _of_yaml(at: Location, path: str, paths: Sequence[str], *, with_names: bool) -> Description:
    where = str(at / path)
    facts = _facts(at / path, where)
    notes = []
    names = _names(facts, where, at, paths) if with_names else {}
    if with_names and "names" in facts and str(facts.get("nc", len(names))) != str(len(names)):
        notes.append(f"{path}: nc is {facts['nc']!s:.20}, but there are {count(len(names), 'name')}; the names count")
    if others := [one for one, own in _lists(at, paths).items() if names and own != names]:
        notes.append(f"{examples(others)} has other classes than {path}, or another order; {path} counts")
    inside = facts.get("path", "")
    inside = inside if isinstance(inside, str) else ""
    return Description(path, names, _splits(facts), inside, _keypoints(facts, where), tuple(notes))


def _splits(facts: Mapping[str, Any]) -> dict[str, list[Any]]:
    splits: dict[str, list[Any]] = {}
    for key, value in facts.items():
        if split := normalised_split(key):
            splits.setdefault(split, []).extend(value if isinstance(value, list) else [value])
    return splits


def _facts(at: Location, where: str) -> dict[str, Any]:
    if len(data := io.read_bytes(at)) > _MOST_BYTES:
        raise DataError(f"{where} has {len(data):,} bytes; expected at most {_MOST_BYTES:,}, of names and folders")
    try:
        # a safe loader, which creates only texts, lists and mappings: 'no' and '007' are valid names
        facts = yaml.load(data, Loader=_LOADER)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not YAML: {error}") from error
    if not isinstance(facts, dict):
        raise DataError(f"{where} must be a mapping with names and train, val or test; found {type(facts).__name__}")
    return {str(key): value for key, value in facts.items() if not (isinstance(value, str) and value in _NOTHING)}


def _names(facts: Mapping[str, Any], where: str, at: Location, paths: Sequence[str]) -> dict[int, str]:
    names = facts.get("names")
    if isinstance(names, str) and names in {path.rpartition("/")[2] for path in paths}:
        own = next(path for path in paths if path.rpartition("/")[2] == names)
        return _require_names(_lines(at / own), own)
    if names is None and _is_number(facts.get("nc")):
        return {number: f"class_{number}" for number in range(_checked(int(facts["nc"]), "nc is", where))}
    try:
        found = names_by_number(names)
    except ValueError:
        found = {}
    _checked(len(found), "the number of names is", where)
    if not found or len(found) != len(names or ()):
        # never the value itself: through anchors, a small file can expand to an endless one
        what = f"a {type(names).__name__} with other values" if names else "none"
        raise DataError(f"{where}: expected names as a list, or a mapping of integers to names; found {what}")
    return _require_names(found, where)


def _checked(count: int, told: str, where: str) -> int:
    if count > _MOST_CLASSES:
        raise DataError(f"{where}: {told} {count:,}; expected at most {_MOST_CLASSES:,} classes")
    return count


def names_by_number(names: Any) -> dict[int, str]:
    """Return class names by number, in the order of their numbers; empty if these are none.

    Args:
        names: a list, or a mapping of numbers to names, or of names to numbers.

    Raises:
        ValueError: a number is none.
    """
    if isinstance(names, dict):
        pairs = list(names.items())
        if not all(_is_number(key) for key, _ in pairs) and all(_is_number(value) for _, value in pairs):
            pairs = [(value, key) for key, value in pairs]
    else:
        pairs = list(enumerate(names)) if isinstance(names, list | tuple) else []
    return dict(sorted((int(number), str(name)) for number, name in pairs if isinstance(name, str)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is not None)


def _keypoints(facts: Mapping[str, Any], where: str) -> int | None:
    shape = facts.get("kpt_shape")
    if shape is None:
        return None
    if not (isinstance(shape, list) and len(shape) == 2 and all(map(_is_number, shape))):
        raise DataError(f"{where}: expected kpt_shape as [how many, 2 or 3]; found another {type(shape).__name__}")
    return int(shape[0]) * int(shape[1])


# ---- Darknet, and lists of classes ----


def _of_darknet(at: Location, path: str, paths: Sequence[str]) -> Description:
    """Read ``names = data/obj.names``, ``train = data/train.txt``, and so on."""
    lines = io.read_bytes(at / path).decode("utf-8-sig", "replace").splitlines()
    facts = {key.strip(): value.strip() for key, found, value in (line.partition("=") for line in lines) if found}
    named = facts.get("names", "").replace("\\", "/").rpartition("/")[2]
    beside = [one for one in paths if one.rpartition("/")[2] == named and folder_of(one) == folder_of(path)]
    lists = beside or [one for one in paths if one.rpartition("/")[2] == named]
    names = _require_names(_lines(at / lists[0]), lists[0]) if lists else _listed_names(at, paths)
    splits = {split: [value] for key, value in facts.items() if value and (split := normalised_split(key))}
    return Description(path, names, splits)


def _listed_names(at: Location, paths: Sequence[str]) -> dict[int, str]:
    """Return the names in lists of classes, or in Label Studio's ``notes.json``.

    Raises:
        DataError: the lists differ.
    """
    lists = _lists(at, paths)
    if any(names != next(iter(lists.values())) for names in lists.values()):
        raise DataError(f"{at} has lists of different classes: {examples(lists)}; set names= to the classes in order")
    if lists:
        path, names = next(iter(lists.items()))
        return _require_names(names, path)
    notes = next((path for path in paths if path.rpartition("/")[2] == "notes.json"), None)
    with contextlib.suppress(DataError):
        if notes is not None:
            found = decoded(io.read_bytes(at / notes), _Notes, notes, error=DataError)
            return {one.id: one.name for one in found.categories}
    return {}


def _lists(at: Location, paths: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return the classes of each list of classes that is not empty."""
    endings = (*CLASS_LISTS, ".names")  # which few paths have
    files = [path for path in paths if path.lower().endswith(endings)]
    files = [path for path in files if path.rpartition("/")[2].lower() in CLASS_LISTS or path.endswith(".names")]
    return {path: names for path in files if (names := _lines(at / path))}


def _require_names(names: Mapping[int, str], path: str) -> dict[int, str]:
    """Refuse classes without a name, or with that of another one.

    Raises:
        DataError: there are some; their numbers are named.
    """
    seen: dict[str, int] = {}
    bad = [number for number, name in names.items() if not name.strip() or seen.setdefault(name, number) != number]
    if bad:
        lines = "" if path.lower().endswith(YAML) else ", those of their lines from 0,"
        raise DataError(
            f"{path}: the classes of the numbers {examples(bad)}{lines} have no name, or that of another class; give "
            "each a name of its own, or remove blank lines if no class is missing"
        )
    return dict(names)


def _lines(at: Location) -> dict[int, str]:
    """Return the lines of a file by number; blank ones at the end are none."""
    lines = utf8(io.read_bytes(at), str(at)).decode().rstrip().splitlines()
    return {number: line.strip() for number, line in enumerate(lines)}
