"""Files the server itself can read: inside allowed roots only, looked at, never changed."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from dispatch.core.sniffing import SNIFF_BYTES
from protocol.errors import ErrorCode, ReelyardError


@dataclass(frozen=True, slots=True)
class Inspected:
    """`path` is absolute and free of links."""

    path: str
    size: int
    head: bytes


class ServerFiles:
    def __init__(self, allowed_roots: Sequence[str]) -> None:
        self._roots = tuple(os.path.realpath(root) for root in allowed_roots)

    async def inspect(self, path: str) -> Inspected:
        """Raises PATH_NOT_ALLOWED or INPUT_NOT_FOUND; a file outside the roots is never told to exist."""
        return await asyncio.to_thread(self._inspect, path)

    def _inspect(self, path: str) -> Inspected:
        if not os.path.isabs(path) or "\0" in path:
            raise ReelyardError(ErrorCode.PATH_NOT_ALLOWED, "a server path must be absolute")
        real = os.path.realpath(path)
        if not any(real == root or real.startswith(root.rstrip("/") + "/") for root in self._roots):
            raise ReelyardError(ErrorCode.PATH_NOT_ALLOWED)
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise ReelyardError(ErrorCode.INPUT_NOT_FOUND) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ReelyardError(ErrorCode.INPUT_NOT_FOUND, "the path is not a regular file")
            return Inspected(real, status.st_size, os.read(descriptor, SNIFF_BYTES))
        except OSError:
            raise ReelyardError(ErrorCode.INPUT_NOT_FOUND) from None
        finally:
            os.close(descriptor)
