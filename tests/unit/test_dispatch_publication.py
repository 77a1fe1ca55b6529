"""What a completed job publishes: metadata.json and the outputs of the API, from rows alone."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from dispatch.core import endings
from dispatch.core.lifecycle import is_live
from dispatch.core.publication import publication, published_prefix
from dispatch.core.records import Graph
from protocol.results import FileRole, StagedFile, StepReport, ToolUse
from protocol.states import StepState
from tests.unit.dispatch_jobs import NOW, SHA, after, complete, granted, ready_to_transcode, staged, start

R = FileRole
FILES: tuple[StagedFile, ...] = (
    staged("360p/video_360p.mp4", R.RENDITION, 1_000_000, rendition="360p", codec="h264", width=640, height=360, bitrate=400_000),
    staged(
        "720p/video_720p.mp4", R.RENDITION, 2_000_000, rendition="720p", codec="h264", width=1280, height=720, bitrate=800_000
    ),
    staged(
        "360p/segments/playlist.m3u8",
        R.PLAYLIST,
        300,
        rendition="360p",
        segment_count=2,
        segment_seconds=10.0,
        segments_bytes=1_100_000,
    ),
    staged("360p/segments/segment_000.ts", R.SEGMENT, 600_000, rendition="360p"),
    staged("hls/master.m3u8", R.MASTER_PLAYLIST, 200),
    staged("audio/audio.mp3", R.AUDIO, 480_000, codec="mp3", bitrate=192_000, sample_rate=48_000, duration=20.0),
    staged("thumbnails/thumb_00.jpg", R.THUMBNAIL, 9_000, percent=0, at=0.0),
    staged("thumbnails/thumb_25.jpg", R.THUMBNAIL, 9_500, percent=25, at=5.0),
)
TOOL = ToolUse(tool="ffmpeg", version="9.0.2", argv=("ffmpeg", "-i", "fd:"), wall_seconds=7.5)
STEPS = tuple(
    StepReport(name=name, state=StepState.COMPLETED, progress=1.0, duration_seconds=took)
    for name, took in (("transcode_360p", 6.5), ("transcode_720p", 7.5), ("extract_audio_mp3", 1.5))
)


def completing() -> Graph:
    graph = after(granted(ready_to_transcode(), 2, task="tsk_1", now=NOW + 1), start(2, "tsk_1"), now=NOW + 2)
    return after(graph, complete(2, "tsk_1", files=FILES, tools=(TOOL,), steps=STEPS), now=NOW + 10)


def published(graph: Graph) -> tuple[dict[str, Any], dict[str, Any]]:  # JSON, looked into
    made = publication(graph, graph.files, graph.attempts)
    return orjson.loads(made.metadata), orjson.loads(made.outputs_json)


def test_metadata_tells_the_job_and_its_source() -> None:
    metadata, _ = published(completing())

    assert {name: value for name, value in metadata.items() if name not in ("outputs", "recipe")} == {
        "job_id": "job_1",
        "created_at": "2027-01-15T08:00:00.000Z",
        "completed_at": "2027-01-15T08:00:10.000Z",
        "processing_time_seconds": 8.0,
        "status": "completed",
        "profile": "web",
        "user_metadata": {},
        "warnings": [],
        "source": {
            "filename": "my film.mp4",
            "size_bytes": 4_000_000,
            "format": "mov",
            "codec": "h264",
            "resolution": "1920x1080",
            "width": 1920,
            "height": 1080,
            "duration_seconds": 20.0,
            "bitrate": 1_600_000,
            "fps": 25.0,
            "audio_codec": "aac",
            "audio_bitrate": 128_000,
            "audio_sample_rate": 48_000,
        },
        "compression_ratio": {"360p": 4.0, "720p": 2.0, "total_saved_percent": 25.0},
        "quality_metrics": {},
    }


def test_metadata_tells_every_output_that_exists() -> None:
    outputs = published(completing())[0]["outputs"]
    video = {"codec": "h264", "processing_time_seconds": 6.5, "bitrate": 400_000, "resolution": "640x360"}
    segments = {
        "count": 2,
        "duration_seconds": 10.0,
        "total_size_bytes": 1_100_000,
        "playlist_path": "360p/segments/playlist.m3u8",
    }

    assert set(outputs) == {"360p", "720p", "hls", "audio", "thumbnails"}
    assert outputs["360p"] == {"path": "360p/video_360p.mp4", "size_bytes": 1_000_000, **video, "segments": segments}
    assert "segments" not in outputs["720p"]
    assert outputs["hls"] == {"path": "hls/master.m3u8", "size_bytes": 200}
    assert {name: outputs["audio"][name] for name in ("path", "size_bytes", "bitrate", "sample_rate", "duration_seconds")} == {
        "path": "audio/audio.mp3",
        "size_bytes": 480_000,
        "bitrate": 192_000,
        "sample_rate": 48_000,
        "duration_seconds": 20.0,
    }
    assert outputs["audio"]["processing_time_seconds"] == 1.5
    shots = outputs["thumbnails"]["auto_generated"]
    assert sorted((s["position_percent"], s["timestamp"], s["path"], s["size_bytes"], s["is_primary"]) for s in shots) == [
        (0, 0.0, "thumbnails/thumb_00.jpg", 9_000, False),
        (25, 5.0, "thumbnails/thumb_25.jpg", 9_500, True),
    ]


def test_the_recipe_tells_tools_engines_and_digests() -> None:
    recipe = published(completing())[0]["recipe"]

    assert recipe["engines"] == ["eng_a"]
    assert recipe["tools"] == [orjson.loads(TOOL.model_dump_json())]
    assert recipe["sha256"] == {file.path: SHA for file in FILES}


def test_the_api_gives_stable_links_sizes_and_ratios() -> None:
    _, api = published(completing())
    base = "/api/v1/jobs/job_1/files"
    video, streaming = api["outputs"]["360p"]["video"], api["outputs"]["360p"]["streaming"]

    assert api["compression"] == {"360p_ratio": 4.0, "720p_ratio": 2.0, "total_saved_percent": 25.0}
    metadata = publication(completing(), completing().files, completing().attempts).metadata
    assert api["outputs"]["metadata_json"] == {
        "url": f"{base}/metadata.json",
        "path": "metadata.json",
        "size_bytes": len(metadata),
        "sha256": hashlib.sha256(metadata).hexdigest(),
    }
    assert video == {
        "url": f"{base}/360p/video_360p.mp4",
        "path": "360p/video_360p.mp4",
        "minio_path": "default/processed/job_1/360p/video_360p.mp4",
        "size_bytes": 1_000_000,
        "size_mb": 1.0,
        "resolution": "640x360",
        "codec": "h264",
        "bitrate": 400_000,
        "processing_time_seconds": 6.5,
    }
    assert streaming == {
        "hls_url": f"{base}/360p/segments/playlist.m3u8",
        "segment_count": 2,
        "segment_duration": 10.0,
        "total_segments_size_bytes": 1_100_000,
        "total_segments_size_mb": 1.1,
    }
    assert "streaming" not in api["outputs"]["720p"]
    assert api["outputs"]["audio"]["url"] == f"{base}/audio/audio.mp3"


def test_a_redo_publishes_the_same_bytes() -> None:
    graph = completing()
    again = endings.promote(graph, outputs_json=None, now=NOW + 999)

    assert publication(graph, graph.files, graph.attempts) == publication(again, graph.files, graph.attempts)


def test_renditions_larger_than_their_source_save_less_than_nothing() -> None:
    graph = completing()
    rows = [row for row in graph.files if row.path.endswith("video_720p.mp4")]
    large = [type(row)(row.job_id, row.path, row.task_id, row.token, 8_000_000, row.sha256, row.facts_json) for row in rows]

    ratios = orjson.loads(publication(graph, large, graph.attempts).metadata)["compression_ratio"]

    assert ratios == {"720p": 0.5, "total_saved_percent": -100.0}


def test_an_attempt_that_did_not_finish_is_no_part_of_the_recipe() -> None:
    graph = completing()
    released = granted(ready_to_transcode(), 9, task="tsk_1", engine="eng_z").attempt(9)

    recipe = orjson.loads(publication(graph, graph.files, [*graph.attempts, released]).metadata)["recipe"]

    assert recipe["engines"] == ["eng_a"]
    assert not is_live(graph, released)


def test_each_tenant_has_its_own_place() -> None:
    assert published_prefix(completing().job) == "default/processed/job_1"
