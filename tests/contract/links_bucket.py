"""A storage that hands out links: files in a directory, read and written by HTTP past dispatch, and faults on command."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from plugins.storage_local.provider import LocalStorage
from protocol.objects import ObjectFacts
from protocol.storage import AlreadyExists, DirectAccess, DirectWrite, NotFound

WHOLE_BYTES, PART_BYTES = 1 << 20, 1 << 20


@dataclass
class Bucket:
    """Satisfies DirectAccess and ObjectSource. `refuses` are statuses the next PUTs get, `cuts` after how many bytes they break.

    A link holds only for the `era` it was made in: another era is what an expired signature is.
    """

    root: Path
    url: str = ""
    era: int = 1
    refuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    puts: list[str] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)
    taken: int = 0
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    # --- what dispatch calls

    def read_link(self, path: str, *args: str, seconds: int, filename: str | None = None) -> str:
        """Of a path in the storage, or of a bucket and a key."""
        return f"{self.url}/o/{quote('/'.join((path, *args)))}?era={self.era}&seconds={seconds}"

    async def look(self, bucket: str, key: str, *, head_bytes: int) -> ObjectFacts:
        file = self.root / bucket / key
        if not file.is_file():
            raise NotFound(key, "no such object")
        return ObjectFacts(file.stat().st_size, etag_of(file), file.read_bytes()[:head_bytes])

    async def start_write(self, path: str, *, size: int, sha256: str | None, seconds: int) -> DirectWrite:
        headers = {"x-size": str(size), "x-sha256": sha256 or ""}
        if size <= WHOLE_BYTES:
            return DirectWrite(f"{self.url}/o/{quote(path)}?era={self.era}", headers=headers)
        upload = f"write-{len(self.parts)}"
        self.parts[upload] = {}
        count = -(-size // PART_BYTES)
        links = tuple(f"{self.url}/p/{upload}/{number}?era={self.era}" for number in range(count))
        return DirectWrite(None, links, PART_BYTES, {}, upload)

    async def finish_write(self, path: str, upload: str, *, size: int) -> None:
        file, parts = self.root / path, self.parts.get(upload)
        content = b"" if parts is None else b"".join(parts[number] for number in sorted(parts))
        if file.exists():
            if file.stat().st_size != size:
                raise AlreadyExists(path, "another file")
            return
        if parts is None or len(content) != size:
            raise NotFound(path, "a part is missing")
        self._keep(file, content)
        del self.parts[upload]

    async def abort_write(self, path: str, upload: str) -> None:
        self.parts.pop(upload, None)

    # --- what engines and clients call

    async def get(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.gets.append(path)
        file = self.root / path
        if request.query["era"] != str(self.era):
            return web.Response(status=403)
        if not file.is_file():
            return web.Response(status=404)
        return web.FileResponse(file)

    async def put(self, request: web.Request) -> web.Response:
        self.puts.append(request.path)
        body = await self._body(request)
        if request.query["era"] != str(self.era):
            return web.Response(status=403)
        if self.refuses:
            return web.Response(status=self.refuses.pop(0))
        if "upload" in request.match_info:
            if (known := self.parts.get(request.match_info["upload"])) is None:
                return web.Response(status=404)
            known[int(request.match_info["number"])] = body
            return web.Response()
        file = self.root / request.match_info["path"]
        if file.exists():
            return web.Response(status=412)
        told = request.headers["x-sha256"]
        if str(len(body)) != request.headers["x-size"] or (told and hashlib.sha256(body).hexdigest() != told):
            return web.Response(status=400)
        self._keep(file, body)
        return web.Response()

    async def _body(self, request: web.Request) -> bytes:
        content, limit = bytearray(), self.cuts.pop(0) if self.cuts else None
        async for block in request.content.iter_any():
            content += block
            self.taken += len(block)
            if limit is not None and len(content) >= limit and isinstance(request.transport, asyncio.WriteTransport):
                request.transport.abort()
        return bytes(content)

    def _keep(self, file: Path, content: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def etag_of(file: Path) -> str:
    """As aiohttp tells it of a file."""
    found = file.stat()
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


class LinkedStorage(LocalStorage):
    """Of files that dispatch itself cannot send by their path, as those in a bucket are."""

    def __init__(self, root: str, direct: DirectAccess) -> None:
        super().__init__(root)
        self.direct = direct

    def local_path(self, path: str) -> str | None:
        return None


@asynccontextmanager
async def bucket(root: Path) -> AsyncIterator[Bucket]:
    """Its files lie below `root`, and its server runs for the block."""
    made = Bucket(root)
    made.prepare()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/o/{path:.+}", made.get)
    app.router.add_put("/o/{path:.+}", made.put)
    app.router.add_put("/p/{upload}/{number}", made.put)
    running = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await running.setup()
    await web.TCPSite(running, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{running.addresses[0][1]}"
    try:
        yield made
    finally:
        await running.cleanup()
