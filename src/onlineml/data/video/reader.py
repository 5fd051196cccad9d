"""The frames of an opened video in the order in which they are shown, with what is wrong noted, not raised."""

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

_RETRIES = 3  # reads in a row that give nothing but an error
_WORTHWHILE = 12  # frames: to jump over fewer costs more than to decode them
_JUMP_BACK = 1  # seconds: recordings put behind each other begin again at 0
_DEFAULT_RATE = Fraction(25)  # frames a second of a file that tells neither times nor a rate


class Shown(NamedTuple):
    """One frame as it is shown.

    Attributes:
        number: its place among all frames, from 0.
        time: seconds since the first frame.
        duration: seconds for which it is shown, as far as the file says; else those of an average frame.
        frame: PyAV's.
    """

    number: int
    time: Fraction
    duration: Fraction
    frame: Any


class Reader:
    """Decodes frame after frame, or goes on at a later key frame.

    After what could not be decoded, frames are left out up to the next key frame, for they rest on it.

    Attributes:
        lost: frames that were left out because of damage.
        lost_at: seconds at which the first of them would have been shown, as near as can be told.
        end: seconds at which the last frame that was decoded ends.
        duration: seconds that the file says it has; None where it does not.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._packets: Iterator[Any] = container.demux(stream)
        self._ready: list[Any] = []
        self._over = self._broken = False
        self._failures = 0
        # PyAV 18 trips over a stream that a damaged file seems to gain half-way
        self._errors = (require_av().FFmpegError, IndexError)
        self._origin: Fraction | None = None  # of times, in the file's
        self._next_number = 0
        self._from: Fraction | None = None  # frames before it belong to what was jumped over
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
        """The next frame; None after the last."""
        while True:
            while self._ready:
                shown = self._shown(self._ready.pop(0))
                if shown is not None:
                    return shown
            if self._over:
                return None
            self._ready = self._decode_on()

    def _shown(self, frame: Any) -> Shown | None:
        if frame is None:  # here is a gap
            self._damage()
            return None
        stamp = self._stamp(frame)
        if self._from is not None and stamp < self._from:
            return None
        if stamp <= self._last:  # out of order, as after damage: a frame that is shown after it is given already
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
        """Seconds since the first frame; where the file's times jump far back, the clock goes on."""
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
        """The frames that the next packet brings, and None for a gap; after the last packet, those still held."""
        try:
            packet = next(self._packets, None)
        except self._errors:
            packet = self._after_failure()
        else:
            self._failures = 0
        if packet is None:
            self._over = True
        elif packet.is_corrupt:  # cut off, or with a gap, which a decoder would fill with something
            self._n_read += 1
            return [*self._drained(), None]
        elif packet.size:
            self._n_read += 1
        try:
            return list(self._stream.decode(packet))
        except EOFError:  # drained already
            return []
        except self._errors:
            self._damage()
            return []

    def _drained(self) -> list[Any]:
        """The frames that the decoder holds; it begins anew."""
        try:
            return list(self._stream.decode(None))
        except self._errors:
            return []
        finally:
            self._stream.codec_context.flush_buffers()

    def _after_failure(self) -> Any:
        """A packet from beyond what could not be read; None where nothing more comes."""
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
        """At the end, count also the frames that were lost without a word, where the file lists its frames."""
        silent = 0
        if self._from is None and self._index.keys:
            silent = self._index.shown_before[min(self._n_read, len(self._index.dts))] - self._n_given - self.lost
        elif self._container.format.name == "avi":  # its list of packets stands apart from them
            silent = len(self._stream.index_entries) - self._n_read
        for _ in range(silent):
            self._lose(self.end)

    def jump(self, time: Fraction) -> bool:
        """Go on at the last key frame that is shown before ``time``, where that saves decoding.

        The first frame must have been read. Frames that were decoded and not yet asked for are dropped.
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
        """Read from the key frame at or before a stamp; False if it is shown only after ``time``."""
        try:
            self._seek(ticks)
            key = next(self._packets)
            place = self._index.place_of(key.dts)
            held, before = [key], 0
            for packet in self._packets:  # frames that follow a key frame in the file may be shown before it
                held.append(packet)
                if packet.pts is None or packet.pts > key.pts:
                    break
                before += not packet.is_discard
        except (*self._errors, StopIteration, TypeError):  # cut off, or an index that does not fit: from the beginning
            place = -1
        if place < 0:
            return self._begin_again()
        self._packets = itertools.chain(held, self._packets)
        self._n_read, self._next_number = place, self._index.shown_before[place] + before
        self._from = self.end = key.pts * Fraction(self._stream.time_base or 1) - (self._origin or 0)
        self._last = self._from - 1
        return bool(self._from <= time)

    def _begin_again(self) -> bool:
        """Decode every frame, without an index."""
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
    """Where the packets of a file are, in the order of decoding, as the file itself says.

    Attributes:
        dts: of each packet, rising.
        keys: places of the key frames.
        shown_before: at each place, how many frames that are shown were before it.
    """

    dts: list[int]
    keys: list[int]
    shown_before: list[int]

    @classmethod
    def none(cls) -> _Index:
        """Of a file that has none: every frame is decoded."""
        return cls([], [], [])

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> _Index:
        """Of an MP4 or QuickTime file, the only ones that list every frame; a fragmented one lists its first ones."""
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
        """The place of the last key frame that is decoded no later than at ``ticks``; None where none is listed."""
        place = bisect.bisect_right(self.keys, bisect.bisect_right(self.dts, ticks) - 1) - 1
        return self.keys[place] if place >= 0 else None

    def place_of(self, dts: int | None) -> int:
        """Where a packet is listed; -1 where it is not."""
        place = len(self.dts) if dts is None else bisect.bisect_left(self.dts, dts)
        return place if place < len(self.dts) and self.dts[place] == dts else -1
