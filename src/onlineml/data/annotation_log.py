"""A project's annotation log: uploads, imports, corrections and deletions by any number of people at once."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, cast

from onlineml.data import uploads
from onlineml.data._annotation_boxes import checked_boxes, kept_values, require_usable
from onlineml.data.annotations import fold, parquet_bytes, parquet_table, record
from onlineml.data.splits import assign_splits
from onlineml.errors import ConfigError
from onlineml.storage import io
from onlineml.storage._urls import local_path, redacted
from onlineml.storage.log import AppendLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from onlineml.data._annotation_boxes import BoxesSaid
    from onlineml.data.annotations import Annotations
    from onlineml.data.manifest import Manifest
    from onlineml.storage.log import LogEntry

__all__ = ["AnnotationLog", "absolute", "checked_class_name"]


class AnnotationLog:
    """What is said about the images of the project at `project_url`.

    Args:
        project_url: the project's folder; local ones absolute.
        task: ``"classification"``: images have labels; ``"detection"``: they have boxes.
        class_names: those that the project began with.
        storage_options: of the filesystem; never shown or stored.
    """

    def __init__(
        self,
        project_url: str,
        *,
        task: str = "classification",
        class_names: Sequence[str] = (),
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._url = project_url
        self._task = task
        self._class_names = tuple(class_names)
        self._options = storage_options
        self._log = AppendLog(io.join(project_url, "log/annotations"), storage_options=storage_options)
        self._imports: dict[str, pa.Table] = {}  # files of imports never change

    def state(self) -> Annotations:
        """What the log adds up to."""
        return self._fold(self._log.read())

    def upload(
        self,
        sources: uploads.Source | Sequence[uploads.Source],
        *,
        label: str | None,
        boxes: BoxesSaid | Sequence[BoxesSaid | None] | None,
        split: str | None,
        group: str | None,
        author: str,
    ) -> list[str]:
        """See `onlineml.Project.upload`."""
        given = uploads.checked_split(split)
        if label is not None:
            checked_class_name(label)
        listed = uploads.listed(sources)
        said = uploads.boxes_of_sources(listed, boxes)
        images = uploads.store(listed, blobs_url=io.join(self._url, "blobs"), storage_options=self._options)
        state = self.state()
        known = state.splits_of_groups([group]) if group is not None else {}
        boxes_of = {image.sha256: one for image, one in zip(images, said, strict=True) if one is not None}
        records = []
        for image in {image.sha256: image for image in images}.values():
            own = group or image.sha256
            decided = given or known.get(own) or str(assign_splits([own], [None])[0])
            facts = {**image.facts(), "label": label, "split": decided, "group": own, "base": state.base(image.sha256)}
            if image.sha256 in boxes_of:
                facts |= _boxes_facts(boxes_of[image.sha256], {**state.row(image.sha256), **image.facts()})
            records.append(record("uploaded", author=author, facts=facts))
        self._log.append_many(records)
        return [image.sha256 for image in images]

    def import_(self, manifest: Manifest, *, author: str) -> int:
        """See `onlineml.Project.import_`.

        The table is one Parquet file, written first; the log's one entry names it. Killed in between, nothing was
        imported.
        """
        folder = f"{self._url}/"
        uris = [absolute(url).removeprefix(folder) for url in manifest.urls()]  # a copied project finds its own files
        groups, splits = manifest.column("group").tolist(), manifest.column("split").tolist()
        table = manifest.with_column("uri", uris).with_column("split", assign_splits(groups, splits)).table
        data = parquet_bytes(table)
        file = f"log/imports/{hashlib.sha256(data).hexdigest()[:32]}.parquet"
        entries = self._log.read()
        if any(entry.record.get("file") == file for entry in entries):
            return 0
        before = self._fold(entries)
        io.write_bytes(io.join(self._url, file), data, storage_options=self._options)
        facts = {"file": file, "n": len(table), "class_names": list(manifest.class_names)}
        self._log.append(record("imported", author=author, facts=facts))
        return sum(before.base(image_id) is None for image_id in table["image_id"].to_pylist())

    def correct(self, labels: Mapping[str, str | None], *, author: str) -> list[str]:
        """See `onlineml.Project.relabel_many`."""
        state = self.state()
        state.check(labels)
        return self._log.append_many(
            record(
                "corrected", author=author, facts={"image_id": image_id, "label": label, "base": state.base(image_id)}
            )
            for image_id, label in labels.items()
        )

    def correct_boxes(self, boxes: Mapping[str, BoxesSaid | None], *, author: str) -> list[str]:
        """See `onlineml.Project.relabel_boxes_many`."""
        state = self.state()
        said = {image_id: checked_boxes(one, name=image_id) for image_id, one in boxes.items()}
        state.check({image_id: one["labels"] for image_id, one in said.items()})
        records = []
        for image_id, one in said.items():
            facts = {"image_id": image_id, **_boxes_facts(one, state.row(image_id)), "base": state.base(image_id)}
            records.append(record("corrected", author=author, facts=facts))
        return self._log.append_many(records)

    def delete(self, image_id: str, *, author: str) -> str:
        """See `onlineml.Project.delete`."""
        state = self.state()
        state.check({image_id: None})
        facts = {"image_id": image_id, "base": state.base(image_id)}
        return self._log.append(record("deleted", author=author, facts=facts))

    def add_class(self, name: str, *, author: str) -> None:
        """See `onlineml.Project.add_class`."""
        if checked_class_name(name) not in self.state().class_names:
            self._log.append(record("class_added", author=author, facts={"label": name}))

    def compact(self) -> int:
        """See `onlineml.storage.log.AppendLog.compact`."""
        return self._log.compact()

    def _fold(self, entries: Iterable[LogEntry]) -> Annotations:
        return fold(entries, class_names=self._class_names, read_import=self._read_import, task=self._task)

    def _read_import(self, file: str) -> pa.Table:
        if file not in self._imports:
            url = io.join(self._url, file)
            data = io.read_bytes(url, storage_options=self._options)
            self._imports[file] = parquet_table(data, name=redacted(url))
        return cast("pa.Table", self._imports[file])


def _boxes_facts(said: dict[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of an image's boxes, given what is known of the image.

    Raises:
        DataError: a box cannot be used.
    """
    size_hw = (row["height"], row["width"]) if row["width"] and row["height"] else None
    require_usable(said, name=row["image_id"], size_hw=size_hw)
    further = kept_values(said, {name: value for name, value in row.items() if isinstance(value, list)})
    return {**said, "further": further} if further else said


def absolute(url: str | os.PathLike[str]) -> str:
    """The URL, or for a local path the absolute path, which outlasts a change of folder."""
    full = str(url)
    local = local_path(full)
    return full.rstrip("/") if local is None else os.path.abspath(local)  # noqa: PTH100 (links stay as they are)


def checked_class_name(name: str) -> str:
    """A class name as given.

    Raises:
        ConfigError: it is blank.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"a class needs a name that is not blank; found {name!r}")
    return name
