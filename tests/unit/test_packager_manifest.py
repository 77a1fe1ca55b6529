"""DASH manifests as text, what the packager is told, and keyframes for it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dispatch.core.feeding import read_paths
from dispatch.core.followers import plan_job
from dispatch.core.plans import Planned
from plugins.ffmpeg.command import transcode
from plugins.packager import command, dash
from protocol.encoding import Preset
from protocol.extras import Subtitles, TextFormat
from protocol.media import AudioStream, MediaFacts, SubtitleStream, VideoStream
from protocol.packaging import CmafPackaging, HlsPackaging
from protocol.profiles import Profile, Tool
from protocol.recipes import HandbrakeRecipe, PackageRecipe, TranscodeRecipe
from protocol.results import Failure
from protocol.sounds import Sound, Tracks
from protocol.states import TaskKind
from tests.ffmpeg_recipes import planned, rendition, web

MANIFEST = """<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1H2M5.5S">
  <Period id="0"><AdaptationSet id="0"><Representation id="0">
    <SegmentTemplate timescale="1000" initialization="cmaf/360p/init.mp4"
        media="cmaf/360p/segment_$Number%03d$.m4s" startNumber="9">
      <SegmentTimeline><S t="0" d="2000" r="1"/><S t="4000" d="1500"/></SegmentTimeline>
    </SegmentTemplate>
  </Representation></AdaptationSet></Period>
</MPD>
"""


def facts() -> MediaFacts:
    video = VideoStream(
        index=0, codec="h264", width=1280, height=720, coded_width=1280, coded_height=720, frame_rate="25", duration="20"
    )
    return MediaFacts(container="mp4", duration="20", size_bytes=1000, bitrate=400, video=video, streams=1)


def test_a_manifest_names_its_segments_by_number_and_their_length() -> None:
    names = tuple(f"cmaf/360p/segment_{n}.m4s" for n in ("009", "010", "011"))

    assert dash.parse(MANIFEST) == dash.Manifest(
        (dash.Representation("cmaf/360p/init.mp4", names, Fraction(11, 2)),), Fraction(3725.5)
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<MPD",
        MANIFEST.replace("static", "dynamic"),
        MANIFEST.replace("SegmentTimeline", "SegmentList"),
        MANIFEST.replace("$Number%03d$", "$Time$"),
        MANIFEST.replace("PT1H2M5.5S", "soon"),
        MANIFEST.replace("<MPD", '<!DOCTYPE a [<!ENTITY b "c">]><MPD'),
    ],
)
def test_what_is_no_finished_manifest_is_none(text: str) -> None:
    assert dash.parse(text) is None


def test_a_manifest_is_told_how_many_directories_up_its_files_are() -> None:
    assert b"<BaseURL>../</BaseURL>" in dash.placed(MANIFEST, "dash/manifest.mpd")
    assert b"<BaseURL>../../</BaseURL>" in dash.placed(MANIFEST, "a/b/manifest.mpd")
    assert dash.placed(MANIFEST, "manifest.mpd") == MANIFEST.encode()


def test_the_packager_reads_descriptors_and_its_words_are_parted_by_nothing_of_a_client() -> None:
    ladder = tuple(planned(facts(), height, hls=None, preset=Preset.FAST) for height in (360, 720))
    recipe = PackageRecipe(
        source=facts(), packaging=CmafPackaging(), renditions=ladder, directory="cmaf", hls_master="hls/m.m3u8"
    )

    argv = command.package("packager", recipe)

    assert argv[2] == (
        "in=/dev/fd/{fd0},stream=video,init_segment=cmaf/360p/init.mp4,"
        "segment_template=cmaf/360p/segment_$Number%03d$.m4s,playlist_name=../cmaf/360p/playlist.m3u8"
    )
    assert argv[3].startswith("in=/dev/fd/{fd1},stream=video,init_segment=cmaf/720p/init.mp4,")
    assert argv[-6:] == ("--segment_duration", "6", "--hls_master_playlist_output", "hls/m.m3u8", "--hls_playlist_type", "VOD")


@pytest.mark.parametrize(("tool", "kind"), [(Tool.FFMPEG, TaskKind.TRANSCODE), (Tool.HANDBRAKE, TaskKind.HANDBRAKE)])
def test_what_is_packaged_later_is_encoded_with_keyframes_at_the_cuts(tool: Tool, kind: TaskKind) -> None:
    profile = Profile(name="x", renditions=(rendition(360),), packaging=CmafPackaging(segment_seconds=4), tool=tool)

    plans = plan_job(profile, facts(), lambda plan: False)

    assert isinstance(plans, dict)
    plan = plans[kind]
    assert isinstance(plan, Planned)
    assert isinstance(plan.recipe, TranscodeRecipe | HandbrakeRecipe)
    assert plan.recipe.group_seconds == 4


def test_keyframes_fit_segments_and_packages_alike() -> None:
    recipe = web(facts(), hls=HlsPackaging(segment_seconds=10)).model_copy(update={"group_seconds": 4})

    argv = transcode("ffmpeg", recipe, 1)

    assert argv[argv.index("-force_key_frames") + 1] == "expr:gte(t,n_forced*2)"


def test_a_package_carries_the_sounds_and_the_texts_that_the_encode_makes() -> None:
    sounds = tuple(
        AudioStream(index=n, codec="aac", channels=2, sample_rate=48_000, language=language, duration="20")
        for n, language in ((1, "eng"), (2, "deu"))
    )
    source = facts().model_copy(update={"audio": sounds, "subtitles": (SubtitleStream(index=3, codec="subrip", language="fra"),)})
    profile = Profile(
        name="mine",
        renditions=(rendition(360),),
        packaging=CmafPackaging(),
        sound=Sound(tracks=Tracks.ALL),
        subtitles=Subtitles(),
    )

    plans = plan_job(profile, source, lambda plan: True)

    assert not isinstance(plans, Failure)
    plan = plans[TaskKind.PACKAGE]
    assert isinstance(plan, Planned)
    assert isinstance(plan.recipe, PackageRecipe)
    assert [(one.name, one.is_default) for one in plan.recipe.tracks] == [("en", True), ("de", False)]
    assert [one.paths for one in plan.recipe.subtitles] == [{TextFormat.VTT: "subtitles/fr.vtt"}]
    assert read_paths(plan.recipe) == {"360p": "360p/video_360p.mp4", "text-fr": "subtitles/fr.vtt"}
