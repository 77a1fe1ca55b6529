"""Which rungs of a ladder a film does not need: those that look no better, at the size of the largest, than the one below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.results import DroppedRung


@dataclass(frozen=True, slots=True)
class Rung:
    """A rendition, its codec, its lines, and its VMAF when it is shown at the size of the largest of its codec."""

    name: str
    codec: str
    height: int
    vmaf: float


def drop(rungs: Sequence[Rung], min_gain: float) -> tuple[DroppedRung, ...]:
    """Each codec's ladder is weighed for itself, from below. The smallest of each always stays."""
    dropped: list[DroppedRung] = []
    for codec in dict.fromkeys(rung.codec for rung in rungs):
        ladder = sorted((rung for rung in rungs if rung.codec == codec), key=lambda rung: (rung.height, rung.name))
        below = ladder[0]
        for rung in ladder[1:]:
            gain = rung.vmaf - below.vmaf
            if gain < min_gain:
                dropped.append(DroppedRung(rendition=rung.name, reason=_reason(gain, below, min_gain)))
            else:
                below = rung
    return tuple(dropped)


def _reason(gain: float, below: Rung, min_gain: float) -> str:
    points = f"gains {gain:.1f} points of VMAF" if gain > 0 else "gains no point of VMAF"
    return f"this film does not need it: it {points} over {below.name}, and {min_gain:g} are asked for"
