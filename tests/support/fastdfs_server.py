"""A small FastDFS cluster in one process, for tests: a tracker and its storage servers, with the traps of real ones.

Written from the facts of the protocol. Run it as a program: it takes its settings as JSON in its one argument, prints
its tracker's address, and serves until it is killed. Command 250 to the tracker (a JSON object) changes settings and
plants faults; it answers with facts about the cluster. Nothing but the standard library is imported, so it starts fast.
"""

from __future__ import annotations

import base64
import errno
import json
import random
import socket
import struct
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field
from typing import Any

GROUP = "group1"
TRUNK_LIMIT = 1 << 20  # larger files get a file of their own in trunk mode
CHUNK = 1 << 16  # of an append; between two, others may write


class Refusal(Exception):  # noqa: N818 (an answer, not a failure)
    """An answer with a status; after EINVAL the server closes the connection."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Dropped(Exception):  # noqa: N818
    """The connection ends without an answer."""


@dataclass
class Fault:
    """What goes wrong, so many times: the command is hung, lost before or after it is done, done late, or refused.

    Its answer may come at ten bytes a second (dribble), or be announced to have a length and then end (announce).
    """

    command: int
    # "lose before", "lose after", "hang", "late", "garbage", "short", "dribble", "announce" or a status as a number
    action: str
    server: str = ""  # an id of a storage server, "tracker", or any
    times: int = 1
    seconds: float = 1.0
    length: int = 0  # that is announced


@dataclass
class Settings:
    """See `Cluster`."""

    storages: int = 2
    ip_size: int = 15  # 45 in the IPv6-size mode
    trunk: bool = False
    ids: bool = True  # storage ids in file names, so that all servers may be on one address
    replica_delay_s: float = 0.05
    append_gap_s: float = 0.0  # between the look at an appender's size and the write
    down: list[str] = field(default_factory=list)  # servers that do not answer, and that the tracker counts as down
    hidden: list[str] = field(default_factory=list)  # servers that answer, but that the tracker counts as down
    faults: list[Fault] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------------------- storage


@dataclass
class Stored:
    data: bytearray
    mtime: int
    source: bool


class Storage:
    """One storage server: its files, and what it still has to tell its replicas."""

    def __init__(self, number: int, settings: Settings) -> None:
        self.settings = settings
        self.id = str(100_000 + number) if settings.ids else f"127.0.0.{10 + number}"
        self.host = "127.0.0.1" if settings.ids else self.id
        self.port = 0
        self.files: dict[str, Stored] = {}
        self.lock = threading.Lock()
        self.others: list[Storage] = []
        self.binlog: list[tuple[float, str, str, int, int]] = []  # when, operation, name, start, bytes

    def handle(self, command: int, body: bytes) -> bytes:
        handler = {
            11: self.upload, 23: self.upload_appender, 12: self.delete, 14: self.download, 22: self.info,
            24: self.append, 34: self.modify, 111: lambda _: b"",
        }.get(command)  # fmt: skip
        if handler is None:
            raise Refusal(errno.EINVAL)
        return handler(body)

    def log(self, operation: str, name: str, start: int = 0, count: int = 0) -> None:
        self.binlog.append((time.monotonic() + self.settings.replica_delay_s, operation, name, start, count))

    # ---- what clients ask for ----

    def upload(self, body: bytes, *, appender: bool = False) -> bytes:
        path, size, extension = struct.unpack_from(">BQ6s", body)
        data = body[15:]
        if path != 0 or size != len(data):
            raise Refusal(errno.EINVAL)
        name = self.new_name(data, extension.rstrip(b"\0").decode(), appender=appender)
        with self.lock:
            self.files[name] = Stored(bytearray(data), int(time.time()), source=True)
            self.log("create", name)
        return GROUP.encode().ljust(16, b"\0") + name.encode()

    def upload_appender(self, body: bytes) -> bytes:
        return self.upload(body, appender=True)

    def new_name(self, data: bytes, extension: str, *, appender: bool) -> str:
        trunk = self.settings.trunk and not appender and len(data) <= TRUNK_LIMIT
        size = 1 << 63 | random.getrandbits(23) << 32 | (0 if appender else len(data))
        size |= (1 << 58 if appender else 0) | (1 << 59 if trunk else 0)
        ip = int(self.id).to_bytes(4, "little") if self.settings.ids else socket.inet_aton(self.id)
        packed = ip + struct.pack(">IQI", int(time.time()), size, zlib.crc32(data))
        encoded = base64.urlsafe_b64encode(packed).decode().rstrip("=")
        place = base64.urlsafe_b64encode(random.randbytes(12)).decode() if trunk else ""
        dotted = f".{extension}" if extension else ""
        digits = "".join(random.choices("0123456789", k=7 - len(dotted)))
        return f"M00/{random.randrange(4):02X}/{random.randrange(4):02X}/{encoded}{place}{digits}{dotted}"

    def found(self, body: bytes) -> tuple[str, Stored]:
        """The file of a body that is a group and a name."""
        name = body[16:].decode()
        if body[:16].rstrip(b"\0").decode() != GROUP or len(name) < 37:
            raise Refusal(errno.EINVAL)
        if name not in self.files:
            raise Refusal(errno.ENOENT)
        return name, self.files[name]

    def delete(self, body: bytes) -> bytes:
        with self.lock:
            name, _ = self.found(body)
            del self.files[name]
            self.log("delete", name)
        return b""

    def download(self, body: bytes) -> bytes:
        offset, count = struct.unpack_from(">QQ", body)
        with self.lock:
            _, file = self.found(body[16:])
            if offset >= len(file.data):
                raise Refusal(errno.EINVAL)
            return bytes(file.data[offset : offset + count if count else None])

    def info(self, body: bytes) -> bytes:
        with self.lock:
            _, file = self.found(body)
        ip = self.host.encode().ljust(self.settings.ip_size + 1, b"\0")
        return struct.pack(">QQQ", len(file.data), file.mtime, 0) + ip

    def appender(self, body: bytes, numbers: int) -> tuple[str, Stored, list[int], bytes]:
        length, *values = struct.unpack_from(f">{numbers}Q", body)
        name = body[8 * numbers : 8 * numbers + length].decode()
        data = body[8 * numbers + length :]
        if values[-1] != len(data):
            raise Refusal(errno.EINVAL)
        _, file = self.found(GROUP.encode().ljust(16, b"\0") + name.encode())
        size = int.from_bytes(base64.urlsafe_b64decode(name[10:37] + "=")[8:16], "big")
        if not size >> 58 & 1:
            raise Refusal(errno.EINVAL)
        return name, file, values, data

    def append(self, body: bytes) -> bytes:
        with self.lock:
            name, file, _, data = self.appender(body, 2)
            start = len(file.data)  # looked at before the write, as the real server does: two may see the same
        time.sleep(self.settings.append_gap_s)
        for begin in range(0, len(data), CHUNK):
            with self.lock:
                file.data += data[begin : begin + CHUNK]
            if len(data) > CHUNK:
                time.sleep(0.001)
        with self.lock:
            self.log("append", name, start, len(data))
        return b""

    def modify(self, body: bytes) -> bytes:
        with self.lock:
            name, file, (offset, _), data = self.appender(body, 3)
            if offset > len(file.data):
                raise Refusal(errno.EINVAL)
            file.data[offset : offset + len(data)] = data
            self.log("modify", name, offset, len(data))
        return b""

    # ---- replicas ----

    def replicate(self) -> None:
        while True:
            time.sleep(0.01)
            while self.binlog and self.binlog[0][0] <= time.monotonic():
                if any(other.id in self.settings.down for other in self.others) or self.id in self.settings.down:
                    break
                for other in self.others:
                    self.tell(other, *self.binlog[0][1:])
                self.binlog.pop(0)  # now it is done

    def tell(self, other: Storage, operation: str, name: str, start: int, count: int) -> None:
        with self.lock:
            own = self.files.get(name)
            content = bytearray(own.data) if own is not None else None
        with other.lock:
            theirs = other.files.get(name)
            if operation == "delete" or content is None:
                other.files.pop(name, None)
            elif operation == "create" or theirs is None or len(theirs.data) < start:
                other.files[name] = Stored(content, int(time.time()), source=False)  # a gap: the whole file again
            elif operation == "append" and len(theirs.data) == start:
                theirs.data += content[start : start + count]
            elif operation == "modify":
                theirs.data[start : start + count] = content[start : start + count]


# ------------------------------------------------------------------------------------------------------------- tracker


class Cluster:
    """The tracker, and everything that listens."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.storages = [Storage(number + 1, settings) for number in range(settings.storages)]
        for storage in self.storages:
            storage.others = [other for other in self.storages if other is not storage]
        self.turn = 0
        self.counts: dict[str, int] = {}
        self.lock = threading.Lock()

    def active(self) -> list[Storage]:
        away = {*self.settings.down, *self.settings.hidden}
        return [storage for storage in self.storages if storage.id not in away]

    def handle(self, command: int, body: bytes) -> bytes:
        if command == 250:
            return self.control(json.loads(body))
        if command == 111:
            return b""
        if command in {104, 92, 102, 103, 105} and body[:16].rstrip(b"\0").decode() != GROUP:
            raise Refusal(errno.ENOENT)
        if command in {101, 104}:
            storage = self.next()
            return GROUP.encode().ljust(16, b"\0") + self.address(storage) + b"\0"
        if command == 92:
            return self.rows(body[16:].decode())
        if command in {102, 103, 105}:
            found = self.servers(command, body[16:].decode())
            return GROUP.encode().ljust(16, b"\0") + b"".join(map(self.address, found))
        raise Refusal(errno.EINVAL)

    def next(self) -> Storage:
        storages = self.active()
        if not storages:
            raise Refusal(errno.ENOENT)
        with self.lock:
            self.turn += 1
            return storages[self.turn % len(storages)]

    def address(self, storage: Storage) -> bytes:
        return storage.host.encode().ljust(self.settings.ip_size, b"\0") + struct.pack(">Q", storage.port)

    def servers(self, command: int, name: str) -> list[Storage]:
        packed = base64.urlsafe_b64decode(name[10:37] + "=")
        number = int.from_bytes(packed[:4], "little")
        source_id = str(number) if self.settings.ids else socket.inet_ntoa(packed[:4])
        plain = not packed[8] >> 2 & 1  # bit 58: an appender is read from its source only
        source = [storage for storage in self.active() if storage.id == source_id]
        if command == 103 or not plain:
            return source or [self.next()]  # the trap: changes go to a replica while the source is down
        having = [storage for storage in self.active() if storage in source or name in storage.files]
        if command == 105:
            return having or [self.next()]
        self.turn += 1
        return [having[self.turn % len(having)]] if having else [self.next()]

    def rows(self, wanted: str) -> bytes:
        found = []
        for storage in self.storages:
            if wanted in {"", storage.id}:
                status = 7 if storage in self.active() else 5
                row = bytes([status, 3]) + storage.id.encode().ljust(16, b"\0")
                row += storage.host.encode().ljust(self.settings.ip_size + 1, b"\0") + bytes(16)
                row += b"6.16.1".ljust(8, b"\0") + bytes(72) + struct.pack(">Q", storage.port) + bytes(349)
                found.append(row)
        if not found:
            raise Refusal(errno.ENOENT)
        return b"".join(found)

    def control(self, changes: dict[str, Any]) -> bytes:
        for name, value in changes.items():
            if name == "forget":  # a server loses the end of a file, as after a power failure
                for storage in self.storages:
                    if value[0] in storage.files:
                        del storage.files[value[0]].data[-value[1] :]
            elif name == "lost":  # a file, on one server
                del self.by_id(value[1]).files[value[0]]
            elif name == "damage":  # one byte of a file is another on one server
                self.by_id(value[1]).files[value[0]].data[0] ^= 1
            elif name == "garbage":  # what a torn append leaves
                for storage in self.storages:
                    if value[0] in storage.files:
                        storage.files[value[0]].data += bytes.fromhex(value[1])
            else:
                setattr(self.settings, name, [Fault(**fault) for fault in value] if name == "faults" else value)
        files = {s.id: {name: len(file.data) for name, file in s.files.items()} for s in self.storages}
        waiting = sum(len(storage.binlog) for storage in self.storages)
        return json.dumps({"files": files, "counts": self.counts, "waiting": waiting}).encode()

    def by_id(self, storage_id: str) -> Storage:
        return next(storage for storage in self.storages if storage.id == storage_id)

    # ---- connections ----

    def begin(self) -> str:
        """Let all servers listen; the tracker's address."""
        for storage in self.storages:
            storage.port = self.listen(storage.host, storage.handle, storage.id)
            threading.Thread(target=storage.replicate, daemon=True).start()
        return f"127.0.0.1:{self.listen('127.0.0.1', self.handle, 'tracker')}"

    def listen(self, host: str, handler: Any, server: str) -> int:
        listener = socket.create_server((host, 0), backlog=256)
        threading.Thread(target=self.accept, args=(listener, handler, server), daemon=True).start()
        return listener.getsockname()[1]

    def accept(self, listener: socket.socket, handler: Any, server: str) -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection, handler, server), daemon=True).start()

    def serve(self, connection: socket.socket, handler: Any, server: str) -> None:
        with connection:
            try:
                while True:
                    length, command, _ = struct.unpack(">QBB", receive(connection, 10))
                    body = receive(connection, length)
                    if server in self.settings.down:
                        return
                    key = f"{server} {command}"
                    with self.lock:
                        self.counts[key] = self.counts.get(key, 0) + 1
                    answer, code = self.answer(connection, handler, command, body, self.fault(command, server))
                    connection.sendall(struct.pack(">QBB", len(answer), 100, code) + answer)
                    if code == errno.EINVAL:
                        return
            except (Dropped, OSError):
                return

    def answer(
        self, connection: socket.socket, handler: Any, command: int, body: bytes, fault: Fault | None
    ) -> tuple[bytes, int]:
        if fault is not None:
            if fault.action == "lose before":
                raise Dropped
            if fault.action in {"hang", "late"}:
                if fault.action == "late":
                    connection.close()
                time.sleep(fault.seconds)
            if fault.action == "garbage":
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                raise Dropped
            if fault.action.isdigit():
                return b"", int(fault.action)
        try:
            answer = handler(command, body)
        except Refusal as refusal:
            return b"", refusal.status
        if fault is not None and fault.action == "lose after":
            raise Dropped
        if fault is not None and fault.action == "announce":
            connection.sendall(struct.pack(">QBB", fault.length, 100, 0) + answer)
            raise Dropped
        if fault is not None and fault.action == "dribble":
            for byte in struct.pack(">QBB", len(answer), 100, 0) + answer:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)
            raise Dropped
        if fault is not None and fault.action == "short":
            connection.sendall(struct.pack(">QBB", len(answer), 100, 0) + answer[: len(answer) // 2])
            raise Dropped
        return answer, 0

    def fault(self, command: int, server: str) -> Fault | None:
        with self.lock:
            for fault in self.settings.faults:
                if fault.times and fault.command == command and fault.server in {"", server}:
                    fault.times -= 1
                    return fault
        return None


def receive(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = connection.recv(min(count - len(data), 1 << 20))
        if not chunk:
            raise Dropped
        data += chunk
    return bytes(data)


def main() -> None:
    cluster = Cluster(Settings(**json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}")))
    print(cluster.begin(), flush=True)  # noqa: T201 (to whoever started it)
    sys.stdin.read()  # ends when its parent does


if __name__ == "__main__":
    main()
