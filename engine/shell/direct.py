"""Results on their way past dispatch: it says where each file goes, the storage takes the bytes, and parts become one file.

What has gone up is noted beside the attempt, so that another engine process goes on with the parts that are missing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import aiohttp
from pydantic import ValidationError

from engine.ports import Unreachable
from engine.shell.download import check_answer
from engine.shell.transfer import BLOCK, TIMEOUT, Moved, Transfer
from engine.shell.tries import Again, TransferFailed, Tries
from protocol.base import Message
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import UploadFile, UploadFinish, UploadsReply, UploadsRequest, UploadTarget
from protocol.storage import Written

T = TypeVar("T")
BATCH_FILES, BATCH_BYTES = 100, 64 << 20
"""How many files are asked for at once, and about how much is read for their digests before the first goes up."""

MOST_STARTS = 3
"""So often one file is begun anew: its links expired, or the storage forgot its parts."""

LATER = frozenset({ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_FULL, ErrorCode.RATE_LIMITED, ErrorCode.SHUTTING_DOWN})
EXPIRED = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
"""What a storage answers to a link of yesterday, or to a part of a write it has forgotten."""


class Places(Protocol):
    """Dispatch, asked where files go. Both raise Unreachable, or ReelyardError with the code it answered."""

    async def uploads(self, task_id: str, request: UploadsRequest) -> UploadsReply: ...
    async def finish_upload(self, task_id: str, request: UploadFinish) -> None: ...


class StartOver(Exception):
    """The way that dispatch told leads nowhere any more; it may tell another."""


class Note(Message):
    """What has gone up of a file in parts."""

    file: UploadFile
    target: UploadTarget
    done: frozenset[int] = frozenset()


@dataclass(slots=True)
class DirectStaging:
    """The files of one attempt. `notes` is a directory of the attempt's own."""

    transfer: Transfer
    places: Places
    task_id: str
    token: int
    notes: Path
    _waiting: dict[str, Path] = field(default_factory=dict)
    _known: dict[str, Note] = field(default_factory=dict)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def expect(self, files: Sequence[tuple[str, Path]]) -> None:
        """These will come, about in this order: several are asked for at once."""
        self._waiting.update(files)

    async def put(self, path: str, source: Path, moved: Moved) -> Written:
        """One file past dispatch. Raises TransferFailed, and ReelyardError where dispatch wants it no more.

        What stands under the name already we put there before: the place holds our token.
        """
        tries = self.transfer.new_tries()

        def alive(count: int) -> None:
            tries.moved()
            moved(count)

        for _ in range(MOST_STARTS):
            note = await self._note(path, source, tries)
            sending = _Sending(self, note, source, tries, alive)
            try:
                await sending.run()
                return Written(note.file.size, note.file.sha256)
            except StartOver:
                self._forget(path)
        raise TransferFailed(f"output {path}: the storage refuses the links that dispatch gave")

    # --- where it goes

    async def _note(self, path: str, source: Path, tries: Tries) -> Note:
        async with self._asking:
            if path not in self._known:
                await self._ask(path, source, tries)
            self._waiting.pop(path, None)
            return self._known[path]

    async def _ask(self, path: str, source: Path, tries: Tries) -> None:
        files = [await asyncio.to_thread(_measured, *one) for one in self._batch(path, source)]
        for file in files:
            if (note := self._read(file)) is not None:
                self._known[file.path] = note
        wanted = tuple(file for file in files if file.path not in self._known)
        if not wanted:
            return
        reply = await self.call(
            f"output {path}", tries, lambda: self.places.uploads(self.task_id, UploadsRequest(token=self.token, files=wanted))
        )
        told = {target.path: target for target in reply.uploads}
        for file in wanted:
            if (target := told.get(file.path)) is None:
                raise TransferFailed(f"output {file.path}: dispatch did not say where it goes")
            note = self._known[file.path] = Note(file=file, target=target)
            self.write(note)

    def _batch(self, path: str, source: Path) -> list[tuple[str, Path]]:
        """The file itself, and small ones that come after it."""
        batch, size = [(path, source)], source.stat().st_size
        for other, place in self._waiting.items():
            size += place.stat().st_size
            if len(batch) == BATCH_FILES or size > BATCH_BYTES:
                break
            if other != path and other not in self._known:
                batch.append((other, place))
        return batch

    async def call(self, what: str, tries: Tries, once: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await once()
            except Unreachable as silence:
                await tries.pause(what, str(silence))
            except ReelyardError as refused:
                if refused.code not in LATER:
                    raise
                await tries.pause(what, refused.code)

    # --- what is noted beside the attempt

    def _file(self, path: str) -> Path:
        return self.notes / f"{hashlib.sha256(path.encode()).hexdigest()[:32]}.json"

    def _read(self, file: UploadFile) -> Note | None:
        """Of these very bytes."""
        try:
            note = Note.model_validate_json(self._file(file.path).read_bytes())
        except (OSError, ValidationError):
            return None
        return note if note.file == file else None

    def write(self, note: Note) -> None:
        """Only parts are worth a note: a whole file is sent again."""
        self._known[note.file.path] = note
        if not note.target.parts:
            return
        self.notes.mkdir(mode=0o700, exist_ok=True)
        path = self._file(note.file.path)
        beside = path.with_suffix(".new")
        beside.write_text(note.model_dump_json(), encoding="utf-8")
        beside.replace(path)

    def _forget(self, path: str) -> None:
        self._known.pop(path, None)
        self._file(path).unlink(missing_ok=True)


@dataclass(slots=True)
class _Sending:
    """One way of one file, until it is there or the way leads nowhere."""

    staging: DirectStaging
    note: Note
    source: Path
    tries: Tries
    moved: Moved

    async def run(self) -> None:
        target, size = self.note.target, self.note.file.size
        with self.source.open("rb") as file:
            if not target.parts:
                await self._put(file, target.url, (0, size))
                return
            self.moved(sum(self._span(number)[1] for number in self.note.done))
            for number, link in enumerate(target.parts):
                if number not in self.note.done:
                    await self._put(file, link, self._span(number))
                    self.note = self.note.model_copy(update={"done": self.note.done | {number}})
                    self.staging.write(self.note)
        await self._finish()

    def _span(self, number: int) -> tuple[int, int]:
        """The first byte of a part, and how many it has."""
        target, size = self.note.target, self.note.file.size
        start = number * target.part_bytes
        return start, min(target.part_bytes, size - start)

    async def _put(self, file: BinaryIO, link: str, span: tuple[int, int]) -> None:
        what, transfer = f"output {self.note.file.path}", self.staging.transfer
        headers = {"Content-Length": str(span[1]), "Content-Type": "application/octet-stream", **self.note.target.headers}
        while True:
            try:
                body = _blocks(file, *span, self.moved)
                url = transfer.url_of(link)
                async with transfer.session.put(url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False) as told:
                    if told.status == HTTPStatus.PRECONDITION_FAILED:
                        return  # there is one already, and it is ours
                    if told.status in EXPIRED:
                        raise StartOver
                    if told.status == HTTPStatus.CONFLICT:
                        raise Again("answered 409")
                    check_answer(told, what)
                    return
            except (aiohttp.ClientError, TimeoutError, ConnectionError, Again) as reason:
                await self.tries.pause(what, _told(reason))

    async def _finish(self) -> None:
        note, staging = self.note, self.staging
        request = UploadFinish(token=staging.token, file=note.file, upload=note.target.upload or "")
        try:
            await staging.call(
                f"output {note.file.path}", self.tries, lambda: staging.places.finish_upload(staging.task_id, request)
            )
        except ReelyardError as refused:
            if refused.code is ErrorCode.UPLOAD_UNFINISHED:
                raise StartOver from refused
            if refused.code is not ErrorCode.FILE_EXISTS:
                raise


def _measured(path: str, source: Path) -> UploadFile:
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return UploadFile(path=path, size=file.tell(), sha256=digest)


async def _blocks(file: BinaryIO, start: int, size: int, moved: Moved) -> AsyncIterator[bytes]:
    at, end = start, start + size
    while at < end:
        block = await asyncio.to_thread(os.pread, file.fileno(), min(BLOCK, end - at), at)
        if not block:
            raise TransferFailed("the file became shorter while it was sent")
        yield block
        at += len(block)
        moved(len(block))


def _told(reason: Exception) -> str:
    """Our own words, or what kind of a fault it was: texts of aiohttp may hold the link, which is a key."""
    return str(reason) if isinstance(reason, Again) else type(reason).__name__
