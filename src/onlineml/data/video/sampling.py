"""Which frames of a video are wanted, and picking them while it is read."""

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

_SHORT = Fraction(1, 2)  # seconds, and a share below, by which a video may be shorter than it says
_SHORT_SHARE = Fraction(2, 100)
_ROUNDING = Fraction(1, 2000)  # seconds: files round times to ticks, often of a millisecond


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are wanted: give one of the three, or none for all frames.

    Attributes:
        every_s: seconds between two; the frame that is on screen at 0, ``every_s``, 2 ``every_s``, …
        every_n: each ``every_n``-th frame, beginning with the first.
        times_s: the frames that are on screen at these seconds.

    A frame that is on screen at several of the times is given once.

    Raises:
        ConfigError: two are given, or a number is not positive and finite.
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
            raise ConfigError(f"times_s holds {wrong[0]}: expected seconds, at least 0")

    def __str__(self) -> str:
        if self.times_s is not None:
            return f"at {', '.join(map(repr, self.times_s))} s"
        return f"every {self.every_s!r} s" if self.every_s is not None else f"every {self.every_n or 1} frames"


def chosen(reader: Reader, sampling: Sampling, note: Callable[[str, str], None]) -> Iterator[Shown]:
    """The frames that are wanted, in order.

    Args:
        reader: at its beginning.
        sampling: what is wanted.
        note: told findings, code and detail.
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
        note("beyond_end", f"{len(late)} of the times asked for are at or after the end, {float(reader.end):.2f} s")


def _regular(every_s: float) -> Callable[[Fraction], Fraction]:
    step = Fraction(every_s).limit_denominator(1_000_000)  # 0.1 as it was meant, not as binary has it
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
    """Each frame that is on screen at one of the times; returns the first time that lies after the end, if one does.

    Args:
        reader: at its beginning.
        next_time: the first of the times that is not before a given one; None where there is none.
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
    """Tell of frames that were lost so far."""
    if reader.lost:
        where = f" from {float(reader.lost_at):.2f} s on" if reader.lost_at is not None else ""
        note("damaged", f"{reader.lost} frames{where} cannot be decoded, or rest on some that cannot")


def _note_end(reader: Reader, note: Callable[[str, str], None]) -> None:
    if reader.duration is None:
        return
    missing = reader.duration - reader.end
    if missing > max(_SHORT, _SHORT_SHARE * reader.duration):
        note("truncated", f"ends at {float(reader.end):.2f} s of the {float(reader.duration):.2f} s that it declares")
