"""The job itself, its source, and how its outputs came to be."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import orjson

from dispatch.core import thumbnails
from dispatch.core.records import Attempt, Job
from dispatch.core.times import rfc3339
from dispatch.core.told.made import Fields, Made
from dispatch.core.told.pictures import own_of
from dispatch.core.views import video_info
from protocol.media import MediaFacts


def job_fields(made: Made) -> Fields:
    """The first keys of `metadata.json`, the source among them."""
    job = made.job
    completed_at = job.completed_at or job.updated_at
    return {
        "job_id": job.job_id,
        "created_at": rfc3339(job.created_at),
        "completed_at": rfc3339(completed_at),
        "processing_time_seconds": round(max(0.0, completed_at - (job.started_at or completed_at)), 3),
        "status": "completed",
        "profile": made.profile.name,
        "user_metadata": orjson.loads(job.user_metadata_json),
        "warnings": orjson.loads(job.warnings_json),
        "source": _source(job),
    }


def _source(job: Job) -> Fields:
    info = video_info(job)
    told: Fields = {"filename": job.source.filename, "size_bytes": job.source.size}
    if info is None or job.media_json is None:
        return told
    told |= info.model_dump(exclude={"filename", "duration", "size_bytes", "size_mb"})
    told["duration_seconds"] = info.duration
    chapters = MediaFacts.model_validate_json(job.media_json).chapters
    listed = [{"start": _seconds(one.start), "end": _seconds(one.end), "title": one.title} for one in chapters]
    return {**told, "chapters": listed} if listed else told


def _seconds(moment: str) -> float:
    return round(float(Fraction(moment)), 3)


def recipe(made: Made, attempts: Sequence[Attempt]) -> Fields:
    """Every tool that had a part in it with its version and arguments, who ran them, and the digest of every file."""
    done = [attempt for attempt in attempts if attempt.state == "done"]
    sent = None if own_of(made) is not None else thumbnails.of_job(made.job)
    own = {} if sent is None else {thumbnails.published_name(sent): sent.sha256}
    measured = {} if made.job.measured_json is None else {"measured": orjson.loads(made.job.measured_json)}
    return {
        "tools": [tool for attempt in done for tool in orjson.loads(attempt.tools_json)],
        "engines": sorted({attempt.engine_id for attempt in done}),
        **measured,
        "sha256": {output.row.path: output.row.sha256 for output in made.published()} | own,
    }
