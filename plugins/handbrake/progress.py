"""HandBrakeCLI's `--json` progress: objects over several lines, each begun by `Progress: {` and ended by a lone `}`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

from protocol.results import StepReport
from protocol.states import StepState

BEGIN, END = "Progress: {", "}"
MOST_LINES = 200
"""An object is about 15 lines; what grows beyond this is none of ours, and dropped."""

ENCODED = 0.97
"""How far a rendition is when its last frame is encoded: the index is then moved to the front, and all of it proven."""

NOT_YET_DONE = 0.99


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one process is, 0 to 1, and the seconds left as it tells them; `lines` are those of an object not ended."""

    fraction: float = 0.0
    eta_seconds: float | None = None
    lines: tuple[str, ...] = ()
    is_fresh: bool = False


def advance(progress: Progress, line: str) -> Progress:
    """The progress after one more line; it never falls."""
    text = line.rstrip()
    if text == BEGIN:
        return replace(progress, lines=("{",), is_fresh=False)
    if not progress.lines:
        return replace(progress, is_fresh=False) if progress.is_fresh else progress
    if text != END:
        kept = (*progress.lines, text) if len(progress.lines) < MOST_LINES else ()
        return replace(progress, lines=kept, is_fresh=False)
    return _told(replace(progress, lines=()), "\n".join((*progress.lines, END)))


def _told(progress: Progress, document: str) -> Progress:
    try:
        told = json.loads(document)
    except ValueError:
        return progress
    match told:
        case {"State": "WORKING", "Working": {"Progress": share} as working}:
            return _reach(progress, ENCODED * (_number(share) or 0.0), _number(working.get("ETASeconds")) or None)
        case {"State": "MUXING" | "WORKDONE"}:
            return _reach(progress, ENCODED, None)
        case _:
            return progress


def _reach(progress: Progress, fraction: float, eta: float | None) -> Progress:
    return replace(progress, fraction=max(progress.fraction, min(fraction, NOT_YET_DONE)), eta_seconds=eta, is_fresh=True)


def _number(value: Any) -> float | None:
    """A finite number that is not negative. HandBrake tells -1, and 0 for the seconds left, while it does not know yet."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def report(progress: Progress, step: str) -> tuple[StepReport, ...]:
    """What an object just ended tells about the step of its rendition."""
    if not progress.is_fresh:
        return ()
    shown = round(progress.fraction, 4)
    return (StepReport(name=step, state=StepState.RUNNING, progress=shown, eta_seconds=progress.eta_seconds),)
