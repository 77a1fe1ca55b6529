"""An upload past the server, where its storage takes the bytes itself: the file whole, or in parts that are sent again."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from pydantic import ValidationError
from yarl import URL

from client import tus
from client.errors import ClientCode, ClientError, Unreachable, Unreadable
from client.patience import Patience
from client.transport import Call, Transport, json_body
from client.tus import LocalFacts
from client.upload import Progress
from protocol.base import Message
from protocol.errors import ErrorCode, ReelyardError
from protocol.uploads import DirectFinish, DirectPlace, DirectRequest, UploadView

BLOCK = 1 << 18
DIGESTED_BYTES = 64 << 20
"""Files up to this size go up whole, and the storage checks their digest."""

MOST_STARTS = 3
EXISTS, EXPIRED = 412, frozenset({403, 404, 410})
NOT_DIRECT = frozenset({ErrorCode.UPLOAD_NOT_DIRECT, ErrorCode.ROUTE_NOT_FOUND, ErrorCode.UPLOAD_OFFSET})
"""The server takes the bytes itself, or is too old to know another way."""


class _StartOver(Exception):
    """The links hold no more, or what came by them is gone."""


class Sent(Message):
    """Where the parts of a file go, and which of them are there: what the next run goes on from."""

    place: DirectPlace
    done: frozenset[int] = frozenset()


@dataclass(slots=True)
class Keep:
    """`path` is a file for its user alone, for it holds links; None keeps nothing."""

    path: Path | None = None

    def read(self, upload_id: str) -> Sent | None:
        try:
            sent = None if self.path is None else Sent.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None
        return sent if sent is not None and sent.place.upload_id == upload_id else None

    def write(self, sent: Sent) -> None:
        if self.path is None or not sent.place.parts:
            return
        beside = self.path.with_suffix(".new")
        with suppress(OSError):  # a full disk costs the comfort, not the upload
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(sent.model_dump_json())
            beside.replace(self.path)

    def forget(self) -> None:
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


async def send(transport: Transport, file: LocalFacts, upload_id: str, progress: Progress, keep: Keep) -> bool:
    """Send the whole file, on from where an earlier run broke off. False where the bytes have to go to the server itself.

    Raises ClientError LOCAL_FILE when the file changes meanwhile.
    """
    with _open(file) as source:  # at once: in a thread, a cancel would leave it open
        for _ in range(MOST_STARTS):
            try:
                sent = keep.read(upload_id) or await _begun(transport, file, upload_id)
                if sent is None or not await _Sending(transport, file, source, sent, progress, keep).run():
                    return False
            except _StartOver:
                keep.forget()
                continue
            keep.forget()
            if tus.facts_of(file.path) != file:
                raise _changed(file)
            return True
    raise Unreadable(502, "the storage refuses the links that the server gave for this upload")


async def _begun(transport: Transport, file: LocalFacts, upload_id: str) -> Sent | None:
    digest = await asyncio.to_thread(_sha256, file) if file.size <= DIGESTED_BYTES else None
    call = Call("direct_upload", ids={"upload_id": upload_id}, make_body=json_body(DirectRequest(sha256=digest)))
    patience = Patience(transport.longest_wait_s)
    while True:
        try:
            return Sent(place=await transport.ask(call, DirectPlace))
        except (ReelyardError, ClientError) as error:
            if isinstance(error, ReelyardError) and error.code in NOT_DIRECT:
                return None
            await patience.bear(error, at=0)


@dataclass(slots=True)
class _Sending:
    transport: Transport
    file: LocalFacts
    source: BinaryIO
    sent: Sent
    progress: Progress
    keep: Keep

    async def run(self) -> bool:
        """False where the storage cannot be reached from here at all."""
        place, size = self.sent.place, self.file.size
        span, is_first = place.part_bytes or size, True
        self.progress(min(size, len(self.sent.done) * span), size)
        for number, link in enumerate(place.parts or (place.url,)):
            if number in self.sent.done:
                continue
            try:
                await self._put(link, (number * span, span), is_first=is_first)
            except Unreachable:
                if is_first:
                    return False
                raise
            is_first, self.sent = False, self.sent.model_copy(update={"done": self.sent.done | {number}})
            self.keep.write(self.sent)
        await self._finish()
        return True

    async def _put(self, link: str, span: tuple[int, int], *, is_first: bool = False) -> None:
        """The storage proves each body by its MD5. Raises _StartOver, and Unreachable for a first one that never got through."""
        patience, start = Patience(self.transport.longest_wait_s), span[0]
        size = min(span[1], self.file.size - start)
        digest = base64.b64encode(await asyncio.to_thread(_md5, self.source, start, size)).decode()
        headers = {**self.sent.place.headers, "Content-MD5": digest}
        while True:
            body = _Part(self.source, start, size, self)
            try:
                await self._once(URL(link, encoded=True), headers, body)
                return
            except (ReelyardError, ClientError) as error:
                if body.fault is not None:
                    raise body.fault from error
                if is_first and isinstance(error, Unreachable) and error.is_unsent:
                    raise
                await patience.bear(error, at=start)

    async def _once(self, url: URL, headers: dict[str, str], body: aiohttp.payload.Payload) -> None:
        async with self.transport.send("PUT", url, headers, body) as response:
            if response.status in EXPIRED:
                raise _StartOver
            if response.status == EXISTS or response.ok:
                return
            raise Unreadable(response.status, f"the storage answered {response.status} to the upload")

    async def _finish(self) -> None:
        told, patience = DirectFinish(write=self.sent.place.write), Patience(self.transport.longest_wait_s)
        call = Call("finish_upload", ids={"upload_id": self.sent.place.upload_id}, make_body=json_body(told))
        while True:
            try:
                await self.transport.ask(call, UploadView)
                return
            except (ReelyardError, ClientError) as error:
                if isinstance(error, ReelyardError) and error.code is ErrorCode.UPLOAD_UNFINISHED:
                    raise _StartOver from error
                await patience.bear(error, at=self.file.size)


class _Part(aiohttp.payload.Payload):
    """Bytes of the file, read as they go out. What the caller's `progress` raises is kept as `fault`."""

    def __init__(self, source: BinaryIO, start: int, size: int, sending: _Sending) -> None:
        super().__init__(source, content_type="application/octet-stream")
        self._source, self._start, self._size, self._sending = source, start, size, sending
        self.fault: BaseException | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a file is streamed, never held in memory as text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        at, end, file = self._start, self._start + (self._size or 0), self._sending.file
        while at < end:
            block = await asyncio.to_thread(os.pread, self._source.fileno(), min(BLOCK, end - at), at)
            if not block:
                self.fault = _changed(file)
                raise self.fault
            await writer.write(block)
            at += len(block)
            try:
                self._sending.progress(at, file.size)
            except BaseException as fault:
                self.fault = fault
                raise


def _open(file: LocalFacts) -> BinaryIO:
    try:
        return file.path.open("rb")
    except OSError as error:
        raise ClientError(ClientCode.LOCAL_FILE, f"cannot read {file.path}: {error.strerror or error}") from error


def _sha256(file: LocalFacts) -> str:
    with file.path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _md5(source: BinaryIO, start: int, size: int) -> bytes:
    digest, at = hashlib.md5(usedforsecurity=False), start
    while at < start + size and (block := os.pread(source.fileno(), min(BLOCK, start + size - at), at)):
        digest.update(block)
        at += len(block)
    return digest.digest()


def _changed(file: LocalFacts) -> ClientError:
    return ClientError(ClientCode.LOCAL_FILE, f"{file.path} changed while it was sent; submit it again")
