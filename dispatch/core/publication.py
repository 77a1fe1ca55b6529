"""What a completed job publishes: `metadata.json` and the `outputs` of the API, from rows alone, so a redo is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dispatch.core import extras, thumbnails
from dispatch.core.planning import STEPS, load_profile
from dispatch.core.records import Attempt, Graph, Job, StagedRow
from dispatch.core.thumbnails import Picture
from dispatch.core.times import rfc3339
from dispatch.core.views import MB, video_info
from protocol import steps as step_names
from protocol.operations import API
from protocol.results import UNPUBLISHED_ROLES, FileRole, OutputFacts

METADATA = "metadata.json"
Fields = dict[str, Any]  # JSON under construction; leaves it as bytes


@dataclass(frozen=True, slots=True)
class Output:
    row: StagedRow
    facts: OutputFacts


@dataclass(frozen=True, slots=True)
class Publication:
    """`metadata` is the file's bytes; `outputs_json` is what the job row keeps for the API."""

    target: str
    metadata: bytes
    outputs_json: str


def published_rows(staged: Iterable[StagedRow]) -> list[StagedRow]:
    """Without what was staged for a sibling task alone."""
    return [row for row in staged if OutputFacts.model_validate_json(row.facts_json).role not in UNPUBLISHED_ROLES]


def published_prefix(job: Job) -> str:
    return f"{job.root}/processed/{job.job_id}"


def publication(graph: Graph, staged: Sequence[StagedRow], attempts: Sequence[Attempt]) -> Publication:
    """Raises nothing: whatever rows there are, they are told."""
    outputs = [Output(row, OutputFacts.model_validate_json(row.facts_json)) for row in staged]
    outputs.sort(key=lambda output: (output.facts.percent or 0, output.row.path))
    job, took = graph.job, _durations(graph)
    ratios = _ratios(job, outputs)
    metadata = {
        **_about(job),
        "outputs": (made := _metadata_outputs(outputs, took, graph)),
        **extras.keys(made),
        "compression_ratio": ratios,
        "quality_metrics": {},
        "recipe": _recipe(job, outputs, attempts),
    }
    written = orjson.dumps(metadata, option=orjson.OPT_INDENT_2)
    api = {
        "outputs": {**_api_outputs(job, outputs, took, graph), "metadata_json": _metadata_place(job, written)},
        "size_bytes": len(written) + sum(row.size for row in staged),
        "compression": {k if k.startswith("total") else f"{k}_ratio": v for k, v in ratios.items()},
    }
    return Publication(published_prefix(job), written, orjson.dumps(api).decode())


def _metadata_place(job: Job, written: bytes) -> Fields:
    digest = hashlib.sha256(written).hexdigest()
    return {"url": _url(job, METADATA), "path": METADATA, "size_bytes": len(written), "sha256": digest}


def _about(job: Job) -> Fields:
    completed_at = job.completed_at or job.updated_at
    info = video_info(job)
    source: Fields = {"filename": job.source.filename, "size_bytes": job.source.size}
    if info is not None:
        source |= info.model_dump(exclude={"filename", "duration", "size_bytes", "size_mb"})
        source["duration_seconds"] = info.duration
    return {
        "job_id": job.job_id,
        "created_at": rfc3339(job.created_at),
        "completed_at": rfc3339(completed_at),
        "processing_time_seconds": round(max(0.0, completed_at - (job.started_at or completed_at)), 3),
        "status": "completed",
        "profile": load_profile(job.profile_json).name,
        "user_metadata": orjson.loads(job.user_metadata_json),
        "warnings": orjson.loads(job.warnings_json),
        "source": source,
    }


def _durations(graph: Graph) -> dict[str, float | None]:
    steps = (step for task in graph.tasks for step in STEPS.validate_json(task.steps_json))
    return {step.name: step.duration_seconds for step in steps}


def _of(outputs: Sequence[Output], role: FileRole) -> list[Output]:
    return [output for output in outputs if output.facts.role is role]


def _ratios(job: Job, outputs: Sequence[Output]) -> dict[str, float]:
    """Source bytes over rendition bytes; what all renditions together save of the source, in percent."""
    renditions = _of(outputs, FileRole.RENDITION)
    ratios = {o.facts.rendition or o.row.path: round(job.source.size / o.row.size, 4) for o in renditions if o.row.size}
    if renditions and job.source.size:
        total = sum(o.row.size for o in renditions)
        ratios["total_saved_percent"] = round(100 * (1 - total / job.source.size), 2)
    return ratios


def _playlist_of(outputs: Sequence[Output], rendition: str | None) -> Output | None:
    return next((o for o in _of(outputs, FileRole.PLAYLIST) if o.facts.rendition == rendition), None)


def _resolution(facts: OutputFacts) -> str:
    return f"{facts.width}x{facts.height}"


