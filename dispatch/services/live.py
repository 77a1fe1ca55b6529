"""Shows live streams: takes what the attempt that streams shows, hands it to players, and clears it away after the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog

from dispatch.core import live
from dispatch.core.callers import Caller
from dispatch.core.live import Shown
from dispatch.core.records import Attempt, Graph
from dispatch.core.times import rfc3339
from dispatch.core.views import job_view
from dispatch.ports import Clock, Commit, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.files import FileService, Readable, as_client_error
from dispatch.services.jobs import Versions, visible
from protocol import signing
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobView
from protocol.live import LiveLink
from protocol.states import TERMINAL_JOB_STATES
from protocol.storage import AlreadyExists, StorageError, StorageProvider

log = structlog.get_logger("live")
LINK_S = 24 * 3600
MOST_PLAYLIST_BYTES, MOST_SEGMENT_BYTES = 256 << 10, 256 << 20
KEPT_SEGMENTS = 30
"""So many that a playlist names no more are kept: players lag behind."""

MOST_CLEARED = 600
"""Segments that one playlist lets go: whatever number an engine tells, it is no reason to look for as many files."""

LINGER_S = 30.0
"""How long players may still read what was shown, once the job has ended."""


class LiveService:
    """A link to read and one to write are both signed for the directory of one attempt."""

    def __init__(
        self, store: Store, storage: StorageProvider, files: FileService, clock: Clock, secret: bytes, public_url: str = ""
    ) -> None:
        self._store, self._storage, self._files = store, storage, files
        self._clock, self._secret, self._base = clock, secret, public_url.rstrip("/")
        self._cleared: dict[str, int] = {}

    async def put(self, signature: str, path: str, blocks: AsyncIterator[bytes]) -> None:
        """Segments are written once, and again is harmless; playlists are replaced.

        Raises STALE_LEASE once the attempt does not run any more, LINK_INVALID, VALIDATION_FAILED, STORAGE_FULL.
        """
        signing.check(self._secret, signature, method="PUT", path=path, now=self._clock.now())
        file = _checked(path)
        await self._store.read(lambda tx: _fenced(tx, file))
        try:
            if file.is_playlist:
                await self._replace(path, await _whole(blocks))
            else:
                await self._storage.write(path, _limited(blocks, MOST_SEGMENT_BYTES), create_only=True)
        except AlreadyExists:
            return
        except StorageError as error:
            raise as_client_error(error) from error

    async def _replace(self, path: str, content: bytes) -> None:
        await self._storage.write(path, _one(content), create_only=False)
        first, folder = live.first_named(content), path.rpartition("/")[0]
        if first is None:
            return
        begin = self._cleared.get(folder, 0)
        for number in range(begin, min(first - KEPT_SEGMENTS, begin + MOST_CLEARED)):
            await self._storage.delete(f"{folder}/segment_{number:03d}.ts")
            self._cleared[folder] = number + 1

    async def playlist(self, signature: str, method: str, path: str) -> bytes:
        """As a whole: one that is replaced while it is sent would be neither of the two."""
        self._check_read(signature, method, path)
        try:
            return b"".join([block async for block in await self._storage.read(path)])
        except StorageError as error:
            raise as_client_error(error) from error

    async def segment(self, signature: str, method: str, path: str) -> Readable:
        self._check_read(signature, method, path)
        return await self._files.open_output(path)

    def _check_read(self, signature: str, method: str, path: str) -> None:
        signing.check(self._secret, signature, method=method, path=path, now=self._clock.now())
        if live.shown(path) is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)

    async def link(self, who: Caller, job_id: str) -> LiveLink:
        """Raises LIVE_NOT_STREAMING while there is nothing to watch."""
        master = await self._store.read(lambda tx: live.live_master(visible(tx, who, job_id)))
        if master is None:
            raise ReelyardError(ErrorCode.LIVE_NOT_STREAMING)
        expiry = int(self._clock.now()) + LINK_S
        signature = signing.sign(self._secret, method="GET", prefix=master.rpartition("/")[0], expiry=expiry)
        return LiveLink(url=f"{self._base}/files/live/{signature}/{master}", expires_at=rfc3339(expiry))

    async def stop(self, who: Caller, job_id: str, versions: Versions = None) -> JobView:
        """Raises INVALID_TRANSITION where nothing streams that could be stopped. Repeated it is harmless."""
        now = self._clock.now()

        def stop(tx: Transaction) -> JobView:
            before = visible(tx, who, job_id, versions)
            after = live.stop(before, now=now)
            tx.save([before], [after])
            if after is not before:
                audited(tx, who, "stop_job", job_id, now=now)
            return job_view(visible(tx, who, job_id), tx.job_attempts(job_id))

        return await self._store.transact(stop)


class LiveSweep:
    """A CommitListener and a duty: what was shown of a stream goes a while after its job has ended."""

    def __init__(self, store: Store, storage: StorageProvider, clock: Clock) -> None:
        self._store, self._storage, self._clock = store, storage, clock
        self._due: dict[str, float] = {}
        self._has_looked = False

    def __call__(self, commit: Commit) -> None:
        for job in commit.jobs:
            if job.source.kind == live.LIVE and job.state in TERMINAL_JOB_STATES:
                self._due.setdefault(job.job_id, self._clock.monotonic() + LINGER_S)

    def forget(self) -> None:
        self._due.clear()
        self._has_looked = False

    async def load(self) -> None:
        """Nothing: the first run looks at what lies there."""

    async def run_once(self) -> None:
        try:
            if not self._has_looked:
                await self._look()
            for job_id in [job_id for job_id, due in self._due.items() if due <= self._clock.monotonic()]:
                await self._storage.delete(f"{live.LIVE}/{job_id}")
                del self._due[job_id]
                log.info("live_bytes_removed", job=job_id)
        except StorageError as away:
            log.warning("live_bytes_wait", reason=away.reason)

    async def _look(self) -> None:
        """After a start: whatever lies there of jobs that do not run any more."""
        found = {file.path.split("/")[1] for file in await self._storage.list(live.LIVE) if file.path.count("/") > 1}
        graphs = await self._store.search(lambda tx: tx.graphs(found)) if found else {}
        for job_id in found:
            graph = graphs.get(job_id)
            if graph is None or graph.job.state in TERMINAL_JOB_STATES:
                self._due.setdefault(job_id, self._clock.monotonic() + LINGER_S)
        self._has_looked = True


def _checked(path: str) -> Shown:
    file = live.shown(path)
    if file is None:
        raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
    return file


def _fenced(tx: Transaction, file: Shown) -> tuple[Graph, Attempt]:
    attempt = tx.attempts_of([file.token]).get(file.token)
    graph = tx.graphs([file.job_id]).get(file.job_id)
    if attempt is None or graph is None or attempt.job_id != file.job_id or not live.is_shown_by(graph, attempt):
        raise ReelyardError(ErrorCode.STALE_LEASE)
    return graph, attempt


async def _whole(blocks: AsyncIterator[bytes]) -> bytes:
    return b"".join([block async for block in _limited(blocks, MOST_PLAYLIST_BYTES)])


async def _limited(blocks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    taken = 0
    async for block in blocks:
        taken += len(block)
        if taken > most:
            raise ReelyardError(ErrorCode.BODY_TOO_LARGE)
        yield block


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
