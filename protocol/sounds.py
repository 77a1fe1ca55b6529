"""What a profile may ask of the sound: its tracks, their channels and loudness, and files of sound alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from protocol.base import Message
from protocol.encoding import AudioCodec
from protocol.pictures import Language

SOUND_ENCODERS: Mapping[AudioCodec, str] = {
    AudioCodec.AAC: "aac",
    AudioCodec.OPUS: "libopus",
    AudioCodec.MP3: "libmp3lame",
    AudioCodec.AC3: "ac3",
}

FILE_ENDINGS: Mapping[AudioCodec, str] = {
    AudioCodec.AAC: "m4a",
    AudioCodec.OPUS: "opus",
    AudioCodec.MP3: "mp3",
    AudioCodec.AC3: "ac3",
}

SAMPLE_RATES: Mapping[AudioCodec, tuple[int, ...]] = {
    AudioCodec.AAC: (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000),
    AudioCodec.OPUS: (48_000,),
    AudioCodec.MP3: (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    AudioCodec.AC3: (32_000, 44_100, 48_000),
}
"""What each codec knows; Opus always plays at 48 kHz."""

LAYOUTS: Mapping[AudioCodec, Mapping[int, str]] = {
    AudioCodec.AAC: {3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"},
    AudioCodec.OPUS: {3: "3.0", 4: "quad", 5: "5.0", 6: "5.1"},
    AudioCodec.MP3: {},
    AudioCodec.AC3: {3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"},
}
"""What more than two channels are called in FFmpeg's words, in the order of speakers that the codec has for so many."""


class RenditionAudio(Message):
    """The sound beside a picture, of every track."""

    codec: AudioCodec = AudioCodec.AAC
    bitrate: Annotated[int, Field(ge=16_000, le=640_000)] = 128_000
    sample_rate: Annotated[int, Field(ge=8_000, le=96_000)] = 48_000


class AudioFile(Message):
    """A separate file of each sound track."""

    codec: AudioCodec = AudioCodec.MP3
    bitrate: Annotated[int, Field(ge=16_000, le=640_000)] = 192_000
    sample_rate: Annotated[int, Field(ge=8_000, le=96_000)] = 48_000


class Tracks(StrEnum):
    FIRST = "first"
    ALL = "all"


class Channels(StrEnum):
    STEREO = "stereo"
    """More than two are mixed down; mono stays mono."""
    KEEP = "keep"
    """Up to 5.1, where the codec can; more are mixed down to 5.1."""


class Loudness(Message):
    """EBU R 128: integrated loudness in LUFS, the highest true peak in dBTP, loudness range in LU. By two passes."""

    integrated: Annotated[float, Field(ge=-36, le=-5, allow_inf_nan=False)] = -23.0
    true_peak: Annotated[float, Field(ge=-9, le=0, allow_inf_nan=False)] = -1.0
    range: Annotated[float, Field(ge=1, le=50, allow_inf_nan=False)] = 11.0


class Sound(Message):
    """Which tracks are taken and how. `languages`, in order of wish, choose of them; empty takes what `tracks` says."""

    tracks: Tracks = Tracks.FIRST
    languages: Annotated[tuple[Language, ...], Field(max_length=32)] = ()
    channels: Channels = Channels.STEREO
    loudness: Loudness | None = None


class TrackLoudness(Message):
    """What the first pass of EBU R 128 measured of a track: LUFS, dBTP, LU, LUFS, LU."""

    integrated: float
    true_peak: float
    range: float
    threshold: float
    offset: float
