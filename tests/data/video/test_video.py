"""`onlineml.data.video`: every frame, at its time, upright, in true colours; and files that are broken."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest

from places import ROOT

pytest.importorskip("av")

from made_videos import KINDS, RATE, number_in, numbered, with_matrix, write_planes, write_video
from onlineml.data.video import file, reader
from onlineml.data.video.video import POLICIES, Video, is_video_name
from onlineml.errors import BadImageError, BadVideoError, ConfigError, NotFoundError, StorageError
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

N = 130


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {kind: write_video(N, kind=kind) for kind in KINDS}


@pytest.fixture(scope="module")
def bottle(data_dir: Path | None) -> str:
    if data_dir is None:
        pytest.skip("no real video here")
    return str(data_dir / "video" / "bottle.mp4")


def codes(video: Video) -> list[str]:
    assert all(finding.outcome == POLICIES[finding.code].outcome for finding in video.findings)
    return [finding.code for finding in video.findings]


def on_screen(times: list[float], end: float, instants: list[float]) -> list[int]:
    """By looking through all of them: the last frame that has come when an instant is there."""
    shown = [max(i for i, t in enumerate(times) if t <= instant + 1e-3) for instant in instants if instant < end - 1e-3]
    return sorted(set(shown))


# ---- which frames ----


def test_the_log_of_ffmpeg_which_can_deadlock_is_off(files: dict[str, bytes]) -> None:
    import av

    av.logging.set_level(av.logging.ERROR)  # as torchvision 0.21 does where it is imported
    next(Video(next(iter(files.values()))).frames())
    assert av.logging.get_level() is None


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "empty"), (b"no video at all, but text" * 40, "unreadable"), (b"\0\0\0\x20ftypisom" * 9, "unreadable")],
)
def test_what_is_no_video(data: bytes, code: str) -> None:
    with pytest.raises(BadVideoError) as caught:
        list(Video(data).frames())
    assert caught.value.finding == code
    assert isinstance(caught.value, BadImageError)


def test_a_missing_file_a_picture_and_a_sound(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing\.mp4"):
        next(Video(tmp_path / "nothing.mp4").frames())
    with pytest.raises(BadVideoError, match="unreadable"):
        next(Video(b"RIFF$\0\0\0WAVEfmt " + bytes(40)).frames())


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_there_to_the_last_and_in_order(kind: str, files: dict[str, bytes]) -> None:
    video = Video(files[kind])
    frames = list(video.frames())
    assert [frame.number for frame in frames] == list(range(N))
    assert [number_in(frame.pixels) for frame in frames] == list(range(N))
    assert [frame.time_s for frame in frames] == pytest.approx([n / RATE for n in range(N)], abs=6e-4)
    assert all(frame.pixels.shape == (64, 96, 3) and frame.pixels.dtype == np.uint8 for frame in frames)
    assert video.findings == ()
    info = video.info()
    assert info.size_hw == (64, 96)
    assert info.frame_rate == pytest.approx(RATE, rel=1e-3)
    assert info.n_frames in {N, None}
    codec = kind.partition(".")[0].partition("-")[0]
    assert info.codec == {"h265": "hevc", "mpeg2": "mpeg2video"}.get(codec, codec)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_by_time_are_those_on_screen(kind: str, files: dict[str, bytes]) -> None:
    times = [n / RATE for n in range(N)]
    for every_s in (0.001, 0.04, 0.1, 0.5, 1.7, 3.0, 99.0):
        frames = list(Video(files[kind]).frames(every_s=every_s))
        instants = [k * every_s for k in range(math.ceil(N / RATE / every_s) + 1)]
        assert [frame.number for frame in frames] == on_screen(times, N / RATE, instants), every_s
        assert [number_in(frame.pixels) for frame in frames] == [frame.number for frame in frames]
    assert [f.number for f in Video(files[kind]).frames(every_n=40)] == [0, 40, 80, 120]


@pytest.mark.parametrize("kind", KINDS)
def test_given_times_come_sorted_and_once(kind: str, files: dict[str, bytes]) -> None:
    video = Video(files[kind])
    frames = list(video.frames(times_s=[4.0, 0.0, 2.005, 2.01, N / RATE - 0.01, 77.0]))
    assert [(f.number, number_in(f.pixels)) for f in frames] == [(n, n) for n in (0, 60, 120, N - 1)]
    assert codes(video) == ["beyond_end"]
    assert video.findings[0].detail.startswith("1 of the requested times")
    assert list(Video(files[kind]).frames(times_s=[])) == []


@pytest.mark.parametrize("kind", ["h264.mp4", "h264-open.mp4", "h265.mov"])
def test_what_lies_between_is_jumped_over(kind: str, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    original = reader.Reader._decode_on

    def counted(self: reader.Reader) -> list:
        decoded.append(1)
        return original(self)

    monkeypatch.setattr(reader.Reader, "_decode_on", counted)
    (frame,) = list(Video(files[kind]).frames(times_s=[4.1]))
    assert (frame.number, number_in(frame.pixels)) == (123, 123)
    assert len(decoded) < 45  # the first frame, and from the key frame at 100 on


def test_an_index_that_lies_costs_time_not_truth(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    index = reader._Index(list(range(7, 7 + N)), [0, 20, 60], list(range(N + 1)))
    monkeypatch.setattr(reader._Index, "of", lambda *_: index)
    frames = list(Video(files["h264.mp4"]).frames(times_s=[0.5, 4.1]))
    assert [(f.number, number_in(f.pixels)) for f in frames] == [(15, 15), (123, 123)]


def test_a_rate_that_varies() -> None:
    rng = np.random.default_rng(5)
    ticks = np.cumsum(np.r_[0, rng.choice([1, 40, 90, 4000], size=79)]).tolist()  # thousandths of a second
    data = write_video(80, times=ticks, ticks=1000)
    times = [tick / 1000 for tick in ticks]
    frames = list(Video(data).frames())
    assert [frame.time_s for frame in frames] == pytest.approx(times, abs=1e-6)
    assert [number_in(frame.pixels) for frame in frames] == list(range(80))
    for every_s in (0.013, 0.5, 2.0, 30.0):
        instants = [k * every_s for k in range(math.ceil(times[-1] / every_s) + 1) if k * every_s <= times[-1]]
        found = [frame.number for frame in Video(data).frames(every_s=every_s)]
        wanted = {max(i for i, t in enumerate(times) if t <= instant + 5e-4) for instant in instants}
        assert set(found) - {79} == wanted - {79}  # the last may be on screen beyond its own time
        assert found == sorted(set(found))


def test_tiny_steps_through_a_long_pause_take_no_time() -> None:
    data = write_video(3, kind="h264.mkv", times=[0, 1, 100_000], ticks=1)
    assert [frame.number for frame in Video(data).frames(every_s=0.001)] == [0, 1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"every_s": 0.0},
        {"every_s": -1.0},
        {"every_s": math.nan},
        {"every_s": math.inf},
        {"every_n": 0},
        {"times_s": [1.0, -0.1]},
        {"times_s": [math.nan]},
        {"every_s": 1.0, "every_n": 2},
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_read(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Video("/nowhere/at/all.mp4").frames(**wrong)


# ---- upright, square, true colours ----


@pytest.mark.parametrize(
    "matrix",
    [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)],
)
def test_frames_are_upright(matrix: tuple[int, int, int, int], files: dict[str, bytes]) -> None:
    a, b, c, d = matrix
    stored = next(Video(files["h264.mp4"]).frames()).pixels
    height, width = stored.shape[:2]
    place = {}  # the standard's formula, point by point
    for y in range(height):
        for x in range(width):
            place[a * x + c * y, b * x + d * y] = stored[y, x]
    left, top = min(x for x, _ in place), min(y for _, y in place)
    wide, high = max(x for x, _ in place) - left + 1, max(y for _, y in place) - top + 1
    wanted = np.array([[place[x + left, y + top] for x in range(wide)] for y in range(high)])

    video = Video(with_matrix(files["h264.mp4"], a, b, c, d))
    np.testing.assert_array_equal(next(video.frames()).pixels, wanted)
    assert codes(video) == ([] if matrix == (1, 0, 0, 1) else ["rotated"])
    assert video.info().size_hw == wanted.shape[:2]


def test_a_slanted_matrix_is_taken_to_the_nearest_right_angle(files: dict[str, bytes]) -> None:
    slanted = Video(with_matrix(files["h264.mp4"], 0.5, 0.87, -0.87, 0.5))
    square = Video(with_matrix(files["h264.mp4"], 0, 1, -1, 0))
    np.testing.assert_array_equal(next(slanted.frames()).pixels, next(square.frames()).pixels)


def test_pixels_become_square() -> None:
    def wide(stream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    video = Video(write_video(2, setup=wide))
    frame = next(video.frames())
    assert frame.pixels.shape == (64, 128, 3)
    assert number_in(frame.pixels) == 0
    assert codes(video) == ["stretched"]


LUMA = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}  # red and blue, H.273


def rgb_of(y: int, cb: int, cr: int, *, matrix: int, full: bool) -> np.ndarray:
    """H.273, equations 20 to 44, in floating point."""
    red, blue = LUMA[matrix]
    luma, half = ((y - 0) / 255, 255) if full else ((y - 16) / 219, 224)
    r = luma + 2 * (1 - red) * (cr - 128) / half
    b = luma + 2 * (1 - blue) * (cb - 128) / half
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return 255 * np.clip([r, g, b], 0, 1)


def planes(y: int, cb: int, cr: int, size_hw: tuple[int, int]) -> list[np.ndarray]:
    height, width = size_hw
    half = (-(-height // 2), -(-width // 2))
    return [np.full(size_hw, y, np.uint8), np.full(half, cb, np.uint8), np.full(half, cr, np.uint8)]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_colours_are_those_of_the_standard(matrix: int, *, full: bool) -> None:
    rng = np.random.default_rng(matrix)
    for _ in range(6):
        y, cb, cr = int(rng.integers(16, 236)), *(int(v) for v in rng.integers(70, 190, size=2))
        data = write_planes(
            planes(y, cb, cr, (48, 64)), "yuv420p", size_hw=(48, 64), matrix=matrix, full_range=1 + full
        )
        pixels = next(Video(data).frames()).pixels
        assert np.abs(pixels - rgb_of(y, cb, cr, matrix=matrix, full=full)).max() < 0.75


@pytest.mark.parametrize(("size_hw", "matrix"), [((480, 640), 6), ((576, 1024), 6), ((720, 960), 1), ((64, 1280), 1)])
def test_a_matrix_that_is_not_told_is_guessed_as_players_do(size_hw: tuple[int, int], matrix: int) -> None:
    data = write_planes(planes(120, 90, 180, size_hw), "yuv420p", size_hw=size_hw)
    pixel = next(Video(data).frames()).pixels[5, 5]
    np.testing.assert_allclose(pixel, rgb_of(120, 90, 180, matrix=matrix, full=False), atol=0.75)


@pytest.mark.parametrize("size_hw", [(57, 101), (1, 1), (3, 7), (64, 65)])
def test_odd_sizes_lose_no_row_and_no_column(size_hw: tuple[int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    data = write_planes([rgb], "rgb24", size_hw=size_hw, matrix=0, codec="png")
    frames = list(Video(data).frames())
    assert len(frames) == 3
    for frame in frames:
        np.testing.assert_array_equal(frame.pixels, rgb)
    if min(size_hw) < 16:
        return  # FFV1 writes no halved chroma so small
    y = next(Video(write_planes(planes(80, 128, 128, size_hw), "yuv420p", size_hw=size_hw, full_range=2)).frames())
    np.testing.assert_allclose(y.pixels, np.full((*size_hw, 3), 80), atol=1)


def test_high_dynamic_range_becomes_ordinary() -> None:
    def signal(nits: float) -> float:  # SMPTE ST 2084, equation 5.2
        power = (nits / 10_000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)

    nits = np.array([1, 10, 100, 203, 2000])  # one column of pixels each
    linear = np.minimum(nits / 203, 1)
    srgb = 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    luma = np.repeat([round(64 + 876 * signal(value)) for value in nits], 16)[None].repeat(16, 0).astype(np.uint16)
    planes_10 = [luma, *[np.full((8, 40), 512, np.uint16)] * 2]
    data = write_planes(planes_10, "yuv420p10le", size_hw=(16, 80), matrix=9, full_range=1, primaries=9, transfer=16)
    video = Video(data)
    pixels = next(video.frames()).pixels
    np.testing.assert_allclose(pixels[8, 8::16], np.repeat(srgb[:, None], 3, axis=1), atol=3)
    assert codes(video) == ["hdr"]


def test_what_is_transparent_is_on_white() -> None:
    flat = [np.full((8, 8), value, np.uint8) for value in (100, 128, 128)]
    video = Video(write_planes([*flat, np.full((8, 8), 51, np.uint8)], "yuva444p", size_hw=(8, 8), full_range=2))
    np.testing.assert_allclose(next(video.frames()).pixels, np.full((8, 8, 3), 0.2 * 100 + 0.8 * 255), atol=1)
    assert codes(video) == ["alpha"]
    opaque = Video(write_planes([*flat, np.full((8, 8), 255, np.uint8)], "yuva444p", size_hw=(8, 8), full_range=2))
    np.testing.assert_allclose(next(opaque.frames()).pixels, np.full((8, 8, 3), 100), atol=1)
    assert codes(opaque) == []


# ---- files that are not as they should be ----


@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_a_video_that_was_cut_off_gives_what_it_has(share: float) -> None:
    whole = write_video(N, faststart=True)
    begin = whole.find(b"mdat")
    cut = whole[: begin + int(share * (len(whole) - begin))]
    video = Video(cut)
    frames = list(video.frames())
    assert 10 < len(frames) < N
    times = [frame.time_s for frame in frames]
    assert [number_in(frame.pixels) for frame in frames] == [round(time * RATE) for time in times]
    assert times == sorted(times)
    assert set(codes(video)) & {"truncated", "damaged"}
    sparse = Video(cut)
    found = list(sparse.frames(every_s=1.0))
    assert [number_in(f.pixels) for f in found] == [n for n in range(0, N, RATE) if n / RATE < times[-1]]
    assert set(codes(sparse)) & {"truncated", "damaged"}


def test_a_recording_that_was_never_finished_says_what_to_do(files: dict[str, bytes]) -> None:
    data = files["h264.mp4"]
    with pytest.raises(BadVideoError, match="untrunc"):
        next(Video(data[: len(data) * 3 // 4]).frames())


@pytest.mark.parametrize("kind", ["h264.mp4", "h264.mkv", "h264.ts", "h265.mov", "mpeg4.avi", "vp9.webm"])
def test_damage_ends_nothing(kind: str, files: dict[str, bytes]) -> None:
    whole, usable = files[kind], 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for place in rng.integers(0, len(data), size=6):
            data[place] ^= 1 << int(rng.integers(8))
        for sampling in ({}, {"every_s": 0.5}):
            video = Video(bytes(data))
            try:
                frames = list(video.frames(**sampling))
            except BadVideoError:
                continue
            usable += 1
            assert [f.time_s for f in frames] == sorted({f.time_s for f in frames})
            assert len(frames) >= N or sampling or video.findings or kind.endswith((".ts", ".webm"))
    assert usable > 10


def test_a_packet_that_cannot_be_found_is_missed() -> None:
    def intra(stream: Any) -> None:
        stream.codec_context.gop_size = 1

    whole = bytearray(write_video(40, kind="mpeg4.avi", setup=intra))
    assert len(list(Video(bytes(whole)).frames())) == 40
    place = -1
    for _ in range(20):
        place = whole.find(b"00dc", place + 1)
    whole[place : place + 4] = b"junk"
    video = Video(bytes(whole))
    assert len(list(video.frames())) == 39
    assert codes(video) == ["damaged"]
    gaps = Video(write_video(3, kind="mpeg4.avi", times=[0, 1, 5]))  # frames that are repeated are not lost
    assert len(list(gaps.frames())) == 3
    assert not gaps.findings


def test_frames_that_rest_on_a_damaged_one_are_left_out() -> None:
    whole = bytearray(write_video(N, faststart=True))
    start = whole.find(b"mdat") + 4
    whole[start + 1500 : start + 1900] = b"\xa5" * 400  # within the first 50 frames
    video = Video(bytes(whole))
    frames = list(video.frames())
    assert "damaged" in codes(video)
    assert all(number_in(frame.pixels) == round(frame.time_s * RATE) for frame in frames)
    assert [round(frame.time_s * RATE) for frame in frames][-30:] == list(range(N - 30, N))


def test_a_playlist_opens_no_other_file(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "secret.ts").write_bytes(files["h264.ts"])
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n"
    for name, text in {"a.m3u8": hls, "a.mp4": hls, "a.ffconcat": "ffconcat version 1.0\nfile secret.ts\n"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadVideoError, match="unreadable"):
            next(Video(tmp_path / name).frames())


def test_a_picture_that_is_too_large_is_never_decoded(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MAX_PIXELS", 64 * 96 - 1)
    with pytest.raises(BadVideoError) as caught:
        next(Video(files["h264.mp4"]).frames())
    assert caught.value.finding == "oversized"


# ---- where it is ----


def test_from_any_storage(store: Store, files: dict[str, bytes]) -> None:
    store.raw_write("a.mp4", files["h264.mp4"])
    video = Video(f"{store.url}/a.mp4", storage_options=store.storage_options)
    assert [number_in(f.pixels) for f in video.frames(every_s=1.0)] == [0, 30, 60, 90, 120]
    with pytest.raises(NotFoundError, match=r"b\.mp4"):
        next(Video(f"{store.url}/b.mp4", storage_options=store.storage_options).frames())


def test_a_store_that_fails_half_way_is_no_short_video(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    io.write_bytes("memory://failing/a.ts", files["h264.ts"])
    whole = files["h264.ts"]

    class Failing:
        def __init__(self) -> None:
            self.place = 0

        def seek(self, place: int, whence: int = 0) -> int:
            self.place = place if whence == 0 else len(whole) + place
            return self.place

        def tell(self) -> int:
            return self.place

        def read(self, n: int) -> bytes:
            if self.place > len(whole) // 2:
                raise ConnectionResetError("the line is cut")
            self.place += min(n, 4096)
            return whole[self.place - min(n, 4096) : self.place]

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(file, "_file", lambda *_: Failing())
    with pytest.raises(StorageError, match="the line is cut"):
        list(Video("memory://failing/a.ts").frames())


def test_a_video_pickles_without_its_options() -> None:
    video = Video("s3://bucket/a.mp4", storage_options={"secret": "hunter2-hunter2"})
    assert b"hunter2" not in pickle.dumps(video)
    assert repr(pickle.loads(pickle.dumps(video))) == "Video('s3://bucket/a.mp4')"  # noqa: S301 (our own)


def test_frames_that_were_abandoned_close_the_file(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "a.mp4").write_bytes(files["h264.mp4"])
    frames = Video(tmp_path / "a.mp4").frames()
    next(frames)
    frames.close()
    with pytest.raises(StopIteration):
        next(frames)


def test_names() -> None:
    assert all(map(is_video_name, ("a.MP4", "s3://b/c.mov", "x.webm")))
    assert not any(map(is_video_name, ("a.jpg", "mp4", "a.mp4.txt", "folder.mp4/a")))


def test_without_pyav_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install 'av>=18,<19'"):
        next(Video(b"x").frames())


# ---- a real one ----


def test_a_real_video_whole_and_sparse(bottle: str) -> None:
    video = Video(bottle)
    info = video.info()
    assert (info.size_hw, info.n_frames, info.codec) == ((360, 640), 1189, "h264")
    assert info.duration_s == pytest.approx(39.85, abs=0.01)
    every = {frame.number: frame for frame in video.frames(every_n=60)}
    assert list(every) == list(range(0, 1189, 60))
    assert video.findings == ()
    wanted = [every[n].time_s for n in (180, 600, 1140)]
    sparse = list(Video(bottle).frames(times_s=wanted))
    assert [frame.number for frame in sparse] == [180, 600, 1140]
    for frame in sparse:
        np.testing.assert_array_equal(frame.pixels, every[frame.number].pixels)


def test_all_frames_of_a_long_video_take_no_more_memory_than_those_of_a_short_one(bottle: str) -> None:
    code = f"""
import psutil
from onlineml.data.video import Video
seen, process = [], psutil.Process()
for frame in Video({bottle!r}).frames():
    if frame.number in (100, 1100):
        seen.append(process.memory_info().rss)
print(seen[1] - seen[0], frame.number + 1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, n_frames = map(int, done.stdout.split())
    assert n_frames == 1189
    assert grown < 100e6  # 1,000 frames would be 691 MB; the decoder keeps some for its threads


def test_the_numbers_of_these_tests_can_be_read() -> None:
    """The helper of these tests says the truth about itself."""
    assert [number_in(numbered(n)) for n in (0, 1, 77, 4095)] == [0, 1, 77, 4095]


def test_the_page_on_videos_lists_every_policy_in_its_own_words() -> None:
    page = ROOT / "docs" / "data" / "video.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    wanted = [f"| `{name}` | {policy.outcome} | {policy.text} |" for name, policy in POLICIES.items()]
    assert [row for row in rows if row.count("|") == 4] == wanted
