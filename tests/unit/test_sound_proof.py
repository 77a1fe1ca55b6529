"""Who is to blame where sound is missing, ends early, or is not what was asked for; what is told of its loudness."""

from __future__ import annotations

from fractions import Fraction

import pytest

from plugins.media.lengths import Heard, Lengths, hold
from plugins.media.rejected import Rejected
from plugins.media.sound_proof import SoundProof, beside_picture, prove
from plugins.media.sound_report import unlevelled
from plugins.media.soundtracks import heard
from plugins.media.verify import presence
from protocol.encoding import AudioCodec
from protocol.errors import ErrorCode, FailureClass
from protocol.media import AudioStream, MediaFacts
from protocol.plugins import Invocation, MadeFile, Outcome
from protocol.recipes import PlannedAudio, PlannedTrack, TranscodeRecipe
from protocol.sounds import AudioFile, Loudness, TrackLoudness
from tests.ffmpeg_recipes import web
from tests.unit.dispatch_jobs import video

MEASURED = TrackLoudness(integrated=-30.0, true_peak=-9.0, range=5.0, threshold=-40.0, offset=0.1)


def stream(index: int, *, codec: str = "aac", channels: int = 2, rate: int = 48_000, duration: str = "20") -> AudioStream:
    return AudioStream(index=index, codec=codec, channels=channels, sample_rate=rate, duration=duration)


def planned(index: int, name: str, *, loudness: Loudness | None = None, measured: TrackLoudness | None = None) -> PlannedTrack:
    return PlannedTrack(stream=index, name=name, is_default=index == 1, loudness=loudness, measured=measured)


SOURCE = video(1280, 720).model_copy(update={"audio": (stream(1), stream(2, channels=6))})
AUDIO = AudioFile()
RECIPE = web(SOURCE, heights=(720,), hls=None).model_copy(
    update={
        "tracks": (planned(1, "en"), planned(2, "fr")),
        "audio": PlannedAudio(audio=AUDIO, path="audio/audio.mp3"),
        "more_audio": (PlannedAudio(audio=AUDIO, path="audio/audio_fr.mp3", track="fr"),),
        "speech": "speech/speech.s16le",
        "thumbnails": (),
    }
)
FILM = "720p/video_720p.mp4"
ENGLISH, FRENCH = ("audio/audio.mp3", "speech/speech.s16le"), ("audio/audio_fr.mp3",)


@pytest.mark.parametrize(
    ("missing", "blamed", "code"),
    [
        (FRENCH, FailureClass.INPUT, ErrorCode.INPUT_CORRUPT),
        (ENGLISH, FailureClass.INPUT, ErrorCode.INPUT_CORRUPT),
        ((*ENGLISH, *FRENCH), FailureClass.INPUT, ErrorCode.INPUT_CORRUPT),
        (ENGLISH[:1], FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID),
        ((FILM, *FRENCH), FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID),
    ],
)
def test_the_file_is_blamed_where_nothing_of_a_track_came(
    missing: tuple[str, ...], blamed: FailureClass, code: ErrorCode
) -> None:
    with pytest.raises(Rejected) as caught:
        presence(RECIPE, [MadeFile(path, 1) for path in (FILM, *ENGLISH, *FRENCH) if path not in missing])

    assert (caught.value.failure_class, caught.value.code) == (blamed, code)


def made(*audio: AudioStream) -> MediaFacts:
    return SOURCE.model_copy(update={"audio": audio, "streams": 1 + len(audio)})


def test_a_picture_with_every_track_as_asked_holds() -> None:
    beside_picture(RECIPE, RECIPE.renditions[0], made(stream(1), stream(2)))


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (made(stream(1)), ErrorCode.INPUT_CORRUPT),
        (made(stream(1), stream(2, duration="0")), ErrorCode.INPUT_CORRUPT),
        (made(stream(1), stream(2), stream(3)), ErrorCode.OUTPUT_INVALID),
        (made(stream(1), stream(2, channels=6)), ErrorCode.OUTPUT_INVALID),
        (made(stream(1), stream(2, rate=44_100)), ErrorCode.OUTPUT_INVALID),
        (made(stream(1), stream(2, codec="opus")), ErrorCode.OUTPUT_INVALID),
    ],
)
def test_every_track_beside_a_picture_is_held_against_what_was_asked(facts: MediaFacts, code: ErrorCode) -> None:
    with pytest.raises(Rejected) as caught:
        beside_picture(RECIPE, RECIPE.renditions[0], facts)

    assert caught.value.code is code


