"""What a dry run foretells: seconds by measured speeds where there are any, bytes by codec and rate, and what will be lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from dispatch.core import estimating, validation
from dispatch.core.followers import plan_job
from dispatch.core.plans import Planned
from dispatch.core.validation import Farm
from protocol.care import Estimate
from protocol.encoding import Hdr, VideoCodec
from protocol.media import AudioStream, MediaFacts
from protocol.packaging import CmafPackaging
from protocol.profiles import Profile, Rendition
from protocol.recipes import Pace
from protocol.sounds import AudioFile, Channels, Sound, Tracks
from tests.unit.dispatch_jobs import PROFILES, WEB, video
from tests.unit.test_care_validation import looked


def film(**changes: object) -> MediaFacts:
    """100 s of 1920x1080 at 25 frames a second, one track of sound, at a rate that caps nothing."""
    made = video(1920, 1080)
    assert made.video is not None
    told = {"duration": "100", "bitrate": None, "video": made.video.model_copy(update={"frame_rate": "25"}), **changes}
    return made.model_copy(update=told)


def one(rendition: Rendition, **fields: object) -> Profile:
    return Profile.model_validate({"name": "one", "renditions": (rendition,), **fields})


def told(profile: Profile, facts: MediaFacts, speed_of: Callable[[Pace], float | None] = lambda pace: None) -> Estimate:
    plans = plan_job(profile, facts, lambda plan: False)
    assert isinstance(plans, dict)
    return estimating.estimate([plan for plan in plans.values() if isinstance(plan, Planned)], speed_of)


RENDITION = Rendition(name="720p", height=720, crf=23)
SOUND_BYTES = 100 * 128_000 // 8


def picture_bytes(**fields: object) -> int:
    return told(one(RENDITION.model_copy(update={"crf": None, **fields})), film()).bytes - SOUND_BYTES


def test_average_that_is_asked_for_is_what_a_rendition_weighs() -> None:
    assert picture_bytes(bitrate=2_000_000) == 100 * 2_000_000 // 8


def test_quality_weighs_by_codec_and_falls_with_the_crf_until_a_cap_holds_it() -> None:
    by_codec = [picture_bytes(codec=codec, crf=crf) for codec, crf in zip(VideoCodec, (23.0, 26.0, 35.0, 33.0), strict=True)]
    by_crf = [picture_bytes(crf=crf) for crf in (17.0, 23.0, 29.0)]

    assert by_codec[0] == 100 * round(0.12 * 1280 * 720 * 25) // 8 == by_crf[1]
    assert by_codec[0] > by_codec[3] > by_codec[1] > by_codec[2]
    assert [round(more / less, 1) for more, less in pairwise(by_crf)] == [2.6, 2.6]
    assert picture_bytes(crf=17.0, max_bitrate=1_000_000) == 100 * 1_000_000 // 8


def test_no_rendition_weighs_more_than_its_source() -> None:
    thin = film(bitrate=800_000)

    assert told(one(RENDITION), thin).bytes - SOUND_BYTES == 100 * 800_000 // 8


def test_each_track_of_sound_and_each_further_file_of_it_is_counted() -> None:
    english, german = (
        AudioStream(index=n, codec="aac", channels=2, sample_rate=48_000, language=w) for n, w in ((1, "eng"), (2, "deu"))
    )
    both = film(audio=(english, german))
    first = told(one(RENDITION), both).bytes
    every = told(one(RENDITION, sound=Sound(tracks=Tracks.ALL)), both).bytes
    files = told(one(RENDITION, sound=Sound(tracks=Tracks.ALL), audio=AudioFile(bitrate=192_000)), both).bytes

    assert (every - first, files - every) == (SOUND_BYTES, 2 * 100 * 192_000 // 8)


def test_a_package_is_the_pictures_once_more_and_the_sound_once() -> None:
    packed = told(one(RENDITION, packaging=CmafPackaging()), film()).bytes

    assert packed == 2 * told(one(RENDITION), film()).bytes


def test_seconds_follow_from_what_engines_here_have_measured_of_the_tallest_rendition() -> None:
    asked: list[Pace] = []

    def speed_of(pace: Pace) -> float | None:
        asked.append(pace)
        return 50.0

    measured = told(WEB, film(), speed_of)
    typical = told(WEB, film())

    assert (measured.seconds, measured.is_measured) == (51.0, True)
    assert (55 < typical.seconds < 65, typical.is_measured) == (True, False)
    assert asked == [Pace("libx264", 720)]


def test_dearer_codecs_are_foretold_to_take_longer_where_nobody_has_measured() -> None:
    seconds = [
        told(one(RENDITION.model_copy(update={"codec": codec})), film()).seconds for codec in (VideoCodec.H264, VideoCodec.VP9)
    ]

    assert seconds[1] > 2 * seconds[0]


@pytest.mark.parametrize(
    ("facts", "profile", "wanted"),
    [
        (film(), WEB, ()),
        (film(audio=()), WEB, ("extract_audio_mp3: the source has no audio",)),
        (
            video(640, 360),
            WEB,
            (
                "transcode_720p: the source is smaller than 1280x720",
                "prepare_hls_720p: the source is smaller than 1280x720",
            ),
        ),
    ],
)
def test_what_will_be_left_out_is_told_with_its_reason(facts: MediaFacts, profile: Profile, wanted: tuple[str, ...]) -> None:
    reply = validation.reply_of(looked(facts, profile).job, PROFILES.values())

    assert reply is not None
    assert (reply.valid, set(reply.warnings)) == (True, set(wanted))


def test_what_is_lost_of_the_source_is_told_with_what_would_keep_it() -> None:
    picture = film().video
    assert picture is not None
    tracks = tuple(AudioStream(index=n, codec="ac3", channels=6, sample_rate=48_000) for n in (1, 2))
    rich = film(video=picture.model_copy(update={"is_hdr": True, "bit_depth": 10}), audio=tracks)
    keeping = one(
        RENDITION.model_copy(update={"codec": VideoCodec.HEVC, "hdr": Hdr.KEEP, "bit_depth": 10}),
        sound=Sound(tracks=Tracks.ALL, channels=Channels.KEEP),
    )

    lost, kept = (validation.reply_of(looked(rich, profile).job, ()) for profile in (WEB, keeping))

    assert lost is not None
    assert kept is not None
    assert [" ".join(warning.split()[:3]) for warning in lost.warnings] == ["the picture is", "the sound has", "only the first"]
    assert kept.warnings == ()


def test_engines_that_can_are_counted_on() -> None:
    """With one that transcribes, nothing is said to be left out for want of it."""
    job = replace(looked(film()).job, profile_json=PROFILES["web"].model_dump_json())

    without, within = validation.reply_of(job, ()), validation.reply_of(job, (), Farm(finds=lambda plan: True))

    assert without is not None
    assert within is not None
    assert (any("speech" in warning for warning in without.warnings), within.warnings) == (True, ())
