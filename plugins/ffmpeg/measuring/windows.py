"""Which parts of a film stand for the whole: short windows spread over it, on the grid of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

SECONDS, MOST, APART = Fraction(5, 2), 4, 20
"""A window's length; how many there are at most; one for so many seconds of film."""

WHOLE = 10
"""A film up to so many seconds stands for itself."""


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds of the timeline."""

    start: Fraction
    end: Fraction

    @property
    def seconds(self) -> Fraction:
        return self.end - self.start


def spread(duration: Fraction, rate: Fraction) -> tuple[Window, ...]:
    """Two to four windows in the middles of equal shares; a short film is one window."""
    if duration <= WHOLE:
        return (Window(Fraction(0), duration),)
    count = min(MOST, max(2, int(duration // APART)))
    return tuple(_around(duration * (2 * n + 1) / (2 * count), SECONDS, duration, rate) for n in range(count))


def middle(duration: Fraction, rate: Fraction, seconds: Fraction) -> Window:
    """One window of so many seconds, around a third of the film: behind titles, before the end."""
    if duration <= seconds:
        return Window(Fraction(0), duration)
    return _around(duration / 3, seconds, duration, rate)


def frames(duration: Fraction, rate: Fraction, seconds: int) -> tuple[tuple[int, int], ...]:
    """First and last frame of windows that hold so many seconds together; empty where that is all of the film."""
    if duration <= seconds:
        return ()
    count = min(MOST, seconds)
    each = Fraction(seconds, count)
    spots = (_around(duration * (2 * n + 1) / (2 * count), each, duration, rate) for n in range(count))
    return tuple((round(spot.start * rate), round(spot.end * rate) - 1) for spot in spots)


def _around(center: Fraction, seconds: Fraction, duration: Fraction, rate: Fraction) -> Window:
    start = max(Fraction(0), min(center - seconds / 2, duration - seconds))
    first = int(start * rate)  # rounded down, to a frame
    return Window(first / rate, min(duration, (first + round(seconds * rate)) / rate))
