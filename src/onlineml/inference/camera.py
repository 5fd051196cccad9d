"""Cameras and live streams as images."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from onlineml.arguments.checks import flag, whole
from onlineml.errors import NotFoundError, OnlineMLError, without_credentials
from onlineml.storage.filesystems import filesystem, translated

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from onlineml.storage.location import Location

__all__ = ["Camera", "is_endless", "is_stream"]

_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "rtmps://", "srt://", "udp://", "tcp://")
_LIVE_FILES = (".m3u8", ".mjpg", ".mjpeg")  # of a web server
_TIMEOUT_MS = 10_000


def is_stream(url: str) -> bool:
    """Return whether a URL is that of a live stream, by its scheme or, on a web server, its extension."""
    lower = url.lower()
    return lower.startswith(_SCHEMES) or (
        lower.startswith(("http://", "https://")) and lower.partition("?")[0].endswith(_LIVE_FILES)
    )


def is_endless(at: Location) -> bool:
    """Return whether a web server answers with picture after picture, as webcams do; False if it does not answer."""
    with contextlib.suppress(OnlineMLError), translated(at):
        fs, path = filesystem(at)
        return str(fs.info(path).get("mimetype", "")).startswith("multipart/")
    return False


class Camera:
    """A camera of this machine, or a live stream, for `onlineml.predict`.

    It is opened whenever it is iterated, and closed when the iteration ends. A model that is slower than the camera
    gets the newest frame, so that its predictions do not fall behind.

    Args:
        source: number of a camera, from 0, or the URL of a stream, such as ``"rtsp://…"`` or ``"http://…"``.
        every_frame: wait for the model instead, so that no frame is left out; for streams that can wait.

    Raises:
        ConfigError: it is neither.
    """

    def __init__(self, source: int | str, *, every_frame: bool = False) -> None:
        if not isinstance(source, str):
            source = whole("source", source, of="a camera, or the URL of a stream")
        self.source, self.every_frame = source, flag("every_frame", every_frame)
        self.name = f"camera:{source}" if isinstance(source, int) else without_credentials(source, whole=True)

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Yield names, ``<name>#<number of the frame>``, and (H, W, 3) uint8 RGB pixels.

        Raises:
            NotFoundError: it cannot be opened.
        """
        with contextlib.closing(self._frames() if self.every_frame else _newest(self._frames())) as frames:
            for number, pixels in frames:
                yield f"{self.name}#{number}", pixels

    def _frames(self) -> Generator[Any, None, None]:
        capture = self._opened()
        try:
            for number in itertools.count():
                good, pixels = capture.read()
                if not good:
                    return
                yield number, np.ascontiguousarray(pixels[:, :, ::-1])
        finally:
            capture.release()

    def _opened(self) -> cv2.VideoCapture:
        if isinstance(self.source, int):
            capture = cv2.VideoCapture(self.source)
        else:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
            capture = cv2.VideoCapture(self.source, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            hint = (
                "is a camera connected?" if isinstance(self.source, int) else "is its address right, and does it run?"
            )
            raise NotFoundError(f"{self.name} cannot be opened: {hint}")
        return capture

    def __repr__(self) -> str:
        return f"Camera({self.name!r})"


def _newest(frames: Generator[Any, None, None]) -> Generator[Any]:
    """Read in a thread, and yield the newest frame that has not been yielded, until the end."""
    held: queue.Queue[Any] = queue.Queue(1)
    stopped = threading.Event()

    def read() -> None:
        last: Any = None
        try:
            for frame in frames:
                with contextlib.suppress(queue.Empty):
                    held.get_nowait()
                held.put(frame)  # nobody else puts
                if stopped.is_set():
                    return
        except Exception as error:  # noqa: BLE001 (raised again in the caller's thread)
            last = error
        finally:
            frames.close()
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                held.put(last, timeout=0.1)
                return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while (frame := held.get()) is not None:
            if isinstance(frame, Exception):
                raise frame
            yield frame
    finally:
        stopped.set()
        thread.join()
