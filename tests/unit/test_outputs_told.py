"""Everything a job can publish, told in `metadata.json` and in the API: every key that is promised, the same figures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from dispatch.core.publication import publication, published_rows
from dispatch.core.records import Graph
from dispatch.core.thumbnails import Picture, stored
from dispatch.core.views import job_view
from protocol.extras import ContentAnalysis, Frames, QualityMetrics, Sprite, Subtitles, Thumbnails, Transcription
from protocol.media import Chapter
from protocol.outputs import Outputs
from protocol.packaging import CmafPackaging, Encryption, ProtectionScheme
from protocol.results import FileRole, Measured, StagedFile, StepReport, ToolUse
from protocol.states import JobState, StepState
from tests.unit.dispatch_jobs import NOW, SHA, WEB, after, complete, granted, ready_to_transcode, staged, start, video

R = FileRole
RICH = WEB.model_copy(
    update={
        "thumbnails": Thumbnails(percents=(0, 25, 100), seconds=(3.5,)),
        "sprite": Sprite(),
        "subtitles": Subtitles(),
        "quality_metrics": QualityMetrics(),
        "content": ContentAnalysis(),
        "frames": Frames(fps=1),
        "transcription": Transcription(),
    }
)
SOURCE = video(1920, 1080).model_copy(update={"chapters": (Chapter(start="0", end="12", title="One"),)})
MANY: tuple[StagedFile, ...] = (
    staged(
        *("360p/video_360p.mp4", R.RENDITION, 1_000_000),
        rendition="360p",
        codec="h264",
        width=640,
        height=360,
        bitrate=400_000,
        psnr=41.2,
        ssim=0.98,
        vmaf=93.1,
    ),
    staged(
        "720p/video_720p.mp4", R.RENDITION, 2_000_001, rendition="720p", codec="hevc", width=1280, height=720, bitrate=800_000
    ),
    staged(
        *("360p/segments/playlist.m3u8", R.PLAYLIST, 300),
        rendition="360p",
        segment_count=2,
        segment_seconds=10.0,
        segments_bytes=1_100_000,
    ),
    staged("360p/segments/deu/playlist.m3u8", R.PLAYLIST, 290, rendition="360p", track="deu", segment_count=2),
    staged("360p/segments/segment_000.ts", R.SEGMENT, 600_000, rendition="360p"),
    staged("hls/master.m3u8", R.MASTER_PLAYLIST, 200),
    staged("dash/manifest.mpd", R.MANIFEST, 700),
    staged(
        *("audio/audio.mp3", R.AUDIO, 480_000),
        codec="mp3",
        bitrate=192_000,
        sample_rate=48_000,
        duration=20.0,
        channels=2,
        track="eng",
        language="eng",
        loudness=-23.1,
    ),
    staged("audio/audio_deu.mp3", R.AUDIO, 470_000, codec="mp3", bitrate=192_000, duration=20.0, track="deu", language="deu"),
    *(
        staged(f"transcription/transcript.{e}", R.TRANSCRIPT, 90, language="en", word_count=7, model="base")
        for e in ("txt", "srt", "vtt", "json")
    ),
    staged("thumbnails/thumb_custom.jpg", R.THUMBNAIL, 5_000, is_own=True, width=1280, height=720),
    staged("thumbnails/thumb_100.jpg", R.THUMBNAIL, 8_000, percent=100, at=20.0),
    staged("thumbnails/thumb_00.jpg", R.THUMBNAIL, 9_000, percent=0, at=0.0),
    staged("thumbnails/thumb_25.jpg", R.THUMBNAIL, 9_500, percent=25, at=5.0),
    staged("thumbnails/thumb_at_3500ms.jpg", R.THUMBNAIL, 9_100, at=3.5),
    staged("thumbnails/sprite.jpg", R.SPRITE, 30_000, width=320, height=90, frame_count=2),
    staged("thumbnails/sprite.vtt", R.SPRITE_INDEX, 150),
    staged("subtitles/eng.srt", R.SUBTITLE, 60, language="eng", codec="srt"),
    staged("subtitles/eng.vtt", R.SUBTITLE, 66, language="eng", codec="vtt"),
    staged("subtitles/deu-forced.vtt", R.SUBTITLE, 61, language="deu", codec="vtt"),
    staged("subtitles/chapters.vtt", R.CHAPTERS, 80, codec="vtt"),
    staged("frames/frames.zip", R.FRAMES, 99_000, frame_count=20),
    staged("analysis/content.json", R.CONTENT, 500),
    staged("analysis/comparison.json", R.COMPARISON, 400),
    staged(
        *("compare/a.mp4", R.SAMPLE, 70_000),
        rendition="a",
        codec="h264",
        width=640,
        height=360,
        bitrate=350_000,
        vmaf=91.0,
    ),
)
TOOL = ToolUse(tool="ffmpeg", version="9.0.2", argv=("ffmpeg", "-i", "fd:"), wall_seconds=7.5)
STEPS = tuple(
    StepReport(name=name, state=StepState.COMPLETED, progress=1.0, duration_seconds=took)
    for name, took in (("transcode_360p", 6.5), ("extract_audio_mp3", 1.5), ("generate_sprite", 2.5))
)
OWN = stored(Picture("default/raw/job_1_thumbnail.png", 77_000, "b" * 64, "png"))


@pytest.fixture(scope="module")
def graph() -> Graph:
    ready = ready_to_transcode(SOURCE, WEB)
    done = after(granted(ready, 2, task="tsk_1", now=NOW + 1), start(2, "tsk_1"), now=NOW + 2)
    done = after(done, complete(2, "tsk_1", files=MANY, tools=(TOOL,), steps=STEPS), now=NOW + 10)
    measured = Measured().model_dump_json()
    job = replace(done.job, profile_json=RICH.model_dump_json(), thumbnail_json=OWN, measured_json=measured)
    return replace(done, job=job)


@pytest.fixture(scope="module")
def metadata(graph: Graph) -> dict[str, Any]:  # JSON, looked into
    told: dict[str, Any] = orjson.loads(publication(graph, graph.files, graph.attempts).metadata)
    return told


@pytest.fixture(scope="module")
def api(graph: Graph) -> dict[str, Any]:  # JSON, looked into
    told: dict[str, Any] = orjson.loads(publication(graph, graph.files, graph.attempts).outputs_json)
    return told


PROMISED = {
    "": "job_id created_at completed_at processing_time_seconds status user_metadata source outputs compression_ratio "
    "quality_metrics recipe",
    "source": "filename size_bytes format codec resolution width height duration_seconds bitrate fps audio_codec audio_bitrate "
    "audio_sample_rate chapters",
    "outputs/360p": "path size_bytes resolution bitrate codec processing_time_seconds segments",
    "outputs/360p/segments": "count duration_seconds total_size_bytes playlist_path",
    "outputs/audio": "path size_bytes bitrate sample_rate duration_seconds processing_time_seconds codec channels loudness_lufs",
    "outputs/transcription": "text srt vtt json language word_count whisper_model processing_time_seconds",
    "outputs/transcription/srt": "path size_bytes",
    "outputs/thumbnails": "custom auto_generated",
    "outputs/thumbnails/custom": "path size_bytes source is_primary",
    "outputs/thumbnails/auto_generated/0": "position_percent timestamp path size_bytes is_primary",
    "outputs/sprite": "path size_bytes resolution count index processing_time_seconds",
    "outputs/subtitles": "eng deu-forced",
    "outputs/subtitles/eng": "language srt vtt",
    "outputs/chapters": "path size_bytes",
    "outputs/frames": "path size_bytes count",
    "outputs/content": "path size_bytes",
    "outputs/comparison": "path size_bytes samples",
    "outputs/comparison/samples/a": "path size_bytes codec resolution bitrate vmaf",
    "outputs/hls": "path size_bytes",
    "outputs/dash": "path size_bytes",
    "compression_ratio": "360p 720p total_saved_percent",
    "quality_metrics/360p": "psnr ssim vmaf",
    "recipe": "tools engines sha256 measured",
}
"""The keys of `metadata.json`, by the place they stand at."""

PROMISED_API = {
    "outputs/360p/video": "url path minio_path size_bytes size_mb resolution bitrate processing_time_seconds codec",
    "outputs/360p/streaming": "hls_url segment_count segment_duration total_segments_size_bytes total_segments_size_mb dash_url",
    "outputs/audio": "url path minio_path size_bytes size_mb bitrate sample_rate duration_seconds processing_time_seconds tracks",
    "outputs/transcription/text": "url path minio_path size_bytes size_mb",
    "outputs/thumbnails/custom": "url path minio_path size_bytes size_mb source is_primary",
    "outputs/thumbnails/auto_generated/1": "url path size_bytes position_percent timestamp is_primary",
    "outputs/sprite": "url path size_bytes index count",
    "outputs/sprite/index": "url path size_bytes",
    "outputs/subtitles/eng/vtt": "url path size_bytes",
    "outputs/dash": "url path",
    "outputs/metadata_json": "url path",
    "compression": "360p_ratio 720p_ratio total_saved_percent",
    "quality_metrics/360p": "psnr ssim vmaf",
}


def at(document: Any, place: str) -> Any:  # JSON of any shape
    for step in place.split("/") if place else []:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


@pytest.mark.parametrize("place", PROMISED)
def test_metadata_has_every_key_that_is_promised(metadata: dict[str, Any], place: str) -> None:
    assert set(PROMISED[place].split()) - set(at(metadata, place)) == set()


@pytest.mark.parametrize("place", PROMISED_API)
def test_the_api_has_every_key_that_is_promised(api: dict[str, Any], place: str) -> None:
    assert set(PROMISED_API[place].split()) - set(at(api, place)) == set()


def test_the_api_is_what_the_document_says(api: dict[str, Any]) -> None:
    told = Outputs.model_validate_json(orjson.dumps(api["outputs"]))

    assert set(told.__pydantic_extra__) == {"360p", "720p"}
    assert json.loads(told.model_dump_json(exclude_unset=True)) == api["outputs"]
    assert set(api["outputs"]) - {"360p", "720p"} == set(Outputs.model_fields)


def files_of(value: Any, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:  # JSON of any shape
    """Every file at any depth by its path, with the plain values told beside it."""
    if isinstance(value, dict):
        if "path" in value:
            found[value["path"]] = {key: one for key, one in value.items() if not isinstance(one, dict | list)}
        for one in value.values():
            files_of(one, found)
    elif isinstance(value, list):
        for one in value:
            files_of(one, found)
    return found


def test_the_api_tells_the_same_figures_of_every_file_and_where_to_fetch_it(
    metadata: dict[str, Any], api: dict[str, Any]
) -> None:
    in_file, in_api = files_of(metadata["outputs"], {}), files_of(api["outputs"], {})
    where = ("url", "minio_path", "size_mb")

    assert set(in_api) - {"metadata.json"} == set(in_file)
    assert {path: {k: v for k, v in in_api[path].items() if k not in where} for path in in_file} == in_file
    assert {path: in_api[path]["url"] for path in in_file} == {path: f"/api/v1/jobs/job_1/files/{path}" for path in in_file}
    assert {path: in_api[path]["size_mb"] for path in in_file} == {
        path: round(told["size_bytes"] / 1e6, 3) for path, told in in_file.items()
    }


def test_every_file_but_segments_and_inner_playlists_is_told(metadata: dict[str, Any]) -> None:
    inner = {one.path for one in MANY if one.facts.role in (R.SEGMENT, R.PLAYLIST)}

    assert set(files_of(metadata["outputs"], {})) == {one.path for one in MANY} - inner
    assert metadata["recipe"]["sha256"] == {one.path: SHA for one in MANY}


def test_segments_are_those_of_the_picture_in_both(metadata: dict[str, Any], api: dict[str, Any]) -> None:
    assert metadata["outputs"]["360p"]["segments"] == {
        "count": 2,
        "duration_seconds": 10.0,
        "total_size_bytes": 1_100_000,
        "playlist_path": "360p/segments/playlist.m3u8",
    }
    assert api["outputs"]["360p"]["streaming"] == {
        "hls_url": "/api/v1/jobs/job_1/files/360p/segments/playlist.m3u8",
        "segment_count": 2,
        "segment_duration": 10.0,
        "total_segments_size_bytes": 1_100_000,
        "total_segments_size_mb": 1.1,
        "dash_url": "/api/v1/jobs/job_1/files/dash/manifest.mpd",
    }


def test_pictures_stand_in_the_order_of_their_moments_and_one_is_the_primary(metadata: dict[str, Any]) -> None:
    told = metadata["outputs"]["thumbnails"]

    assert [(shot["position_percent"], shot["timestamp"]) for shot in told["auto_generated"]] == [
        *((0, 0.0), (None, 3.5), (25, 5.0), (100, 20.0))
    ]
    assert [shot["is_primary"] for shot in told["auto_generated"]] == [False] * 4
    custom = {"path": "thumbnails/thumb_custom.jpg", "size_bytes": 5_000, "source": "upload", "is_primary": True}
    assert told["custom"] == custom


def test_without_a_picture_of_its_own_the_profile_names_the_primary_one(graph: Graph) -> None:
    without = replace(graph, job=replace(graph.job, thumbnail_json=None))
    rows = [row for row in graph.files if "custom" not in row.path]
    told = orjson.loads(publication(without, rows, graph.attempts).metadata)["outputs"]["thumbnails"]

    assert "custom" not in told
    assert [shot["position_percent"] for shot in told["auto_generated"] if shot["is_primary"]] == [25]


def test_several_tracks_are_told_in_order_behind_the_first(metadata: dict[str, Any]) -> None:
    audio = metadata["outputs"]["audio"]

    assert (audio["path"], audio["loudness_lufs"]) == ("audio/audio.mp3", -23.1)
    assert [(one["track"], one["language"], one["path"]) for one in audio["tracks"]] == [
        ("eng", "eng", "audio/audio.mp3"),
        ("deu", "deu", "audio/audio_deu.mp3"),
    ]


def test_scores_are_told_of_renditions_that_have_them_in_both_and_in_the_job(
    graph: Graph, metadata: dict[str, Any], api: dict[str, Any]
) -> None:
    scores = {"360p": {"psnr": 41.2, "ssim": 0.98, "vmaf": 93.1}}
    job = replace(graph.job, outputs_json=orjson.dumps(api).decode(), state=JobState.COMPLETED)
    view = job_view(replace(graph, job=job))

    assert metadata["quality_metrics"] == scores
    assert view.quality_metrics == scores
    assert view.outputs == api["outputs"]
    assert view.compression == {"360p_ratio": 4.0, "720p_ratio": 2.0, "total_saved_percent": 25.0}


def test_chapters_are_told_in_seconds(metadata: dict[str, Any]) -> None:
    assert metadata["source"]["chapters"] == [{"start": 0.0, "end": 12.0, "title": "One"}]


def encrypted(graph: Graph, *, publishes_clear: bool) -> Graph:
    encryption = Encryption(scheme=ProtectionScheme.CBCS, publishes_clear=publishes_clear)
    profile = RICH.model_copy(update={"hls": None, "packaging": CmafPackaging(encryption=encryption)})
    return replace(graph, job=replace(graph.job, profile_json=profile.model_dump_json()))


def test_beside_what_is_encrypted_no_rendition_lies_in_the_clear_and_its_figures_are_told(graph: Graph) -> None:
    sealed = encrypted(graph, publishes_clear=False)
    told = orjson.loads(publication(sealed, graph.files, graph.attempts).outputs_json)

    paths = {row.path for row in published_rows(sealed.job, graph.files)}
    video = told["outputs"]["360p"]["video"]
    assert [path for path in paths if path.endswith(".mp4") and "compare" not in path] == []
    assert ("url" in video, video["resolution"], "360p_ratio" in told["compression"]) == (False, "640x360", True)


def test_clear_renditions_are_published_beside_where_the_profile_says_so(graph: Graph) -> None:
    paths = {row.path for row in published_rows(encrypted(graph, publishes_clear=True).job, graph.files)}

    assert "360p/video_360p.mp4" in paths
