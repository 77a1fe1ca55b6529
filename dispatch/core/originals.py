"""Where a job's original lies in the storage, and which job a file there belongs to. Pure."""

from __future__ import annotations

import re

from dispatch.core.records import Job
from dispatch.core.thumbnails import of_job
from protocol.states import TERMINAL_JOB_STATES

_NAME = re.compile(r"(job_[0-9a-z]+)_(?:original(?:-[0-9]+)?|thumbnail)\.[A-Za-z0-9]+")


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
    picture = of_job(job)
    is_source, is_picture = job.source.kind == "storage" and job.source.path == path, picture is not None and picture.path == path
    return job.state in TERMINAL_JOB_STATES and not is_source and not is_picture
