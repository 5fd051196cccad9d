"""Rows of tables: the images that they are about, their paths and splits, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.arguments.counted import count, tally
from onlineml.data.formats.columns import split_flag
from onlineml.data.formats.csv import require_valid
from onlineml.data.formats.parts import with_slashes
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from onlineml.data.formats.csv import TextTable

__all__ = ["ImageRows", "placed", "read_splits", "require_good_rows"]


class ImageRows:
    """Assignment of a table's rows to images.

    Attributes:
        of_row: (R,) int64, the image of each row.
        first: the first row of each image.
        repeated: whether an image has several rows.
    """

    def __init__(self, uris: Sequence[str], problems: list[str], *, first_line: int = 2) -> None:
        self._problems, self._first_line = problems, first_line
        places: dict[str, int] = {}
        self.of_row = np.array([places.setdefault(uri, len(places)) for uri in uris], dtype=np.int64)
        self.first: list[int] = np.unique(self.of_row, return_index=True)[1].tolist()
        self.repeated = len(self.first) < len(self.of_row)

    def report(self, what: str, rows: npt.NDArray[np.bool_]) -> None:
        """Report the rows that have a problem, by their lines."""
        if rows.any():
            lines = (np.flatnonzero(rows) + self._first_line).tolist()
            self._problems.append(f"{tally(len(lines), what)}: line {examples(lines)}")

    def one_each(self, name: str, values: Sequence[Any]) -> list[Any]:
        """Return each image's value, which must be the same in all its rows."""
        if not self.repeated:
            return list(values)
        chosen = [values[row] for row in self.first]
        differ = [value != chosen[image] for value, image in zip(values, self.of_row, strict=True)]
        self.report(f"rows differ in {name} from the first row of their image", np.array(differ, dtype=bool))
        return chosen


def placed(paths: Sequence[str | None], folder: str, problems: list[str], *, first_line: int = 2) -> list[str | None]:
    """Return the paths of a table's rows below a folder (absolute, if there is none); None for invalid paths."""
    uris = [_relative(with_slashes(path or ""), folder) for path in paths]
    require_valid(problems, "rows have no path", [i for i, path in enumerate(paths) if not path], first_line)
    pairs = zip(paths, uris, strict=True)
    outside = [f"{i + first_line}: {path}" for i, (path, uri) in enumerate(pairs) if path and uri is None]
    if outside:
        remedy = (
            f"expected paths below {folder}; set root=<the folder that contains all images>, or root='' if the "
            "table may contain any absolute paths or URLs (Manifest.from_table, from_boxes)"
            if folder
            else "with root='' every path must be absolute or a URL, without '..'"
        )
        problems.append(
            f"{count(len(outside), 'path is')} outside the root (line: path): {examples(outside)}; {remedy}"
        )
    return uris


def read_splits(read: TextTable, problems: list[str], *, first_line: int = 2) -> list[str | None]:
    """Return the splits of a table's rows, by their usual names."""
    values = read.texts["split"]
    if flag := split_flag(read.found.get("split", "")):
        return [value and (flag if value.casefold() in {"true", "1"} else "train") for value in values]
    splits = [None if value is None else normalised_split(value) for value in values]
    pairs = zip(values, splits, strict=True)
    unknown = [
        f"{i + first_line}: {value}" for i, (value, split) in enumerate(pairs) if value is not None and not split
    ]
    if unknown:
        problems.append(
            f"{count(len(unknown), 'split is')} not one of train, val, test (line: split): {examples(unknown)}"
        )
    return splits


def require_good_rows(where: str, problems: Sequence[str]) -> None:
    """Raise an error that lists all bad rows of a table.

    Raises:
        DataError: there are bad rows.
    """
    if problems:
        raise DataError(f"the table {where} has bad rows:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _relative(path: str, folder: str) -> str | None:
    """Return the path relative to the folder; None if it is not below it."""
    if ".." in path.split("/") or "\0" in path:
        return None
    is_absolute = path.startswith("/") or io.is_url(path)
    if not folder:
        return path if is_absolute else None
    if not is_absolute:
        none = {"."} if io.is_url(folder) else {"", "."}  # stores know 'a//b', which is not 'a/b'
        return "/".join(part for part in path.split("/") if part not in none) or None
    prefix = folder.rstrip("/") + "/"
    if path.startswith("file://") and not io.is_url(folder):
        path = path.removeprefix("file://")
    return path.removeprefix(prefix) or None if path.startswith(prefix) else None
