"""The arguments for several sound tracks, other codecs, and loudness, compared as lists with recorded ones that were run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from plugins.ffmpeg import command
from plugins.ffmpeg.sound_chain import sounds
from plugins.ffmpeg.sound_encoders import beside_picture
from plugins.ffmpeg.soundfiles import sound_alone
from plugins.ffmpeg.streams import targets
from plugins.media import checks
from plugins.media.soundtracks import heard
from protocol.encoding import AudioCodec
from protocol.extras import TextFormat
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.recipes import PlannedAudio, PlannedSubtitle, PlannedTrack, TranscodeRecipe
from protocol.sounds import AudioFile, Loudness, RenditionAudio, TrackLoudness
from tests.ffmpeg_recipes import web

GOLDEN = Path(__file__).parent / "ffmpeg_argv"

SOURCE = MediaFacts(
    container="mkv",
    duration="20",
    size_bytes=1000,
    bitrate=400,
    video=VideoStream(
        index=0, codec="h264", width=1920, height=1080, coded_width=1920, coded_height=1080, frame_rate="25", duration="20"
    ),
    audio=(
        AudioStream(index=1, codec="aac", channels=2, sample_rate=48_000, duration="20", language="eng"),
        AudioStream(index=2, codec="ac3", channels=6, sample_rate=48_000, duration="19", language="fre"),
    ),
    streams=3,
)
MEASURED = TrackLoudness(integrated=-30.4, true_peak=-8.5, range=0.0, threshold=-40.6, offset=0.3)


def tracks(*, channels: tuple[int, int] = (2, 2), loudness: Loudness | None = None) -> tuple[PlannedTrack, ...]:
    return (
        PlannedTrack(
            stream=1, name="en", language="en", channels=channels[0], is_default=True, loudness=loudness, measured=MEASURED
        ),
        PlannedTrack(
            stream=2,
            name="fr",
            language="fr",
            title="Director's commentary",
            channels=channels[1],
            loudness=loudness,
            measured=None,
            playlist="audio/fr/playlist.m3u8",
            segments="audio/fr/segment_%03d.ts",
        ),
    )


def sounding(codec: AudioCodec, **update: object) -> TranscodeRecipe:
    """Two renditions with this codec beside their pictures, and a file of it."""
    recipe = web(SOURCE, hls=HlsPackaging(segment_seconds=6, format=SegmentFormat.FMP4) if codec is AudioCodec.OPUS else None)
    renditions = tuple(
        planned.model_copy(update={"rendition": planned.rendition.model_copy(update={"audio": RenditionAudio(codec=codec)})})
        for planned in recipe.renditions
    )
    audio = PlannedAudio(audio=AudioFile(codec=codec), path=f"audio/audio.{codec}")
    return recipe.model_copy(update={"renditions": renditions, "audio": audio, "thumbnails": (), **update})


def french(recipe: TranscodeRecipe) -> TranscodeRecipe:
    """With a file of the second track."""
    assert recipe.audio is not None
    more = PlannedAudio(audio=recipe.audio.audio, path="audio/audio_fr.x", track="fr")
    return recipe.model_copy(update={"more_audio": (more,)})


ENGLISH_TEXT = PlannedSubtitle(name="en", stream=3, language="en", paths={TextFormat.VTT: "subtitles/en.vtt"})

RECIPES: dict[str, TranscodeRecipe] = {
    "two_tracks": french(web(SOURCE).model_copy(update={"tracks": tracks(), "thumbnails": (), "speech": "speech/speech.s16le"})),
    "surround_opus": french(sounding(AudioCodec.OPUS, tracks=tracks(channels=(2, 6)), subtitles=(ENGLISH_TEXT,))),
    "surround_ac3": french(sounding(AudioCodec.AC3, tracks=tracks(channels=(2, 6)))),
    "surround_mp3": french(sounding(AudioCodec.MP3, tracks=tracks(channels=(2, 6)))),
    "levelled_aac": sounding(AudioCodec.AAC, tracks=tracks(loudness=Loudness()), speech="speech/speech.s16le"),
}


def arguments(recipe: TranscodeRecipe) -> dict[str, list[str]]:
    """What the sound adds to the one command line: to its graph, beside each picture, and as outputs of its own."""
    graph: list[str] = []
    labels = sounds(recipe, graph)
    beside = zip(recipe.renditions, labels.renditions, strict=True)
    return {
        "graph": graph,
        **{one.rendition.name: list(beside_picture(one.rendition.audio, heard(recipe), names)) for one, names in beside},
        **{f"{one.rendition.name} streams": targets(recipe, one).split("|") for one in recipe.renditions if recipe.hls},
        "alone": [word for output in sound_alone(recipe, labels) for word in output],
    }


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_arguments_for_sound_are_those_recorded(name: str) -> None:
    assert arguments(RECIPES[name]) == json.loads((GOLDEN / f"sound_{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_command_line_holds_them_in_one_piece(name: str) -> None:
    argv, wanted = command.transcode("ffmpeg", RECIPES[name], 2), arguments(RECIPES[name])

    assert argv[argv.index("-filter_complex") + 1].endswith(";".join(wanted["graph"]))
    for rendition in ("360p", "720p"):
        begin = argv.index(wanted[rendition][1]) - 1
        assert list(argv[begin : begin + len(wanted[rendition])]) == wanted[rendition]


@pytest.mark.parametrize("name", ["two_tracks", "levelled_aac"])
def test_the_ends_of_every_track_are_decoded_and_what_was_levelled_is_measured(name: str) -> None:
    built = {check.name: list(check.argv) for check in checks.build("ffmpeg", "ffprobe", RECIPES[name], 2)}
    decode = built[checks.DECODE]
    maps = [word for before, word in itertools.pairwise(decode) if before == "-map" and ":a:" in word]
    inputs = [word for before, word in itertools.pairwise(decode) if before == "-i"]
    read = [f"{inputs[int(word.partition(':')[0])]} {word.partition(':')[2]}" for word in maps]

    told = {"checks": sorted(built), "decoded": read, **{k: v for k, v in built.items() if k.startswith("loudness")}}
    assert told == json.loads((GOLDEN / f"sound_checks_{name}.json").read_text())


def test_a_track_that_is_named_the_default_of_one_gives_the_arguments_of_none() -> None:
    alone = PlannedTrack(stream=1, name="und", channels=2, is_default=True)

    assert command.transcode("ffmpeg", web(SOURCE).model_copy(update={"tracks": (alone,)}), 2) == command.transcode(
        "ffmpeg", web(SOURCE), 2
    )
