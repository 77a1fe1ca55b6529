"""What a picture's numbers mean, as ffprobe tells it: colour, light levels, Dolby Vision."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction

from plugins.media.entries import Entry, fraction, integer
from protocol.media import Colour, MasteringDisplay

CHROMATICITY, LUMINANCE = 50_000, 10_000
"""Units of HEVC's SEI in one: of a chromaticity, of a candela per square metre."""

_WORD = re.compile(r"[a-z0-9\-]{1,32}")
_UNTOLD = frozenset({"unknown", "unspecified", "reserved"})
_MASTERING, _LIGHT, _DOLBY = "Mastering display metadata", "Content light level metadata", "DOVI configuration record"


def colour(stream: Entry) -> Colour:
    return Colour(
        primaries=_word(stream.get("color_primaries")),
        transfer=_word(stream.get("color_transfer")),
        matrix=_word(stream.get("color_space")),
        range=_word(stream.get("color_range")),
    )


def mastering(side_data: Sequence[Entry]) -> MasteringDisplay | None:
    """From the side data of a stream or of its first frame; None where either lacks a part."""
    display, light = _entry(side_data, _MASTERING), _entry(side_data, _LIGHT)
    points = tuple(_point(display, name) for name in ("red", "green", "blue", "white_point"))
    least, greatest = (_units(display.get(f"{which}_luminance"), LUMINANCE) for which in ("min", "max"))
    red, green, blue, white = points
    if red is None or green is None or blue is None or white is None or least is None or not greatest or least > greatest:
        return None
    return MasteringDisplay(
        red=red,
        green=green,
        blue=blue,
        white=white,
        luminance=(least, greatest),
        max_content=_level(light.get("max_content")),
        max_average=_level(light.get("max_average")),
    )


def mastering_of_frame(stdout: bytes) -> MasteringDisplay | None:
    """From ffprobe's JSON of a first frame, whose headers may tell what the container does not."""
    try:
        frames = json.loads(stdout).get("frames") or []
    except ValueError:
        return None
    return next((found for frame in frames if (found := mastering(frame.get("side_data_list") or []))), None)


def dolby_vision(stream: Entry) -> int | None:
    """The profile; None without."""
    return integer(_entry(stream.get("side_data_list") or [], _DOLBY).get("dv_profile"))


def _entry(side_data: Sequence[Entry], kind: str) -> Entry:
    return next((entry for entry in side_data if entry.get("side_data_type") == kind), {})


def _point(display: Entry, name: str) -> tuple[int, int] | None:
    x, y = (_units(display.get(f"{name}_{axis}"), CHROMATICITY) for axis in "xy")
    return None if x is None or y is None or x > CHROMATICITY or y > CHROMATICITY else (x, y)


def _units(value: object, unit: int) -> int | None:
    found = fraction(value)
    return None if found is None or not 0 <= found <= Fraction(10_000) else round(found * unit)


def _level(value: object) -> int | None:
    """0 means that it is not known."""
    found = integer(value)
    return found if found and 0 < found <= 65_535 else None


def _word(value: object) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) and value not in _UNTOLD else ""
