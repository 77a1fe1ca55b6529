"""EBU R 128 by two passes, as filters: a track as the first pass hears it, and the second that brings it to its level."""

from __future__ import annotations

from plugins.media.soundtracks import HeardTrack
from protocol.encoding import AudioCodec
from protocol.sounds import LAYOUTS, Loudness, TrackLoudness

LEAST_RANGE = 0.1
"""LU. To `loudnorm` a range of 0 is one that was not told, and then it rides the gain; a steady tone needs none of that."""


def layout(channels: int, codec: AudioCodec) -> str | None:
    """The order of so many speakers; None for one and two, which FFmpeg is told as a number."""
    return LAYOUTS[codec].get(channels)


def mixed(channels: int) -> str:
    """A track in as many channels as its outputs have. Both passes hear this: mixing down changes the loudness."""
    words = {1: "mono", 2: "stereo"}
    return f"aformat=channel_layouts={words.get(channels) or LAYOUTS[AudioCodec.AAC][channels]}"


def levelled(track: HeardTrack, rate: int) -> str:
    """The second pass. Where it must ride the gain it works at 192 kHz; `rate` is what its outputs need at most."""
    wanted, measured = track.planned.loudness or Loudness(), track.planned.measured
    told = "" if measured is None else _told(measured)
    target = f"I={wanted.integrated:.2f}:TP={wanted.true_peak:.2f}:LRA={wanted.range:.2f}"
    return f"{mixed(track.planned.channels)},loudnorm={target}{told}:linear=true,aresample={rate}"


def _told(measured: TrackLoudness) -> str:
    """Held within what the filter takes: a square wave's peak may be anywhere."""
    integrated, threshold = (_within(value, -99.0, 0.0) for value in (measured.integrated, measured.threshold))
    peak, spread = _within(measured.true_peak, -99.0, 99.0), _within(measured.range, LEAST_RANGE, 99.0)
    told = f":measured_I={integrated:.2f}:measured_TP={peak:.2f}:measured_LRA={spread:.2f}"
    return f"{told}:measured_thresh={threshold:.2f}:offset={_within(measured.offset, -99.0, 99.0):.2f}"


def _within(value: float, least: float, most: float) -> float:
    return min(most, max(least, value))
