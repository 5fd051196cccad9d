"""Label Studio's tasks as typed records: the annotation of each that counts, and the image that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.data.formats.annotation_files import decoded
from onlineml.data.formats.encodings import utf8
from onlineml.data.formats.inputs import OLDER
from onlineml.data.formats.sniff import HEAD_BYTES, json_shape
from onlineml.data.images.policies import is_image_name
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

__all__ = ["Region", "Task", "image_value", "tasks_of"]

_OF_A_ROW = frozenset(
    {
        *(
            "id",
            "annotator",
            "annotation_id",
            "created_at",
            "updated_at",
            "lead_time",
            "agreement",
            "comment",
            "comments",
        ),
        *("sentiment_id", "project", "inner_id", "total_annotations", "cancelled_annotations", "total_predictions"),
    }
)


class Region(msgspec.Struct):
    """A result: a region of the image, or a choice about the whole image."""

    value: dict[str, Any] = {}
    id: str | int | None = None
    type: str = ""
    from_name: str = ""
    to_name: str | list[str] | None = None
    original_width: int | float | str | None = None
    original_height: int | float | str | None = None
    image_rotation: int | float | None = None


class _Annotation(msgspec.Struct):
    result: list[Region] | None = None
    was_cancelled: bool | None = None
    ground_truth: bool | None = None
    created_at: str | int | None = None
    updated_at: str | int | None = None

    @property
    def rank(self) -> tuple[bool, bool, str]:
        """The rank among the annotations of an image: the ground truth, then the newest."""
        return True, bool(self.ground_truth), str(self.updated_at or self.created_at or "")


class _Task(msgspec.Struct):
    data: dict[str, Any]
    id: int | str | None = None
    annotations: list[_Annotation | int] | None = None
    completions: list[_Annotation] | None = None
    file_upload: str | None = None


class _Stored(_Annotation, kw_only=True):
    task: _Task


class Task(msgspec.Struct):
    """An image with the results of the annotation that counts.

    Attributes:
        name: of the task, for messages.
        data: the values that were imported.
        results: None: nobody annotated it.
        upload: the name of the file as Label Studio stores it.
        rank: see `AnnotatedImage`.
    """

    name: str
    data: dict[str, Any]
    results: list[Region] | None
    upload: str | None = None
    rank: tuple[bool, bool, str] = (False, False, "")


def tasks_of(content: bytes, where: str, counts: Counter[str]) -> list[Task]:
    """Return the tasks of an export; of several annotations that were not cancelled the ground truth or newest counts.

    Args:
        content: the JSON text.
        where: the file, for messages.
        counts: counts annotations that are left out.

    Raises:
        DataError: the content is malformed; the message names the field.
    """
    if json_shape(content[:HEAD_BYTES]).kind == "object":  # one task, as storages and webhooks get it
        content = b"[" + utf8(content, where) + b"]"
    rows = decoded(content, list[dict[str, msgspec.Raw]], where)
    if all({"task", "result"} <= row.keys() for row in rows):  # annotations, as Label Studio syncs them to a storage
        return [_stored(one, number, counts) for number, one in enumerate(decoded(content, list[_Stored], where), 1)]
    if all("data" in row for row in rows):
        return [_full(task, number, counts) for number, task in enumerate(decoded(content, list[_Task], where), 1)]
    return _of_rows(decoded(content, list[dict[str, Any]], where), where, counts)


def _full(task: _Task, number: int, counts: Counter[str]) -> Task:
    given = task.annotations if task.annotations is not None else task.completions or []
    own = [one for one in given if isinstance(one, _Annotation)]
    valid = [one for one in own if not one.was_cancelled and one.result is not None]
    counts["cancelled annotations were left out"] += len(own) - len(valid)
    counts[OLDER] += max(0, len(valid) - 1)
    best = max(valid, key=lambda one: one.rank, default=None)
    name = f"task {number if task.id is None else task.id}"
    if best is None:
        return Task(name, task.data, None, task.file_upload)
    return Task(name, task.data, best.result, task.file_upload, best.rank)


def _stored(annotation: _Stored, number: int, counts: Counter[str]) -> Task:
    annotation.task.annotations = [annotation]
    return _full(annotation.task, number, counts)


def _of_rows(rows: list[dict[str, Any]], where: str, counts: Counter[str]) -> list[Task]:
    """Return the tasks of JSON_MIN, in which a row is an annotation of a task."""
    newest: dict[Any, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        key = str(row.get("id", f"row {number}"))
        known = newest.setdefault(key, row)
        if known is not row:
            counts[OLDER] += 1
            newest[key] = max(known, row, key=_date)
    return [
        Task(f"task {key}", row, _results(row, where, key), None, (True, False, _date(row)))
        for key, row in newest.items()
    ]


def _date(row: Mapping[str, Any]) -> str:
    return str(row.get("updated_at") or row.get("created_at") or "")


def _results(row: Mapping[str, Any], where: str, key: str) -> list[Region]:
    regions = []
    for name, value in row.items():
        if name in _OF_A_ROW:
            continue
        if isinstance(value, dict) and "choices" in value:
            regions.append(Region(value, from_name=name))
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            sizes = [{side: one.get(side) for side in ("original_width", "original_height")} for one in value]
            regions += [Region(one, from_name=name, **size) for one, size in zip(value, sizes, strict=True)]
        elif isinstance(value, str) and name in {"choice", "label", "class"} and not is_image_name(value):
            regions.append(Region({"choices": [value]}, from_name=name))
    if not regions and not any(isinstance(value, list) for value in row.values()):
        others = [name for name, value in row.items() if isinstance(value, str) and name not in _OF_A_ROW]
        texts = [name for name in others if not is_image_name(row[name].partition("?")[0])]
        if len(texts) == 1:
            return [Region({"choices": [row[texts[0]]]}, from_name=texts[0])]
        if texts:
            raise DataError(
                f"{where}, task {key}: which of {', '.join(map(repr, texts))} is the label cannot be told; export JSON "
                "in place of JSON_MIN"
            )
    return regions


def image_value(task: Task, where: str) -> str:
    """Return the address of a task's image.

    Raises:
        DataError: the task has no image, or several.
    """
    texts = {name: value for name, value in task.data.items() if isinstance(value, str) and name not in _OF_A_ROW}
    if "image" in texts:
        return texts["image"]
    fitting = {name: value for name, value in texts.items() if is_image_name(value.partition("?")[0]) or "?d=" in value}
    found = set(fitting.values())
    if len(found) != 1:
        has = (
            f"several images: {', '.join(map(repr, fitting))}" if found else f"no image; it has {', '.join(task.data)}"
        )
        raise DataError(f"{where}, {task.name} has {has}; expected one, best under 'image'")
    return found.pop()
