"""What a profile may ask of the sound beyond its fields: what codecs, containers and tools can be together. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dispatch.core.paging import refuse
from protocol.encoding import AudioCodec
from protocol.packaging import SegmentFormat
from protocol.profiles import Profile, Tool
from protocol.sounds import SAMPLE_RATES, AudioFile, RenditionAudio

BY_HANDBRAKE = (AudioCodec.AAC,)
IN_TS = (AudioCodec.AAC, AudioCodec.MP3, AudioCodec.AC3)
"""What HLS says of sound in TS (Apple's authoring specification 2): no player reads Opus there."""

LEAST_MP3_IN_MP4 = 16_000
"""Samples a second: slower MP3 is MPEG-2.5, which MP4 has no name for and FFmpeg does not write."""


def check(profile: Profile, below: str = "") -> None:
    """Raises VALIDATION_FAILED."""
    for place, audio in _asked(profile):
        rates = SAMPLE_RATES[audio.codec]
        if audio.sample_rate not in rates:
            known = f"{rates[0]} alone" if len(rates) == 1 else f"one of {', '.join(map(str, rates))}"
            raise refuse(f"{below}{place}", f"sample_rate is {audio.sample_rate}; {audio.codec} has {known}")
        is_beside = isinstance(audio, RenditionAudio)
        if is_beside and audio.codec is AudioCodec.MP3 and audio.sample_rate < LEAST_MP3_IN_MP4:
            raise refuse(f"{below}{place}", f"sample_rate is {audio.sample_rate}; mp3 in MP4 has at least {LEAST_MP3_IN_MP4}")
    for rendition in profile.renditions:
        place, codec = f"{below}renditions", rendition.audio.codec
        if profile.hls is not None and profile.hls.format is SegmentFormat.TS and codec not in IN_TS:
            raise refuse(place, f"the audio of {rendition.name} is {codec}, which TS does not carry; give hls format fmp4")
        if profile.tool is Tool.HANDBRAKE and codec not in BY_HANDBRAKE:
            raise refuse(place, f"the audio of {rendition.name} is {codec}; HandBrake is given aac")
    if profile.sound is not None and profile.tool is Tool.HANDBRAKE and profile.renditions:
        raise refuse(f"{below}sound", "HandBrake takes the first track as it is; leave sound out, or use ffmpeg")


def _asked(profile: Profile) -> Iterator[tuple[str, RenditionAudio | AudioFile]]:
    yield from (("renditions", rendition.audio) for rendition in profile.renditions)
    if profile.audio is not None:
        yield "audio", profile.audio
    if profile.compare is not None:
        yield from (("compare", rendition.audio) for rendition in profile.compare.renditions)
