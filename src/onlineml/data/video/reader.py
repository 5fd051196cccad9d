"""Reading of an opened video's frames in display order; damage is recorded instead of raised."""

from __future__ import annotations

import bisect
import itertools
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.data.video.file import declared_duration, require_av

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["Reader", "Shown"]

_RETRIES = 3  # consecutive reads that only raise an error
_WORTHWHILE = 12  # frames: seeking over fewer takes longer than decoding them
_JUMP_BACK = 1  # seconds: the timestamps of concatenated recordings restart at 0
_DEFAULT_RATE = Fraction(25)  # frames per second of a file that declares neither timestamps nor a rate


class Shown(NamedTuple):
    """One frame in display order.

    Attributes:
        number: its index among all frames, from 0.
        time: seconds since the first frame.
        duration: seconds for which it is displayed, if the file declares that; else the average duration.
        frame: PyAV's frame.
    """

    number: int
    time: Fraction
    duration: Fraction
    frame: Any


class Reader:
    """Decoder of consecutive frames, which can also continue at a later key frame.

    After a decoding error, frames are dropped up to the next key frame, because they depend on the damaged one.

    Attributes:
        lost: number of frames dropped because of damage.
        lost_at: time in seconds of the first of them, as far as it can be determined.
        end: time in seconds at which the last decoded frame ends.
        duration: duration in seconds that the file declares; None if it declares none.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._packets: Iterator[Any] = container.demux(stream)
        self._ready: list[Any] = []
        self._over = self._broken = False
        self._failures = 0
        # PyAV 18 raises IndexError for a stream that seems to appear in the middle of a damaged file
        self._errors = (require_av().FFmpegError, IndexError)
        self._origin: Fraction | None = None  # first timestamp of the file, from which times are counted
        self._next_number = 0
        self._from: Fraction | None = None  # earlier frames belong to the skipped part
        rate = stream.average_rate or stream.guessed_rate
        self.frame_s = Fraction(1 / rate) if rate else 1 / _DEFAULT_RATE
        self.lost = 0
        self.lost_at: Fraction | None = None
        self.end = Fraction(0)
        self.duration = declared_duration(container, stream)
        self._n_read = 0  # packets
        self._n_given = 0
        self._last = Fraction(-1)

    def next(self) -> Shown | None:
        """Return the next frame; None after the last."""
        while True:
            while self._ready:
                shown = self._shown(self._ready.pop(0))
                if shown is not None:
                    return shown
            if self._over:
                return None
            self._ready = self._decode_on()

    def _shown(self, frame: Any) -> Shown | None:
        if frame is None:  # a gap
            self._damage()
            return None
        stamp = self._stamp(frame)
        if self._from is not None and stamp < self._from:
            return None
        if stamp <= self._last:  # out of order, as after damage: a frame with a later time was already returned
            self._lose(stamp)
            return None
        self._last = stamp
        number, self._next_number = self._next_number, self._next_number + 1
        if frame.key_frame:
            self._broken = False
        if self._broken or frame.is_corrupt:
            self._lose(stamp)
            return None
        duration = Fraction(frame.duration or 0) * (frame.time_base or self._stream.time_base or 0)
        shown = Shown(number, stamp, duration if duration > 0 else self.frame_s, frame)
        self.end = stamp + shown.duration
        self._n_given += 1
        return shown

    def _stamp(self, frame: Any) -> Fraction:
        """Return seconds since the first frame; the time continues if the file's timestamps jump far back."""
        ticks = frame.pts if frame.pts is not None else frame.dts
        base = frame.time_base or self._stream.time_base
        if ticks is None or not base:
            return self._next_number * self.frame_s
        stored: Fraction = ticks * Fraction(base)
        if self._origin is None:
            self._origin = stored
        if self._from is None and stored - self._origin < self._last - _JUMP_BACK:
            self._origin = stored - self.end
        return stored - self._origin

    def _decode_on(self) -> list[Any]:
        """Return the frames of the next packet, with None for a gap; after the last packet, the remaining frames."""
        try:
            packet = next(self._packets, None)
        except self._errors:
            packet = self._after_failure()
        else:
            self._failures = 0
        if packet is None:
            self._over = True
        elif packet.is_corrupt:  # truncated, or with a gap, which a decoder would fill with invented content
            self._n_read += 1
            return [*self._drained(), None]
        elif packet.size:
            self._n_read += 1
        try:
            return list(self._stream.decode(packet))
        except EOFError:  # already drained
            return []
        except self._errors:
            self._damage()
            return []

    def _drained(self) -> list[Any]:
        """Return the frames that the decoder holds, and reset it."""
        try:
            return list(self._stream.decode(None))
        except self._errors:
            return []
        finally:
            self._stream.codec_context.flush_buffers()

    def _after_failure(self) -> Any:
        """Return a packet after the unreadable part; None if there are no more."""
        self._failures += 1
        self._broken = True
        if self._failures > _RETRIES:
            return None
        self._packets = self._container.demux(self._stream)
        try:
            return next(self._packets, None)
        except self._errors:
            return self._after_failure()

    def _damage(self) -> None:
        self._broken = True
        self._next_number += 1
        self._lose(self.end)

    def _lose(self, time: Fraction) -> None:
        self.lost += 1
        self.lost_at = time if self.lost_at is None else min(time, self.lost_at)

    @cached_property
    def _index(self) -> _Index:
        return _Index.of(self._container, self._stream)

    def settle(self) -> None:
        """At the end, add frames that were lost without an error, if the file has an index of its frames."""
        silent = 0
        if self._from is None and self._index.keys:
            silent = self._index.shown_before[min(self._n_read, len(self._index.dts))] - self._n_given - self.lost
        elif self._container.format.name == "avi":  # its index is stored separately from the packets
            silent = len(self._stream.index_entries) - self._n_read
        for _ in range(silent):
            self._lose(self.end)

    def jump(self, time: Fraction) -> bool:
        """Continue at the last key frame displayed before ``time``, if that avoids decoding enough frames.

        The first frame must have been read. Frames that were decoded but not returned are dropped.
        """
        base = self._stream.time_base
        ticks = int((time + (self._origin or 0)) / base) if base else 0
        place = self._index.key_before(ticks)
        if place is None or place <= self._n_read + _WORTHWHILE:
            return False
        while not self._go_to(ticks, time):
            ticks = self._index.dts[self._n_read] - 1
        return True

    def _go_to(self, ticks: int, time: Fraction) -> bool:
        """Continue at the key frame at or before a timestamp; return False if it is displayed only after ``time``."""
        try:
            self._seek(ticks)
            key = next(self._packets)
            place = self._index.place_of(key.dts)
            held, before = [key], 0
            for packet in self._packets:  # packets that follow a key frame in the file may be displayed before it
                held.append(packet)
                if packet.pts is None or packet.pts > key.pts:
                    break
                before += not packet.is_discard
        except (*self._errors, StopIteration, TypeError):  # truncated, or an index that does not match: start again
            place = -1
        if place < 0:
            return self._begin_again()
        self._packets = itertools.chain(held, self._packets)
        self._n_read, self._next_number = place, self._index.shown_before[place] + before
        self._from = self.end = key.pts * Fraction(self._stream.time_base or 1) - (self._origin or 0)
        self._last = self._from - 1
        return bool(self._from <= time)

    def _begin_again(self) -> bool:
        """Decode all frames from the beginning, without an index."""
        self._index = _Index.none()
        self._seek(self._stream.start_time or 0)
        self._n_read = self._next_number = 0
        self._from, self.end, self._last = None, Fraction(0), Fraction(-1)
        return True

    def _seek(self, ticks: int) -> None:
        self._container.seek(ticks, stream=self._stream)
        self._packets = self._container.demux(self._stream)
        self._ready, self._over, self._broken = [], False, False


