"""What goes wrong on a FastDFS cluster: servers that are down, answers that are lost or late, data that is damaged."""

from __future__ import annotations

import json
import os
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

import onlineml as oml
from onlineml.errors import AlreadyExistsError, NotFoundError, StorageError
from onlineml.storage import io
from onlineml.storage.fastdfs import places
from onlineml.storage.fastdfs.administer import collect_garbage, create_volume
from onlineml.storage.fastdfs.ids import FileId
from onlineml.storage.fastdfs.places import InVolume
from onlineml.storage.fastdfs.records import Entry, Record, line_of
from onlineml.storage.patience import click
from processes import LONG_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastdfs_cluster import FastDFSModel
    from onlineml.storage.fastdfs.filesystem import FastDFSFileSystem
    from onlineml.storage.fastdfs.volume import Volume

    Start = Callable[..., FastDFSModel]

pytestmark = pytest.mark.fastdfs

QUICK: dict[str, Any] = {"timeout_s": 0.5, "connect_timeout_s": 0.5, "attempts": 3, "patience_s": 0.1}
UPLOAD, DELETE, DOWNLOAD, INFO, APPEND, STORE, UPDATE = 11, 12, 14, 22, 24, 101, 103


def _new(model: FastDFSModel, **options: Any) -> tuple[FastDFSFileSystem, str, Volume]:
    """A fresh volume: its filesystem, its path, and what this process knows of it."""
    url = create_volume(model.trackers, storage_options={**QUICK, **options})
    fs, path = fsspec.url_to_fs(url, **{**QUICK, **options})
    place = fs.place(path)
    assert isinstance(place, InVolume)
    return fs, path, place.volume


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this process knows as much as one that has just begun."""
    monkeypatch.setattr(places, "_clients", {})
    monkeypatch.setattr(places, "_volumes", {})


def _replicated(model: FastDFSModel) -> None:
    deadline = time.monotonic() + LONG_S
    while model.control()["waiting"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _other(storage_id: str) -> str:
    return {"100001": "100002", "100002": "100001"}[storage_id]


# --------------------------------------------------------------------------------------------- servers of all settings


@pytest.mark.parametrize(
    "settings",
    [
        {"ip_size": 45},
        {"trunk": True},
        {"trunk": True, "ip_size": 45},
        {"storages": 1},
        {"storages": 3},
        {"ids": False},
    ],
    ids=str,
)
def test_every_kind_of_cluster(fastdfs_model: Start, settings: dict[str, Any]) -> None:
    if settings.get("ids") is False and os.uname().sysname != "Linux":
        settings = {}  # only there has the loopback more than one address
    fs, path, _ = _new(fastdfs_model(**settings))
    contents = {f"{path}/{size}.bin": os.urandom(size) for size in (0, 1, 255, 70_000, 2_000_000)}
    for name, data in contents.items():
        fs.pipe_file(name, data)
    assert fs.cat(list(contents)) == contents
    assert {info["name"]: info["size"] for info in fs.ls(path)} == {name: len(d) for name, d in contents.items()}
    for name, data in contents.items():
        if data:
            by_id = fs.info(name)["file_id"]
            assert fs.cat_file(by_id, 0, 100) == data[:100]
            assert fs.info(by_id)["size"] == len(data)
    fs.rm(path, recursive=True)
    assert fs.ls(path) == []


# ----------------------------------------------------------------------------------------------- servers that are down


def test_any_tracker_will_do(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    url = create_volume(f"127.0.0.1:1,{model.trackers}", storage_options=QUICK)
    io.write_bytes(f"{url}/a", b"1", storage_options=QUICK)
    assert io.read_bytes(f"{url}/a", storage_options=QUICK) == b"1"
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1"):
        create_volume("127.0.0.1:1", storage_options=QUICK)


def test_without_a_storage_server_the_error_says_so(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    model.control(down=["100001", "100002"])
    with pytest.raises(StorageError, match="no storage server"):
        create_volume(model.trackers, storage_options=QUICK)


def test_content_is_read_from_its_replica(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    log = volume.position()[0].source
    contents = {f"{path}/{number}": os.urandom(1000) for number in range(6)}  # on both servers in turn
    fs.pipe(contents)
    _replicated(model)
    model.control(down=[_other(log)])
    assert fs.cat(list(contents)) == contents
    fs.pipe_file(f"{path}/more", b"1")
    assert fs.cat_file(f"{path}/more") == b"1"


@pytest.mark.parametrize("how", ["down", "hidden"])
def test_names_are_read_from_a_replica_but_never_written_there(
    fastdfs_model: Start, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe({f"{path}/{number}": b"1" for number in range(4)})
    _replicated(model)
    log = volume.position()[0].source
    model.control(**{how: [log]})
    for _ in range(2):  # knowing the volume, and as a process that begins now
        with pytest.raises(StorageError, match=f"{log}.*restart that server"):
            fs.pipe_file(f"{path}/more", b"1")
        assert [info["name"] for info in fs.ls(path)] == [f"{path}/{number}" for number in range(4)]
        assert set(fs.cat(fs.find(path)).values()) == {b"1"}
        _forget(monkeypatch)
    assert not any(name.endswith(".volume") for name in fs.find(path))
    model.control(**{how: []})
    fs.pipe_file(f"{path}/more", b"1")
    assert len(fs.ls(path)) == 5


def test_appends_at_the_same_moment_reach_the_replica_too(
    fastdfs_model: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fastdfs_model(append_gap_s=0.05)  # both see the same size, and a replica leaves the second out
    fs, path, volume = _new(model)
    log = volume.position()[0]
    together = threading.Barrier(2)
    append = volume.client.append

    def appended(file: FileId, data: bytes) -> None:
        if len(data) > 1:
            together.wait()
        append(file, data)

    monkeypatch.setattr(volume.client, "append", appended)
    with ThreadPoolExecutor(2) as pool:
        for turn in range(4):
            list(pool.map(lambda name: fs.pipe_file(f"{path}/{name}", b"1"), (f"{turn}a", f"{turn}b")))
            _replicated(model)
            sizes = [files[log.name] for files in model.control()["files"].values()]
            assert max(sizes) - min(sizes) <= 1  # but for a line break, which is nothing
    model.control(down=[log.source])
    _forget(monkeypatch)
    assert len(fs.ls(path)) == 8


def test_a_replica_that_is_behind_shows_what_it_has(fastdfs_model: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    _replicated(model)
    model.control(replica_delay_s=60)
    fs.pipe_file(f"{path}/b", b"2")
    model.control(down=[volume.position()[0].source])
    assert len(fs.ls(path)) == 2  # this process has seen both
    _forget(monkeypatch)
    assert [info["name"] for info in fs.ls(path)] == [f"{path}/a"]
    model.control(down=[])
    assert len(fs.ls(path)) == 2


# ------------------------------------------------------------------------------------------ answers lost or late


@pytest.mark.parametrize("action", ["lose before", "lose after", "garbage", "short", "hang", "late", "16"])
@pytest.mark.parametrize("command", [UPLOAD, APPEND, DOWNLOAD, STORE, UPDATE])
def test_what_fails_once_succeeds(fastdfs_model: Start, command: int, action: str) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    fs.pipe_file(f"{path}/before", b"before")
    model.control(faults=[{"command": command, "action": action}])
    fs.pipe_file(f"{path}/a", b"content", mode="create")
    assert fs.cat_file(f"{path}/a") == b"content"
    assert fs.find(path) == [f"{path}/a", f"{path}/before"]
    if action == "late":
        time.sleep(1.1)
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{path}/a", b"other", mode="create")
    assert fs.cat_file(f"{path}/a") == b"content"


def test_an_append_that_comes_late_undoes_nothing(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    model.control(faults=[{"command": APPEND, "action": "late", "seconds": 0.8}])
    fs.pipe_file(f"{path}/a", b"2")  # its first append comes after the next write
    fs.pipe_file(f"{path}/a", b"3")
    time.sleep(1)
    assert fs.cat_file(f"{path}/a") == b"3"


def test_when_nothing_is_answered_the_error_says_what_is_unknown(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    url = fs.unstrip_protocol(path)
    model.control(faults=[{"command": APPEND, "action": "late", "times": 3, "seconds": 2.5}])
    with pytest.raises(StorageError, match="whether the change was made"):
        io.create_bytes(f"{url}/a", b"1", storage_options=QUICK)
    assert not fs.exists(f"{path}/a")
    time.sleep(2.6)
    assert fs.cat_file(f"{path}/a") == b"1"  # what was uploaded has been left there for this
    with pytest.raises(AlreadyExistsError):
        io.create_bytes(f"{url}/a", b"2", storage_options=QUICK)


def test_a_full_disk_is_told_at_once(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    for command in (UPLOAD, APPEND):
        model.control(faults=[{"command": command, "action": "28", "times": 9}])
        with pytest.raises(OSError, match="No space left"):
            fs.pipe_file(f"{path}/a", b"1")
        model.control(faults=[])
    assert fs.find(path) == []


def test_a_deletion_whose_answer_is_lost_has_happened(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    by_id = fs.info(f"{path}/a")["file_id"]
    model.control(faults=[{"command": DELETE, "action": "lose after"}])
    fs.rm_file(by_id)
    assert not fs.exists(by_id)
    with pytest.raises(FileNotFoundError):
        fs.rm_file(by_id)
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{path}/a")  # its content was taken away


def test_what_cannot_be_deleted_now_is_deleted_another_time(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    url = fs.unstrip_protocol(path)
    fs.pipe({f"{path}/{number}": b"1" for number in range(5)})
    fs.rm([f"{path}/{number}" for number in range(5)])
    model.control(faults=[{"command": DELETE, "action": "1"}])  # not permitted
    assert collect_garbage(url, older_than_s=0, storage_options=QUICK) == 4
    assert collect_garbage(url, older_than_s=0, storage_options=QUICK) == 1


def test_nothing_stays_behind_of_what_was_refused(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    _replicated(model)
    log = volume.position()[0].source
    stored = sum(map(len, model.control(hidden=[log])["files"].values()))
    with pytest.raises(StorageError, match="restart that server"):
        fs.pipe_file(f"{path}/b", b"2")
    with pytest.raises(StorageError, match="restart that server"):
        fs.pipe({f"{path}/{number}": b"" for number in range(200)})  # too many names for a line
    _replicated(model)
    assert sum(map(len, model.control()["files"].values())) == stored


def test_an_unanswered_log_leaves_it_open_whether_it_was_written(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    model.control(faults=[{"command": DOWNLOAD, "action": "hang", "times": 9}])  # it is written, and cannot be read
    with pytest.raises(StorageError, match="whether the change was made"):
        volume.commit({"b": Entry("", 0, 1)})
    model.control(faults=[])
    assert len(fs.ls(path)) == 2


def test_only_a_missing_file_leaves_a_connection_in_use(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    idle = volume.client._connections._idle
    missing = FileId.parse("group1/M00/00/00/oYYBAGsHW8KIL_76AAAq-Ih-hfAAAAAAQAAAAAAACwA243.jpg")
    with pytest.raises(FileNotFoundError):
        fs.info(str(missing))
    before = {address: list(connections) for address, connections in idle.items()}
    assert len(before) == 3
    with pytest.raises(FileNotFoundError):
        fs.info(str(missing))
    assert {address: list(connections) for address, connections in idle.items()} == before
    with pytest.raises(OSError, match="Invalid argument"):
        volume.client.read_tail(volume.root, 1 << 20)
    assert sum(map(len, idle.values())) < sum(map(len, before.values()))


def test_a_cluster_that_is_gone_is_no_missing_file(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    model.process.kill()
    model.process.wait()
    for ask in (fs.exists, fs.ls, fs.cat_file):
        with pytest.raises(StorageError, match="tracker"):
            ask(f"{path}/a")


NO_SERVER = [
    {"command": command, "action": "2", "server": "tracker", "times": 10**6} for command in (92, 101, 102, 103, 105)
]


@pytest.mark.parametrize("known", [True, False], ids=["known before", "a new process"])
@pytest.mark.parametrize("trouble", [{"down": ["100001", "100002"]}, {"faults": NO_SERVER}], ids=["down", "unknown"])
def test_storage_servers_that_are_down_are_no_missing_files(
    fastdfs_model: Start, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, Any], known: bool
) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    url = fs.unstrip_protocol(path)
    project = oml.Project.create(f"{url}/p", class_names=["a", "b"], storage_options=QUICK)
    fs.pipe_file(f"{path}/a", b"1")
    by_id = fs.info(f"{path}/a")["file_id"]
    if not known:
        _forget(monkeypatch)
    model.control(**trouble)
    attempts: list[Callable[[], Any]] = [
        lambda: io.exists(f"{url}/a", storage_options=QUICK),
        lambda: io.exists(f"{url}/nothing", storage_options=QUICK),
        lambda: io.read_bytes(f"{url}/a", storage_options=QUICK),
        lambda: io.list_files(url, storage_options=QUICK),
        lambda: io.write_bytes(f"{url}/b", b"2", storage_options=QUICK),
        lambda: io.delete(f"{url}/a", storage_options=QUICK),
        lambda: fs.exists(f"{path}/a"),
        lambda: oml.Project.open(f"{url}/p", storage_options=QUICK),
        project.labels.state,
    ]
    if trouble.get("down") or not known:  # else the server itself is still asked, and answers
        attempts += [lambda: fs.info(by_id), lambda: fs.cat_file(by_id)]
    for attempt in attempts if not known or trouble.get("down") else attempts[4:5]:
        with pytest.raises(OSError) as caught:  # noqa: PT011 (a StorageError, except from the filesystem itself)
            attempt()
        assert not isinstance(caught.value, FileNotFoundError)
    found = io.read_many([f"{url}/a"], storage_options=QUICK)
    assert not any(isinstance(one, FileNotFoundError) for one in found)
    model.control(down=[], faults=[])
    assert io.read_bytes(f"{url}/a", storage_options=QUICK) == b"1"


def test_servers_that_come_back_in_time_are_waited_for(fastdfs_model: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fastdfs_model()
    patient = {**QUICK, "patience_s": 60}
    fs, path, _ = _new(model, **patient)
    fs.pipe_file(f"{path}/a", b"1")
    url = fs.unstrip_protocol(path)
    _forget(monkeypatch)
    model.control(down=["100001", "100002"])
    restart = threading.Timer(1.0, lambda: model.control(down=[]))
    restart.start()
    assert io.read_bytes(f"{url}/a", storage_options=patient) == b"1"
    restart.join()


# ------------------------------------------------------------------------------------- servers that hang, lose or lie


def test_a_server_that_hangs_is_remembered_and_its_replica_read(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe({f"{path}/{number}": b"%d" % number for number in range(20)})
    _replicated(model)
    hung = volume.position()[0].source
    model.control(faults=[{"command": c, "action": "hang", "server": hung, "times": 10**6} for c in (DOWNLOAD, INFO)])
    begin = time.monotonic()
    for number in range(20):
        assert fs.cat_file(f"{path}/{number}") == b"%d" % number
    counts = model.control()["counts"]
    assert counts[f"{hung} {DOWNLOAD}"] < 20 + 12  # two for each read before; 20 to write the names
    assert time.monotonic() - begin < LONG_S


def test_content_that_its_server_lost_is_read_from_the_replica_and_named_where_all_did(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    fs.pipe_file(f"{path}/a", b"content")
    _replicated(model)
    file = FileId.parse(fs.info(f"{path}/a")["file_id"])
    model.control(lost=[file.name, file.source])
    assert fs.cat_file(f"{path}/a") == b"content"
    model.control(lost=[file.name, _other(file.source)])
    url = fs.unstrip_protocol(f"{path}/a")
    with pytest.raises(NotFoundError, match=f"{file}; restore that, or delete the name") as caught:
        io.read_bytes(url, storage_options=QUICK)
    assert url in str(caught.value)
    (found,) = io.read_many([url], storage_options=QUICK)
    assert str(file) in str(found)


def test_a_tracker_that_starts_is_waited_for(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    patient = {**QUICK, "patience_s": 60}
    fs, path, _ = _new(model, **patient)
    model.control(faults=NO_SERVER[1:2])  # it knows no storage server yet
    restart = threading.Timer(0.5, lambda: model.control(faults=[]))
    restart.start()
    fs.pipe_file(f"{path}/a", b"1")
    restart.join()


@pytest.mark.parametrize("length", [1 << 46, 1 << 30, (1 << 20) + 1])
def test_an_announced_size_is_not_believed(fastdfs_model: Start, length: int) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe_file(f"{path}/a", b"content")
    _replicated(model)
    model.control(faults=[{"command": DOWNLOAD, "action": "announce", "length": length, "times": 10**6}])
    tracemalloc.start()
    with pytest.raises(StorageError, match=rf"FastDFS server 127\.0\.0\.1:\d+: .*{path.rpartition('/')[2][:10]}|127"):
        volume.client.read_tail(volume.root, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize("command", [DOWNLOAD, STORE])
def test_a_reply_has_a_least_rate(fastdfs_model: Start, command: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlineml.storage.fastdfs.connections._PROBE_S", 0.2)
    model = fastdfs_model()
    fs, path, _ = _new(model, timeout_s=0.3)
    fs.pipe_file(f"{path}/a", b"content" * 200)
    _replicated(model)
    model.control(faults=[{"command": command, "action": "dribble", "times": 10**6}])
    begin = time.monotonic()
    with pytest.raises(
        StorageError, match=r"the FastDFS server 127\.0\.0\.1:\d+ does not answer \((its reply is too slow|timed out)"
    ):
        fs.cat_file(f"{path}/a") if command == DOWNLOAD else fs.pipe_file(f"{path}/b", b"1")
    assert time.monotonic() - begin < LONG_S


def test_names_that_follow_themselves_or_point_nowhere_are_an_error(
    fastdfs_model: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fastdfs_model()
    for field, words in (("following", "is followed by itself"), ("body", "damaged"), ("missing", "damaged")):
        fs, path, volume = _new(model)
        fs.pipe_file(f"{path}/a", b"1")
        log = volume.position()[0]
        value = {"following": {"following": str(log)}, "body": {"body": "../x"}, "missing": {"following": "x"}}[field]
        volume.client.append(log, line_of(Record(txn=field, ms=1, **value)))  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(StorageError, match=words) as caught:
                io.exists(f"{fs.unstrip_protocol(path)}/a", storage_options=QUICK)
            assert str(volume.root) in str(caught.value)
            _forget(monkeypatch)


def test_a_name_without_content_blocks_no_other(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    volume.commit({"b": Entry("nothing/at all", 1, 1)})
    found = io.read_many([fs.unstrip_protocol(f"{path}/{name}") for name in "ab"], storage_options=QUICK)
    assert found[0] == b"1"
    assert isinstance(found[1], StorageError)
    assert f"{path}/b names no content" in str(found[1])
    fs.rm(f"{path}/b")
    assert collect_garbage(fs.unstrip_protocol(path), older_than_s=0, storage_options=QUICK) == 1


def test_a_click_on_a_cluster_that_hangs_ends(fastdfs_model: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model, attempts=100, timeout_s=60)
    url = fs.unstrip_protocol(f"{path}/a")
    fs.pipe_file(f"{path}/a", b"1")
    options = {**QUICK, "attempts": 100, "timeout_s": 60}
    monkeypatch.setenv("ONLINEML_CLICK_S", "0.5")
    model.control(faults=[{"command": c, "action": "hang", "times": 10**6} for c in (DOWNLOAD, STORE, UPDATE, 102)])
    for act in (
        lambda: io.read_bytes(url, storage_options=options),
        lambda: io.write_bytes(url, b"", storage_options=options),
    ):
        begin = time.monotonic()
        with pytest.raises(StorageError, match="does not answer"):
            click(act)()
        assert time.monotonic() - begin < LONG_S


# ------------------------------------------------------------------------------------------------------ what is damaged


def test_damaged_content_is_never_given_out(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, _ = _new(model)
    fs.pipe_file(f"{path}/a", b"content")
    _replicated(model)
    file = FileId.parse(fs.info(f"{path}/a")["file_id"])
    model.control(damage=[file.name, file.source])
    assert fs.cat_file(f"{path}/a") == b"content"  # the replica's
    model.control(damage=[file.name, _other(file.source)])
    with pytest.raises(OSError, match="damaged"):
        fs.cat_file(f"{path}/a")
    with pytest.raises(OSError, match="damaged"):
        fs.get_file(f"{path}/a", BytesIO())


def test_whatever_is_torn_in_the_log_is_passed_over(fastdfs_model: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    for number, garbage in enumerate([b"torn", b"\n12345678 {}", b"\0" * 5000, b"\n\n", b'\nabcdef01 {"txn":"t"}\n']):
        model.control(garbage=[volume.position()[0].name, garbage.hex()])
        fs.pipe_file(f"{path}/{number}", b"1")
        assert len(fs.ls(path)) == number + 1
    _forget(monkeypatch)
    assert len(fs.ls(path)) == 5


def test_a_log_that_lost_its_end_is_noticed(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    fs.pipe_file(f"{path}/b", b"2")
    model.control(forget=[volume.position()[0].name, 10])
    with pytest.raises(StorageError, match="lost the newest names"):
        fs.ls(path)
    assert [info["name"] for info in fs.ls(path)] == [f"{path}/a"]
    fs.pipe_file(f"{path}/c", b"3")
    assert [info["name"] for info in fs.ls(path)] == [f"{path}/a", f"{path}/c"]


def test_a_volume_that_is_not_there(fastdfs_model: Start) -> None:
    model = fastdfs_model()
    fs, path, volume = _new(model)
    fs.pipe_file(f"{path}/a", b"1")
    url = fs.unstrip_protocol(path)
    volume.client.delete(volume.root)
    volume.client.delete(volume.position()[0])
    for _ in range(2):
        assert io.list_files(url, storage_options=QUICK) == []
        with pytest.raises(NotFoundError, match=r"the volume .* does not exist"):
            io.read_bytes(f"{url}/a", storage_options=QUICK)
        with pytest.raises(NotFoundError, match=r"the volume .* does not exist"):
            fs.info(path)


# --------------------------------------------------------------------------------------------------------------- forks


def test_a_child_forked_amid_reads_and_writes_goes_on(fastdfs_model: Start) -> None:
    fs, path, _ = _new(fastdfs_model())
    fs.pipe({f"{path}/{number}": b"1" for number in range(20)})
    done = threading.Event()

    def busy(me: int) -> None:
        number = 0
        while not done.is_set():
            fs.pipe_file(f"{path}/busy{me}", f"{number}".encode())
            assert len(fs.cat(fs.find(path))) >= 20
            number += 1

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(busy, me) for me in range(3)]
        try:
            for turn in range(8):
                assert _in_child(fs, path, turn) == 0
        finally:
            done.set()
        for work in working:
            work.result()
    assert {fs.cat_file(f"{path}/child{turn}") for turn in range(8)} == {b"1"}


def test_a_child_has_connections_of_its_own(fastdfs_model: Start) -> None:
    fs, path, volume = _new(fastdfs_model())
    fs.pipe_file(f"{path}/a", b"1")
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        fs.cat_file(f"{path}/a")
        os.write(writer, json.dumps(_ports(volume)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        theirs = json.loads(pipe.read())
    os.waitpid(pid, 0)
    assert theirs
    assert not set(theirs) & set(_ports(volume))
    assert fs.cat_file(f"{path}/a") == b"1"


def _ports(volume: Volume) -> list[int]:
    idle = volume.client._connections._idle
    return [connection.getsockname()[1] for connections in idle.values() for connection in connections]


def _in_child(fs: FastDFSFileSystem, path: str, turn: int) -> int:
    """The exit status of a child that lists, reads and writes."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            assert len(fs.cat(fs.find(path))) >= 20
            fs.pipe_file(f"{path}/child{turn}", b"1")
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return -1
