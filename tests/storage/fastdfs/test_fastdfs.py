"""`onlineml.storage.fastdfs` as people use it: URLs, plain ids, ranges, moves, swaps, transactions, other libraries."""

from __future__ import annotations

import os
import pickle
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from late import Late
from onlineml.errors import ConfigError, ConflictError, NotFoundError, StorageError
from onlineml.storage import io
from onlineml.storage.fastdfs import places, upkeep
from onlineml.storage.fastdfs.administer import collect_garbage, create_volume
from onlineml.storage.fastdfs.filesystem import FastDFSFileSystem
from onlineml.storage.fastdfs.ids import FileId, address_text, parsed_addresses
from onlineml.storage.fastdfs.places import InVolume
from onlineml.storage.fastdfs.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

pd = Late("pandas")

pytestmark = pytest.mark.fastdfs


@pytest.fixture
def url(fastdfs_trackers: str) -> str:
    return create_volume(fastdfs_trackers)


@pytest.fixture
def fs(url: str) -> FastDFSFileSystem:
    return fsspec.url_to_fs(url)[0]


@pytest.fixture
def path(url: str) -> str:
    return fsspec.url_to_fs(url)[1]


def _volume(fs: FastDFSFileSystem, path: str) -> Volume:
    place = fs.place(path)
    assert isinstance(place, InVolume)
    return place.volume


# ---------------------------------------------------------------------------------------------------------------- URLs


def test_an_empty_volume(url: str, fs: FastDFSFileSystem, path: str) -> None:
    assert fs.ls(path) == fs.find(path) == list(fs.glob(f"{path}/*")) == []
    assert fs.info(path) == {"name": path, "size": 0, "type": "directory"}
    assert not fs.exists(f"{path}/a")
    for missing in (fs.ls, fs.info, fs.cat_file, fs.rm_file, fs.created):
        with pytest.raises(FileNotFoundError):
            missing(f"{path}/a")
    assert collect_garbage(url) == 0


def test_urls_name_trackers_and_volume(url: str, fs: FastDFSFileSystem, path: str, fastdfs_trackers: str) -> None:
    trackers = address_text(parsed_addresses(fastdfs_trackers))
    assert url == f"fastdfs://{trackers}/{path}" == fs.unstrip_protocol(path) == fs.unstrip_protocol(url)
    assert path.endswith(".volume")
    assert "fastdfs" in fsspec.available_protocols()
    with fsspec.open(f"{url}/folder/a.txt", "w", encoding="utf-8") as file:
        file.write("ümläut")
    assert fsspec.open(f"{url}/folder/a.txt", "r", encoding="utf-8").open().read() == "ümläut"
    assert (
        pickle.loads(pickle.dumps(fs)).cat(  # noqa: S301 (of our own)
            f"{path}/folder/a.txt"
        )
        == "ümläut".encode()
    )
    assert FastDFSFileSystem.from_json(fs.to_json()).ls(f"{path}/folder", detail=False) == [f"{path}/folder/a.txt"]
    same = fsspec.filesystem("fastdfs", trackers=[fastdfs_trackers])
    assert same.cat(f"{url}/folder/a.txt") == same.cat(f"/{path}/folder/a.txt/") == "ümläut".encode()


def test_what_is_no_url_of_a_volume(fs: FastDFSFileSystem) -> None:
    for nothing in ("", "group1", "group1/M00/00/00", "butterflies/a.jpg"):
        for ask in (fs.ls, fs.info, fs.cat_file, fs.exists, fs.find, lambda name: fs.pipe_file(name, b"")):
            with pytest.raises(StorageError, match="create_volume"):
                ask(nothing)
    with pytest.raises(StorageError, match="create_volume"):
        io.list_files(fs.unstrip_protocol(""))
    assert fsspec.url_to_fs("fastdfs://[fd00:0:0:0:0:0:0:2]:1,b/", timeout_s="60")[0].settings.timeout_s == 60
    for wrong in ("", "a b", "host:port", "user@host:22122"):
        with pytest.raises(ConfigError, match="trackers"):
            FastDFSFileSystem(wrong, skip_instance_cache=True)
    with pytest.raises(ConfigError, match="create_volume"):
        collect_garbage(fs.unstrip_protocol("group1/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg"))


