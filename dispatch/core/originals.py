"""Where a job's original lies in the storage, and which job a file there belongs to. Pure."""

from __future__ import annotations

import re

import orjson

from dispatch.core.records import Job
from dispatch.core.thumbnails import of_job
from protocol.states import TERMINAL_JOB_STATES

_NAME = re.compile(r"(job_[0-9a-z]+)_(?:original(?:-[0-9]+)?|thumbnail|attachment-[a-z0-9_-]+)\.[A-Za-z0-9]+")


def extension_of(filename: str) -> str:
    """The client's ending when it is plain, else `bin`; it names a file, it decides nothing."""
    found = re.search(r"\.([A-Za-z0-9]{1,8})$", filename)
    return found.group(1).lower() if found else "bin"


def original_path(job: Job, filename: str) -> str:
    return f"{job.root}/raw/{job.job_id}_original.{extension_of(filename)}"


def second_path(job: Job, filename: str, token: int) -> str:
    """The name for an attempt that finds other bytes under the first one."""
    return f"{job.root}/raw/{job.job_id}_original-{token}.{extension_of(filename)}"


def job_of_original(path: str) -> str | None:
    """The id of the job the file was made for; None for what is no original."""
    found = _NAME.fullmatch(path.rsplit("/", 1)[-1])
    return found.group(1) if found else None


def is_left_behind(path: str, job: Job) -> bool:
    """Whether the job, which is over, refers to other files or to none."""
    return job.state in TERMINAL_JOB_STATES and path not in brought_paths(job)


def brought_paths(job: Job) -> tuple[str, ...]:
    """What came in for the job and lies in the storage: its original, the client's own picture, files beside them."""
    picture = of_job(job)
    source = (job.source.path,) if job.source.kind == "storage" else ()
    beside = [str(one["path"]) for one in orjson.loads(job.attachments_json or "{}").values()]
    return (*source, *((picture.path,) if picture is not None else ()), *beside)
