"""Long sound in pieces, cut where it is quietest, so that memory does not grow with its length. Pure."""

from __future__ import annotations

from collections.abc import Iterator

RATE = 16_000
Samples = memoryview  # of signed 16-bit numbers; a piece of it copies nothing
LOOK_BACK_S, QUIET_S = 5, 0.1


def windows(samples: Samples, seconds: float) -> Iterator[tuple[int, Samples]]:
    """Each piece with the number of its first sample; no piece is longer than `seconds`."""
    begin, longest = 0, int(seconds * RATE)
    while len(samples) - begin > longest:
        end = _quietest(samples, begin + max(longest // 2, longest - LOOK_BACK_S * RATE), begin + longest)
        yield begin, samples[begin:end]
        begin = end
    if begin < len(samples):
        yield begin, samples[begin:]


def _quietest(samples: Samples, begin: int, end: int) -> int:
    """The middle of the tenth of a second with the lowest peak."""
    width = int(QUIET_S * RATE)
    starts = range(begin, max(begin + 1, end - width), width)
    best = min(starts, key=lambda start: max(map(abs, samples[start : start + width])))
    return min(end, best + width // 2)