@pytest.mark.parametrize("name", ["a//b", "./a", "a/..", "..", "a/./b", "nul\0", "\ud800", "x" * 1025])
def test_names_that_are_refused(fs: FastDFSFileSystem, path: str, name: str) -> None:
    with pytest.raises(ConfigError, match="not a valid file name"):
        fs.pipe_file(f"{path}/{name}", b"1")
    with pytest.raises((FileNotFoundError, UnicodeEncodeError)):
        fs.cat_file(f"{path}/{name}")
    assert fs.find(path) == []


@pytest.mark.parametrize(
    "name", ["ü/é\u2028 [x]*?.jpg", "x" * 1024, "a.b.c", ".hidden", "-", 'q"\\uote\n', "a.ext_too_long"]
)
def test_names_that_are_taken(fs: FastDFSFileSystem, path: str, name: str) -> None:
    fs.pipe_file(f"{path}/{name}", b"1")
    assert fs.find(path) == [f"{path}/{name}"]
    assert fs.cat_file(f"{path}/{name}") == b"1"
    fs.rm_file(f"{path}/{name}")
    assert fs.find(path) == []


# ----------------------------------------------------------------------------------------------------------- plain ids


def _read_while_there(fs: FastDFSFileSystem, name: str) -> None:
    for _ in range(600):  # a replica may have it for a moment longer
        fs.cat_file(name)
        time.sleep(0.1)


