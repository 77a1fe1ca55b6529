"""What comes in of a live stream on its way to the tool: bytes in a queue that holds its source back when it is full."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

MOST_WAITING, PIECE_BYTES = 64, 256 << 10
"""Pieces the tool has not taken yet; then whoever sends is held back. Larger ones are parted, or they would fill the memory."""


@dataclass(slots=True)
class Intake:
    """`opened` is set once `head` is on the disk; `over` when the stream is to end, whoever wants it to.

    `seconds` and `size` are what has come in so far.
    """

    head: Path
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    seconds: float = 0.0
    size: int = 0
    pieces: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))

    def open(self, head: bytes) -> None:
        """What the stream is can be told from these, its first bytes; they are to be taken as well."""
        self.head.write_bytes(head)
        self.opened.set()

    async def take(self, piece: bytes) -> None:
        self.size += len(piece)
        for start in range(0, len(piece), PIECE_BYTES):
            await self.pieces.put(piece[start : start + PIECE_BYTES])


class Source(Protocol):
    """Where a stream comes from."""

    @property
    def ingest_url(self) -> str | None:
        """Where it is to be published to; None for one that is fetched."""
        ...

    async def run(self, intake: Intake) -> None:
        """Until the stream ends or `intake.over`. Raises InputFailed."""
        ...
