"""What a profile cannot ask of the sound, and how it is told so."""

from __future__ import annotations

import pytest

from dispatch.core.sound_rules import check
from protocol.encoding import AudioCodec
from protocol.errors import ReelyardError
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.profiles import Profile, Rendition, Tool
from protocol.sounds import AudioFile, RenditionAudio, Sound

TS, FMP4 = HlsPackaging(), HlsPackaging(format=SegmentFormat.FMP4)


def profile(beside: RenditionAudio, **parts: object) -> Profile:
    rendition = Rendition(name="360p", height=360, crf=23, audio=beside)
    return Profile(name="own", renditions=(rendition,)).model_copy(update=parts)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            profile(RenditionAudio(codec=AudioCodec.OPUS, sample_rate=44_100)),
            "renditions: sample_rate is 44100; opus has 48000 alone",
        ),
        (
            profile(RenditionAudio(), audio=AudioFile(codec=AudioCodec.AC3, sample_rate=22_050)),
            "audio: sample_rate is 22050; ac3 has one of 32000, 44100, 48000",
        ),
        (
            profile(RenditionAudio(codec=AudioCodec.MP3, sample_rate=12_000)),
            "renditions: sample_rate is 12000; mp3 in MP4 has at least 16000",
        ),
        (
            profile(RenditionAudio(codec=AudioCodec.OPUS), hls=TS),
            "renditions: the audio of 360p is opus, which TS does not carry; give hls format fmp4",
        ),
        (
            profile(RenditionAudio(codec=AudioCodec.MP3), tool=Tool.HANDBRAKE),
            "renditions: the audio of 360p is mp3; HandBrake is given aac",
        ),
        (
            profile(RenditionAudio(), tool=Tool.HANDBRAKE, sound=Sound()),
            "sound: HandBrake takes the first track as it is; leave sound out, or use ffmpeg",
        ),
    ],
)
def test_what_does_not_go_together_is_told(wrong: Profile, told: str) -> None:
    with pytest.raises(ReelyardError) as caught:
        check(wrong)

    assert caught.value.message == told


def test_a_file_of_sound_alone_may_be_slower_than_what_stands_beside_a_picture() -> None:
    check(profile(RenditionAudio(), audio=AudioFile(codec=AudioCodec.MP3, sample_rate=8_000)))


@pytest.mark.parametrize("codec", list(AudioCodec))
def test_every_codec_goes_into_fragments_at_48_khz(codec: AudioCodec) -> None:
    check(profile(RenditionAudio(codec=codec), hls=FMP4, audio=AudioFile(codec=codec), sound=Sound()))
