"""The file of decoded images: what is put is got, torn bytes never, in any number of processes, within its limit."""

from __future__ import annotations

import errno
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from onlineml.data.augment.classification import limit_to_scale
from onlineml.data.loading.decoded_cache import DecodedCache, default_folder
from onlineml.errors import ConfigError
from picture_files import noise
from places import SUPPORT
from privileges import modes_obeyed
from processes import FRESH, LONG_S

IDS = [f"image-{i}" for i in range(20)]


def _pictures(n: int = 20, short_side: int = 16) -> list[np.ndarray]:
    """Of several shapes, each within what a slot has room for."""
    shapes = [(16, 16), (16, 32), (32, 16), (9, 12), (1, 1), (5, 10)]
    return [noise(i, shapes[i % len(shapes)]) for i in range(n)]


def _filled(folder: Path, **options) -> DecodedCache:
    cache = DecodedCache(IDS, short_side=16, folder=folder, **options)
    for i, picture in enumerate(_pictures()):
        cache.put(i, picture)
    return cache


def test_no_images(tmp_path: Path):
    cache = DecodedCache([], short_side=16, folder=tmp_path)
    with pytest.raises(IndexError):  # as of an empty list
        cache.get(0)


def test_nothing_is_touched_before_use(tmp_path: Path):
    cache = DecodedCache(IDS, short_side=16, folder=tmp_path / "a/b")
    assert not (tmp_path / "a").exists()
    assert cache.get(0) is None
    assert cache.path.parent == tmp_path / "a/b"
    assert [p.name for p in cache.path.parent.iterdir()] == [cache.path.name]  # no temporary file is left


def test_what_is_put_is_got_here_and_by_the_next_run(tmp_path: Path):
    cache = _filled(tmp_path)
    for found in (cache, DecodedCache(IDS, short_side=16, folder=tmp_path)):
        for i, picture in enumerate(_pictures()):
            got = found.get(i)
            assert got is not None
            assert got.dtype == np.uint8
            assert np.array_equal(got, picture)
    assert DecodedCache(IDS, short_side=16, folder=tmp_path).get(0) is not None


def test_pixels_cannot_be_changed_by_who_reads_them(tmp_path: Path):
    got = _filled(tmp_path).get(3)
    assert got is not None
    with pytest.raises(ValueError, match="read-only"):
        got[:] = 0
    assert np.array_equal(DecodedCache(IDS, short_side=16, folder=tmp_path).get(3), _pictures()[3])


def test_the_key_is_the_images_their_order_and_the_scale(tmp_path: Path):
    def path(ids: list[str], short_side: int) -> Path:
        return DecodedCache(ids, short_side=short_side, folder=tmp_path).path

    assert path(IDS, 16) == path(list(IDS), 16)
    others = [path(IDS, 17), path(IDS[::-1], 16), path(IDS[:-1], 16), path([*IDS[:-1], "other"], 16)]
    assert len({path(IDS, 16), *others}) == 5


def test_torn_pixels_are_not_given_and_are_mended(tmp_path: Path):
    _filled(tmp_path)
    cache = DecodedCache(IDS, short_side=16, folder=tmp_path)
    raw = bytearray(cache.path.read_bytes())
    start = len(IDS) * 16 + 7 * 2 * 16 * 16 * 3  # behind the headers, the slot of image 7
    assert bytes(raw[start : start + 30]) == _pictures()[7].tobytes()[:30]
    raw[start + 11] ^= 1
    cache.path.write_bytes(raw)
    assert cache.get(7) is None
    assert np.array_equal(cache.get(8), _pictures()[8])
    cache.put(7, _pictures()[7])  # as who finds none and decodes does
    assert np.array_equal(cache.get(7), _pictures()[7])
    assert np.array_equal(DecodedCache(IDS, short_side=16, folder=tmp_path).get(7), _pictures()[7])


@pytest.mark.parametrize("height_width", [(65535, 65535), (16, 0), (0, 16)])
def test_torn_headers_are_not_believed(tmp_path: Path, height_width: tuple[int, int]):
    """Larger than a slot; and half written, where an empty picture's checksum, 0, would agree."""
    cache = _filled(tmp_path)
    raw = bytearray(cache.path.read_bytes())
    raw[5 * 16 : 5 * 16 + 8] = np.array([*height_width, 0, 0], "<u2").tobytes()
    cache.path.write_bytes(raw)
    fresh = DecodedCache(IDS, short_side=16, folder=tmp_path)
    assert fresh.get(5) is None
    fresh.put(5, _pictures()[5])
    assert np.array_equal(fresh.get(5), _pictures()[5])


