"""Our own client of tus 1.0: begins an upload, sends a file in pieces with checksums, goes on where it broke off."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from client.errors import ClientCode, ClientError, Unreadable
from client.patience import Patience, is_passing
from client.transport import Call, Transport
from client.upload import Progress
from protocol.errors import ErrorCode, ReelyardError
from protocol.uploads import UploadState, UploadView

PIECE = 8 << 20
"""Bytes sent under one checksum: what a broken connection costs at most, and what is held in memory."""

BLOCK = 1 << 18
VERSION = {"Tus-Resumable": "1.0.0"}
GONE = frozenset({ErrorCode.UPLOAD_NOT_FOUND, ErrorCode.UPLOAD_GONE})


@dataclass(frozen=True, slots=True)
class LocalFacts:
    """What tells one state of a file from another."""

    path: Path
    size: int
    modified_ns: int


def facts_of(path: Path) -> LocalFacts:
    """Raises ClientError LOCAL_FILE."""
    try:
        found = path.stat()
    except OSError as error:
        raise ClientError(ClientCode.LOCAL_FILE, f"cannot read {path}: {error.strerror or error}") from error
    return LocalFacts(path.absolute(), found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Begun:
    """`received` is None when the call is a repeated one and the upload is gone since: it has served its job.

    `is_direct`: its bytes may go past the server, which tells where.
    """

    upload_id: str
    received: int | None
    is_direct: bool = False


async def begin(transport: Transport, file: LocalFacts, *, key: str) -> Begun:
    """The same key gives the same upload, as it stands."""
    name = base64.b64encode(file.path.name.encode("utf-8", "replace")).decode()
    headers = {**VERSION, "Upload-Length": str(file.size), "Upload-Metadata": f"filename {name}", "Idempotency-Key": key}
    answer = await transport.answer(Call("create_upload", headers=headers))
    upload_id, offset = answer.headers.get("Location", "").rpartition("/")[2], answer.headers.get("Upload-Offset")
    if not upload_id:
        raise Unreadable(201, "the server began an upload and did not say which")
    return Begun(upload_id, int(offset) if offset and offset.isdigit() else None, "Upload-Direct" in answer.headers)


async def look(transport: Transport, upload_id: str) -> UploadView:
    return await transport.ask(Call("get_upload", ids={"upload_id": upload_id}), UploadView)


async def known(transport: Transport, upload_id: str, file: LocalFacts) -> int | None:
    """How much of the file the server has under this id; None when it has no such upload of it any more."""
    try:
        view = await look(transport, upload_id)
    except ReelyardError as error:
        if error.code in GONE:
            return None
        raise
    return view.received_bytes if view.size_bytes == file.size else None


async def end(transport: Transport, upload_id: str) -> None:
    await transport.answer(Call("end_upload", ids={"upload_id": upload_id}, headers=VERSION))


async def send(transport: Transport, file: LocalFacts, upload_id: str, received: int, progress: Progress) -> None:
    """Send what is missing. Raises ClientError LOCAL_FILE when the file changes meanwhile."""
    patience, at = Patience(transport.longest_wait_s), received
    progress(at, file.size)
    with _open(file.path) as source:  # at once: in a thread, a cancel would leave it open
        while at < file.size:
            try:
                piece = await asyncio.to_thread(_piece, source, at, file)
                at = await _send_piece(transport, upload_id, Piece(at, piece, file.size, progress))
            except (ReelyardError, ClientError) as error:
                await patience.bear(error, at=at)
                at = await _where(transport, upload_id, at)
    if facts_of(file.path) != file:
        raise _changed(file)


async def _where(transport: Transport, upload_id: str, at: int) -> int:
    """Where the server stands, if it can be asked at all by now."""
    try:
        view = await look(transport, upload_id)
    except (ReelyardError, ClientError) as error:
        if not is_passing(error):
            raise
        return at
    return view.size_bytes or at if view.state is UploadState.FINISHED else view.received_bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `at` their place in a file of `total` bytes."""

    at: int
    content: bytes
    total: int
    progress: Progress

    @property
    def checksum(self) -> str:
        return f"sha256 {base64.b64encode(hashlib.sha256(self.content).digest()).decode()}"


async def _send_piece(transport: Transport, upload_id: str, piece: Piece) -> int:
    checksum = await asyncio.to_thread(lambda: piece.checksum)
    headers = {**VERSION, "Upload-Offset": str(piece.at), "Upload-Checksum": checksum}
    body = PiecePayload(piece)
    call = Call("continue_upload", ids={"upload_id": upload_id}, headers=headers, make_body=lambda: body)
    try:
        async with transport.open(call) as response:
            offset = response.headers.get("Upload-Offset", "")
            return int(offset) if offset.isdigit() else piece.at + len(piece.content)
    finally:
        if body.fault is not None:
            raise body.fault


class PiecePayload(aiohttp.payload.Payload):
    """A piece, written in blocks, telling how far it is.

    What the caller's `progress` raises is kept as `fault`: the task that writes bodies is not ours and would lose it.
    """

    def __init__(self, piece: Piece) -> None:
        super().__init__(piece, content_type="application/offset+octet-stream")
        self._piece, self._size = piece, len(piece.content)
        self.fault: BaseException | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a piece of a file is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        piece, view = self._piece, memoryview(self._piece.content)
        for start in range(0, len(view), BLOCK):
            block = view[start : start + BLOCK]
            await writer.write(block)
            self._tell(piece.at + start + len(block))

    def _tell(self, sent: int) -> None:
        try:
            self._piece.progress(sent, self._piece.total)
        except BaseException as fault:
            self.fault = fault
            raise


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise ClientError(ClientCode.LOCAL_FILE, f"cannot read {path}: {error.strerror or error}") from error


def _piece(source: BinaryIO, at: int, file: LocalFacts) -> bytes:
    wanted = min(PIECE, file.size - at)
    try:
        content = os.pread(source.fileno(), wanted, at)
    except OSError as error:
        raise ClientError(ClientCode.LOCAL_FILE, f"cannot read {file.path}: {error.strerror or error}") from error
    if len(content) != wanted:
        raise _changed(file)
    return content


def _changed(file: LocalFacts) -> ClientError:
    return ClientError(ClientCode.LOCAL_FILE, f"{file.path} changed while it was sent; submit it again")
