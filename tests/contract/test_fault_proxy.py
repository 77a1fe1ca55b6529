"""The proxy that fails on command does what the tests that use it believe."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.servers.fault_proxy import FaultProxy, fault_proxy


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while block := await reader.read(1 << 16):
            writer.write(block)
    await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def echoing() -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, fault_proxy(*server.sockets[0].getsockname()[:2]) as proxy:
        yield proxy


async def test_bytes_pass_both_ways_and_are_counted() -> None:
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"there and back")
        writer.write_eof()
        assert await reader.read() == b"there and back"
        assert proxy.passed == 2 * len(b"there and back")
        await closed(writer)


async def test_silence_holds_what_is_sent_until_it_is_healed() -> None:
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.silence()
        writer.write(b"b")
        answer = asyncio.ensure_future(reader.readexactly(1))  # noqa: TID251 - awaited two lines below
        await asyncio.wait((answer,), timeout=0.05)
        assert not answer.done()
        proxy.heal()
        assert await answer == b"b"
        await closed(writer)


async def test_a_cut_resets_the_connections_and_takes_new_ones() -> None:
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        await closed(writer)
        again, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"c")
        assert await again.readexactly(1) == b"c"
        await closed(writer)


async def test_a_closed_one_refuses_and_opens_at_the_same_port() -> None:
    async with echoing() as proxy:
        port = proxy.port
        await proxy.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await proxy.open()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"d")
        assert await reader.readexactly(1) == b"d"
        await closed(writer)
