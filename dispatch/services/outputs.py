"""What completed jobs published, as clients read it: signed links, single files by their stable address, the archive's list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import orjson

from dispatch.core.callers import Caller
from dispatch.core.publication import METADATA, published_prefix, published_rows
from dispatch.core.records import Graph, Job, StagedRow
from dispatch.core.times import rfc3339
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.jobs import visible
from protocol import signing
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import OutputLink, OutputsReply
from protocol.results import FileRole, OutputFacts
from protocol.states import JobState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """`path` is below the job's outputs, `storage_path` is where it lies."""

    path: str
    storage_path: str
    size: int


@dataclass(frozen=True, slots=True)
class Published:
    """Everything a job published; `completed_at` is a Unix time."""

    job_id: str
    completed_at: float
    files: tuple[PublishedFile, ...]


class OutputService:
    """`public_url` stands before signed links, for a CDN or a proxy in front of this server; they are paths without it."""

    def __init__(self, store: Store, clock: Clock, secret: bytes, public_url: str) -> None:
        self._store, self._clock, self._secret = store, clock, secret
        self._base = public_url.rstrip("/")

    async def links(self, who: Caller, job_id: str, *, expires_in: int) -> OutputsReply:
        """Signed links under one prefix, good for `expires_in` seconds. Raises OUTPUTS_NOT_READY or OUTPUTS_PURGED."""
        job, staged = await self._load(who, job_id, lambda tx: tx.staged(job_id))
        rows = published_rows(job, staged)
        expiry = int(self._clock.now()) + expires_in
        prefix = published_prefix(job)
        base = f"{self._base}/files/s/{signing.sign(self._secret, method='GET', prefix=prefix, expiry=expiry)}/{prefix}"
        files = (*(_link(row, base) for row in rows), *_picture_link(job, base), *_metadata_link(job, base))
        return OutputsReply(job_id=job_id, expires_at=rfc3339(expiry), files=files)

    async def path(self, who: Caller, job_id: str, path: str) -> str:
        """Where a published file lies in the storage. Raises as `links` does, and FILE_NOT_FOUND."""
        job, known = await self._load(who, job_id, lambda tx: tx.staged_paths([job_id]))
        if path != METADATA and (job_id, path) not in known and path not in {place["path"] for place in _picture_place(job)}:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        return f"{published_prefix(job)}/{path}"

    async def published(self, who: Caller, job_id: str) -> Published:
        """Every file with its size, metadata.json first. Raises as `links` does."""
        job, staged = await self._load(who, job_id, lambda tx: tx.staged(job_id))
        rows = published_rows(job, staged)
        prefix, place = published_prefix(job), _metadata_place(job)
        metadata = () if place is None else (PublishedFile(METADATA, f"{prefix}/{METADATA}", int(place["size_bytes"])),)
        files = tuple(PublishedFile(row.path, f"{prefix}/{row.path}", row.size) for row in rows)
        own = (PublishedFile(str(p["path"]), f"{prefix}/{p['path']}", int(p["size_bytes"])) for p in _picture_place(job))
        return Published(job_id, job.completed_at or job.updated_at, (*metadata, *files, *own))

    async def _load(self, who: Caller, job_id: str, more: Callable[[Transaction], T]) -> tuple[Job, T]:
        def load(tx: Transaction) -> tuple[Job, T]:
            graph = visible(tx, who, job_id)
            require_outputs(graph)
            return graph.job, more(tx)

        return await self._store.read(load)


def require_outputs(graph: Graph) -> None:
    if graph.job.state is not JobState.COMPLETED:
        raise ReelyardError(ErrorCode.OUTPUTS_NOT_READY, details={"state": str(graph.job.state)})
    if graph.job.outputs_purged_at is not None:
        raise ReelyardError(ErrorCode.OUTPUTS_PURGED, details={"purged_at": rfc3339(graph.job.outputs_purged_at)})


def _metadata_place(job: Job) -> dict[str, str | int] | None:
    """A job that publishes nothing has none."""
    if job.outputs_json is None:
        return None
    place: dict[str, str | int] = orjson.loads(job.outputs_json)["outputs"]["metadata_json"]
    return place


def _picture_place(job: Job) -> tuple[dict[str, str | int], ...]:
    """The client's own thumbnail, where it was published as it was sent: it is among no task's files, and tells its digest."""
    outputs = {} if job.outputs_json is None else orjson.loads(job.outputs_json)["outputs"]
    place = outputs.get("thumbnails", {}).get("custom")
    return () if place is None or "sha256" not in place else (place,)


def _picture_link(job: Job, base: str) -> tuple[OutputLink, ...]:
    return tuple(
        OutputLink(
            path=str(place["path"]),
            role=str(FileRole.THUMBNAIL),
            rendition=None,
            size_bytes=int(place["size_bytes"]),
            sha256=str(place["sha256"]),
            url=f"{base}/{place['path']}",
        )
        for place in _picture_place(job)
    )


def _metadata_link(job: Job, base: str) -> tuple[OutputLink, ...]:
    place = _metadata_place(job)
    if place is None:
        return ()
    url, size, digest = f"{base}/{METADATA}", int(place["size_bytes"]), str(place["sha256"])
    return (OutputLink(path=METADATA, role="metadata", rendition=None, size_bytes=size, sha256=digest, url=url),)


def _link(row: StagedRow, base: str) -> OutputLink:
    facts = OutputFacts.model_validate_json(row.facts_json)
    return OutputLink(
        path=row.path,
        role=str(facts.role),
        rendition=facts.rendition,
        size_bytes=row.size,
        sha256=row.sha256,
        url=f"{base}/{row.path}",
    )