class _Index(NamedTuple):
    """Index of a file's packets, in decoding order, as declared by the file.

    Attributes:
        dts: decoding timestamp of each packet, ascending.
        keys: positions of the key frames.
        shown_before: for each position, the number of displayed frames before it.
    """

    dts: list[int]
    keys: list[int]
    shown_before: list[int]

    @classmethod
    def none(cls) -> _Index:
        """Return an empty index: every frame is decoded."""
        return cls([], [], [])

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> _Index:
        """Read the index of an MP4 or QuickTime file; other formats have none, a fragmented file's is incomplete."""
        entries = stream.index_entries
        if "mov" not in container.format.name.split(",") or stream.frames != len(entries):
            return cls.none()
        listed = [(entry.timestamp, entry.is_keyframe, not entry.is_discard) for entry in entries]
        dts = [ticks for ticks, _, _ in listed]
        if any(a >= b for a, b in itertools.pairwise(dts)):
            return cls.none()
        shown = list(itertools.accumulate((shown for _, _, shown in listed), initial=0))
        return cls(dts, [place for place, (_, key, _) in enumerate(listed) if key], shown)

    def key_before(self, ticks: int) -> int | None:
        """Return the position of the last key frame decoded no later than at ``ticks``; None if none is listed."""
        place = bisect.bisect_right(self.keys, bisect.bisect_right(self.dts, ticks) - 1) - 1
        return self.keys[place] if place >= 0 else None

    def place_of(self, dts: int | None) -> int:
        """Return the position of a packet; -1 if it is not listed."""
        place = len(self.dts) if dts is None else bisect.bisect_left(self.dts, dts)
        return place if place < len(self.dts) and self.dts[place] == dts else -1
