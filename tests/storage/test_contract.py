"""ONE contract for `onlineml.storage.io` and `onlineml.storage.log` on every kind of storage."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from onlineml.errors import AlreadyExistsError, ConfigError, DataError, NotFoundError, StorageError
from onlineml.storage import io
from onlineml.storage.log.entry import ulid_after
from onlineml.storage.log.log import AppendLog, LogEntry, new_ulid
from processes import FRESH
from stores import KINDS, SWIFT, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=[*KINDS, SWIFT])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as opened:
        yield opened


# ---------------------------------------------------------------------------------------------------- io: the basics


def test_an_empty_store_has_nothing(store: Store) -> None:
    options = store.storage_options
    assert io.list_files(store.url, storage_options=options) == []
    assert io.list_files(store.url, recursive=False, storage_options=options) == []
    assert io.read_many([], storage_options=options) == []
    assert not io.exists(io.join(store.url, "a"), storage_options=options)
    io.delete(io.join(store.url, "a"), storage_options=options)
    with pytest.raises(NotFoundError, match="store/a"):
        io.read_bytes(io.join(store.url, "a"), storage_options=options)
    with pytest.raises(FileNotFoundError):
        io.delete(io.join(store.url, "a"), missing_ok=False, storage_options=options)
    with pytest.raises(NotFoundError):
        io.download_file(io.join(store.url, "a"), "unused", storage_options=options)
    assert not os.path.exists("unused")  # noqa: PTH110


@pytest.mark.parametrize("data", [b"", b"one", bytes(range(256)) * 400])
def test_what_is_written_is_read(store: Store, data: bytes) -> None:
    url = io.join(store.url, "deep/er/a.bin")
    io.write_bytes(url, b"something that was there before", storage_options=store.storage_options)
    io.write_bytes(url, data, storage_options=store.storage_options)
    assert io.read_bytes(url, storage_options=store.storage_options) == data == store.raw_read("deep/er/a.bin")
    assert io.exists(url, storage_options=store.storage_options)
    assert store.raw_names() == ["deep/er/a.bin"]
    io.delete(url, missing_ok=False, storage_options=store.storage_options)
    assert store.raw_names() == []


def test_create_refuses_what_is_there(store: Store) -> None:
    url = io.join(store.url, "a")
    io.create_bytes(url, b"first", storage_options=store.storage_options)
    with pytest.raises(AlreadyExistsError, match="store/a"):
        io.create_bytes(url, b"second", storage_options=store.storage_options)
    assert store.raw_read("a") == b"first"
    assert store.raw_names() == ["a"]


def test_one_of_many_racing_creators_wins(store: Store) -> None:
    url = io.join(store.url, "a")
    start = threading.Barrier(8)

    def create(number: int) -> bool:
        start.wait()
        try:
            io.create_bytes(url, str(number).encode(), storage_options=store.storage_options)
        except AlreadyExistsError:
            return False
        return True

    promised = io.guarantees(store.url, storage_options=store.storage_options).create
    assert promised == (store.kind != "swift")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert sum(won) == 1 or (sum(won) and not promised)
    assert won[int(store.raw_read("a"))]


def test_read_many_keeps_order_and_puts_errors_in_place(store: Store, tmp_path: Path) -> None:
    contents = {f"{number} [x]*?.bin": os.urandom(number * 100) for number in range(70)}  # more than the pool
    for name, data in contents.items():
        store.raw_write(name, data)
    other = tmp_path / "other.bin"
    other.write_bytes(b"on another filesystem")
    urls = [io.join(store.url, name) for name in contents]
    found = io.read_many([*urls[:30], io.join(store.url, "missing"), str(other), *urls[30:]], **_options(store))
    assert isinstance(found.pop(30), NotFoundError)
    assert found.pop(30) == b"on another filesystem"
    assert found == list(contents.values())


def test_listing_is_sorted_and_tells_versions(store: Store) -> None:
    for name in ("b/2.jpg", "b/1.jpg", "a.jpg", "bb/3.jpg"):
        io.write_bytes(io.join(store.url, name), name.encode(), storage_options=store.storage_options)
    listed = io.list_files(store.url, storage_options=store.storage_options)
    assert [info.path for info in listed] == store.raw_names() == ["a.jpg", "b/1.jpg", "b/2.jpg", "bb/3.jpg"]
    assert [info.size for info in listed] == [5, 7, 7, 8]
    assert [io.read_bytes(info.url, **_options(store)).decode() for info in listed] == [info.path for info in listed]
    assert [i.path for i in io.list_files(io.join(store.url, "b"), **_options(store))] == ["1.jpg", "2.jpg"]
    assert [i.path for i in io.list_files(store.url, recursive=False, **_options(store))] == ["a.jpg"]
    assert io.list_files(listed[0].url, **_options(store)) == []  # a file is no folder

    again = io.list_files(store.url, storage_options=store.storage_options)
    assert again == listed
    io.write_bytes(listed[0].url, b"other", storage_options=store.storage_options)  # as long as before
    changed = io.list_files(store.url, storage_options=store.storage_options)
    assert changed[0].version != listed[0].version
    assert changed[1:] == listed[1:]


def test_files_go_up_and_down_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "last.ckpt"
    source.write_bytes(os.urandom(3_000_000))
    url = io.join(store.url, "runs/1/last.ckpt")
    io.upload_file(source, url, storage_options=store.storage_options)
    target = tmp_path / "down" / "last.ckpt"
    io.download_file(url, target, storage_options=store.storage_options)
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(source.read_bytes()).digest()
    assert store.raw_names() == ["runs/1/last.ckpt"]
    assert os.listdir(target.parent) == ["last.ckpt"]  # noqa: PTH208


def test_a_draft_moves_to_its_place(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = io.join(store.url, "runs/1/last.ckpt")
    io.write_bytes(url, b"old", storage_options=store.storage_options)
    for content in (b"new", b"newer"):
        draft = io.draft_for(url, folder=tmp_path)
        draft.write_bytes(content)
        assert [i.path for i in io.list_files(store.url, **_options(store))] == ["runs/1/last.ckpt"]
        assert io.read_bytes(url, **_options(store)) != content
        io.upload_file(draft, url, move=True, storage_options=store.storage_options)
        assert io.read_bytes(url, **_options(store)) == content
        draft.unlink(missing_ok=True)
    assert store.raw_names() == ["runs/1/last.ckpt"]

    elsewhere = tmp_path / "last.ckpt"
    elsewhere.write_bytes(b"newest")
    with monkeypatch.context() as patched:  # as a move to another disk fails; memory and servers know no such thing
        patched.setattr(os, "replace", _on_another_disk(elsewhere))
        io.upload_file(elsewhere, url, move=True, storage_options=store.storage_options)
    assert io.read_bytes(url, **_options(store)) == b"newest"
    assert store.raw_names() == ["runs/1/last.ckpt"]

    io.draft_for(url, folder=tmp_path).write_bytes(b"of a killed process")
    io.delete_drafts(url)
    assert store.raw_names() == ["runs/1/last.ckpt"]


def _on_another_disk(source: Path) -> Callable[[Any, Any], None]:
    rename = os.replace

    def replace(old: Any, new: Any) -> None:
        if Path(old) == source:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(old))
        rename(old, new)

    return replace


# ------------------------------------------------------------------------------------------------------- io: publish


def test_publish_writes_the_descriptor_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"model.json": b"{}", "weights": b"w", "sub/report.html": b"r"}
    killed_at: list[list[str]] = []
    for step in range(len(files)):
        url = io.join(store.url, f"v{step}")
        with _killed_after(step, monkeypatch), pytest.raises(Killed):
            io.publish(url, files, descriptor="model.json", storage_options=store.storage_options)
        killed_at.append([name for name in store.raw_names() if name.startswith(f"v{step}/")])
        assert not io.exists(io.join(url, "model.json"), storage_options=store.storage_options)
        io.publish(
            url, files, descriptor="model.json", storage_options=store.storage_options
        )  # what was left is no bar
        assert {name: store.raw_read(f"v{step}/{name}") for name in files} == files
    assert [len(names) for names in killed_at] == [0, 1, 2]


def test_publish_refuses_what_is_there_and_what_is_incomplete(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"model\.json"):
        io.publish(store.url, {"weights": b""}, descriptor="model.json", storage_options=store.storage_options)
    with pytest.raises(DataError):
        io.publish(store.url, {"d": b"", "../x": b""}, descriptor="d", storage_options=store.storage_options)
    assert store.raw_names() == []
    io.publish(store.url, {"d": b"1"}, descriptor="d", storage_options=store.storage_options)
    with pytest.raises(AlreadyExistsError):
        io.publish(store.url, {"d": b"2", "more": b""}, descriptor="d", storage_options=store.storage_options)
    assert store.raw_names() == ["d"]


# ------------------------------------------------------------------------------------------- io: names, forks, secrets


FOLDERS = ["memory://a/store", "/tmp/store", "s3://bucket/store", "fastdfs://host:22122,other,group1/M00/00/aa/store"]  # noqa: S108


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    "part", ["..", "a/../../b", "/etc/passwd", "", "a\\b", "a\0b", "s3://other/x", "file:///x", ".", "simplecache::x"]
)
def test_names_cannot_escape(folder: str, part: str) -> None:
    with pytest.raises(DataError, match="inside"):
        io.join(folder, part)


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_are_put_together(folder: str) -> None:
    url = io.join(folder, "a/b", "./c.jpg")
    assert url == f"{folder}/a/b/c.jpg"
    assert io.join(f"{folder}/", "a") == f"{folder}/a"
    assert io.parent(url) == f"{folder}/a/b"
    assert io.name(url) == "c.jpg"
    assert io.is_url(url) == (not folder.startswith("/"))


def test_a_forked_child_reads_after_its_parent_did(store: Store) -> None:
    io.write_bytes(io.join(store.url, "a"), b"A", storage_options=store.storage_options)
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    log.append({"who": "parent"})  # the parent has clients and threads by now
    assert _in_child(_read_in_child, store.url, store.storage_options) == [b"A", 1, [b"A", b"A"]]
    assert io.read_bytes(io.join(store.url, "a"), storage_options=store.storage_options) == b"A"
    assert len(log.read()) == (1 if store.kind == "memory" else 2)  # memory is each process's own


def _read_in_child(url: str, options: dict[str, Any] | None) -> list[Any]:
    target = io.join(url, "a")
    log = AppendLog(io.join(url, "log"), storage_options=options)
    before = len(log.read())
    log.append({"who": "child"})
    return [
        io.read_bytes(target, storage_options=options),
        before,
        io.read_many([target] * 2, storage_options=options),
    ]


def test_secrets_are_shown_nowhere(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "1")  # nobody answers at such an address
    caplog.set_level("DEBUG", logger="onlineml")
    secret = "hunter2-hunter2"  # noqa: S105
    options = {**(store.storage_options or {}), "secret": secret}
    log = AppendLog(store.url, storage_options=options)
    shown = [repr(log), str(log), repr(io.list_files), caplog.text]
    entry = LogEntry(new_ulid(), {"a": 1})
    shown += [repr(entry), str(pickle.dumps(entry))]
    try:
        io.read_bytes(io.join(store.url, "missing"), storage_options={**options, "endpoint_url": f"http://{secret}:1/"})
    except OSError as err:
        while err is not None:
            shown.append(f"{err!r} {err}")
            err = err.__cause__
    assert len(shown) > 6
    assert not [text for text in shown if secret in text]


# --------------------------------------------------------------------------------------------------------------- log


def test_an_empty_log(store: Store) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    assert log.read() == []
    assert log.compact() == 0
    assert log.append_many([]) == []
    assert store.raw_names() == []


def test_entries_come_back_in_order(store: Store) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    records = [{"n": number, "text": 'ümläut "quoted"\n\u2028 new line', "none": None} for number in range(5)]
    ids = [log.append(records[0]), *log.append_many(records[1:3]), log.append(records[3]), log.append(records[4])]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5
    assert [(entry.id, entry.record) for entry in log.read()] == list(zip(ids, records, strict=True))
    assert len(store.raw_names()) == 4  # append_many makes one object


def test_compaction_changes_nothing_but_the_number_of_objects(store: Store) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    for number in range(4):
        log.append({"n": number})
    before = log.read()
    assert log.compact() == 4
    assert len(store.raw_names()) == 1
    assert log.read() == before
    assert log.compact() == 0
    log.append({"n": 4})
    assert log.compact() == 2
    assert [entry.record["n"] for entry in log.read()] == [0, 1, 2, 3, 4]
    assert len(store.raw_names()) == 1


def test_a_compaction_killed_at_every_step_loses_and_repeats_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    for number in range(3):
        log.append({"n": number})
    log.compact()
    for number in range(3, 5):
        log.append({"n": number})
    before = log.read()
    step = 0
    while True:  # one write and then three deletions; each kill leaves its traces to the next try, which goes on
        with _killed_after(step, monkeypatch):
            try:
                log.compact()
            except Killed:
                assert AppendLog(log.location).read() == before
            else:
                break
        step += 1
    assert step == 3
    assert log.read() == before
    log.compact()
    assert len(store.raw_names()) == 1


def test_a_reader_survives_a_compaction_between_its_listing_and_its_reading(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    for number in range(3):
        log.append({"n": number})
    before = log.read()
    original = io.read_many
    compacted = []

    def compact_first(urls, **options):
        monkeypatch.setattr(io, "read_many", original)
        compacted.append(log.compact())
        return original(urls, **options)

    monkeypatch.setattr(io, "read_many", compact_first)
    assert AppendLog(log.location).read() == before  # one that remembers nothing
    assert compacted == [3]


def test_a_reader_survives_a_compaction_during_its_listing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    for number in range(3):
        log.append({"n": number})
    before = log.read()
    original = io.list_files

    def neither_old_nor_new(*args, **options):
        monkeypatch.setattr(io, "list_files", original)
        log.compact()
        return []

    monkeypatch.setattr(io, "list_files", neither_old_nor_new)
    assert AppendLog(log.location).read() == before  # one that remembers nothing


def test_a_torn_object_is_named(store: Store) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    log.append_many([{"n": 1}, {"n": 2}])
    (name,) = store.raw_names()
    whole = store.raw_read(name)
    lines = whole.splitlines(keepends=True)
    damaged = {
        "cut in a line": whole[:-4],
        "cut between lines": b"".join(lines[:-1]),
        "not JSON": b"\xff\n",
        "no id": lines[0] + b'{"record":{}}\n' * 2,
    }
    for damage, broken in damaged.items():
        store.raw_write(name, broken)
        for use in (AppendLog(log.location).read, AppendLog(log.location).compact):
            with pytest.raises(StorageError, match=name.rpartition("/")[2]):
                use()
        assert store.raw_read(name) == broken, damage


def test_other_files_and_reserved_names_are_left_alone(store: Store) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    log.append({"n": 1})
    store.raw_write("log/README.txt", b"not ours")
    store.raw_write(f"log/{new_ulid()}.jsonl", b"")  # reserved on a disk without hard links, not yet in place
    store.raw_write("log/sub/table.jsonl", b"not ours")
    log.append({"n": 2})
    assert log.compact() == 2
    assert [entry.record["n"] for entry in log.read()] == [1, 2]
    assert len(store.raw_names()) == 4


def test_threads_append_and_compact_at_once(store: Store) -> None:
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)

    def work(worker: int) -> list[str]:
        ids = []
        for number in range(6):
            ids.append(log.append({"worker": worker, "n": number}))
            assert set(ids) <= {entry.id for entry in log.read()}  # whoever compacts meanwhile
            if number % 2 and worker < 2:
                log.compact()
        return ids

    with ThreadPoolExecutor(4) as pool:
        written = [number for ids in pool.map(work, range(4)) for number in ids]
    assert [entry.id for entry in log.read()] == sorted(written)
    assert len(set(written)) == 24


def test_processes_append_and_compact_at_once(store: Store) -> None:
    if store.kind == "memory":
        assert _in_child(_work, store.url, store.storage_options, 0) == 8  # memory is each process's own
        return
    with FRESH.Pool(3) as pool:
        counts = pool.starmap(_work, [(store.url, store.storage_options, worker) for worker in range(3)])
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    entries = log.read()
    assert sum(counts) == len(entries) == 24
    assert {(entry.record["worker"], entry.record["n"]) for entry in entries} == {
        (w, n) for w in range(3) for n in range(8)
    }
    for worker in range(3):
        own = [entry.record["n"] for entry in entries if entry.record["worker"] == worker]
        assert own == sorted(own)


def _work(url: str, options: dict[str, Any] | None, worker: int) -> int:
    log = AppendLog(io.join(url, "log"), storage_options=options)
    for number in range(8):
        log.append({"worker": worker, "n": number})
        if number % 3 == worker:
            log.compact()
    return 8


def test_a_killed_process_loses_and_repeats_nothing(store: Store) -> None:
    if store.kind == "memory":
        return  # dies with the process
    reader, writer = FRESH.Pipe(duplex=False)
    process = FRESH.Process(target=_work_until_killed, args=(store.url, store.storage_options, writer))
    process.start()
    writer.close()
    stored = [reader.recv() for _ in range(30)]  # each was acknowledged
    process.kill()
    process.join()
    while reader.poll():
        try:
            stored.append(reader.recv())
        except EOFError:
            break
    reader.close()
    log = AppendLog(io.join(store.url, "log"), storage_options=store.storage_options)
    for _ in range(2):
        found = [entry.id for entry in log.read()]
        assert found[: len(stored)] == stored
        assert len(found) <= len(stored) + 1  # one more may have been stored without having been acknowledged
        log.compact()
    process.close()


def _work_until_killed(url: str, options: dict[str, Any] | None, writer: Any) -> None:
    log = AppendLog(io.join(url, "log"), storage_options=options)
    while True:
        for number in range(4):
            writer.send(log.append({"n": number}))
        log.compact()


def test_an_answer_sorts_after_what_it_answers(store: Store) -> None:
    ahead = ulid_after(datetime.now(UTC) + timedelta(days=3))  # of a writer whose clock is ahead
    body = json.dumps({"entries": 1, "holds": []}) + "\n" + json.dumps({"id": ahead, "record": {"n": 1}}) + "\n"
    store.raw_write(f"log/{ahead}.jsonl", body.encode())
    assert _in_child(_answer, store.url, store.storage_options) > ahead  # a child, for its clock is ahead from then on


def _answer(url: str, options: dict[str, Any] | None) -> str:
    log = AppendLog(io.join(url, "log"), storage_options=options)
    assert len(log.read()) == 1
    return log.append({"n": 2})


# ------------------------------------------------------------------------------------------------------------ helpers


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it."""


class _killed_after:  # noqa: N801 (reads as a function)
    """Count what changes storage; after that many changes the next one raises `Killed` instead."""

    def __init__(self, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left = steps
        self._patch = monkeypatch
        self._done = [0]

    def __enter__(self) -> list[int]:
        for name in ("write_bytes", "create_bytes", "delete"):
            self._patch.setattr(io, name, self._counted(getattr(io, name)))
        return self._done

    def __exit__(self, *error: object) -> None:
        self._patch.undo()

    def _counted(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            if not self._left:
                raise Killed
            self._left -= 1
            self._done[0] += 1
            return original(*args, **options)

        return counted


def _options(store: Store) -> dict[str, Any]:
    return {"storage_options": store.storage_options}


def _in_child(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a forked child; its result, or its error, comes back through a pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            result: Any = function(*args)
        except BaseException as err:  # noqa: BLE001 (handed to the parent)
            result = err
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result = pickle.loads(pipe.read())  # noqa: S301 (of our own child)
    os.waitpid(pid, 0)
    if isinstance(result, BaseException):
        raise result
    return result
