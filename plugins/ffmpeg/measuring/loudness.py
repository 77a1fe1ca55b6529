"""The first pass of EBU R 128: every wanted track is heard to its end in one process that decodes no picture."""

from __future__ import annotations

import json
import math
import re

from plugins.ffmpeg.command import source
from plugins.ffmpeg.loudness import mixed
from plugins.ffmpeg.measuring.subject import Subject, talking
from plugins.ffmpeg.sound_chain import origin
from protocol.plugins import Invocation
from protocol.sounds import Loudness, TrackLoudness

LOUDNESS = "loudness"

_TOLD = r"^\[loudnorm@t(\d+) @ 0x[0-9a-f]+\] \[info\] *\n(\{[^{}]*\})"
_KEYS = {"integrated": "input_i", "true_peak": "input_tp", "range": "input_lra", "threshold": "input_thresh"}
_TAKEN = {"integrated": (-99, 0), "true_peak": (-99, 99), "range": (0, 99), "threshold": (-99, 0), "offset": (-99, 99)}
"""What loudnorm takes for what was measured, in its second pass."""


def invocations(subject: Subject) -> tuple[Invocation, ...]:
    recipe, timeline = subject.recipe, subject.timeline
    if not recipe.tracks or recipe.loudness is None:
        return ()
    wanted = _wanted(recipe.loudness)
    heard = [(track, _mix(recipe.channels, place)) for place, track in enumerate(recipe.tracks)]
    chains = [f"{origin(timeline, track)},{mix}loudnorm@t{track}={wanted}:print_format=json[o{track}]" for track, mix in heard]
    maps = [word for track in recipe.tracks for word in ("-map", f"[o{track}]", "-f", "null", "-")]
    argv = (*talking(subject.head), *source(timeline, subject.threads), "-filter_complex", ";".join(chains), *maps)
    return (subject.invocation(LOUDNESS, argv, subject.reads),)


def _mix(channels: tuple[int, ...], place: int) -> str:
    """Loudness is that of what will be heard: after the mix."""
    return f"{mixed(channels[place])}," if place < len(channels) else ""


def _wanted(loudness: Loudness) -> str:
    return f"I={loudness.integrated:g}:TP={loudness.true_peak:g}:LRA={loudness.range:g}"


def read(stderr_tail: str) -> dict[int, TrackLoudness]:
    """By track. One that is silent, or that a second pass could not take, is not there: it stays as it is."""
    found: dict[int, TrackLoudness] = {}
    for track, text in re.findall(_TOLD, stderr_tail, re.MULTILINE):
        values = _values(text)
        if values is not None:
            found[int(track)] = TrackLoudness(**values)
    return found


def _values(text: str) -> dict[str, float] | None:
    try:
        told = json.loads(text)
        values = {name: float(told[key]) for name, key in (*_KEYS.items(), ("offset", "target_offset"))}
    except (ValueError, KeyError, TypeError):
        return None
    if all(math.isfinite(value) and _TAKEN[name][0] <= value <= _TAKEN[name][1] for name, value in values.items()):
        return values
    return None