def test_an_image_wider_than_two_to_one(tmp_path: Path):
    cache = DecodedCache(IDS, short_side=16, folder=tmp_path)
    cache.put(0, noise(0, (16, 33)))  # no room: it is decoded each time
    assert cache.get(0) is None
    assert np.array_equal(_first_slot(cache), np.zeros(2 * 16 * 16 * 3))
    kept = limit_to_scale(noise(0, (100, 900)), 16)  # as the dataset cuts it
    cache.put(0, kept)
    assert np.array_equal(cache.get(0), kept)
    assert kept.shape == (16, 32, 3)


def _first_slot(cache: DecodedCache) -> np.ndarray:
    raw = np.frombuffer(cache.path.read_bytes(), np.uint8)
    return raw[len(IDS) * 16 :][: 2 * 16 * 16 * 3]


def test_a_pickled_cache_holds_no_file_and_finds_its_own(tmp_path: Path):
    cache = _filled(tmp_path)
    data = pickle.dumps(cache)
    assert len(data) < 2000
    assert np.array_equal(pickle.loads(data).get(2), _pictures()[2])  # noqa: S301 (our own)
    assert np.array_equal(cache.get(2), _pictures()[2])


def _fill(folder: Path, start: object, rows: list[int]) -> None:
    cache = DecodedCache(IDS, short_side=16, folder=folder)
    start.wait(LONG_S)
    for i in rows:
        cache.put(i, _pictures()[i])
        assert np.array_equal(cache.get(i), _pictures()[i])


def test_two_processes_fill_one_file_at_once(tmp_path: Path):
    start = FRESH.Barrier(2)
    orders = [list(range(20)), list(range(19, 3, -1))]
    workers = [FRESH.Process(target=_fill, args=(tmp_path, start, rows)) for rows in orders]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1
    cache = DecodedCache(IDS, short_side=16, folder=tmp_path)
    assert all(np.array_equal(cache.get(i), picture) for i, picture in enumerate(_pictures()))


