"""Resumable uploads: continued, used, ended (`upload_creation` begins them). Every byte that is told as received is on
stable storage: the file is synced first, then its row, then the client hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import structlog

from dispatch.core import uploads
from dispatch.core.callers import Caller
from dispatch.core.copying import replace
from dispatch.core.records import Upload
from dispatch.core.tus import Piece
from dispatch.core.uploads import Spans
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.claims import Claims
from dispatch.services.intake import STEP, Intake
from dispatch.services.reservations import Reservations
from dispatch.services.turns import STILL_S, Line, Turns
from protocol.errors import ErrorCode, ReelyardError
from protocol.storage import AlreadyExists, NotFound, StorageError, StorageProvider

log = structlog.get_logger("uploads")
ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Body:
    """What a request brings, and by which line."""

    blocks: AsyncIterator[bytes]
    line: Line


class UploadService:
    def __init__(
        self, store: Store, storage: StorageProvider, reservations: Reservations, clock: Clock, spans: Spans, claims: Claims
    ) -> None:
        self._store, self._storage, self._reserved = store, storage, reservations
        self._clock, self.spans = clock, spans
        self._turns = Turns(clock, claims)

    async def load(self) -> None:
        """After a restart: what open uploads may still bring is reserved again."""
        found = await self._store.read(lambda tx: tx.uploads_in(uploads.OPEN, limit=ALL))
        self._reserved.load((u.upload_id, u.tenant, u.size - u.received) for u in found if u.size is not None)

    async def fill_empty(self, upload: Upload) -> Upload:
        """An upload of no bytes is finished as soon as its file is there."""
        return await self._take_in(upload, Piece(0, 0), Intake(_nothing(), room=0, checksum=None))

    async def look(self, who: Caller, upload_id: str) -> Upload:
        """Where it stands. A request that stands still is ended first: what came of it counts."""
        await self._load(who, upload_id)
        await self._turns.settle(upload_id)
        return await self._load(who, upload_id)

    async def receive(self, who: Caller, upload_id: str, piece: Piece, body: Body) -> Upload:
        """A body that breaks off keeps what came of it, unless it announced a checksum."""
        await self._load(who, upload_id)
        async with self._turns.take(upload_id, body.line) as turn:
            before = await self._load(who, upload_id)
            upload = uploads.taking(before, piece, self.spans)
            if upload.state in uploads.WHOLE:
                return upload
            intake = Intake(turn.watched(body.blocks), room=uploads.room(upload, self.spans), checksum=piece.checksum)
            try:
                await self._reserve(before, upload, piece)
                after = await self._take_in(upload, piece, intake)
            except BaseException:
                self._release_unknown(before)
                raise
            self._release_unknown(after)
            return after

    def _release_unknown(self, upload: Upload) -> None:
        """Without a size that a row tells, nothing is reserved beyond the request that took it."""
        if upload.size is None:
            self._reserved.release(upload.upload_id)

    async def end(self, who: Caller, upload_id: str) -> None:
        """Row first, bytes later; a request that is sending to it is broken off."""
        now = self._clock.now()

        def end(tx: Transaction) -> Upload:
            before = uploads.visible(tx.upload(upload_id), who, upload_id=upload_id)
            tx.save_upload(before, uploads.ended(before, now=now))
            return before

        gone = await self._store.transact(end)
        self._reserved.release(upload_id)
        log.info("upload_ended", upload=upload_id, received=gone.received)
        await self._turns.settle(upload_id, whatever=True)
        direct, write = self._storage.direct, uploads.write_of(gone)
        try:
            if direct is not None and write is not None and gone.state == uploads.OPEN:
                await direct.abort_write(gone.path, write)
            await self._storage.delete(gone.path)
        except StorageError as away:  # the sweep does it again
            log.warning("upload_left_behind", upload=upload_id, reason=away.reason)

    async def parts(self, who: Caller, upload_ids: Sequence[str]) -> list[Upload]:
        """In this order. Raises UPLOAD_NOT_FOUND and UPLOAD_GONE."""
        found = await self._store.read(lambda tx: tx.uploads_of(upload_ids))
        return [uploads.visible(found.get(upload_id), who, upload_id=upload_id) for upload_id in upload_ids]

    async def usable(self, who: Caller, upload_id: str) -> Upload:
        """A finished upload of the caller's tenant. Raises UPLOAD_NOT_FOUND, UPLOAD_GONE, UPLOAD_UNFINISHED."""
        return uploads.usable(await self._store.read(lambda tx: tx.upload(upload_id)), who, upload_id=upload_id)

    async def give(self, upload: Upload, target: str) -> None:
        """A lasting name for its bytes, which outlives the upload. Raises UPLOAD_GONE."""
        try:
            await self._storage.concatenate([upload.path], target)
        except NotFound:
            raise ReelyardError(ErrorCode.UPLOAD_GONE, details={"upload_id": upload.upload_id}) from None

    async def _load(self, who: Caller, upload_id: str) -> Upload:
        return uploads.visible(await self._store.read(lambda tx: tx.upload(upload_id)), who, upload_id=upload_id)

    async def _reserve(self, before: Upload, upload: Upload, piece: Piece) -> None:
        """A known size is reserved whole, once, and anew when it has lapsed; the row it stands in counts for the quota.

        Else the body's length is, or nothing yet: then `_take_in` goes step by step.
        """
        coming = piece.length or 0 if upload.size is None else upload.size - upload.received
        more = coming - self._reserved.left(upload.upload_id)
        if more > 0:
            take = self._reserved.take if before.size is None else self._reserved.take_room
            await take(upload.upload_id, upload.tenant, more)
        else:
            self._reserved.renew(upload.upload_id)

    async def _take_in(self, upload: Upload, piece: Piece, intake: Intake) -> Upload:
        at, is_checked = upload.received, piece.checksum is not None
        while not intake.is_over:
            if upload.size is None and piece.length is None:
                await self._reserved.take(upload.upload_id, upload.tenant, STEP)
            at = await self._append(upload, at, intake)
            if not is_checked and upload.state not in uploads.WHOLE:  # a last step may find only the end of the body
                upload = await self.advance(upload, at)
        intake.verify()
        return await self.advance(upload, at) if is_checked else upload

    async def _append(self, upload: Upload, at: int, intake: Intake) -> int:
        try:
            return await self._storage.append(upload.path, at, intake.step())
        except (NotFound, AlreadyExists) as lost:
            log.error("upload_lost", upload=upload.upload_id, reason=lost.reason)
            raise ReelyardError(ErrorCode.UPLOAD_GONE, details={"upload_id": upload.upload_id}) from lost

    async def advance(self, upload: Upload, received: int) -> Upload:
        """Only what is open goes on: an upload that was ended meanwhile stays ended."""
        now = self._clock.now()

        def advance(tx: Transaction) -> Upload:
            before = tx.upload(upload.upload_id)
            if before is None or before.state != uploads.OPEN:
                raise ReelyardError(ErrorCode.UPLOAD_GONE, details={"upload_id": upload.upload_id})
            if before.received != upload.received:  # a server that had long been silent is there again
                raise ReelyardError(ErrorCode.UPLOAD_LOCKED, retry_after=STILL_S)
            after = uploads.stored(replace(before, size=upload.size), received, now=now, spans=self.spans)
            tx.save_upload(before, after)
            return after

        after = await self._store.transact(advance)
        self._reserved.came(upload.upload_id, received - upload.received)
        self._reserved.counted(upload.upload_id, after.size or received - upload.received)
        if after.state == uploads.FINISHED:
            self._reserved.release(after.upload_id)
            log.info("upload_finished", upload=after.upload_id, size=after.size)
        return after


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for block in none:
        yield block
