"""Uploads that go past this server: it says where the file goes, and looks what came when the client is done.

A client that asks twice begins anew, and what it sent before is forgotten. Nothing counts as received before it was looked at.
"""

from __future__ import annotations

import structlog

from dispatch.core import uploads
from dispatch.core.callers import Caller
from dispatch.core.records import Upload
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.files import as_client_error
from dispatch.services.uploads import UploadService
from protocol.errors import ErrorCode, ReelyardError
from protocol.storage import AlreadyExists, DirectAccess, DirectWrite, NotFound, StorageError, StorageProvider
from protocol.uploads import DirectFinish, DirectPlace, DirectRequest

log = structlog.get_logger("uploads")
LINK_S = 43_200
"""A large file by a slow line; whoever needs longer begins anew."""


class DirectUploads:
    def __init__(self, store: Store, storage: StorageProvider, service: UploadService, clock: Clock) -> None:
        self._store, self._storage, self._uploads, self._clock = store, storage, service, clock

    def is_offered(self, upload: Upload) -> bool:
        """Whether its bytes could go past this server as it stands."""
        return self._storage.direct is not None and bool(upload.size) and not upload.parts and not upload.received

    async def place(self, who: Caller, upload_id: str, request: DirectRequest) -> DirectPlace:
        """Raises UPLOAD_NOT_FOUND, UPLOAD_GONE, UPLOAD_NOT_DIRECT, UPLOAD_OFFSET, and what the storage cannot do now."""
        before, direct = await self._uploads.look(who, upload_id), self._direct()
        size = uploads.going_past(before)
        way = await self._begin(direct, before, request, size)
        try:
            await self._note(who, upload_id, way.upload)
        except ReelyardError:
            await self._forget(direct, before.path, way.upload)
            raise
        await self._forget(direct, before.path, uploads.write_of(before))
        log.info("upload_goes_past", upload=upload_id, size=size, parts=len(way.parts))
        return DirectPlace(
            upload_id=upload_id,
            url=way.url or "",
            headers=dict(way.headers),
            parts=way.parts,
            part_bytes=way.part_bytes,
            write=way.upload,
            seconds=LINK_S,
        )

    async def finish(self, who: Caller, upload_id: str, request: DirectFinish) -> Upload:
        """Raises UPLOAD_UNFINISHED where bytes are missing, UPLOAD_TOO_LARGE where there are others than announced."""
        upload, direct = await self._uploads.look(who, upload_id), self._direct()
        if upload.state in uploads.WHOLE:
            return upload
        size = uploads.going_past(upload)
        try:
            if request.write is not None:
                await direct.finish_write(upload.path, request.write, size=size)
            found = await self._storage.stat(upload.path)
        except NotFound as missing:
            log.warning("upload_incomplete", upload=upload_id, reason=missing.reason)
            raise ReelyardError(
                ErrorCode.UPLOAD_UNFINISHED, "bytes of it are missing; send them again", details={"upload_id": upload_id}
            ) from missing
        except AlreadyExists:
            found = await self._storage.stat(upload.path)
        except StorageError as error:
            raise as_client_error(error) from error
        if found.size != size:
            raise ReelyardError(ErrorCode.UPLOAD_TOO_LARGE, "other bytes came than were announced", details={"max_bytes": size})
        try:
            return await self._uploads.advance(upload, size)
        except ReelyardError:
            now = await self._uploads.look(who, upload_id)  # another call has finished it, or it is gone
            if now.state not in uploads.WHOLE:
                raise
            return now

    def _direct(self) -> DirectAccess:
        if self._storage.direct is None:
            raise ReelyardError(ErrorCode.UPLOAD_NOT_DIRECT)
        return self._storage.direct

    async def _begin(self, direct: DirectAccess, upload: Upload, request: DirectRequest, size: int) -> DirectWrite:
        try:
            return await direct.start_write(upload.path, size=size, sha256=request.sha256, seconds=LINK_S)
        except StorageError as error:
            raise as_client_error(error) from error

    async def _note(self, who: Caller, upload_id: str, write: str | None) -> None:
        now = self._clock.now()

        def note(tx: Transaction) -> None:
            before = uploads.visible(tx.upload(upload_id), who, upload_id=upload_id)
            uploads.going_past(before)
            tx.save_upload(before, uploads.writing(before, write, now=now))

        await self._store.transact(note)

    async def _forget(self, direct: DirectAccess, path: str, write: str | None) -> None:
        """What cannot be forgotten now the storage forgets by itself, in time."""
        if write is None:
            return
        try:
            await direct.abort_write(path, write)
        except StorageError as away:
            log.warning("parts_left_behind", path=path, reason=away.reason)