def test_images_beyond_the_limit_are_not_kept(tmp_path: Path):
    slot, headers = 2 * 16 * 16 * 3, len(IDS) * 16
    cache = _filled(tmp_path, limit_bytes=headers + 5 * slot + slot // 2)
    assert [cache.get(i) is not None for i in range(20)] == [True] * 5 + [False] * 15
    assert cache.path.stat().st_size == headers + 5 * slot
    again = DecodedCache(IDS, short_side=16, folder=tmp_path)  # whatever its own limit, the file's size holds
    assert [again.get(i) is not None for i in range(20)] == [True] * 5 + [False] * 15


def _older(path: Path, seconds: int) -> None:
    told = path.stat().st_mtime - seconds
    os.utime(path, (told, told))


def test_the_files_opened_longest_ago_make_room(tmp_path: Path):
    size = 20 * 16 + 20 * 2 * 16 * 16 * 3
    caches = []
    for age, prefix in ((300, "a"), (200, "b"), (100, "c")):
        cache = DecodedCache([prefix + i for i in IDS], short_side=16, folder=tmp_path)
        for i in range(20):
            cache.put(i, noise(i, (32, 16)))
        _older(cache.path, age)
        caches.append(cache)
    (tmp_path / "other.txt").write_bytes(b"x" * 10**6)  # not ours: neither counted nor deleted
    DecodedCache(["a" + i for i in IDS], short_side=16, folder=tmp_path).get(0)  # the oldest is used again
    taken = [cache.path.stat().st_blocks * 512 for cache in caches]
    newest = DecodedCache(
        ["d" + i for i in IDS], short_side=16, folder=tmp_path, limit_bytes=size + taken[0] + taken[2]
    )
    assert newest.get(0) is None
    assert [cache.path.exists() for cache in caches] == [True, False, True]
    assert newest.path.exists()
    assert (tmp_path / "other.txt").exists()
    assert np.array_equal(caches[1].get(4), noise(4, (32, 16)))  # who has it open goes on


def test_what_killed_processes_left_goes(tmp_path: Path):
    cache = _filled(tmp_path)
    old, young = (cache.path.with_suffix(f".{digit * 16}.tmp") for digit in "ab")
    os.link(cache.path, old)  # killed between giving a file its name and taking away the temporary one
    _older(old, 7200)
    young.touch()
    DecodedCache(["x"], short_side=16, folder=tmp_path).get(0)
    assert (old.exists(), young.exists(), cache.path.exists()) == (False, True, True)


def test_a_file_that_vanishes_while_making_room_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _filled(tmp_path)
    (tmp_path / "gone.u8").symlink_to(tmp_path / "nowhere")  # listed, and not there when looked at
    cache = DecodedCache(["x"], short_side=16, folder=tmp_path)
    cache.put(0, noise(0, (4, 4)))
    assert np.array_equal(cache.get(0), noise(0, (4, 4)))


def test_a_filesystem_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError("links are not supported")

    monkeypatch.setattr(os, "link", refuse)
    cache = _filled(tmp_path)
    assert np.array_equal(cache.get(1), _pictures()[1])
    assert [p.name for p in tmp_path.iterdir()] == [cache.path.name]


def test_the_file_is_sparse(tmp_path: Path):
    cache = DecodedCache([str(i) for i in range(1000)], short_side=280, folder=tmp_path)
    cache.put(0, noise(0, (8, 8)))
    stat = cache.path.stat()
    assert stat.st_size == 1000 * (16 + 2 * 280 * 280 * 3)
    assert stat.st_blocks * 512 < 200_000


def test_a_killed_process_leaves_what_it_kept(tmp_path: Path):
    program = f"""
import os, signal, sys
sys.path[:0] = {[str(SUPPORT), str(Path(__file__).parent)]!r}
from pathlib import Path
from test_decoded_cache import _filled
_filled(Path({str(tmp_path)!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    cache = DecodedCache(IDS, short_side=16, folder=tmp_path)
    assert all(np.array_equal(cache.get(i), picture) for i, picture in enumerate(_pictures()))


def test_where_the_default_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "x"))
    assert default_folder() == tmp_path / f"x/decoded-{os.getuid()}"
    assert DecodedCache(IDS, short_side=16).path.parent == default_folder()
    monkeypatch.delenv("ONLINEML_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / f"xdg/onlineml/decoded-{os.getuid()}"


def test_a_scale_of_nothing_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="short_side=0: expected at least 1 pixel"):
        DecodedCache(IDS, short_side=0, folder=tmp_path)


def test_a_full_disk_is_told_once_and_kills_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = DecodedCache(["a", "b", "c"], short_side=8, folder=tmp_path)
    cache.put(0, noise(0, (8, 8)))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        cache.put(1, noise(1, (8, 8)))
    cache.put(2, noise(2, (8, 8)))  # without a warning, which were an error
    assert cache.get(1) is None
    np.testing.assert_array_equal(cache.get(0), noise(0, (8, 8)))


def test_a_really_full_disk(tmp_path: Path):
    """A limit on the file's size stands for it, in a process of its own."""
    code = """
import resource, signal, sys, warnings
import numpy as np
from pathlib import Path
from onlineml.data.loading.decoded_cache import DecodedCache
cache = DecodedCache([str(i) for i in range(50)], short_side=16, folder=Path(sys.argv[1]))
cache.put(0, np.full((16, 16, 3), 7, np.uint8))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for i in range(50):
        cache.put(i, np.full((16, 16, 3), i, np.uint8))
assert len(caught) == 1, caught
assert [i for i in range(50) if cache.get(i) is not None and cache.get(i)[0, 0, 0] != i] in ([], [0])
assert cache.get(49) is None
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=LONG_S)


@pytest.mark.parametrize("trouble", ["a file in its place", "read-only", "somebody else's"])
def test_a_cache_that_cannot_be_used_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str):
    folder = tmp_path / f"decoded-{os.getuid()}"
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path))
    if trouble == "a file in its place":
        folder.write_bytes(b"")
    elif trouble == "read-only":
        folder.mkdir(mode=0o500)
    else:
        DecodedCache(IDS, short_side=16).get(0)
        real = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: real + 1)
        folder.rename(default_folder())
    with modes_obeyed():
        cache = DecodedCache(IDS, short_side=16)
        with pytest.warns(RuntimeWarning, match="ONLINEML_CACHE"):
            assert cache.get(0) is None
        cache.put(0, _pictures()[0])  # told once
        assert cache.find([0, 1]) == {}


def test_only_the_user_reads_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "shared"))
    before = os.umask(0)
    try:
        DecodedCache(IDS, short_side=16).put(0, _pictures()[0])
        _filled(tmp_path / "chosen")
    finally:
        os.umask(before)
    files = [*default_folder().rglob("*"), *(tmp_path / "chosen").rglob("*")]
    assert len(files) == 2
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in (*files, default_folder()))