TWENTY, TEN = Fraction(20), Fraction(10)


def ends(*tracks: Heard) -> Lengths:
    return Lengths(pictures=(TWENTY,), sounds=(), playlists=(), tracks=tracks)


def test_each_track_may_end_where_the_source_says_of_it() -> None:
    hold(SOURCE, ends(Heard(TWENTY, (TWENTY, TWENTY)), Heard(TEN, (TEN,))))


@pytest.mark.parametrize(
    ("lengths", "code"),
    [
        (ends(Heard(TWENTY, (TWENTY,)), Heard(TWENTY, (TEN, TEN))), ErrorCode.INPUT_CORRUPT),
        (ends(Heard(TWENTY, (TWENTY,)), Heard(TWENTY, (TEN, TWENTY))), ErrorCode.OUTPUT_INVALID),
        (Lengths(pictures=(), sounds=(), playlists=(), tracks=(Heard(None, (TEN,)),)), ErrorCode.INPUT_CORRUPT),
        (Lengths(pictures=(TWENTY,), sounds=(TEN,), playlists=()), ErrorCode.INPUT_CORRUPT),
    ],
)
def test_a_track_that_ends_early_is_refused(lengths: Lengths, code: ErrorCode) -> None:
    with pytest.raises(Rejected) as caught:
        hold(SOURCE, lengths)

    assert caught.value.code is code


@pytest.mark.parametrize(
    ("measured", "is_levelled"),
    [
        (MEASURED, True),
        (None, False),
        (MEASURED.model_copy(update={"integrated": -70.0}), False),
        (MEASURED.model_copy(update={"integrated": float("-inf")}), False),
        (MEASURED.model_copy(update={"integrated": float("nan")}), False),
    ],
)
def test_silence_is_left_as_it_is_and_said_so(measured: TrackLoudness | None, is_levelled: bool) -> None:
    track = planned(1, "en", loudness=Loudness(), measured=measured)
    recipe = RECIPE.model_copy(update={"tracks": (track,), "more_audio": ()})
    told = "The sound track en is silent or too short to be measured: its loudness stays as it is."

    assert heard(recipe)[0].is_levelled is is_levelled
    assert list(unlevelled(recipe, SoundProof())) == ([] if is_levelled else [told])


def test_what_is_measured_of_an_output_is_the_last_summary() -> None:
    track = planned(1, "en", loudness=Loudness(), measured=MEASURED)
    recipe: TranscodeRecipe = RECIPE.model_copy(update={"tracks": (track,), "audio": None, "more_audio": (), "speech": None})
    check = Invocation(name=f"loudness:{FILM}", argv=("ffmpeg",))
    tail = (
        "[Parsed_ebur128_0 @ 0x1] [info] Summary:\n\n  Integrated loudness:\n    I:         -23.1 LUFS\n    Threshold: -33.9 LUFS"
    )
    outcome = Outcome(check, 0, b"", tail, wall_seconds=1.0, cpu_seconds=1.0)

    assert prove(recipe, {check.name: outcome}, {FILM: 1}).level(FILM) == -23.1


@pytest.mark.parametrize(
    ("level", "warnings"),
    [
        (-22.1, []),
        (-27.4, ["audio/audio.mp3 became -27.4 LUFS, not -23, for its peaks, its length or its mix to fewer channels."]),
    ],
)
def test_a_loudness_that_was_not_reached_is_told(level: float, warnings: list[str]) -> None:
    track = planned(1, "en", loudness=Loudness(), measured=MEASURED)

    recipe = RECIPE.model_copy(update={"tracks": (track,), "more_audio": ()})
    assert list(unlevelled(recipe, SoundProof(loudness={"audio/audio.mp3": level}))) == warnings


def test_mp3_never_has_more_than_two_channels() -> None:
    recipe = RECIPE.model_copy(update={"tracks": (planned(2, "fr").model_copy(update={"channels": 6}),)})
    (track,) = heard(recipe)

    assert [track.channels(codec) for codec in (AudioCodec.MP3, AudioCodec.AAC, AudioCodec.OPUS, AudioCodec.AC3)] == [2, 6, 6, 6]
