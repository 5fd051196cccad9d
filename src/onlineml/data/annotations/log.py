"""A project's annotation log: what is said about its images by any number of people and models at once."""

from __future__ import annotations

import contextlib
import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations import edits, uploads
from onlineml.data.annotations.admission import admitted_entries, admitted_images
from onlineml.data.annotations.importing import absolute, ids_of_contents, prepared, unsaid, url_of
from onlineml.data.annotations.moving import readdressed
from onlineml.data.annotations.seen import digests_in
from onlineml.data.annotations.state import Annotations, fold, parquet_bytes, record
from onlineml.data.annotations.suggestions import guesses
from onlineml.data.annotations.witnesses import witnessed
from onlineml.data.kinds import kind_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import assign_splits
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.documents import parquet_table
from onlineml.storage.location import Location, Url
from onlineml.storage.log.entry import ulid_after
from onlineml.storage.log.log import AppendLog
from onlineml.storage.log.table import ENTRY
from onlineml.storage.patience import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from onlineml.data.annotations.edits import Facts

__all__ = ["AnnotationLog", "absolute"]

_MANY_OBJECTS = 512  # small ones, after which a writer puts them together


class AnnotationLog:
    """The annotations of the images of a project.

    Args:
        project: the project's folder; local ones absolute.
        task: determines how images are annotated, see `onlineml.data.kinds.kind_of`.
        class_names: those that the project began with.
    """

    def __init__(self, project: Url, *, task: str = "classification", class_names: Sequence[str] = ()) -> None:
        self._folder = Location.of(project)
        self.kind = kind_of(task)
        self._class_names = tuple(class_names)
        self._log = AppendLog(self._folder / "log/annotations")
        self._files: dict[str, pa.Table] = {}  # they never change
        self._present: tuple[pa.Table, Annotations] | None = None
        self._seen: Annotations | None = None
        self._own: dict[str, str] = {}  # by image, the last entry that was written here
        self._touched: set[str] = set()  # images of which something was written since `_seen` was read
        self._n_appended = 0

    # ---- read ----

    @click
    def state(self, *, at: datetime | None = None) -> Annotations:
        """Return the state of the log, now or at a moment.

        Later entries written through this object count as written by somebody who has seen that state.
        """
        if at is not None:
            log = self._log.table()
            n = pc.sum(pc.less(log[ENTRY], ulid_after(at))).as_py() or 0
            return self._fold(log.slice(0, n))
        self._seen = self._now()
        self._touched.clear()
        return self._seen

    @property
    def seen(self) -> Annotations | None:
        """The state that was read here last, on which entries are based; None before, or after a change of all."""
        return self._seen

    def _now(self) -> Annotations:
        log = self._log.table()
        if self._present is None or self._present[0] is not log:
            self._present = log, self._fold(log)
        return self._present[1]

    def _fold(self, log: pa.Table) -> Annotations:
        return fold(
            admitted_entries(log), class_names=self._class_names, read_file=self._read_file, task=self.kind.task
        )

    def _read_file(self, file: str) -> pa.Table:
        return self._read_files([file])[0]

    def _read_files(self, files: Sequence[str]) -> list[pa.Table]:
        places = {file: self._folder / file for file in files if file not in self._files}
        contents = io.read_many(list(places.values()))
        for (file, place), content in zip(places.items(), contents, strict=True):
            if isinstance(content, OSError):
                raise content
            self._files[file] = admitted_images(parquet_table(content, place), project=self._folder)
        return [self._files[file] for file in files]

    # ---- written ----

    @click
    def append(
        self,
        entries_of: Callable[[Annotations], Sequence[Facts]],
        *,
        author: str,
        expected_revisions: Mapping[str, str | None] | None = None,
    ) -> list[str]:
        """Append what somebody says, together: readers see all of it or none.

        Args:
            entries_of: makes it from the state that its author sees; see `onlineml.data.annotations.edits`.
            author: who.
            expected_revisions: what its author had seen of images, where it is not what was read here last; see
                `Annotations.revision`.

        Returns:
            The ids of the entries.
        """
        state, facts = self._seen, None
        if state is not None:
            with contextlib.suppress(DataError):  # it may be about what is newer than what was seen here
                facts = entries_of(state)
        if state is None or facts is None or any(fields.get("image_id") in self._touched for _, fields in facts):
            state = self.state()
            facts = entries_of(state)
        with contextlib.suppress(OSError):  # what somebody says holds all the same
            facts = witnessed(
                facts,
                (*self.kind.claim_events, "deleted"),
                state.table,
                digests=self._digests,
                url_of=partial(url_of, root=self._folder.url),
                storage_options=self._folder.options,
            )
        return self._append(facts, state, author=author, expected_revisions=expected_revisions or {})

    def _append(
        self, facts: Sequence[Facts], state: Annotations, *, author: str, expected_revisions: Mapping[str, str | None]
    ) -> list[str]:
        images = [fields["image_id"] for _, fields in facts if "image_id" in fields and "base" not in fields]
        seen = {**dict(zip(images, state.revisions(images), strict=True)), **expected_revisions}
        based = []
        for event, fields in facts:
            about_image = "image_id" in fields and "base" not in fields
            based.append((event, {**fields, "base": seen[fields["image_id"]]} if about_image else fields))
        ids = self._log.append_many(record(event, author=author, facts=fields) for event, fields in based)
        for entry, (event, fields) in zip(ids, based, strict=True):
            if "image_id" in fields:
                self._own[fields["image_id"]] = entry
                self._touched.add(fields["image_id"])
            elif event != "frozen":
                self._seen = None  # groups, classes and suggestions change for many images
        self._n_appended += bool(ids)
        if self._log.n_loose + self._n_appended >= _MANY_OBJECTS:
            self.compact(at_least=_MANY_OBJECTS // 2)
        return ids

    def upload(
        self,
        sources: uploads.Source | Sequence[uploads.Source],
        *,
        annotation: Any,
        split: str | None,
        group: str | None,
        author: str,
    ) -> list[str]:
        """See `onlineml.Project.images.upload`; `annotation` is a value for the kind's `of_sources`.

        The author has seen what was written here, and nothing else.
        """
        given = uploads.checked_split(split)
        listed = uploads.listed(sources)
        claims = self.kind.of_sources(uploads.names_of(listed), annotation)
        for name in {name for claim in claims if claim for name in self.kind.labels_in(claim)}:
            edits.checked_class_name(name)
        images = uploads.store(listed, blobs=self._folder / "blobs")
        state = self._now()
        ids = ids_of_contents([image.sha256 for image in images], state.folded, self._digests())
        known = state.splits_of_groups([group]) if group is not None else {}
        claim_of = {image.sha256: one for image, one in zip(images, claims, strict=True) if one is not None}
        facts: list[Facts] = []
        for image in {image.sha256: image for image in images}.values():
            image_id = ids[image.sha256]
            own = group or image_id
            decided = given or known.get(own) or str(assign_splits([own], [None])[0])
            told = {**image.facts(), "image_id": image_id, "split": decided, "group": own}
            told |= self._claim_of_upload(claim_of.get(image.sha256), {**state.row(image_id), **told})
            facts.append(("uploaded", {**told, "base": self._own.get(image_id)}))
        self._append(facts, state, author=author, expected_revisions={})
        return [ids[image.sha256] for image in images]

    def _claim_of_upload(self, claim: dict[str, Any] | None, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of an upload about what its image shows, or that it says nothing."""
        facts = self.kind.parsed(None, name="") if claim is None else self.kind.completed(claim, row)
        return dict(facts)

    def import_(self, manifest: Manifest, *, author: str) -> int:
        """See `onlineml.Project.add`; the table is a file, written before the entry that names it.

        Rows that tell nothing new are left out; so is an import that has no others, and no new class.
        """
        before = self._now()
        found = prepared(manifest, before.folded, project=self._folder, digests=self._digests)
        table, entries = unsaid(found.table, before.folded, self._read_file), before.folded.entries
        named = {name for row in entries.rows("imported") for name in entries.list_of_texts(row, "class_names")}
        if not len(table) and not found.gone and named.issuperset(manifest.class_names):
            return 0
        file = self._stored(table, "log/imports")
        facts = {"file": file, "n": len(table), "class_names": list(manifest.class_names)}
        if found.gone:
            facts["gone"] = self._stored(pa.table({"image_id": found.gone}), "log/imports")
        self._append([("imported", facts)], before, author=author, expected_revisions={})
        return before.revisions(table["image_id"].to_pylist()).count(None)

    def _digests(self) -> pa.Table:
        """The columns image_id and sha256 of images that were read."""
        files = [f"log/seen/{file.path}" for file in io.list_files(self._folder / "log/seen")]
        return digests_in(self._read_files([file for file in files if file.endswith(".parquet")]))

    def readdress(self, old: Url, new: Url, *, author: str) -> int:
        """See `onlineml.Project.images.moved`."""
        before = self._now()
        table = readdressed(before.folded, self._digests(), old, new, project=self._folder, kind=self.kind)
        facts = {"file": self._stored(table, "log/imports"), "n": len(table), "class_names": []}
        self._append([("imported", facts)], before, author=author, expected_revisions={})
        return len(table)

    def suggest(self, predictions: Any, *, model: str, author: str) -> str | None:
        """See `onlineml.Project.labels.suggest`."""
        state = self._now()
        table = guesses(predictions, image_ids=partial(self._ids_of_uris, state), kind=self.kind)
        if not len(table):
            return None
        state.require_images(table["image_id"].to_pylist())
        state.require_classes(self.kind.names_guessed(table))
        seen = table.append_column("base", pa.array(state.revisions(table["image_id"].to_pylist()), pa.string()))
        facts = {"file": self._stored(seen, "log/suggestions"), "n": len(table), "model": model}
        return self._append([("suggested", facts)], state, author=author, expected_revisions={})[0]

    def _ids_of_uris(self, state: Annotations, uris: Sequence[str]) -> list[str | None]:
        """Of several images of one address the last one: the others were overwritten."""
        columns = state.table.select(["image_id", "uri"])
        ids = dict(zip(Manifest(columns, root=self._folder.url).urls(), columns["image_id"].to_pylist(), strict=True))
        return [ids.get(uri, ids.get(absolute(uri))) for uri in uris]

    def _stored(self, table: pa.Table, folder: str) -> str:
        """The path of the file with a table, which is named by its content."""
        data = parquet_bytes(table)
        file = f"{folder}/{hashlib.sha256(data).hexdigest()[:32]}.parquet"
        if not io.exists(self._folder / file):
            io.write_bytes(self._folder / file, data)
        return file

    def freeze(self, dataset: str, state: Annotations, *, author: str, max_bad: float | None = None) -> None:
        """Note that a state was frozen, so that its classes keep their ids, and put small objects together.

        Args:
            dataset: its hash.
            state: what was frozen.
            author: who.
            max_bad: the share of bad images that is allowed from now on; None: no other than before.
        """
        if dataset not in state.folded.frozen or max_bad is not None:
            facts: dict[str, Any] = {"dataset": dataset, "classes": state.folded.classes.first_names}
            facts |= {} if max_bad is None else {"max_bad": max_bad}
            self._append([("frozen", facts)], state, author=author, expected_revisions={})
        self.compact(at_least=_MANY_OBJECTS // 8)

    def compact(self, *, at_least: int = 2) -> int:
        """See `onlineml.storage.log.AppendLog.compact`; where nothing may be deleted, nothing is gained."""
        self._n_appended = 0
        with contextlib.suppress(PermissionError):
            return self._log.compact(at_least=at_least)
        return 0
