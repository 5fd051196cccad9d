"""Finding a table's columns by the names that people give them, in any case and with blanks around them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.formats.csv import TableFile, key
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

__all__ = [
    "LABEL_KEYS",
    "Role",
    "find_columns",
    "frame_table",
    "image_roles",
    "label_key",
    "named",
    "open_table",
    "split_flag",
]

# Names in the order of preference, as `key` writes them; two of one tuple in a table are ambiguous.
PATH_NAMES: tuple[tuple[str, ...], ...] = (
    (
        *("paths", "imagepath", "imagepaths", "imgpath", "filepath", "filepaths", "filename", "filenames", "file"),
        *("files", "fname", "imagefile", "imagefilename", "imagename", "imgname", "relativepath", "relpath"),
    ),
    ("image", "images", "img", "picture", "photo"),
    ("uri", "imageuri", "url", "imageurl"),
    ("imageid", "imgid", "idcode", "imagecode", "fileid", "photoid", "id", "name"),
)
LABEL_NAMES: tuple[tuple[str, ...], ...] = (
    (
        *("labels", "class", "classes", "cls", "choice", "category", "categories", "target", "targets", "tag", "tags"),
        *("classname", "labelname", "categoryname", "targetname"),
    ),
    ("breed", "species", "diagnosis", "dx", "disease", "variety", "finelabel"),
    ("classid", "labelid", "categoryid", "targetid", "classindex", "labelindex"),
)
LABEL_KEYS = ("label", *(name for tier in LABEL_NAMES for name in tier))
SPLIT_NAMES: tuple[tuple[str, ...], ...] = (
    ("subset", "set", "fold", "partition", "dataset", "datasplit", "splits", "phase", "usage", "mlusage"),
    ("isvalid", "isval", "isvalidation", "istest"),
)
_FLAG_NAMES = {"isvalid": "val", "isval": "val", "isvalidation": "val", "istest": "test"}  # true: this split


@dataclass(frozen=True)
class Role:
    """A column that is looked for.

    Attributes:
        parameter: the parameter by which a user names the column, such as ``"label"``; it is also the usual name.
        given: the name from the user, which must be there; None: the usual name, or else one of the synonyms.
        synonyms: other names, as `key` writes them, in the order of preference.
        required: whether it must be there.
        fits: returns whether a column of a name can be it; asked for synonyms only.
    """

    parameter: str
    given: str | None = None
    synonyms: tuple[tuple[str, ...], ...] = ()
    required: bool = False
    fits: Callable[[str, pa.ChunkedArray], bool] = lambda _, __: True


def open_table(where: str, table: pa.Table | None = None, *, options: Mapping[str, Any] | None) -> TableFile:
    """Read a table, unless it is in memory; the columns of one without a header are called path and label.

    Raises:
        DataError: there is no header, and more columns.
    """
    return named(TableFile.at(where, options=options) if table is None else TableFile(where, table))


def named(file: TableFile) -> TableFile:
    """Return a table; the columns of one without a header are called path and label.

    Raises:
        DataError: there is no header, and more columns.
    """
    row = file.first_row
    paths = [place for place, name in enumerate(row) if is_image_name(name.strip())]
    if not paths:
        return file
    if len(paths) > 1 or len(row) > 2:
        raise DataError(
            f"the first line of {file.where} is no header but names an image: {examples(row)}; add a line with the "
            "names of the columns, such as path,label"
        )
    return file.without_header(["path" if place in paths else "label" for place in range(len(row))])


def frame_table(frame: pd.DataFrame) -> pa.Table:
    """Return the columns of a data frame; those whose values are of several types, or paths, as texts.

    Raises:
        DataError: two columns have one name.
    """
    names = [str(name) for name in frame.columns]
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise DataError(
            f"the data frame has several columns of the same name: {examples(repeated)}; rename or remove all but one"
        )
    columns = {}
    for name, (_, values) in zip(names, frame.items(), strict=True):
        try:
            columns[name] = pa.array(values, from_pandas=True)
        except pa.ArrowException:
            texts = [None if value is None or value != value else str(value) for value in values]  # noqa: PLR0124 (nan)
            columns[name] = pa.array(texts, pa.string())
    return pa.table(columns)


def image_roles(path: str | None, label: str | None, split: str | None, group: str | None) -> dict[str, Role]:
    """Return the columns that every table of images has: the names are those that the user gave, or None."""
    return {
        "path": Role("path", path, PATH_NAMES, required=True),
        "label": Role("label", label, LABEL_NAMES),
        "split": Role("split", split, SPLIT_NAMES, fits=holds_splits),
        "group": Role("group", group),
    }


def find_columns(file: TableFile, roles: Mapping[str, Role], notes: list[str]) -> dict[str, str]:
    """Return the names of the columns that have roles, by the keys of these; the usual names of those that are absent.

    Args:
        file: the table.
        roles: what is looked for.
        notes: gets a sentence about a choice between several.

    Raises:
        DataError: a column was named or is required and is not there, or several columns could be it.
    """
    found = {own: _find(file, role, notes) for own, role in roles.items()}
    return {own: name or roles[own].parameter for own, name in found.items()}


def _find(file: TableFile, role: Role, notes: list[str]) -> str | None:
    names = file.names
    if role.given is not None:
        if role.given in names:
            return role.given
        alike = [name for name in names if name.casefold() == role.given.strip().casefold()]
        if len(alike) == 1:
            return alike[0]
        raise DataError(
            f"{file.where} has no column {role.given!r}, as {role.parameter}= names it; its columns are "
            f"{_listed(names)}"
        )
    if ranked := _ranked(role, file, notes):
        return _best(role, ranked, file, notes)
    if role.parameter == "path" and len(found := [name for name in names if name and _holds_images(file, name)]) == 1:
        notes.append(f"the column {found[0]!r} holds names of images: it was read as their paths")
        return found[0]
    if role.required:
        like = " or ".join(repr(name) for tier in role.synonyms for name in tier[:1])
        raise DataError(
            f"{file.where} has no column {role.parameter!r}, nor one such as {like}; it has {_listed(names)}; name the "
            f"column with {role.parameter}="
        )
    return None


@lru_cache(maxsize=1024)  # objects of one file have the same keys
def label_key(names: tuple[str, ...], *more: str) -> str | None:
    """Return the key that people usually give to labels, else one of `more`, in any spelling; None if there is none."""
    by_key = {key(name): name for name in reversed(names)}
    return next((by_key[word] for word in (*LABEL_KEYS, *more) if word in by_key), None)


def split_flag(name: str) -> str | None:
    """Return the split that true stands for in a column such as ``is_valid``; None for another name."""
    return _FLAG_NAMES.get(key(name))


def holds_splits(name: str, column: pa.ChunkedArray) -> bool:
    """Return whether a column of this name holds names of splits, or true and false if it is a flag."""
    values = {str(value).strip().casefold() for value in pc.unique(column).to_pylist() if value is not None}
    return values <= {"true", "false", "0", "1"} if split_flag(name) else all(map(normalised_split, values))


def _holds_images(file: TableFile, name: str) -> bool:
    column = file.sampled(name)
    values = [value for value in column.to_pylist() if value] if pa.types.is_string(column.type) else []
    return bool(values) and all(is_image_name(value.strip()) for value in values)


def _ranked(role: Role, file: TableFile, notes: list[str]) -> list[list[str]]:
    """Return the columns of the usual name, and of the first synonyms, and so on, without empty lists."""
    usual = role.parameter
    found = [[name for name in file.names if name == usual]]
    found.append([name for name in file.names if key(name) == key(usual) and name != usual])
    for tier in role.synonyms:
        alike = [name for name in file.names if key(name) in tier]
        unfit = [name for name in alike if not role.fits(name, file.sampled(name))]
        notes += [f"the column {name!r} does not hold the {usual}: it was kept as a further column" for name in unfit]
        found.append([name for name in alike if name not in unfit])
    return [tier for tier in found if tier]


def _best(role: Role, ranked: list[list[str]], file: TableFile, notes: list[str]) -> str:
    rivals, others = ranked[0], [name for tier in ranked[1:] for name in tier]
    if role.parameter == "path" and len(rivals) > 1:
        rivals = [name for name in rivals if _holds_images(file, name)] or rivals
    if role.parameter == "label" and len(rivals + others) > 1:
        columns = {name: file.sampled(name) for name in rivals + others}
        same = [name for name in columns if _one_to_one(columns[rivals[0]], columns[name])]
        words = [name for name in same if not _all_digits(columns[name])]
        chosen = words[0] if words else rivals[0]
        rivals = [chosen, *(name for name in rivals if name not in same)]
        others = [name for name in others if name not in same]
        if others and len(rivals) == 1:
            notes.append(f"the labels are from the column {chosen!r}, not from {examples(others)}; choose with label=")
    if len(rivals) > 1:
        raise DataError(
            f"{file.where} has several columns that could be the {role.parameter}: {examples(rivals)}; choose one with "
            f"{role.parameter}={rivals[0]!r} or {role.parameter}={rivals[1]!r}"
        )
    return rivals[0]


def _one_to_one(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Return whether each value of one column occurs beside one value of the other, and the reverse."""
    try:
        texts = [pc.fill_null(column.cast(pa.string()), "") for column in (one, other)]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    pairs = pc.binary_join_element_wise(*texts, "\0")
    return len({pc.count_distinct(values).as_py() for values in (*texts, pairs)}) == 1


def _all_digits(column: pa.ChunkedArray) -> bool:
    values = [value for value in column.to_pylist() if value is not None]
    return all(isinstance(value, int | float) or str(value).strip().isdigit() for value in values)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
