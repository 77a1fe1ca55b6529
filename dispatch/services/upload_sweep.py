"""A duty: uploads whose time is over are ended, then their bytes go, and a day later the row that told of it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dispatch.core import uploads
from dispatch.core.records import Upload
from dispatch.core.uploads import Spans
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.reservations import Reservations
from dispatch.services.sweeps import WallGuard
from protocol.storage import StorageError, StorageProvider

log = structlog.get_logger("uploads")
MOST_AT_ONCE = 500


class UploadSweep:
    def __init__(self, store: Store, storage: StorageProvider, reservations: Reservations, clock: Clock, spans: Spans) -> None:
        self._store, self._storage, self._reserved = store, storage, reservations
        self._clock, self._spans, self._wall = clock, spans, WallGuard(clock)

    async def run_once(self) -> None:
        """Nothing expires while the wall clock jumps. What cannot be removed now is removed next time."""
        may_expire = self._wall.agrees()
        if may_expire:
            await self._expire()
        try:
            await self._remove()
            if may_expire:
                await self._forget()
        except StorageError as away:
            log.warning("upload_sweep_waits", reason=away.reason)

    async def _expire(self) -> None:
        now = self._clock.now()

        def expire(tx: Transaction) -> list[Upload]:
            due = [
                upload
                for state in (uploads.OPEN, *uploads.WHOLE)
                for upload in tx.uploads_in(state, before=now, limit=MOST_AT_ONCE)
            ]
            for upload in due:
                tx.save_upload(upload, uploads.ended(upload, now=now))
            return due

        for upload in await self._store.transact(expire):
            self._reserved.release(upload.upload_id)
            log.info("upload_expired", upload=upload.upload_id, tenant=upload.tenant, state=upload.state)

    async def _remove(self) -> None:
        for upload in await self._store.read(lambda tx: tx.uploads_in(uploads.ENDING, limit=MOST_AT_ONCE)):
            await self._storage.delete(upload.path)
            after = uploads.gone(upload, now=self._clock.now(), spans=self._spans)
            await self._store.transact(_saving(upload, after))

    async def _forget(self) -> None:
        """The bytes once more: a request that was still running when the upload ended may have made the file anew."""
        now = self._clock.now()
        for upload in await self._store.read(lambda tx: tx.uploads_in(uploads.GONE, before=now, limit=MOST_AT_ONCE)):
            await self._storage.delete(upload.path)
            await self._store.transact(_forgetting(upload.upload_id))


def _saving(before: Upload, after: Upload) -> Callable[[Transaction], None]:
    def save(tx: Transaction) -> None:
        if tx.upload(before.upload_id) == before:
            tx.save_upload(before, after)

    return save


def _forgetting(upload_id: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.delete_upload(upload_id)
