"""FFmpeg's `-progress` lines as progress: a value that grows line by line, and never falls."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from protocol.results import StepReport
from protocol.states import StepState

NOT_YET_DONE = 0.99
"""What a running step shows at most: it is done when its outputs are proven."""


@dataclass(frozen=True, slots=True)
class Goal:
    """How much there is to do. `frames` is 0 when only sound is made, and then `seconds` counts."""

    frames: int
    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an encode is. `fraction` is 0 to 1; `speed` is media seconds per second of wall time."""

    fraction: float = 0.0
    speed: float | None = None
    frames: int = 0
    out_seconds: float = 0.0
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What a process is of the whole that its steps are: it begins at `begin`, and is `share` of it."""

    begin: float
    share: float


WHOLE = Part(0.0, 1.0)


def advance(progress: Progress, line: str, goal: Goal) -> Progress:
    """The progress after one more line. FFmpeg writes blocks of `key=value` that end with `progress=`.

    `frame` counts the first picture; `out_time_us` is the furthest output, and sound runs ahead of the picture.
    """
    key, _, value = line.strip().partition("=")
    match key:
        case "frame":
            return replace(progress, frames=int(_number(value) or 0), is_fresh=False)
        case "out_time_us":
            return replace(progress, out_seconds=(_number(value) or 0.0) / 1e6, is_fresh=False)
        case "speed":
            return replace(progress, speed=_number(value.removesuffix("x")), is_fresh=False)
        case "progress":
            done = progress.frames / goal.frames if goal.frames else progress.out_seconds / max(goal.seconds, 0.001)
            return replace(progress, fraction=min(1.0, max(progress.fraction, done)), is_fresh=True)
        case _:
            return replace(progress, is_fresh=False) if progress.is_fresh else progress


def reports(progress: Progress, steps: tuple[str, ...], goal: Goal, part: Part = WHOLE) -> tuple[StepReport, ...]:
    """What a block just ended tells about `steps`: one process makes them all, so they are equally far."""
    if not progress.is_fresh:
        return ()
    eta, done = None, part.begin + part.share * progress.fraction
    if progress.speed and progress.fraction > 0:
        eta = round((1.0 - done) / part.share * goal.seconds / _picture_speed(progress, goal), 1)
    shown = round(min(done, NOT_YET_DONE), 4)
    return tuple(StepReport(name=step, state=StepState.RUNNING, progress=shown, eta_seconds=eta) for step in steps)


def _picture_speed(progress: Progress, goal: Goal) -> float:
    """FFmpeg measures the speed of its furthest output; the picture's lags behind it by what lies between."""
    speed = progress.speed or 1.0
    if not goal.frames or progress.out_seconds <= 0:
        return speed
    return max(speed * (progress.frames / goal.rate) / progress.out_seconds, 1e-6)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:  # "N/A" until the first packet is out
        return None
    return number if math.isfinite(number) and number >= 0 else None
