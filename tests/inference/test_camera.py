"""Cameras and live streams: a server of this machine sends pictures as webcams do."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest

import onlineml as oml
from onlineml.errors import ConfigError, NotFoundError
from onlineml.inference.camera import Camera, _newest, is_stream
from onlineml.inference.sources import is_live, items_of
from tiny import CLASSES, COLOURS, jpeg, tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES = [jpeg(np.full((48, 64, 3), COLOURS[name], np.uint8)) for name in CLASSES]


class _Webcam(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for frame in FRAMES:
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n")
            self.wfile.write(f"Content-Length: {len(frame)}\r\n\r\n".encode() + frame + b"\r\n")

    def log_message(self, *args) -> None: ...


@contextmanager
def webcam(name: str = "live.mjpg") -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Webcam) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{name}"
        finally:
            server.shutdown()
            thread.join()


def test_a_stream_of_a_web_server() -> None:
    with webcam() as url:
        found = list(Camera(url, every_frame=True))
        latest = [item.name for item in items_of(url)]

    assert [name for name, _ in found] == [f"{url}#0", f"{url}#1", f"{url}#2"]
    for (_, pixels), name in zip(found, CLASSES, strict=True):
        assert np.abs(pixels.mean((0, 1)) - COLOURS[name]).max() < 5  # RGB, not BGR
    assert latest[-1] == f"{url}#2"


def test_a_stream_whose_name_does_not_tell() -> None:
    with webcam("video?channel=1") as url:
        assert [item.name for item in items_of(url)][-1] == f"{url.partition('?')[0]}#2"
        assert is_live(url)
        assert not is_live(url.partition("video")[0] + "photo.jpg")


def test_predictions_of_a_stream() -> None:
    model = tiny_model()
    model.size_hw = (32, 32)
    with webcam() as url:
        rows = list(oml.predict(model, Camera(url, every_frame=True)))

    assert [row.uri for row in rows] == [f"{url}#{n}" for n in range(3)]
    assert all(row.error is None for row in rows)


def test_the_newest_frame_is_taken_and_the_last_is_not_lost() -> None:
    went_on, closed = threading.Event(), []

    def frames():
        try:
            yield 0
            went_on.wait(60)
            yield from range(1, 100)
        finally:
            closed.append(True)

    newest = _newest(frames())
    found = [next(newest)]
    went_on.set()
    found += newest

    assert found[0] == 0
    assert found[-1] == 99
    assert found == sorted(found)
    assert closed


def test_a_reader_that_stops_early_closes_the_camera() -> None:
    closed = threading.Event()

    def frames():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    newest = _newest(frames())
    next(newest)
    newest.close()

    assert closed.is_set()


def test_an_error_of_the_camera_is_told() -> None:
    def frames():
        yield 0
        raise NotFoundError("unplugged")

    with pytest.raises(NotFoundError, match="unplugged"):
        list(_newest(frames()))


@pytest.mark.parametrize(
    ("url", "live"),
    [
        ("rtsp://user:secret@10.0.0.1/stream", True),
        ("http://10.0.0.1/video.mjpg?size=1", True),
        ("https://10.0.0.1/live.m3u8", True),
        ("http://10.0.0.1/a.jpg", False),
        ("s3://lab/a.mjpg", False),
    ],
)
def test_which_urls_are_live(url: str, live: bool) -> None:
    assert is_stream(url) is live


def test_what_cannot_be_opened_says_so_without_secrets() -> None:
    with pytest.raises(
        NotFoundError, match=r"^rtsp://127\.0\.0\.1:1/x cannot be opened: is its address right"
    ) as found:
        list(Camera("rtsp://me:secret@127.0.0.1:1/x"))
    assert "secret" not in str(found.value)
    with pytest.raises(NotFoundError, match="camera:77 cannot be opened"):
        list(items_of(77))
    for wrong in (True, -1, 1.5, None):
        with pytest.raises(ConfigError, match="source"):
            Camera(wrong)
