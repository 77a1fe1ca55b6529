"""Releases of the engine as an operator published them, in a directory of the server. They are passed on, not judged:
the signature is the publisher's, and engines check it.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from pydantic import ValidationError

from dispatch.services.files import Readable
from protocol.errors import ErrorCode, ReelyardError
from protocol.releases import MOST_ENVELOPE_BYTES, Envelope

LATEST = "latest.json"
_WHEEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-+]{0,150}\.whl")


class ReleaseShelf:
    """`directory` need not exist: then nothing is released."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def latest(self) -> Envelope:
        """Raises NO_RELEASE where there is none, or none that can be read."""
        try:
            return Envelope.model_validate_json(await asyncio.to_thread(self._read))
        except (OSError, ValidationError):
            raise ReelyardError(ErrorCode.NO_RELEASE) from None

    def _read(self) -> bytes:
        with (self._directory / LATEST).open("rb") as file:
            return file.read(MOST_ENVELOPE_BYTES)

    async def open(self, name: str) -> Readable:
        """Raises FILE_NOT_FOUND."""
        path = self._directory / name
        try:
            if not _WHEEL.fullmatch(name):
                raise FileNotFoundError(name)
            found = await asyncio.to_thread(path.stat)
        except OSError:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND) from None
        return Readable(str(path), None, found.st_size, found.st_mtime, name)
