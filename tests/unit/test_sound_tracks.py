"""Which sound tracks a job takes, what they are called, and where they go."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch.core.ladder import plan_transcode
from dispatch.core.plans import Film, Planned
from dispatch.core.sounding import MOST_TRACKS, chosen, title_of, tracks
from protocol.encoding import AudioCodec
from protocol.languages import long, short
from protocol.media import AudioStream, MediaFacts
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.profiles import Profile
from protocol.recipes import PlannedAudio, PlannedTrack, TranscodeRecipe
from protocol.results import Measured
from protocol.sounds import AudioFile, Channels, Loudness, Sound, TrackLoudness, Tracks
from tests.unit.dispatch_jobs import WEB, video


def track(index: int, language: str | None = None, **told: Any) -> AudioStream:  # any field of it
    known = {"codec": "aac", "channels": 2, "sample_rate": 48_000, "duration": "20"}
    return AudioStream.model_validate({"index": index, "language": language, **known, **told})


def film(*audio: AudioStream, profile: Profile = WEB, measured: Measured | None = None, **parts: object) -> Film:
    facts = video(1280, 720).model_copy(update={"audio": audio})
    return Film(profile.model_copy(update=parts), facts, measured)


def recipe(made: Film) -> TranscodeRecipe:
    planned = plan_transcode(made)
    assert isinstance(planned, Planned), planned
    return planned.recipe


FILM = (track(1, "ger"), track(2, "eng", is_default=True), track(3, "en"), track(4), track(5, "fra"))


@pytest.mark.parametrize(
    ("sound", "indexes"),
    [
        (Sound(), (2,)),
        (Sound(tracks=Tracks.ALL), (2, 1, 3, 4, 5)),
        (Sound(languages=("fre", "en")), (5,)),
        (Sound(languages=("sv", "de")), (1,)),
        (Sound(languages=("sv",)), (2,)),
        (Sound(tracks=Tracks.ALL, languages=("deu", "en")), (1, 2, 3)),
        (Sound(tracks=Tracks.ALL, languages=("sv",)), (2,)),
    ],
)
def test_tracks_are_chosen_by_wish_then_as_the_file_has_them(sound: Sound, indexes: tuple[int, ...]) -> None:
    assert tuple(stream.index for stream in chosen(sound, FILM)) == indexes


def test_a_film_without_sound_has_no_tracks() -> None:
    assert tracks(film(sound=Sound(tracks=Tracks.ALL))) == ()
    assert recipe(film(sound=Sound(tracks=Tracks.ALL))).audio is None


def test_an_odd_track_is_left_out() -> None:
    odd = track(1, "en").model_copy(update={"sample_rate": 1_000_000})

    assert [stream.index for stream in chosen(Sound(tracks=Tracks.ALL), (odd, track(2), track(3, channels=65)))] == [2]


def test_no_more_tracks_are_taken_than_a_process_has_room_for() -> None:
    many = [track(n) for n in range(1, 64)]

    assert [stream.index for stream in chosen(Sound(tracks=Tracks.ALL), many)] == list(range(1, MOST_TRACKS + 1))


def test_a_profile_that_says_nothing_of_tracks_plans_none() -> None:
    made = recipe(film(*FILM))

    assert (made.tracks, made.more_audio) == ((), ())
    assert made.audio == PlannedAudio(audio=AudioFile(), path="audio/audio.mp3")


def test_names_are_unique_and_every_track_but_the_first_has_a_file_of_its_name() -> None:
    made = recipe(film(*FILM, sound=Sound(tracks=Tracks.ALL), audio=AudioFile(codec=AudioCodec.AAC)))

    assert [(one.name, one.language, one.is_default) for one in made.tracks] == [
        ("en", "en", True),
        ("de", "de", False),
        ("en-2", "en", False),
        ("und", None, False),
        ("fr", "fr", False),
    ]
    assert made.audio is not None
    assert [made.audio.path, *(f"{file.track}: {file.path}" for file in made.more_audio)] == [
        "audio/audio.m4a",
        "de: audio/audio_de.m4a",
        "en-2: audio/audio_en-2.m4a",
        "und: audio/audio_und.m4a",
        "fr: audio/audio_fr.m4a",
    ]


OWN = ("audio/de/playlist.m3u8", "audio/de/segment_%03d")


@pytest.mark.parametrize(
    ("languages", "form", "places"),
    [
        (("en", "de"), SegmentFormat.TS, [(None, None), (OWN[0], f"{OWN[1]}.ts")]),
        (("de", "fr"), SegmentFormat.FMP4, [(OWN[0], f"{OWN[1]}.m4s"), ("audio/fr/playlist.m3u8", "audio/fr/segment_%03d.m4s")]),
        (("de",), SegmentFormat.FMP4, [(None, None)]),
    ],
)
def test_the_default_track_stands_beside_the_picture_where_browsers_can_leave_it_out(
    languages: tuple[str, ...], form: SegmentFormat, places: list[tuple[str | None, str | None]]
) -> None:
    audio = [track(n, language) for n, language in enumerate(languages, start=1)]
    made = tracks(film(*audio, sound=Sound(tracks=Tracks.ALL), hls=HlsPackaging(format=form)))

    assert [(one.playlist, one.segments) for one in made] == places
    assert [one.is_default for one in made] == [n == 0 for n in range(len(languages))]


@pytest.mark.parametrize(("channels", "kept", "mixed"), [(1, 1, 1), (2, 2, 2), (6, 6, 2), (8, 6, 2)])
def test_channels_are_kept_up_to_six_or_mixed_down(channels: int, kept: int, mixed: int) -> None:
    def planned(wish: Channels) -> int:
        return tracks(film(track(1, channels=channels), sound=Sound(channels=wish)))[0].channels

    assert (planned(Channels.KEEP), planned(Channels.STEREO)) == (kept, mixed)


def test_loudness_goes_with_what_was_measured_of_its_track() -> None:
    measured = TrackLoudness(integrated=-30.0, true_peak=-9.0, range=5.0, threshold=-40.0, offset=0.1)
    wish = Loudness()
    made = film(track(1), track(2), measured=Measured(loudness={2: measured}), sound=Sound(tracks=Tracks.ALL, loudness=wish))

    assert tracks(made) == (
        PlannedTrack(stream=1, name="und", is_default=True, loudness=wish),
        PlannedTrack(
            stream=2,
            name="und-2",
            loudness=wish,
            measured=measured,
            playlist="audio/und-2/playlist.m3u8",
            segments="audio/und-2/segment_%03d.ts",
        ),
    )


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("Director's commentary (2009)", "Director's commentary (2009)"),
        ('a"b,c\nd\\e;f=g[h]', "a b,c d e f g h"),
        ("Français — 5.1", "Français 5.1"),
        ("%s ${x} <y>", "s x y"),
        ("\x00\x01", None),
        ("", None),
        (None, None),
        ("x" * 500, "x" * 80),
    ],
)
def test_titles_keep_letters_alone(title: str | None, told: str | None) -> None:
    assert title_of(track(1, title=title)) == told


@pytest.mark.parametrize(
    ("told", "two", "three"),
    [
        ("eng", "en", "eng"),
        ("ger", "de", "deu"),
        ("deu", "de", "deu"),
        ("DE", "de", "deu"),
        ("gsw", "gsw", "gsw"),
        ("und", None, None),
        ("xx", "xx", None),
        ("e n", None, None),
        (None, None, None),
    ],
)
def test_a_language_is_the_same_in_any_of_its_codes(told: str | None, two: str | None, three: str | None) -> None:
    assert (short(told), long(told)) == (two, three)


def test_every_encoder_of_sound_is_asked_for() -> None:
    renditions = tuple(
        one.model_copy(update={"audio": one.audio.model_copy(update={"codec": codec})})
        for one, codec in zip(WEB.renditions, (AudioCodec.OPUS, AudioCodec.AC3), strict=True)
    )
    made = plan_transcode(film(track(1), renditions=renditions))
    assert isinstance(made, Planned)

    assert made.needs == ("encoder:ac3", "encoder:libmp3lame", "encoder:libopus", "encoder:libx264", "encoder:mjpeg")


def test_a_film_of_sound_alone_becomes_files() -> None:
    facts: MediaFacts = video(1280, 720).model_copy(update={"video": None, "audio": FILM})
    profile = Profile(name="audio", audio=AudioFile(codec=AudioCodec.OPUS), sound=Sound())
    planned = plan_transcode(Film(profile, facts))
    assert isinstance(planned, Planned)

    assert planned.recipe.audio == PlannedAudio(audio=AudioFile(codec=AudioCodec.OPUS), path="audio/audio.opus")
    assert (planned.recipe.renditions, planned.recipe.thumbnails, planned.recipe.more_audio) == ((), (), ())
