"""What engines stage in pieces: an upload that was cut goes on where it stopped. Small files come whole, in `files`.

The bytes grow in a file beside the target, under a name no staged file can have; the last request tells the digest, and
only bytes that have it get the target's name, create-only. How many bytes there are is the file's own length: nothing
else remembers it. What is never finished goes with the job's other staged files.
"""

from __future__ import annotations

import structlog

from dispatch.core.staged_pieces import StagedPiece
from dispatch.ports import Clock
from dispatch.services.claims import Claims
from dispatch.services.files import as_client_error
from dispatch.services.intake import Intake
from dispatch.services.turns import Line, Turns
from dispatch.services.uploads import Body
from protocol import signing
from protocol.base import LARGEST
from protocol.errors import ErrorCode, ReelyardError
from protocol.storage import NotFound, StagedFileLost, StorageError, StorageProvider, Written

log = structlog.get_logger("staging")
UNFINISHED = "~"
"""Ends the name of a file that grows: no path an engine may report holds this letter."""


class StagingService:
    def __init__(self, storage: StorageProvider, clock: Clock, secret: bytes, claims: Claims) -> None:
        self._storage, self._clock, self._secret = storage, clock, secret
        self._turns = Turns(clock, claims)

    async def received(self, signature: str, path: str, line: Line) -> int:
        """How many bytes are there. A request that stands still is ended first.

        Raises FILE_EXISTS when the file is whole, UPLOAD_LOCKED while its length may still change.
        """
        self._check(signature, path)
        async with self._turns.take(path, line):
            return await self._length(path)

    async def take(self, signature: str, path: str, piece: StagedPiece, body: Body) -> int:
        """Go on with the file; how many bytes are there then. What came of a body that breaks off is kept.

        Raises UPLOAD_OFFSET where the piece does not begin at the file's end, UPLOAD_LOCKED while another request sends,
        FILE_EXISTS, and CHECKSUM_MISMATCH when all bytes are there and are others: then none of them is kept.
        """
        self._check(signature, path)
        async with self._turns.take(path, body.line) as turn:
            at = await self._length(path)
            if piece.offset != at:
                raise ReelyardError(ErrorCode.UPLOAD_OFFSET, details={"offset": at})
            room = LARGEST if piece.whole is None else max(0, piece.whole.size - at)
            intake = Intake(turn.watched(body.blocks), room=room, checksum=None)
            try:
                while not intake.is_over:
                    at = await self._storage.append(path + UNFINISHED, at, intake.step())
                intake.verify()
                if piece.whole is not None:
                    await self._finish(path, piece.whole)
            except StorageError as error:
                raise as_client_error(error) from error
        return at

    async def _finish(self, path: str, whole: Written) -> None:
        try:
            await self._storage.link(path + UNFINISHED, path, size=whole.size, sha256=whole.sha256)
        except StagedFileLost as other:
            log.warning("staged_bytes_differ", path=path, reason=other.reason)
            await self._storage.delete(path + UNFINISHED)
            message = "the bytes are not those of Staged-Digest; none was kept, send them again"
            raise ReelyardError(ErrorCode.CHECKSUM_MISMATCH, message) from other
        await self._storage.delete(path + UNFINISHED)

    async def _length(self, path: str) -> int:
        try:
            if await self._is_there(path):
                raise ReelyardError(ErrorCode.FILE_EXISTS)
            return (await self._storage.stat(path + UNFINISHED)).size
        except NotFound:
            return 0
        except StorageError as error:
            raise as_client_error(error) from error

    async def _is_there(self, path: str) -> bool:
        try:
            await self._storage.stat(path)
        except NotFound:
            return False
        return True

    def _check(self, signature: str, path: str) -> None:
        signing.check(self._secret, signature, method="PUT", path=path, now=self._clock.now())
