"""A client that sends a file piece by piece, goes on where dispatch says it stands, and remembers what it was told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

from dispatch.app.assembly import Core
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.records import Upload
from dispatch.core.tus import Creation, Piece
from dispatch.services.uploads import Body
from engine.ports import Unreachable
from protocol.errors import ErrorCode, ReelyardError
from tests.sim.ground import Ground
from tests.sim.network import Handler, Line, Network, is_passing
from tests.sim.plan import JobPlan

T = TypeVar("T")
CLIP = b"\x00\x00\x00\x18ftypmp42clip"
PIECE = 20
TRY_AGAIN = frozenset({ErrorCode.UPLOAD_OFFSET, ErrorCode.UPLOAD_LOCKED, ErrorCode.BODY_INCOMPLETE})


def content_of(plan: JobPlan) -> bytes:
    """No two of its pieces are the same, nor those of two jobs."""
    return CLIP + b"".join(f" {plan.number}:{number:0{PIECE - 3}}".encode() for number in range(plan.pieces))


class Connection:
    """What a body comes by; closed, it breaks off."""

    def __init__(self) -> None:
        self._is_closed = False

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True


@dataclass(slots=True)
class Uploader:
    """`told` is how many bytes dispatch has once said that it has."""

    who: Caller
    plan: JobPlan
    network: Network
    line: Line
    ground: Ground
    told: int = 0

    async def send(self) -> str:
        """The id of the upload, which has all of the file."""
        content = content_of(self.plan)
        upload_id = await self._begin(len(content))
        while True:
            upload = await self._call(lambda core: core.services.uploads.look(self.who, upload_id))
            if upload is not None:
                self._hear(upload)
            if self.told == len(content):
                return upload_id
            if upload is not None:
                after = await self._call(self._sending(upload, content))
                self._hear(after or upload)

    async def _begin(self, size: int) -> str:
        wanted = Creation(size, "", "clip.mp4")
        key = IdempotencyKey("upload", f"upload-{self.plan.number}", "the same")

        async def handler(core: Core) -> str:
            begun = await core.services.upload_creation.create(self.who, wanted, key)
            return begun.answer.headers["Location"].rpartition("/")[2]

        upload_id = None
        while upload_id is None:
            upload_id = await self._call(handler)
        return upload_id

    def _sending(self, upload: Upload, content: bytes) -> Handler[Upload]:
        piece = content[upload.received : upload.received + PIECE + len(CLIP)]

        async def handler(core: Core) -> Upload:
            connection = Connection()
            body = Body(self._blocks(piece, connection), connection)
            wanted = Piece(upload.received, len(piece))
            return await core.services.uploads.receive(self.who, upload.upload_id, wanted, body)

        return handler

    async def _blocks(self, piece: bytes, connection: Connection) -> AsyncIterator[bytes]:
        for block in (piece[: PIECE // 2], piece[PIECE // 2 :]):
            await self.ground.pause(0.5)
            if connection.is_closed() or self.ground.hits("body broken", self.ground.rates.lose):
                raise ReelyardError(ErrorCode.BODY_INCOMPLETE)
            yield block

    def _hear(self, upload: Upload) -> None:
        if upload.received < self.told:
            raise self.ground.broken(f"{upload.upload_id} had {self.told} bytes, and has {upload.received}")
        self.told = upload.received

    async def _call(self, handler: Handler[T]) -> T | None:
        """None when there was no answer, or none that is final: ask where it stands."""
        try:
            return await self.network.call(self.line, handler)
        except ReelyardError as error:
            if error.code is ErrorCode.UPLOAD_GONE:
                raise self.ground.broken(f"an upload of which {self.told} bytes were told as stored is gone") from error
            if not is_passing(error) and error.code not in TRY_AGAIN:
                raise
        except Unreachable:
            pass
        await self.ground.sleep(1.0)
        return None
