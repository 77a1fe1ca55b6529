"""Many slow connections and bodies that are far too large at once: refused, and the memory of the server stays flat."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from dispatch.api.wiring import Limits
from tests.contract.api_server import served
from tests.contract.raw_http import Line, line, post

SLOW, LARGE, PIECE = 200, 40, bytes(65_536)
OFFERED = 8 << 20
MOST_GROWTH = 100 << 20
"""Bytes: each body may be 1 MiB before it is too large, and its buffer twice that. All that is offered is 320 MiB."""


async def pour(wire: Line, head: tuple[str, ...], size: int) -> int:
    """The bytes the server let in before it refused or closed."""
    wire.say(*head)
    taken = 0
    try:
        while taken < size and not wire.reader.at_eof() and not wire.writer.is_closing():
            wire.writer.write(b"%x\r\n" % len(PIECE) + PIECE + b"\r\n")
            async with asyncio.timeout(2.0):
                await wire.writer.drain()
            taken += len(PIECE)
    except (ConnectionError, TimeoutError):
        pass
    return taken


async def test_memory_stays_flat_under_slow_connections_and_oversized_bodies(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(first_request_s=3.0)) as server, AsyncExitStack() as stack:
        await server.submit()
        before = psutil.Process().memory_info().rss
        slow = [await stack.enter_async_context(line(server)) for _ in range(SLOW)]
        for wire in slow:
            wire.writer.write(b"GET /healthz HTTP/1.1\r\nHost: reelyard\r\nX-Slow: " + b"a" * 4000)
        large = [await stack.enter_async_context(line(server)) for _ in range(LARGE)]
        chunked = [row for row in post(server, "/api/v1/jobs", 0) if not row.startswith("Content-Length")]
        told = await asyncio.gather(*(pour(wire, (*chunked, "Transfer-Encoding: chunked"), OFFERED) for wire in large))
        open_at_once = len(server.web.server.connections) if server.web.server else 0
        grown = psutil.Process().memory_info().rss - before
        working = await server.call("GET", "/healthz")
        refused = [await wire.answer() for wire in slow]

    assert (open_at_once >= SLOW, sum(told) > LARGE << 20, working.status) == (True, True, 200)
    assert {(answer.status, answer.code) for answer in refused} == {(408, "REQUEST_TOO_SLOW")}
    assert grown < MOST_GROWTH, f"grew by {grown >> 20} MiB"