def _metadata_outputs(outputs: Sequence[Output], took: dict[str, float | None], graph: Graph) -> Fields:
    made: Fields = {}
    for output in _of(outputs, FileRole.RENDITION):
        name = output.facts.rendition or output.row.path
        made[name] = {
            "path": output.row.path,
            "size_bytes": output.row.size,
            "resolution": _resolution(output.facts),
            "bitrate": output.facts.bitrate,
            "codec": output.facts.codec,
            "processing_time_seconds": took.get(step_names.transcode_step(name)),
        }
        playlist = _playlist_of(outputs, output.facts.rendition)
        if playlist is not None:
            made[name]["segments"] = {
                "count": playlist.facts.segment_count,
                "duration_seconds": playlist.facts.segment_seconds,
                "total_size_bytes": playlist.facts.segments_bytes,
                "playlist_path": playlist.row.path,
            }
    for output in _of(outputs, FileRole.MASTER_PLAYLIST):
        made["hls"] = {"path": output.row.path, "size_bytes": output.row.size}
    for output in _of(outputs, FileRole.AUDIO):
        made["audio"] = {
            "path": output.row.path,
            "size_bytes": output.row.size,
            "bitrate": output.facts.bitrate,
            "sample_rate": output.facts.sample_rate,
            "duration_seconds": output.facts.duration,
            "processing_time_seconds": took.get(step_names.EXTRACT_AUDIO_MP3),
        }
    made |= extras.in_metadata([(output.row, output.facts) for output in outputs], took)
    pictures: Fields = {}
    if (picture := thumbnails.of_job(graph.job)) is not None:
        pictures["custom"] = _custom(picture)
    if shots := _of(outputs, FileRole.THUMBNAIL):
        pictures["auto_generated"] = [_shot(shot, graph) for shot in shots]
    return made | ({"thumbnails": pictures} if pictures else {})


def _custom(picture: Picture) -> Fields:
    """The client's own picture, published as it was sent; where there is one, it is the primary."""
    path = thumbnails.published_name(picture)
    return {"path": path, "size_bytes": picture.size, "source": "upload", "is_primary": True}


def _shot(shot: Output, graph: Graph) -> Fields:
    wanted = load_profile(graph.job.profile_json).thumbnails
    has_own = graph.job.thumbnail_json is not None
    return {
        "position_percent": shot.facts.percent,
        "timestamp": shot.facts.at,
        "path": shot.row.path,
        "size_bytes": shot.row.size,
        "is_primary": not has_own and wanted is not None and shot.facts.percent == wanted.primary_percent,
    }


def _url(job: Job, path: str) -> str:
    return f"{API}/jobs/{job.job_id}/files/{path}"


def _place(job: Job, output: Output) -> Fields:
    return _place_of(job, output.row.path, output.row.size)


def _place_of(job: Job, path: str, size: int) -> Fields:
    return {
        "url": _url(job, path),
        "path": path,
        "minio_path": f"{published_prefix(job)}/{path}",
        "size_bytes": size,
        "size_mb": round(size / MB, 3),
    }


def _placed(job: Job, value: Fields) -> Fields:
    """The same for the API: every place in it, at any depth, with where it can be fetched."""
    inner = {key: _placed(job, each) if isinstance(each, dict) else each for key, each in value.items()}
    return {**_place_of(job, value["path"], value["size_bytes"]), **inner} if "path" in value else inner


def _api_outputs(job: Job, outputs: Sequence[Output], took: dict[str, float | None], graph: Graph) -> Fields:
    made: Fields = {}
    for output in _of(outputs, FileRole.RENDITION):
        name = output.facts.rendition or output.row.path
        video = {
            **_place(job, output),
            "resolution": _resolution(output.facts),
            "codec": output.facts.codec,
            "bitrate": output.facts.bitrate,
            "processing_time_seconds": took.get(step_names.transcode_step(name)),
        }
        made[name] = {"video": video}
        playlist = _playlist_of(outputs, output.facts.rendition)
        if playlist is not None:
            size = playlist.facts.segments_bytes or 0
            made[name]["streaming"] = {
                "hls_url": _url(job, playlist.row.path),
                "segment_count": playlist.facts.segment_count,
                "segment_duration": playlist.facts.segment_seconds,
                "total_segments_size_bytes": size,
                "total_segments_size_mb": round(size / MB, 3),
            }
    for output in _of(outputs, FileRole.MASTER_PLAYLIST):
        made["hls"] = _place(job, output)
    for output in _of(outputs, FileRole.AUDIO):
        facts = {"codec": output.facts.codec, "bitrate": output.facts.bitrate, "duration_seconds": output.facts.duration}
        made["audio"] = {**_place(job, output), **facts}
    found = extras.in_metadata([(output.row, output.facts) for output in outputs], took)
    made |= {name: _placed(job, value) for name, value in found.items()}
    pictures: Fields = {}
    if (picture := thumbnails.of_job(job)) is not None:
        own = _custom(picture)
        pictures["custom"] = {**_place_of(job, own["path"], picture.size), **own, "sha256": picture.sha256}
    if shots := _of(outputs, FileRole.THUMBNAIL):
        pictures["auto_generated"] = [{**_place(job, shot), **_shot(shot, graph)} for shot in shots]
    return made | ({"thumbnails": pictures} if pictures else {})


def _recipe(job: Job, outputs: Sequence[Output], attempts: Sequence[Attempt]) -> Fields:
    done = [attempt for attempt in attempts if attempt.state == "done"]
    own = {} if (picture := thumbnails.of_job(job)) is None else {thumbnails.published_name(picture): picture.sha256}
    return {
        "tools": [tool for attempt in done for tool in orjson.loads(attempt.tools_json)],
        "engines": sorted({attempt.engine_id for attempt in done}),
        "sha256": {output.row.path: output.row.sha256 for output in outputs} | own,
    }
