"""Selection of video frames, and its application while the video is read."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from onlineml.data.video.reader import Reader, Shown

__all__ = ["Sampling", "chosen", "note_losses"]

_SHORT = Fraction(1, 2)  # seconds, and share below, by which a video may be shorter than declared
_SHORT_SHARE = Fraction(2, 100)
_ROUNDING = Fraction(1, 2000)  # seconds: files round times to ticks, often of a millisecond


@dataclass(frozen=True)
class Sampling:
    """Selection of video frames: set one of the three arguments, or none for all frames.

    Attributes:
        every_s: interval in seconds; selects the frames displayed at 0, ``every_s``, 2 ``every_s``, …
        every_n: selects each ``every_n``-th frame, starting with the first.
        times_s: selects the frames displayed at these times in seconds.

    A frame displayed at several of the times is selected once.

    Raises:
        ConfigError: two arguments are set, or a number is not positive and finite.
    """

    every_s: float | None = None
    every_n: int | None = None
    times_s: Sequence[float] | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) > 1:
            raise ConfigError(f"give one of every_s, every_n and times_s; found {', '.join(given)}")
        if self.every_s is not None and not (math.isfinite(self.every_s) and self.every_s > 0):
            raise ConfigError(f"every_s={self.every_s}: expected more than 0 seconds")
        if self.every_n is not None and (self.every_n < 1 or self.every_n != int(self.every_n)):
            raise ConfigError(f"every_n={self.every_n}: expected a whole number, at least 1")
        wrong = [time for time in self.times_s or () if not (math.isfinite(time) and time >= 0)]
        if wrong:
            raise ConfigError(f"times_s contains {wrong[0]}: expected seconds, at least 0")

    def __str__(self) -> str:
        if self.times_s is not None:
            return f"at {', '.join(map(repr, self.times_s))} s"
        return f"every {self.every_s!r} s" if self.every_s is not None else f"every {self.every_n or 1} frames"


def chosen(reader: Reader, sampling: Sampling, note: Callable[[str, str], None]) -> Iterator[Shown]:
    """Yield the selected frames in order.

    Args:
        reader: a reader at its beginning.
        sampling: the selection.
        note: called with the code and detail of each finding.
    """
    if sampling.every_s is None and sampling.times_s is None:
        while (shown := reader.next()) is not None:
            if shown.number % (sampling.every_n or 1) == 0:
                yield shown
        reader.settle()
        _note_end(reader, note)
        return
    wanted = _regular(sampling.every_s) if sampling.every_s is not None else _listed(sampling.times_s or ())
    left = yield from _on_screen(reader, wanted)
    if left is None:
        return
    _note_end(reader, note)
    if sampling.times_s is not None:
        late = [time for time in sampling.times_s if time >= left]
        note("beyond_end", f"{len(late)} of the requested times are at or after the end, {float(reader.end):.2f} s")


def _regular(every_s: float) -> Callable[[Fraction], Fraction]:
    step = Fraction(every_s).limit_denominator(1_000_000)  # 0.1 as a decimal fraction, not its binary approximation
    if step == 0:
        raise ConfigError(f"every_s={every_s}: expected at least a millionth of a second")
    return lambda since: math.ceil(since / step) * step


def _listed(times_s: Sequence[float]) -> Callable[[Fraction], Fraction | None]:
    times = sorted(Fraction(time).limit_denominator(1_000_000) for time in times_s)

    def next_time(since: Fraction) -> Fraction | None:
        place = bisect.bisect_left(times, since)
        return times[place] if place < len(times) else None

    return next_time


def _on_screen(
    reader: Reader, next_time: Callable[[Fraction], Fraction | None]
) -> Generator[Shown, None, Fraction | None]:
    """Yield each frame displayed at one of the times; return the first time after the end, or None.

    Args:
        reader: a reader at its beginning.
        next_time: returns the first requested time that is not before a given one; None if there is none.
    """
    current, following = reader.next(), reader.next()
    time = next_time(Fraction(0))
    while current is not None and time is not None:
        if following is not None and following.time < time and reader.jump(time):
            current, following = reader.next(), reader.next()
        while following is not None and following.time - _ROUNDING <= time:
            current, following = following, reader.next()
        if current is None or (following is None and time >= current.time + current.duration):
            return time
        yield current
        if following is None:
            return next_time(current.time + current.duration)
        time = next_time(following.time - _ROUNDING)
    return time


def note_losses(reader: Reader, note: Callable[[str, str], None]) -> None:
    """Report the frames lost so far."""
    if reader.lost:
        where = f" from {float(reader.lost_at):.2f} s on" if reader.lost_at is not None else ""
        note("damaged", f"{reader.lost} frames{where} cannot be decoded, or depend on frames that cannot")


def _note_end(reader: Reader, note: Callable[[str, str], None]) -> None:
    if reader.duration is None:
        return
    missing = reader.duration - reader.end
    if missing > max(_SHORT, _SHORT_SHARE * reader.duration):
        note("truncated", f"ends at {float(reader.end):.2f} s; the file declares {float(reader.duration):.2f} s")
