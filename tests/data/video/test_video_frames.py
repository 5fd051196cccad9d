"""`onlineml.data.video.frames` and `onlineml.data.formats.videos`: frames of videos as images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from onlineml.storage.location import Location

pytest.importorskip("av")

import onlineml as oml
from made_videos import number_in, numbered, with_matrix, write_video
from onlineml.data.formats.videos import read_videos
from onlineml.data.images.decode import decode
from onlineml.data.video.frames import FrameStore, frame_id, frame_sampling
from onlineml.data.video.sampling import Sampling
from onlineml.data.video.video import Video
from onlineml.errors import BadVideoError, ConfigError, DataError, NotFoundError
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

HALF = Sampling(every_s=0.5)


@pytest.fixture(scope="module")
def video() -> bytes:
    return write_video(60, faststart=True)


@pytest.fixture(scope="module")
def other() -> bytes:
    return write_video(40, kind="vp9.webm", picture=lambda number: numbered(number + 1000))


def test_frames_are_stored_once_and_told_with_their_times(store: Store, video: bytes) -> None:
    store.raw_write("in/a.mp4", video)
    frames = FrameStore(f"{store.url}/out", storage_options=store.storage_options)
    found = frames.extract(f"{store.url}/in/a.mp4", sampling=HALF, storage_options=store.storage_options)
    assert found.findings == ()
    table = found.table.to_pydict()
    assert table["frame"] == [0, 15, 30, 45]
    assert table["time_s"] == [0.0, 0.5, 1.0, 1.5]
    assert table["group"] == [found.sha256] * 4
    assert found.image_ids == [frame_id(found.sha256, time) for time in table["time_s"]]
    for row in found.table.to_pylist():
        decoded = decode(store.raw_read(f"out/{row['uri']}"))
        assert number_in(decoded.pixels) == row["frame"]
        assert decoded.size_hw == (row["height"], row["width"]) == (64, 96)
    names = store.raw_names()
    assert frames.extract(f"{store.url}/in/a.mp4", sampling=HALF, storage_options=store.storage_options) == found
    assert store.raw_names() == names


def test_what_was_extracted_is_not_read_again(tmp_path: Path, video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(video)
    (tmp_path / "copy.mp4").write_bytes(video)
    frames = FrameStore(str(tmp_path / "out"))
    first = frames.extract(tmp_path / "a.mp4", sampling=HALF, version="1")

    def never(*_: object) -> None:
        raise AssertionError("it was decoded again")

    monkeypatch.setattr(Video, "sampled", never)
    assert frames.extract(tmp_path / "copy.mp4", sampling=HALF).table == first.table  # known by its content
    assert frames.extract(video, sampling=HALF).table == first.table
    (tmp_path / "a.mp4").unlink()
    assert frames.extract(tmp_path / "a.mp4", sampling=HALF, version="1").table == first.table  # by its version
    with pytest.raises(AssertionError, match="decoded again"):
        frames.extract(video, sampling=Sampling(every_n=7))
    with pytest.raises(NotFoundError):
        frames.extract(tmp_path / "a.mp4", sampling=HALF, version="2")


def test_ids_of_frames_outlast_the_decoder(tmp_path: Path, video: bytes) -> None:
    jpeg = FrameStore(str(tmp_path / "a")).extract(video, sampling=HALF)
    png = FrameStore(str(tmp_path / "b"), format="png").extract(video, sampling=HALF)
    assert jpeg.image_ids == png.image_ids
    assert jpeg.table["sha256"].to_pylist() != png.table["sha256"].to_pylist()
    exact = list(Video(video).frames(every_s=0.5))
    for row, frame in zip(png.table.to_pylist(), exact, strict=True):
        np.testing.assert_array_equal(decode((tmp_path / "b" / row["uri"]).read_bytes()).pixels, frame.pixels)


def test_a_note_comes_after_the_frames(tmp_path: Path, video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = FrameStore(str(tmp_path / "out"))
    written = []
    original = io.write_bytes

    def breaking(url: str, data: bytes, **options: object) -> None:
        written.append(url)
        if len(written) == 3:
            raise OSError("the disk is full")
        original(url, data, **options)

    monkeypatch.setattr("onlineml.data.video.frames.io.write_bytes", breaking)
    with pytest.raises(OSError, match="full"):
        frames.extract(video, sampling=HALF)
    assert not (tmp_path / "out" / "videos").exists()
    assert len(frames.extract(video, sampling=HALF).table) == 4  # and the next one makes up for it


def test_findings_are_remembered(tmp_path: Path, video: bytes) -> None:
    frames = FrameStore(str(tmp_path))
    turned = with_matrix(video, 0, 1, -1, 0)
    for _ in range(2):
        found = frames.extract(turned, sampling=HALF)
        assert [finding.code for finding in found.findings] == ["rotated"]
        assert found.table["width"].to_pylist() == [64] * 4


def test_half_a_second_is_what_is_meant_where_nothing_is_said() -> None:
    assert frame_sampling(every_s=None, every_n=None) == HALF
    assert frame_sampling(every_s=2.0, every_n=None) == Sampling(every_s=2.0)
    assert frame_sampling(every_s=None, every_n=3) == Sampling(every_n=3)
    with pytest.raises(ConfigError):
        frame_sampling(every_s=1.0, every_n=3)
    with pytest.raises(ConfigError, match="jpeg"):
        FrameStore("/nowhere", format="gif")  # type: ignore[arg-type]


# ---- folders of videos ----


def test_a_folder_of_videos_is_a_manifest(tmp_path: Path, video: bytes, other: bytes) -> None:
    loose = write_video(40, kind="h265.mov", picture=lambda number: numbered(number + 2000))
    for path, data in {"cat/a.mp4": video, "dog/b.webm": other, "loose.MOV": loose}.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(data)
    (tmp_path / "in/cat/.hidden.mp4").write_bytes(video)
    (tmp_path / "in/notes.txt").write_text("no video")
    manifest = oml.Manifest.from_videos(tmp_path / "in", frames_url=tmp_path / "out", every_s=1.0)
    assert manifest.class_names == ("cat", "dog")
    rows = manifest.table.to_pylist()
    assert [(row["label"], row["frame"], row["video"]) for row in rows] == [
        ("cat", 0, "cat/a.mp4"),
        ("cat", 30, "cat/a.mp4"),
        ("dog", 0, "dog/b.webm"),
        ("dog", 30, "dog/b.webm"),
        (None, 0, "loose.MOV"),
        (None, 30, "loose.MOV"),
    ]
    assert manifest.n_ignored == 2
    split_of = {}
    for row in rows:
        assert split_of.setdefault(row["group"], row["split"]) == row["split"]
    assert len(split_of) == 3
    assert len(manifest.check().table) == 0
    again = oml.Manifest.from_videos(tmp_path / "in", frames_url=tmp_path / "out", every_s=1.0)
    assert again.hash == manifest.hash
    finer = oml.Manifest.from_videos(tmp_path / "in", frames_url=tmp_path / "out", every_n=10)
    assert {row["group"]: row["split"] for row in finer.table.to_pylist()} == split_of


def test_bad_videos_are_told_and_the_others_taken(tmp_path: Path, video: bytes, other: bytes) -> None:
    begin = video.find(b"mdat")
    files = {
        "train/cat/good.mp4": video,
        "train/cat/cut.mp4": with_matrix(video, 0, 1, -1, 0)[: begin + (len(video) - begin) // 2],
        "train/dog/empty.mp4": b"",
        "train/dog/text.avi": b"no video" * 99,
        "test/cat/same.mp4": video,
        "test/dog/b.webm": other,
        "train/cat/b.webm": other,
    }
    for path, data in files.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(data)
    store = FrameStore(str(tmp_path / "out"))
    parts, findings = read_videos(Location.of(tmp_path / "in"), store=store, sampling=HALF)
    told = {(row.video.removeprefix(f"{tmp_path}/in/"), row.finding, row.outcome) for row in findings.rows}
    assert {
        ("train/dog/empty.mp4", "empty", "quarantined"),
        ("train/dog/text.avi", "unreadable", "quarantined"),
        ("train/cat/cut.mp4", "truncated", "usable"),
        ("train/cat/good.mp4", "duplicate", "usable"),  # kept in test
        ("train/cat/b.webm", "duplicate_label_conflict", "quarantined"),
        ("test/dog/b.webm", "duplicate_label_conflict", "quarantined"),
    } <= told
    splits = dict(zip(parts.table["video"].to_pylist(), parts.table["split"].to_pylist(), strict=True))
    assert splits == {"test/cat/same.mp4": "test", "train/cat/cut.mp4": "train"}
    assert findings.n_videos == 7
    assert findings.n_frames == len(parts.table)
    assert "truncated" in str(findings)
    assert "cut.mp4" in findings._repr_html_()
    assert len(findings.to_frame()) == len(findings.rows)


def test_folders_without_a_usable_video(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no files at all"):
        oml.Manifest.from_videos(tmp_path, frames_url=tmp_path / "out")
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match="1 other file"):
        oml.Manifest.from_videos(tmp_path, frames_url=tmp_path / "out")
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DataError, match="none of the 1 videos"):
        oml.Manifest.from_videos(tmp_path, frames_url=tmp_path / "out")


def test_a_bad_video_alone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadVideoError):
        FrameStore(str(tmp_path)).extract(b"nothing of the kind", sampling=HALF)
    assert list(tmp_path.iterdir()) == []


def test_from_a_bucket_killed_half_way_goes_on_where_it_was(
    store: Store, video: bytes, other: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.raw_write("in/a/1.mp4", video)
    store.raw_write("in/b/2.webm", other)
    options = {"frames_url": f"{store.url}/out", "every_s": 1.0, "storage_options": store.storage_options}
    original, calls = FrameStore.extract_local, []

    def killed(self: FrameStore, local: str | bytes, digest: str, *, sampling: Sampling) -> object:
        calls.append(digest)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, local, digest, sampling=sampling)

    monkeypatch.setattr(FrameStore, "extract_local", killed)
    with pytest.raises(KeyboardInterrupt):
        oml.Manifest.from_videos(f"{store.url}/in", **options)
    manifest = oml.Manifest.from_videos(f"{store.url}/in", **options)
    assert len(calls) == 3  # the first video was not looked at again
    assert len(manifest) == 4
    again = oml.Manifest.from_videos(f"{store.url}/in", **options)
    assert (len(calls), again.hash) == (3, manifest.hash)
    note = next(name for name in store.raw_names() if name.endswith(".parquet"))
    assert pq.read_schema(__import__("io").BytesIO(store.raw_read(note))).metadata
