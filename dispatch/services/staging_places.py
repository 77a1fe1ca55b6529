"""Where an engine puts each file of a live attempt: to this server, or past it where the storage hands out links.

Every place lies below the attempt's own token, so what a late engine sends can never stand for what another made.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from dispatch.core import lifecycle
from dispatch.core.records import Task
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.files import as_client_error
from dispatch.services.grants import GrantWriter, staging_prefix
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import UploadFile, UploadFinish, UploadsReply, UploadsRequest, UploadTarget
from protocol.storage import DirectAccess, NotFound, StorageError

log = structlog.get_logger("staging")
DIRECT_S = 86_400
"""How long a link to write is good, so that an engine goes on after a restart; one that expired is asked for again."""


@dataclass(frozen=True, slots=True)
class StagingPlaces:
    store: Store
    writer: GrantWriter
    direct: DirectAccess | None
    clock: Clock

    async def places(self, engine_id: str, task_id: str, request: UploadsRequest) -> UploadsReply:
        """Raises STALE_LEASE, and what keeps the storage from taking files."""
        task = await self._task(engine_id, task_id, request.token)
        base = self.writer.staging_url(task, now=self.clock.now())
        here = [UploadTarget(path=path, url=f"{base}/{path}") for path in request.paths]
        if self.direct is None:
            return UploadsReply(uploads=(*here, *(UploadTarget(path=f.path, url=f"{base}/{f.path}") for f in request.files)))
        return UploadsReply(uploads=(*here, *[await self._past(self.direct, task, file) for file in request.files]))

    async def _past(self, direct: DirectAccess, task: Task, file: UploadFile) -> UploadTarget:
        try:
            way = await direct.start_write(_place(task, file.path), size=file.size, sha256=file.sha256, seconds=DIRECT_S)
        except StorageError as error:
            raise as_client_error(error) from error
        return UploadTarget(
            path=file.path,
            url=way.url or "",
            headers=dict(way.headers),
            parts=way.parts,
            part_bytes=way.part_bytes,
            upload=way.upload,
        )

    async def finish(self, engine_id: str, task_id: str, request: UploadFinish) -> UploadTarget:
        """Make a file of its parts. Raises STALE_LEASE, UPLOAD_UNFINISHED where one is missing, FILE_EXISTS."""
        task = await self._task(engine_id, task_id, request.token)
        file = request.file
        if self.direct is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        try:
            await self.direct.finish_write(_place(task, file.path), request.upload, size=file.size)
        except NotFound as missing:
            log.warning("parts_missing", task=task_id, path=file.path, reason=missing.reason)
            raise ReelyardError(ErrorCode.UPLOAD_UNFINISHED, "parts of the file are missing; send them again") from missing
        except StorageError as error:
            raise as_client_error(error) from error
        return UploadTarget(path=file.path)

    async def _task(self, engine_id: str, task_id: str, token: int) -> Task:
        """As it was granted: with this token."""

        def find(tx: Transaction) -> Task:
            attempt = tx.attempts_of([token]).get(token)
            if attempt is None or (attempt.task_id, attempt.engine_id) != (task_id, engine_id):
                raise ReelyardError(ErrorCode.STALE_LEASE)
            graph = tx.graphs([attempt.job_id])[attempt.job_id]
            if not lifecycle.is_live(graph, attempt):
                raise ReelyardError(ErrorCode.STALE_LEASE)
            return graph.task(task_id)

        return await self.store.read(find)


def _place(task: Task, path: str) -> str:
    return f"{staging_prefix(task.job_id, task.task_id, task.token)}/{path}"
