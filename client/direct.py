"""An upload past the server, where its storage takes the bytes itself: the file whole, or in parts that are sent again."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from dataclasses import dataclass
from typing import BinaryIO

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from client import tus
from client.errors import ClientCode, ClientError, Unreachable, Unreadable
from client.patience import Patience
from client.transport import Call, Transport, json_body
from client.tus import LocalFacts
from client.upload import Progress
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


async def send(transport: Transport, file: LocalFacts, upload_id: str, progress: Progress) -> bool:
    """Send the whole file. False, with nothing sent, where the bytes have to go to the server itself.

    Raises ClientError LOCAL_FILE when the file changes meanwhile.
    """
    with await asyncio.to_thread(_open, file) as source:
        for _ in range(MOST_STARTS):
            try:
                place = await _place(transport, file, upload_id)
                if place is None:
                    return False
                if not await _Sending(transport, file, source, place, progress).run():
                    return False
            except _StartOver:
                continue
            if tus.facts_of(file.path) != file:
                raise _changed(file)
            return True
    raise Unreadable(502, "the storage refuses the links that the server gave for this upload")


async def _place(transport: Transport, file: LocalFacts, upload_id: str) -> DirectPlace | None:
    digest = await asyncio.to_thread(_sha256, file) if file.size <= DIGESTED_BYTES else None
    call = Call("direct_upload", ids={"upload_id": upload_id}, make_body=json_body(DirectRequest(sha256=digest)))
    patience = Patience(transport.longest_wait_s)
    while True:
        try:
            return await transport.ask(call, DirectPlace)
        except (ReelyardError, ClientError) as error:
            if isinstance(error, ReelyardError) and error.code in NOT_DIRECT:
                return None
            await patience.bear(error, at=0)


@dataclass(slots=True)
class _Sending:
    transport: Transport
    file: LocalFacts
    source: BinaryIO
    place: DirectPlace
    progress: Progress
    sent: int = 0

    async def run(self) -> bool:
        """False where the storage cannot be reached from here at all."""
        place, size = self.place, self.file.size
        self.progress(0, size)
        try:
            await self._put(place.url or place.parts[0], (0, place.part_bytes or size), is_first=True)
        except Unreachable:
            return False
        for number, link in enumerate(place.parts[1:], start=1):
            await self._put(link, (number * place.part_bytes, place.part_bytes))
        await self._finish()
        return True

    async def _put(self, link: str, span: tuple[int, int], *, is_first: bool = False) -> None:
        """The storage proves each body by its MD5. Raises _StartOver, and Unreachable for a first one that never got through."""
        patience, start = Patience(self.transport.longest_wait_s), span[0]
        size = min(span[1], self.file.size - start)
        digest = base64.b64encode(await asyncio.to_thread(_md5, self.source, start, size)).decode()
        headers = {**self.place.headers, "Content-MD5": digest}
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
        told, patience = DirectFinish(write=self.place.write), Patience(self.transport.longest_wait_s)
        call = Call("finish_upload", ids={"upload_id": self.place.upload_id}, make_body=json_body(told))
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
