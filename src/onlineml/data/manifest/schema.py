"""The columns of a manifest: their types, and every problem that a table can have."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count, tally
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.repeated import repeated_values
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError, UnknownClassError
from onlineml.storage.urls import URL_START

if TYPE_CHECKING:
    from onlineml.data.kinds.base import AnnotationKind

__all__ = [
    "COLUMNS",
    "as_single_chunks",
    "examples",
    "joined_texts",
    "normalised",
    "require_ids",
    "url_column",
    "validate",
    "version_column",
]

COLUMNS: dict[str, pa.DataType] = {
    "image_id": pa.string(),
    "uri": pa.string(),
    "version": pa.string(),
    "sha256": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "split": pa.string(),
    "group": pa.string(),
    "label": pa.string(),
}


def as_single_chunks(table: pa.Table) -> pa.Table:
    """The same table with one chunk a column, dictionaries decoded: simple to slice, hash and compare."""
    columns = []
    for column in table.columns:
        array = column.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # older releases return one for a column without chunks
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
        columns.append(array.dictionary_decode() if pa.types.is_dictionary(array.type) else array)
    return pa.table(columns, names=table.column_names)


def url_column(table: pa.Table, *, root: str) -> pa.ChunkedArray:
    """(N,) the URL of each image, from its uri and the folder that relative ones are in."""
    uris = table["uri"].cast(pa.large_string())
    prefix = root if not root or root.endswith("/") else f"{root}/"
    return pc.if_else(pc.match_substring_regex(uris, f"^(?:/|{URL_START})"), uris, joined_texts(prefix, uris))


def joined_texts(*columns: pa.ChunkedArray | str, by: str = "") -> pa.ChunkedArray:
    """(N,) the texts of several columns, or of one for all rows, joined row by row."""
    texts = [pa.scalar(one) if isinstance(one, str) else one for one in (*columns, by)]
    return pc.binary_join_element_wise(*(one.cast(pa.large_string()) for one in texts))


def version_column(table: pa.Table) -> pa.ChunkedArray:
    """(N,) the store's tag of each image, else its sha256, else ``""``."""
    tags, digests = table["version"], pc.fill_null(table["sha256"], "")
    return pc.coalesce(pc.if_else(pc.equal(tags, ""), digests, tags), digests)


def normalised(table: pa.Table, *, kind: AnnotationKind) -> pa.Table:
    """Order and type the known columns, add those that are absent, and keep the further ones after them.

    An image without a group is a group of its own, named by its `image_id`. The kind of annotation brings further
    columns.

    Raises:
        DataError: a column that is needed is absent, occurs twice, or cannot have its type.
    """
    names = table.column_names
    problems = [f"the column {name!r} is missing" for name in ("image_id", "uri") if name not in names]
    problems += [f"the column {name!r} occurs twice" for name, n in sorted(Counter(names).items()) if n > 1]
    if problems:
        raise DataError(_message(problems))
    table = as_single_chunks(table)
    arrays: dict[str, pa.Array] = {}
    for name, dtype in COLUMNS.items():
        if name not in names:
            arrays[name] = pa.nulls(len(table), dtype)
            continue
        try:
            arrays[name] = table[name].cast(dtype)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            problems.append(f"the column {name!r} must be {dtype}, found {table[name].type}: {error}")
    arrays.update(kind.normalised(table, problems))
    if problems:
        raise DataError(_message(problems))
    arrays["group"] = pc.coalesce(arrays["group"], arrays["image_id"])
    arrays["version"] = pc.coalesce(arrays["version"], pa.scalar(""))
    arrays.update({name: table[name] for name in names if name not in arrays})
    return as_single_chunks(pa.table(arrays))


def validate(table: pa.Table, class_names: tuple[str, ...], *, kind: AnnotationKind) -> None:
    """Refuse a normalised table that is not a manifest, naming all its problems at once.

    Raises:
        UnknownClassError: labels that are no class names are its only problem.
        DataError: anything else.
    """
    problems = _class_name_problems(class_names)
    for name in ("image_id", "uri"):
        _report(problems, f"rows have no {name}", table, pc.or_kleene(table[name].is_null(), pc.equal(table[name], "")))
    ids = table["image_id"]
    if pc.count_distinct(ids, mode="all").as_py() != len(table):
        repeated = repeated_values(ids).to_pylist()
        problems.append(
            f"{count(len(repeated), 'value of image_id occurs', 'values of image_id occur')} more than "
            f"once: {examples(repeated)}"
        )
    _report(problems, "values of uri contain '..' or a NUL", table, _escapes(table["uri"]), show="uri")
    wrong = pc.invert(pc.is_in(table["split"].drop_null(), pa.array(SPLITS)))
    if pc.any(wrong).as_py():
        values = table["split"].drop_null().filter(wrong)
        found = examples(pc.unique(values).to_pylist())
        problems.append(
            f"{count(len(values), 'value of split is', 'values of split are')} none of "
            f"{', '.join(SPLITS)} or null: {found}"
        )
    for name in ("width", "height"):
        _report(problems, f"values of {name} are not positive", table, pc.less(table[name], 1))
    problems += kind.problems(table)
    unknown = kind.unknown_labels(table, class_names)
    if unknown:
        problems.append(
            f"{count(len(unknown), 'label is')} not among the {count(len(class_names), 'class name')} "
            f"{examples(class_names)}: {examples(unknown)}; correct them, or add them to class_names"
        )
    if problems:
        only_labels = len(problems) == 1 and bool(unknown)
        raise (UnknownClassError if only_labels else DataError)(_message(problems))


def require_ids(class_ids: tuple[int, ...], class_names: tuple[str, ...]) -> None:
    """Refuse ids that are not one for each class.

    Raises:
        DataError: another number of ids, or one occurs twice.
    """
    if class_ids and (len(class_ids) != len(class_names) or len(set(class_ids)) < len(class_ids)):
        found = f"found {len(class_ids)} for {count(len(class_names), 'class name')}: {examples(class_ids)}"
        raise DataError(f"class_ids must be empty or one number for each class, none twice; {found}")


def _class_name_problems(class_names: tuple[str, ...]) -> list[str]:
    problems = []
    if any(not isinstance(name, str) or not name for name in class_names):
        return ["class names must be texts that are not empty"]
    repeated = sorted(name for name, n in Counter(class_names).items() if n > 1)
    if repeated:
        problems.append(f"class names occur more than once: {examples(repeated)}")
    return problems


def _escapes(uris: pa.ChunkedArray) -> Any:
    return pc.match_substring_regex(uris, r"(^|/)\.\.(/|$)|\x00")


def _report(problems: list[str], what: str, table: pa.Table, mask: Any, *, show: str = "image_id") -> None:
    bad = table.filter(mask.fill_null(False))
    if len(bad):
        problems.append(f"{tally(len(bad), what)}: {show} {examples(bad[show].to_pylist())}")


def _message(problems: list[str]) -> str:
    return "this is not a manifest:\n" + "\n".join(f"  - {problem}" for problem in problems)
