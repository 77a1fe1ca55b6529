"""Tells engines where an original stands on this machine's disks: one that sees the same disk reads it in place."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Iterable

from dispatch.core.records import Source
from protocol.leases import EDGE_BYTES, SharedFile
from protocol.storage import StorageProvider

MOST_KNOWN = 1024


class SharedFiles:
    """A digest is kept with the file's size and time of change, and made anew when these are others."""

    def __init__(self, storage: StorageProvider) -> None:
        self._storage = storage
        self._known: dict[str, tuple[tuple[int, int], SharedFile]] = {}

    async def of(self, sources: Iterable[Source]) -> dict[Source, SharedFile]:
        """Those of them that are files here; the others are left out."""
        found = {}
        for source in set(sources):
            path = self._path(source)
            shared = await asyncio.to_thread(self._look, path) if path is not None else None
            if shared is not None:
                found[source] = shared
        return found

    def _path(self, source: Source) -> str | None:
        if source.kind == "server":
            return source.path
        return self._storage.local_path(source.path) if source.kind == "storage" else None

    def _look(self, path: str) -> SharedFile | None:
        try:
            with open(path, "rb", opener=_at_once) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return None
                version = (status.st_size, status.st_mtime_ns)
                known = self._known.get(path)
                if known is None or known[0] != version:
                    digest = hashlib.sha256(file.read(EDGE_BYTES))
                    file.seek(max(0, status.st_size - EDGE_BYTES))
                    digest.update(file.read(EDGE_BYTES))
                    known = (version, SharedFile(path=path, edges_sha256=digest.hexdigest()))
        except OSError:
            return None
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[path] = known
        return known[1]


def _at_once(path: str, flags: int) -> int:
    """A pipe that stands there by now would hold this thread for ever."""
    return os.open(path, flags | os.O_NONBLOCK)
