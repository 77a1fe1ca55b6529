"""Uploads begin here: room reserved, the row saved with the answer of its Idempotency-Key, or parts put together."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from dispatch.core import uploads
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.copying import replace
from dispatch.core.records import Upload
from dispatch.core.tus import Creation
from dispatch.ports import Clock, Ids, Transaction
from dispatch.services.idempotency import Answered, Idempotency
from dispatch.services.reservations import Reservations
from dispatch.services.uploads import UploadService
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import API
from protocol.storage import NotFound, StorageProvider

log = structlog.get_logger("uploads")
CREATED = 201


@dataclass(frozen=True, slots=True)
class Begun:
    """The answer, and the upload as it stands now; None when it is gone since the first call with this key."""

    answer: Answered
    upload: Upload | None


class UploadCreation:
    def __init__(
        self,
        once: Idempotency,
        service: UploadService,
        storage: StorageProvider,
        reservations: Reservations,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._once, self._uploads, self._storage, self._reserved = once, service, storage, reservations
        self._ids, self._clock = ids, clock

    async def create(self, who: Caller, wanted: Creation, key: IdempotencyKey | None = None) -> Begun:
        """Raises UPLOAD_TOO_LARGE, UPLOAD_LIMIT, STORAGE_FULL, QUOTA_EXCEEDED, and for parts what is wrong with them."""
        earlier = await self._once.replay(who, key)
        if earlier is not None:
            return await self._again(who, earlier)
        now = self._clock.now()
        new = uploads.created(wanted, who, upload_id=self._ids.new("upl", now), now=now, spans=self._uploads.spans)
        made = await (self._join(who, new, key) if new.parts else self._begin(who, new, key))
        if made.answer.replayed or new.size != 0:
            return made
        return Begun(made.answer, await self._uploads.fill_empty(new))

    async def _begin(self, who: Caller, new: Upload, key: IdempotencyKey | None) -> Begun:
        if new.size is not None:
            await self._reserved.take(new.upload_id, new.tenant, new.size)
        try:
            made = await self._save(who, new, key)
        except BaseException:
            self._reserved.release(new.upload_id)
            raise
        if made.answer.replayed:
            self._reserved.release(new.upload_id)
        self._reserved.counted(new.upload_id, new.size or 0)
        return made

    async def _join(self, who: Caller, new: Upload, key: IdempotencyKey | None) -> Begun:
        """The parts stay, for as long as they are kept anyway."""
        parts = await self._uploads.parts(who, new.parts)
        size = uploads.joined(parts, self._uploads.spans)
        await self._reserved.take_room(new.upload_id, new.tenant, size)
        try:
            await self._storage.concatenate([part.path for part in parts], new.path)
        except NotFound as lost:
            raise ReelyardError(ErrorCode.UPLOAD_GONE) from lost
        else:
            whole = uploads.stored(replace(new, size=size), size, now=self._clock.now(), spans=self._uploads.spans)
            return await self._save(who, whole, key)
        finally:
            self._reserved.release(new.upload_id)

    async def _save(self, who: Caller, upload: Upload, key: IdempotencyKey | None) -> Begun:
        answer = Answered(CREATED, b"", {"Location": f"{API}/uploads/{upload.upload_id}"})

        def save(tx: Transaction) -> Answered:
            if upload.state == uploads.OPEN:
                uploads.check_count(tx.count_open_uploads(upload.tenant), self._uploads.spans)
            tx.insert_upload(upload)
            return answer

        given = await self._once.transact(who, key, save)
        if given.replayed:
            return await self._again(who, given)
        log.info("upload_begun", upload=upload.upload_id, tenant=upload.tenant, size=upload.size, parts=len(upload.parts))
        return Begun(given, upload)

    async def _again(self, who: Caller, answer: Answered) -> Begun:
        upload_id = answer.headers["Location"].rpartition("/")[2]
        try:
            return Begun(answer, await self._uploads.look(who, upload_id))
        except ReelyardError:
            return Begun(answer, None)
