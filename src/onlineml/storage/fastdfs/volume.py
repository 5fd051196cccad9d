"""Volume: names on a FastDFS cluster, kept in a log that any number of processes read and append to.

A volume is identified by its root, an appender file that never moves. The root points to the current log of names,
which is an appender file too, and to a snapshot of the earlier names. When a log has become long, its last record names
the next log, and the root gets a pointer to that with a new snapshot (see `onlineml.storage.fastdfs.upkeep`).

Logs are only appended to on the server that they were created on. If the tracker redirects changes to another server
because it considers that one down, nothing is written: the replicas' histories would diverge.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING

from onlineml.errors import ConflictError, NotFoundError, StorageError
from onlineml.storage.fastdfs import records as log
from onlineml.storage.fastdfs.client import RefusedError
from onlineml.storage.fastdfs.connections import Payload
from onlineml.storage.fastdfs.ids import FileId
from onlineml.storage.fastdfs.names import Names
from onlineml.storage.fastdfs.trackers import NoServerError, another

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onlineml.storage.fastdfs.client import Client
    from onlineml.storage.fastdfs.records import Entry, Pointer, Record

__all__ = ["EXTENSION", "Volume"]

EXTENSION = "volume"  # extension of roots, which distinguishes them from other files
_RELOADS = 5  # a rotation may delete a file that is about to be read, but hardly this many times in a row


class Volume:
    """A volume as seen by this process; threads share it, and a forked child may continue to use it.

    Attributes:
        client: client of its cluster.
        root: id of the volume.
        snapshot_bytes: size of the snapshot with which reading started.
        replayed_bytes: size of the records since, including those stored in files of their own.
        commits: number of commits by this process.
    """

    def __init__(self, client: Client, root: FileId) -> None:
        self.client = client
        self.root = root
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._changing = False
        self._names: Names | None = None
        self._read_at = 0.0  # start time of the last read of the log
        self._segment = root
        self._serial = 0
        self._end = 0  # bytes of the segment that have been read
        self._rest = b""  # the last of them, which are not yet a complete line
        self.snapshot_bytes = 0
        self.replayed_bytes = 0
        self.commits = 0

    # ---- reading ----

    @contextlib.contextmanager
    def reading(self) -> Iterator[Names]:
        """Yield the current names; other threads of this process wait meanwhile.

        Raises:
            NotFoundError: the volume does not exist.
            StorageError: the log cannot be read.
        """
        asked = time.monotonic()
        with self._own_lock():
            if self._names is None or self._read_at < asked:
                begun = time.monotonic()
                self._refresh()
                self._read_at = begun
            assert self._names is not None  # noqa: S101 (just read)
            yield self._names

    def known(self, name: str) -> Entry | None:
        """Return the entry of a name as of the last read of the log."""
        names = self._names
        return None if names is None else names.entries.get(name)

    def position(self) -> tuple[FileId, int, int]:
        """Return the current log, its number, and how many bytes of it have been processed."""
        with self._own_lock():
            if self._names is None:
                self._refresh()
            return self._segment, self._serial, self._end - len(self._rest)

    def _own_lock(self) -> threading.RLock:
        if self._pid != os.getpid():  # a forked child: a thread of its parent may have held the lock
            self._lock, self._pid = threading.RLock(), os.getpid()
            if self._changing:
                self._names, self._changing = None, False
        return self._lock

    def pointers(self) -> list[Pointer]:
        """Return the pointers of the root, by number.

        Raises:
            NotFoundError: the volume does not exist.
        """
        try:
            data = self.client.read_tail(self.root, 0)
        except FileNotFoundError as err:
            raise NotFoundError(f"the volume {self.root} does not exist on this FastDFS cluster") from err
        return log.pointers_of(data, str(self.root))

    def _refresh(self) -> None:
        for _ in range(_RELOADS):
            try:
                if self._names is None:
                    self._load()
                read = {self._segment}
                while self._advance():
                    if self._segment in read:
                        self._names = None
                        raise StorageError(
                            f"the log of names {self._segment} of the volume {self.root} is followed by itself: it "
                            "was damaged on purpose; restore its group from a copy"
                        )
                    read.add(self._segment)
            except FileNotFoundError as err:
                self._names = None
                if isinstance(err, NotFoundError):
                    raise
            else:
                return
            # a rotation deleted the file to be read; the root points to its replacement
        raise StorageError(f"the log of names of the volume {self.root} is missing; restore the group from its replica")

    def _load(self) -> None:
        newest = self.pointers()[-1]
        names, self.snapshot_bytes = Names(), 0
        if newest.snapshot:
            file = self._id(newest.snapshot)
            self.snapshot_bytes = file.size or 0
            names = Names.restored(self.client.read(file, 0, self.snapshot_bytes))
        self._start(self._id(newest.segment), newest.serial, newest.start)
        self._names = names

    def _id(self, text: str) -> FileId:
        try:
            return FileId.parse(text)
        except ValueError as err:
            raise StorageError(f"the names of the volume {self.root} are damaged: {err}; restore its group") from err

    def _start(self, segment: FileId, serial: int, end: int = 0) -> None:
        self._segment, self._serial, self._end, self._rest = segment, serial, end, b""
        self.replayed_bytes = 0

    def _advance(self) -> bool:
        """Process new records of the log; return whether another log follows."""
        known = min(self._end, 1)  # the last byte is read again: reading at the end is an error on FastDFS
        try:
            data = self.client.read_tail(self._segment, self._end - known)[known:]
        except OSError as err:
            if err.errno != errno.EINVAL:
                raise
            self._names = None
            raise StorageError(
                f"the log of names {self._segment} is now shorter than the {self._end} bytes already read: its "
                "server lost the newest names, for instance in a power failure; the next access reads it anew"
            ) from err
        if not data:
            return False
        payloads, rest = log.whole_lines(self._rest + data)
        records = []
        for payload in payloads:
            records.append(self._whole(log.record_of(payload)))
            if records[-1].following:
                break
        self._take_in(records)
        self._end += len(data)
        self._rest = rest
        self.replayed_bytes += len(data) + sum(self._id(record.body).size or 0 for record in records if record.body)
        if records and records[-1].following:
            self._start(self._id(records[-1].following), self._serial + 1)
            return True
        return False

    def _take_in(self, records: list[Record]) -> None:
        assert self._names is not None  # noqa: S101 (loaded before)
        self._changing = True
        try:
            for record in records:
                self._names.apply(record)
        except BaseException:
            self._names = None  # partly applied: read again from the start
            raise
        finally:
            self._changing = False

    def _whole(self, record: Record) -> Record:
        if not record.body:
            return record
        file = self._id(record.body)
        body = log.body_of(self.client.read(file, 0, file.size or 0), str(file))
        return log.Record(txn=record.txn, ms=record.ms, expected=body.expected, set=body.set, body=record.body)

    # ---- writing ----

    def check(self, changes: Mapping[str, Entry | None], expected: Mapping[str, str | None]) -> None:
        """Raise the error that `commit` would raise now, before anything is uploaded for it."""
        with self.reading() as names:
            if (objection := names.objection(expected, changes)) is not None:
                raise objection

    def commit(self, changes: Mapping[str, Entry | None], *, expected: Mapping[str, str | None] | None = None) -> None:
        """Set and remove names, all or none of them.

        Args:
            changes: the new entry by path, or None to remove the name.
            expected: the file id that a path must have, or None if the path must not exist.

        Raises:
            FileExistsError: a path exists that was expected not to.
            ConflictError: a path has another file than expected.
            IsADirectoryError: a path is a folder.
            NotADirectoryError: a path is below a file.
            RefusedError: the log cannot be written now.
            StorageError: the log does not respond; the names may have been set all the same.
        """
        expected = dict(expected or {})
        record = log.Record(txn=secrets.token_urlsafe(12), ms=log.now_ms(), expected=expected, set=dict(changes))
        counted = self.append(record)
        self.commits += 1
        if not counted:
            with self.reading() as names:
                raise names.objection(expected, changes) or ConflictError("the names were changed meanwhile; try again")

    def append(self, record: Record, *, only: FileId | None = None) -> bool:
        """Append a record to the log once, optionally to one given log only; return whether it took effect."""
        line, body = log.line_of(record), None
        if len(line) > log.MAX_LINE:
            body = self.client.upload(Payload(log.body_bytes(record)))
            line = log.line_of(log.Record(txn=record.txn, ms=record.ms, body=str(body)))
        failure: OSError | None = None
        sent, begin = False, time.monotonic()
        for number in itertools.count():
            segment, serial, end = self.position()
            if only is not None and segment != only:
                return False
            try:
                self.client.append(segment, line)
                sent, failure = True, None
            except RefusedError as err:
                failure = err
            except OSError as err:
                sent, failure = True, err
            counted = self._outcome(record.txn) if sent else None
            if counted is not None:
                if self.position() != (segment, serial, end + len(line)):
                    self._settle(segment)
                return counted
            down = failure is not None and isinstance(failure.__cause__, NoServerError)
            # no wait where another log follows, to which the line must go
            if self.position()[0] == segment and not another(
                self.client.settings, number, begin=begin, down=down and not sent
            ):
                break
        if isinstance(failure, RefusedError) and not sent:
            if body is not None:
                with contextlib.suppress(OSError):
                    self.client.delete(body)
            raise failure
        raise self._unknown(failure)

    def _outcome(self, txn: str) -> bool | None:
        try:
            with self.reading() as names:
                return names.outcome(txn)
        except OSError as err:
            raise self._unknown(err) from err

    def _unknown(self, failure: OSError | None) -> StorageError:
        return StorageError(
            f"the log of names {self._segment} does not respond; check whether the change was made when it does "
            f"({type(failure).__name__}: {failure})"
        )

    def _settle(self, segment: FileId) -> None:
        """Append one more line after concurrent appends: replicas omit the last of such until another follows."""
        with contextlib.suppress(OSError):
            self.client.append(segment, b"\n")
