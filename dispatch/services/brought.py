"""What a client brought for a job, by an upload or with the form: checked, and named for good before the job's row is
written. What becomes no job is removed again; what a crash leaves, housekeeping finds."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import structlog

from dispatch.core import attachments, sniffing, thumbnails, uploads
from dispatch.core.attachments import Attached
from dispatch.core.callers import Caller
from dispatch.core.originals import extension_of
from dispatch.core.records import Job, Source, Upload
from dispatch.core.tenancy import root_of
from dispatch.core.thumbnails import Picture
from dispatch.ports import Clock, Ids, Transaction
from dispatch.services.sources import Checked, Sources
from dispatch.services.uploads import UploadService
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput
from protocol.storage import NotFound, StorageError, StorageProvider, Written

log = structlog.get_logger("uploads")


class BroughtFiles:
    def __init__(self, uploads: UploadService, storage: StorageProvider, sources: Sources, ids: Ids, clock: Clock) -> None:
        self._uploads, self._storage, self._sources = uploads, storage, sources
        self._ids, self._clock = ids, clock

    async def take(self, who: Caller, checked: Checked) -> Checked:
        """The submission with its uploads under names of the job's own. Raises UPLOAD_NOT_FOUND, UPLOAD_UNFINISHED,
        UPLOAD_GONE, and what is wrong with the files; then nothing is left behind."""
        wanted, thumbnail = checked.submission.input, checked.submission.thumbnail
        upload_id = None if wanted is None else wanted.upload_id
        if upload_id is None and thumbnail is None and not checked.submission.attachments:
            return checked
        named = replace(checked, job_id=checked.job_id or self._ids.new("job", self._clock.now()))
        try:
            if upload_id is not None:
                named = await self._original(who, named, upload_id)
            if thumbnail is not None:
                named = await self._thumbnail(who, named, thumbnail.upload_id)
            named = await self._attachments(who, named)
        except BaseException:
            await self.drop(named.brought)
            raise
        return named

    async def _original(self, who: Caller, checked: Checked, upload_id: str) -> Checked:
        upload = await self._uploads.usable(who, upload_id)
        head = await self._head(upload, sniffing.SNIFF_BYTES)
        path = f"{self._root(who)}/raw/{checked.job_id}_original.{extension_of(upload.filename)}"
        source = Source("storage", path, upload.filename, upload.received)
        self._sources.check_bytes(source.size, head)
        await self._uploads.give(upload, path)
        return replace(checked, source=source, brought=(*checked.brought, path))

    async def _thumbnail(self, who: Caller, checked: Checked, upload_id: str) -> Checked:
        if checked.profile.is_noop or checked.profile.live is not None:
            raise thumbnails.refused(f"is of no use to profile {checked.profile.name}, which publishes none")
        upload = await self._uploads.usable(who, upload_id)
        head = await self._head(upload, thumbnails.HEAD_BYTES)
        type_ = thumbnails.checked_type(head, size=upload.received)
        digest = hashlib.sha256()
        async for block in await self._storage.read(upload.path):
            digest.update(block)
        path = thumbnails.path_of(self._root(who), checked.job_id or "", type_)
        await self._uploads.give(upload, path)
        picture = Picture(path, upload.received, digest.hexdigest(), type_)
        return replace(checked, thumbnail_json=thumbnails.stored(picture), brought=(*checked.brought, path))

    async def _attachments(self, who: Caller, checked: Checked) -> Checked:
        wanted, found = checked.submission.attachments, {}
        uses = attachments.uses_of(checked.profile, wanted)
        try:
            for name, told in wanted.items():
                upload = await self._uploads.usable(who, told.upload_id)
                head = await self._head(upload, sniffing.SNIFF_BYTES)
                attachments.check(name, uses[name], head, upload.received, most_bytes=self._sources.rules.limits.max_bytes)
                path = attachments.path_of(self._root(who), checked.job_id or "", name, upload.filename)
                await self._uploads.give(upload, path)
                checked = replace(checked, brought=(*checked.brought, path))
                found[name] = Attached(path, upload.received, upload.filename, uses[name], told.language)
        except BaseException:
            await self.drop(file.path for file in found.values())
            raise
        return replace(checked, attachments_json=attachments.stored(found))

    async def picture(self, path: str, written: Written) -> Picture:
        """The picture that came with a form, as it was stored. Raises VALIDATION_FAILED."""
        head = await self._first(path, thumbnails.HEAD_BYTES)
        return Picture(path, written.size, written.sha256, thumbnails.checked_type(head, size=written.size))

    async def head(self, path: str) -> bytes:
        """The first bytes of an original that came with a form."""
        return await self._first(path, sniffing.SNIFF_BYTES)

    async def drop(self, paths: Iterable[str]) -> None:
        for path in paths:
            try:
                await self._storage.delete(path)
            except StorageError as away:  # what is wrong with the submission itself is what the client is told
                log.warning("upload_left_behind", path=path, reason=away.reason)

    def _root(self, who: Caller) -> str:
        return root_of(self._sources.tenant_of(who))

    async def _head(self, upload: Upload, length: int) -> bytes:
        try:
            return await self._first(upload.path, length)
        except NotFound:
            raise ReelyardError(ErrorCode.UPLOAD_GONE, details={"upload_id": upload.upload_id}) from None

    async def _first(self, path: str, length: int) -> bytes:
        return await _joined(await self._storage.read(path, 0, length))


def mark_used(tx: Transaction, jobs: Iterable[Job]) -> None:
    """What these new jobs got from uploads counts as theirs from now on."""
    inputs = [JobInput.model_validate_json(job.input_json) for job in jobs if job.input_json and "upload_id" in job.input_json]
    for upload in tx.uploads_of([told.upload_id for told in inputs if told.upload_id is not None]).values():
        if upload.state == uploads.FINISHED:
            tx.save_upload(upload, replace(upload, state=uploads.USED))


async def _joined(blocks: AsyncIterator[bytes]) -> bytes:
    return b"".join([block async for block in blocks])
