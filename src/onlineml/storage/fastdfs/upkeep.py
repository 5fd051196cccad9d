"""Maintenance of volumes: starting a new log when one has become long, and deleting objects without a name.

A writer does this after a commit of its own. It may be killed at any step: incomplete work is either invisible to
readers or repeated by the next writer.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from onlineml.errors import StorageError
from onlineml.storage.fastdfs.connections import Payload
from onlineml.storage.fastdfs.ids import FileId
from onlineml.storage.fastdfs.records import FORMAT, Pointer, Record, line_of, now_ms, record_of, whole_lines

if TYPE_CHECKING:
    from onlineml.storage.fastdfs.client import Client
    from onlineml.storage.fastdfs.volume import Volume

__all__ = ["after_commit", "collect", "rotate"]

LOG_BYTES = 2 << 20  # size of the records: about 10,000 small commits, which take 0.15 s to read
# commits of a process; twice as many objects are deleted each time, so that the number does not grow
_COLLECT_EVERY = 32
_FORGOTTEN = 40  # ids per record, so that it fits into a line
_KEPT = 2  # newest pointers, whose files are kept; a reader that started with an older one starts again
_LOOKED_BACK = 8  # pointers that are checked for files left by a killed process


def after_commit(volume: Volume, *, delete_after_s: float) -> None:
    """Do any maintenance that is due. Failures are left to the next writer: the commit has been made."""
    with contextlib.suppress(OSError):
        if volume.replayed_bytes > max(LOG_BYTES, volume.snapshot_bytes // 4):
            rotate(volume)
        if volume.commits % _COLLECT_EVERY == 1:
            collect(volume, older_than_s=delete_after_s, limit=2 * _COLLECT_EVERY)


def rotate(volume: Volume) -> bool:
    """End the current log and start another, with a snapshot; return False if another process was faster."""
    segment, _, _ = volume.position()
    following = volume.client.upload_appender(b"\n", group=volume.root.group)
    if not volume.append(Record(txn=_txn(), ms=now_ms(), following=str(following)), only=segment):
        _delete(volume.client, str(following))
        return False
    with volume.reading() as names:
        current, serial, start = volume.position()
        data = names.snapshot()
    snapshot = volume.client.upload(Payload(data))
    volume.snapshot_bytes = len(data)
    pointer = Pointer(format=FORMAT, serial=serial, segment=str(current), start=start, snapshot=str(snapshot))
    volume.client.append(volume.root, line_of(pointer))
    _clean(volume)
    return True


def _clean(volume: Volume) -> None:
    """Delete the logs and snapshots that the newest pointers do not need."""
    pointers = volume.pointers()
    kept = pointers[-_KEPT:]
    for pointer in pointers[-_LOOKED_BACK:-_KEPT]:
        if pointer.serial < kept[0].serial:
            bodies = _bodies(volume.client, pointer.segment)
            for file in (*bodies, pointer.snapshot, pointer.segment):
                _delete(volume.client, file)


def _bodies(client: Client, segment: str) -> list[str]:
    try:
        lines, _ = whole_lines(client.read_tail(FileId.parse(segment), 0))
    except (FileNotFoundError, ValueError):
        return []
    return [record.body for record in map(record_of, lines) if record.body]


def collect(volume: Volume, *, older_than_s: float, limit: int | None = None) -> int:
    """Delete objects that lost their last name some time ago, the oldest first; return how many."""
    until = now_ms() - int(older_than_s * 1000)
    with volume.reading() as names:
        due = [file for file, ms in names.garbage.items() if ms <= until][:limit]
    deleted = 0
    for start in range(0, len(due), _FORGOTTEN):
        gone = [file for file in due[start : start + _FORGOTTEN] if _deleted(volume.client, file)]
        if gone and not volume.append(Record(txn=_txn(), ms=now_ms(), forgotten=gone)):
            raise StorageError("the log of names rejected a record that has no condition; report this as a bug")
        deleted += len(gone)
    return deleted


def _delete(client: Client, file: str) -> None:
    if file:
        with contextlib.suppress(FileNotFoundError, ValueError):  # what is no id cannot be deleted either
            client.delete(FileId.parse(file))


def _deleted(client: Client, file: str) -> bool:
    """Delete an object; return False if its server is unavailable, so that it is tried again later."""
    try:
        _delete(client, file)
    except OSError:
        return False
    return True


def _txn() -> str:
    return secrets.token_urlsafe(12)