def test_files_of_others_are_read_by_their_ids(fs: FastDFSFileSystem, path: str, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    fs.pipe_file(f"{path}/photo.jpg", data)
    name = fs.info(f"{path}/photo.jpg")["file_id"]
    assert name.endswith(".jpg")
    assert (fs.info(name)["size"], fs.info(name)["ETag"], fs.info(name)["type"]) == (len(data), name, "file")
    assert fs.cat_file(name) == fs.cat([name])[name] == data
    assert fs.ls(name, detail=False) == fs.find(name) == [name]
    with fs.open(name) as file:
        file.seek(-7, 2)
        assert file.read() == data[-7:]
    fs.get_file(name, str(tmp_path / "new" / "photo.jpg"))
    assert (tmp_path / "new" / "photo.jpg").read_bytes() == data
    assert not fs.exists(f"{name}/below")
    with pytest.raises(StorageError, match="cannot be written"):
        fs.pipe_file(name, b"")
    fs.cp_file(name, f"{path}/copy.jpg")
    fs.rm_file(name)
    assert not fs.exists(name)
    with pytest.raises(FileNotFoundError):
        _read_while_there(fs, name)
    assert fs.cat_file(f"{path}/copy.jpg") == data  # content of its own


def test_appender_files_of_others_are_read_too(fs: FastDFSFileSystem, path: str) -> None:
    client = _volume(fs, path).client
    file = client.upload_appender(b"first ", extension="log")
    client.append(file, b"second")
    before = fs.info(str(file))
    assert before["size"] == 12
    assert fs.cat_tagged([str(file)], [None]) == [(b"first second", before["ETag"])]
    client.append(file, b" third")
    assert fs.info(str(file))["ETag"] != before["ETag"]  # the same id, other content
    assert fs.cat_file(str(file)) == b"first second third"
    assert fs.cat_file(str(file), 6, 100) == b"second third"
    client.delete(file)


# -------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_ranges_are_those_of_python(fs: FastDFSFileSystem, path: str, size: int) -> None:
    data = os.urandom(size)
    fs.pipe_file(f"{path}/a", data)
    places = [None, 0, 1, 2, 500, 999, 1000, 1001, 10**12, -1, -2, -1000, -1001]
    pairs = [(start, end) for start in places for end in places]
    assert [fs.cat_file(f"{path}/a", start, end) for start, end in pairs] == [data[start:end] for start, end in pairs]
    starts, ends = [start for start, _ in pairs], [end for _, end in pairs]
    assert fs.cat_ranges([f"{path}/a"] * len(pairs), starts, ends) == [data[start:end] for start, end in pairs]
    with fs.open(f"{path}/a", block_size=64) as file:
        assert (file.size, file.read()) == (size, data)


def test_many_files_are_fetched_with_one_look_at_the_names(
    fs: FastDFSFileSystem, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"{path}/{number}": os.urandom(number) for number in range(100)}
    fs.pipe(contents)
    volume = _volume(fs, path)
    looks = []
    monkeypatch.setattr(volume, "_refresh", lambda original=volume._refresh: looks.append(original()))
    found = fs.cat_tagged([*contents, f"{path}/missing", "nonsense"], [None] * 100 + [None, None])
    assert [content[0] for content in found[:100]] == list(contents.values())
    assert [content[1] for content in found[:100]] == [fs.info(name)["ETag"] for name in contents]
    assert isinstance(found[100], FileNotFoundError)
    assert isinstance(found[101], StorageError)
    assert len(looks) == 1 + 100  # one for all, and one for each question after it
    with pytest.raises(FileNotFoundError):
        fs.cat([f"{path}/missing"])
    assert fs.cat([*contents, f"{path}/missing"], on_error="omit") == contents


def test_an_open_file_stays_what_it_was(fs: FastDFSFileSystem, path: str) -> None:
    old, new = os.urandom(300_000), os.urandom(300_000)
    fs.pipe_file(f"{path}/a", old)
    with fs.open(f"{path}/a", block_size=1000) as file:
        assert file.read(1000) == old[:1000]
        fs.pipe_file(f"{path}/a", new)
        file.seek(200_000)
        assert file.read(1000) == old[200_000:201_000]
        fs.rm_file(f"{path}/a")
        assert file.read(1000) == old[201_000:202_000]


def test_content_is_deleted_some_time_after_its_name_is_gone(url: str, fs: FastDFSFileSystem, path: str) -> None:
    for content in (b"first", b"second", b"third"):
        fs.pipe_file(f"{path}/a", content)
    fs.cp_file(f"{path}/a", f"{path}/b")
    ids = [FileId.parse(name) for name in (fs.info(f"{path}/a")["file_id"], fs.info(f"{path}/b")["file_id"])]
    assert ids[0] == ids[1]
    assert collect_garbage(url) == 0  # too fresh
    assert collect_garbage(url, older_than_s=0) == 2
    assert collect_garbage(url, older_than_s=0) == 0
    fs.rm_file(f"{path}/a")
    assert collect_garbage(url, older_than_s=0) == 0
    assert fs.cat_file(f"{path}/b") == b"third"
    fs.rm_file(f"{path}/b")
    assert collect_garbage(url, older_than_s=0) == 1
    assert not fs.exists(str(ids[0]))


def test_writers_delete_as_they_go_along(fastdfs_trackers: str) -> None:
    options = {"delete_after_s": 0.0}
    fs, path = fsspec.url_to_fs(create_volume(fastdfs_trackers), **options)
    for number in range(200):
        fs.pipe_file(f"{path}/a", f"{number}".encode())
        if number == 50:
            time.sleep(0.01)
    with _volume(fs, path).reading() as names:
        assert len(names.garbage) < 100


# -------------------------------------------------------------------------------------------------------------- writing


def test_files_are_written_in_every_mode(fs: FastDFSFileSystem, path: str) -> None:
    data = os.urandom(20_000_000)  # more than is kept in memory
    with fs.open(f"{path}/big", "wb") as file:
        for start in range(0, len(data), 3_000_001):
            file.write(data[start : start + 3_000_001])
        assert not fs.exists(f"{path}/big")
    assert fs.cat_file(f"{path}/big") == data
    with fs.open(f"{path}/text", "w") as file:
        file.write("one\n")
    with fs.open(f"{path}/text", "a") as file:
        file.write("two\n")
    with fs.open(f"{path}/new", "ab") as file:
        file.write(b"three")
    assert (fs.cat_file(f"{path}/text"), fs.cat_file(f"{path}/new")) == (b"one\ntwo\n", b"three")
    with pytest.raises(FileExistsError):
        fs.open(f"{path}/text", "xb")
    with fs.open(f"{path}/fresh", "xb") as file:
        file.write(b"mine")
        fs.pipe_file(f"{path}/fresh", b"theirs")
        with pytest.raises(FileExistsError):
            file.close()
    assert fs.cat_file(f"{path}/fresh") == b"theirs"


def test_swapping_needs_what_was_read(fs: FastDFSFileSystem, path: str) -> None:
    fs.pipe_file(f"{path}/a", b"")
    for content in (b"1", b"2", b""):  # from an empty file, to one
        fs.pipe_file(f"{path}/a", content, if_match=fs.info(f"{path}/a")["ETag"])
        assert fs.cat_file(f"{path}/a") == content
    tag = fs.info(f"{path}/a")["ETag"]
    fs.pipe_file(f"{path}/a", b"other")
    for name in ("a", "missing"):
        with pytest.raises(ConflictError):
            fs.pipe_file(f"{path}/{name}", b"mine", if_match=tag)
    assert fs.cat_file(f"{path}/a") == b"other"


def test_transactions_are_whole(fs: FastDFSFileSystem, path: str) -> None:
    _, _, before = _volume(fs, path).position()
    with fs.transaction:
        for name in ("a", "b/c", "d"):
            with fs.open(f"{path}/{name}", "wb") as file:
                file.write(name.encode())
        assert fs.find(path) == []
    assert fs.cat(fs.find(path)) == {f"{path}/{name}": name.encode() for name in ("a", "b/c", "d")}
    with pytest.raises(KeyError):
        _interrupted_transaction(fs, path)
    assert len(fs.find(path)) == 3
    log, _, end = _volume(fs, path).position()
    assert fs.cat_file(str(log), before, end).count(b'"txn"') == 1
    fs.pipe_file(f"{path}/e", b"as ever")
    assert fs.cat_file(f"{path}/e") == b"as ever"


def _interrupted_transaction(fs: FastDFSFileSystem, path: str) -> None:
    with fs.transaction:
        with fs.open(f"{path}/e", "w") as file:
            file.write("never")
        raise KeyError


def test_several_files_are_written_at_once_or_not(fs: FastDFSFileSystem, path: str) -> None:
    fs.pipe({f"{path}/a": b"1", f"{path}/b": b"2"})
    with pytest.raises(NotADirectoryError):
        fs.pipe({f"{path}/c": b"3", f"{path}/a/x": b"4"})
    with pytest.raises(FileExistsError):
        fs.pipe({f"{path}/c": b"3", f"{path}/a": b"4"}, mode="create")
    assert fs.cat(fs.find(path)) == {f"{path}/a": b"1", f"{path}/b": b"2"}


def test_a_file_is_no_folder(fs: FastDFSFileSystem, path: str) -> None:
    fs.pipe_file(f"{path}/a/b", b"1")
    with pytest.raises(IsADirectoryError):
        fs.pipe_file(f"{path}/a", b"2")
    with pytest.raises(NotADirectoryError):
        fs.pipe_file(f"{path}/a/b/c", b"2")
    with pytest.raises(IsADirectoryError):
        fs.pipe_file(path, b"2")
    for ask in (fs.cat_file, fs.rm_file, fs.rm):
        with pytest.raises(IsADirectoryError):
            ask(f"{path}/a")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(f"{path}/a")
    fs.makedirs(f"{path}/folder", exist_ok=True)
    fs.rmdir(f"{path}/folder")
    assert fs.find(path) == [f"{path}/a/b"]


def test_times_are_those_of_writing(fs: FastDFSFileSystem, path: str) -> None:
    fs.touch(f"{path}/a")
    made = fs.created(f"{path}/a")
    assert abs(datetime.now(UTC) - made) < timedelta(seconds=60)
    fs.pipe_file(f"{path}/a", b"content")
    first = fs.modified(f"{path}/a")
    time.sleep(0.01)
    fs.touch(f"{path}/a", truncate=False)
    assert fs.modified(f"{path}/a") > first >= made
    assert fs.cat_file(f"{path}/a") == b"content"
    fs.touch(f"{path}/a")
    assert fs.cat_file(f"{path}/a") == b""


# ------------------------------------------------------------------------------------------- moving, copying, removing


def test_moving_and_copying_move_no_content(fs: FastDFSFileSystem, path: str) -> None:
    fs.pipe({f"{path}/a/{name}": name.encode() for name in ("1", "2", "x/3")})
    fs.pipe_file(f"{path}/b/0", b"0")
    ids = {name: info["file_id"] for name, info in fs.find(path, detail=True).items()}
    fs.mv(f"{path}/a/1", f"{path}/a/one")
    fs.mv(f"{path}/a/2", f"{path}/b/0")  # over what is there
    fs.mv(f"{path}/a", f"{path}/c", recursive=True)
    fs.cp_file(f"{path}/c/x/3", f"{path}/3")
    fs.mv(f"{path}/c", f"{path}/b", recursive=True)  # into the folder that is there
    fs.mv(f"{path}/3", f"{path}/d/")
    found = {name.removeprefix(f"{path}/"): info["file_id"] for name, info in fs.find(path, detail=True).items()}
    three = ids[f"{path}/a/x/3"]
    assert found == {
        "b/0": ids[f"{path}/a/2"],
        "b/c/one": ids[f"{path}/a/1"],
        "b/c/x/3": three,
        "d/3": three,
    }
    with pytest.raises(IsADirectoryError):
        fs.mv(f"{path}/b", f"{path}/e")
    with pytest.raises(FileNotFoundError):
        fs.mv(f"{path}/missing", f"{path}/e")
    with pytest.raises(NotADirectoryError):
        fs.mv(f"{path}/b/0", f"{path}/d/3/x")
    fs.mv(f"{path}/b/0", f"{path}/b/0")
    assert len(fs.find(path)) == 4


def test_many_files_are_moved_at_once(fs: FastDFSFileSystem, path: str) -> None:
    fs.pipe({f"{path}/{name}": name.encode() for name in ("a/1", "a/2", "b/1")})
    fs.mv(f"{path}/a/*", f"{path}/a")  # where they are
    fs.mv(f"{path}/*/1", f"{path}/c/")  # where the pattern finds them again
    assert fs.cat(fs.find(path)) == {f"{path}/a/2": b"a/2", f"{path}/c/a/1": b"a/1", f"{path}/c/b/1": b"b/1"}
    fs.mv([f"{path}/c/a/1", f"{path}/c/b/1"], [f"{path}/c/b/1", f"{path}/c/a/1"])  # exchanged
    assert fs.cat(f"{path}/c", recursive=True) == {f"{path}/c/a/1": b"b/1", f"{path}/c/b/1": b"a/1"}
    fs.mv([f"{path}/c/a/1", f"{path}/a/2"], f"{path}/d")
    assert fs.cat(fs.find(path)) == {f"{path}/c/b/1": b"a/1", f"{path}/d/1": b"b/1", f"{path}/d/2": b"a/2"}
    with pytest.raises(FileNotFoundError):
        fs.mv([f"{path}/d/1", f"{path}/missing"], f"{path}/e")
    assert len(fs.find(f"{path}/d")) == 2


def test_between_volumes_content_is_copied(fs: FastDFSFileSystem, path: str, fastdfs_trackers: str) -> None:
    other = fsspec.url_to_fs(create_volume(fastdfs_trackers))[1]
    fs.pipe_file(f"{path}/a", b"content")
    fs.cp_file(f"{path}/a", f"{other}/b")
    fs.mv(f"{path}/a", f"{other}/c")
    assert fs.find(path) == []
    assert fs.cat(fs.find(other)) == {f"{other}/b": b"content", f"{other}/c": b"content"}
    assert len({info["file_id"] for info in fs.ls(other)}) == 2


def test_hundreds_of_names_change_in_one_step(
    fs: FastDFSFileSystem, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"{path}/deep/{number:04}/a file with quite a long name": b"" for number in range(500)}
    fs.pipe(contents)
    fs.mv(f"{path}/deep", f"{path}/deeper", recursive=True)
    monkeypatch.setattr(places, "_volumes", {})  # as a process that begins now
    assert len(fs.find(f"{path}/deeper")) == 500
    assert len(fs.ls(f"{path}/deeper")) == 500
    fs.rm(f"{path}/deeper", recursive=True)
    assert fs.find(path) == []
    log, _, end = _volume(fs, path).position()
    assert fs.cat_file(str(log), 0, end).count(b'"body"') == 3
    assert end < 1000


def test_removing_is_one_step(fs: FastDFSFileSystem, path: str) -> None:
    fs.pipe({f"{path}/{name}": b"1" for name in ("a/1", "a/2", "b", "c")})
    with pytest.raises(FileNotFoundError):
        fs.rm([f"{path}/b", f"{path}/missing"])
    assert len(fs.find(path)) == 4
    fs.rm([f"{path}/a", f"{path}/b"], recursive=True)
    assert fs.find(path) == [f"{path}/c"]
    fs.rm(f"{path}/*")
    assert fs.find(path) == []


# --------------------------------------------------------------------------------------------------------------- upkeep


def test_a_log_that_grows_long_is_followed_by_another(
    fs: FastDFSFileSystem, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOG_BYTES", 3000)
    mine = _volume(fs, path)
    behind = Volume(mine.client, mine.root)  # a process that sleeps meanwhile
    fs.pipe({f"{path}/{number}": f"{number}".encode() for number in range(40)})
    with behind.reading() as names:
        assert len(names.entries) == 40
    first = mine.position()[0]
    for number in range(40, 120):
        fs.pipe_file(f"{path}/{number}", f"{number}".encode())
        fs.rm_file(f"{path}/{number - 40}")
    wanted = {str(number) for number in range(80, 120)}
    assert mine.position()[1] >= 4
    assert not fs.exists(str(first))  # what the newest pointers do not need is deleted
    fresh = Volume(mine.client, mine.root)
    for volume in (mine, fresh, behind):
        with volume.reading() as names:
            assert set(names.entries) == wanted
    assert behind.position() == fresh.position() == mine.position()
    assert fs.cat_file(f"{path}/119") == b"119"


def test_a_snapshot_may_be_taken_after_others_wrote_on(
    fs: FastDFSFileSystem, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = _volume(fs, path)
    fs.pipe_file(f"{path}/a", b"1")
    append = volume.append

    def append_and_wait(record: Any, **options: Any) -> bool:
        counted = append(record, **options)
        monkeypatch.setattr(volume, "append", append)
        for number in range(3):
            fs.pipe_file(f"{path}/{number}", b"2")
        return counted

    monkeypatch.setattr(volume, "append", append_and_wait)
    assert upkeep.rotate(volume)
    pointer = volume.pointers()[-1]
    assert (pointer.serial, pointer.start) == (1, volume.position()[2])
    assert pointer.start > 300
    fresh = Volume(volume.client, volume.root)
    with fresh.reading() as names:
        assert sorted(names.entries) == ["0", "1", "2", "a"]
    assert fresh.position() == volume.position()


def test_only_one_of_two_ends_a_log(fs: FastDFSFileSystem, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = _volume(fs, path)
    fs.pipe_file(f"{path}/a", b"1")
    late = Volume(volume.client, volume.root)
    late.position()
    assert upkeep.rotate(volume)
    assert not upkeep.rotate(late)
    assert late.position()[1] == volume.position()[1] == 1
    late.commit({"b": None}, expected={})  # what is written with the old log in mind goes into the new one
    with volume.reading() as names:
        assert sorted(names.entries) == ["a"]


# ------------------------------------------------------------------------------------------------------ other libraries


def test_pandas_reads_and_writes(url: str) -> None:
    frame = pd.DataFrame({"label": ["monarch", "ümläut"], "n": [1, 2]})
    frame.to_csv(f"{url}/tables/a.csv", index=False)
    frame.to_parquet(f"{url}/tables/a.parquet")
    assert pd.read_csv(f"{url}/tables/a.csv").equals(frame)
    assert pd.read_parquet(f"{url}/tables/a.parquet").equals(frame)


def test_papermill_goes_through_our_storage(url: str) -> None:
    iorw = pytest.importorskip("papermill.iorw")
    iorw.papermill_io.write("a notebook", f"{url}/a.ipynb")
    assert iorw.papermill_io.read(f"{url}/a.ipynb") == "a notebook"
    assert iorw.papermill_io.listdir(url) == [f"{url}/a.ipynb"]


def test_errors_name_the_url(url: str) -> None:
    with pytest.raises(NotFoundError, match=r"\.volume/a"):
        io.read_bytes(f"{url}/a")
    io.write_bytes(f"{url}/a", b"1")
    with pytest.raises(StorageError, match=r"\.volume/a/b: NotADirectoryError"):
        io.write_bytes(f"{url}/a/b", b"1")
