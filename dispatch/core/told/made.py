"""The published files of a job with what was measured of each, and what else their telling needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dispatch.core.records import Graph, Job, StagedRow
from protocol.operations import API
from protocol.profiles import Profile
from protocol.results import FileRole, OutputFacts

Fields = dict[str, Any]
"""JSON under construction; it leaves as bytes."""

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Output:
    row: StagedRow
    facts: OutputFacts


@dataclass(frozen=True, slots=True)
class Made:
    """`took` is how long each step ran, in seconds, by its name."""

    graph: Graph
    profile: Profile
    outputs: tuple[Output, ...]
    took: Mapping[str, float | None]

    @property
    def job(self) -> Job:
        return self.graph.job

    def of(self, role: FileRole) -> list[Output]:
        return [output for output in self.outputs if output.facts.role is role]

    def published(self) -> list[Output]:
        hidden = kept_back(self.profile)
        return [output for output in self.outputs if output.facts.role not in hidden]

    def first(self, role: FileRole) -> Output | None:
        return next(iter(self.of(role)), None)


Teller = Callable[[Made], Fields]
"""Tells one kind of output by its key in `outputs`; empty where there is none. Every file in it is a place."""


def place(output: Output) -> Fields:
    """Where a file lies below the job's outputs, and its size: what `for_api` knows a file by."""
    return {"path": output.row.path, "size_bytes": output.row.size}


def kept_back(profile: Profile) -> frozenset[FileRole]:
    """What is told of and not published: what is encrypted must not lie in the clear beside itself."""
    encryption = profile.packaging.encryption if profile.packaging else None
    is_kept = encryption is not None and not encryption.publishes_clear
    return frozenset({FileRole.RENDITION}) if is_kept else frozenset()


def prefix_of(job: Job) -> str:
    return f"{job.root}/processed/{job.job_id}"


def url_of(job: Job, path: str) -> str:
    """The stable address; it answers with a link of the day."""
    return f"{API}/jobs/{job.job_id}/files/{path}"


def megabytes(size: int) -> float:
    return round(size / MB, 3)


def for_api(job: Job, value: Any) -> Any:  # JSON of any shape
    """The same for the API: every file in it, at any depth, with where it can be fetched."""
    if isinstance(value, list):
        return [for_api(job, each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: for_api(job, each) for key, each in value.items()}
    if "path" not in value:
        return inner
    path, size = value["path"], value["size_bytes"]
    where = {"url": url_of(job, path), "path": path, "minio_path": f"{prefix_of(job)}/{path}"}
    return {**where, "size_bytes": size, "size_mb": megabytes(size), **inner}
