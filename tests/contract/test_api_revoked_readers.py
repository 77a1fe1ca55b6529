"""Readers whose key ends while they read: they are let in no longer than a beat after it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dispatch.api.wiring import Limits
from dispatch.events.hub import Ending
from protocol.operations import KEY_SUBPROTOCOL, SUBPROTOCOL
from tests.contract.api_server import Server, served

QUICK = Limits(failures_free=1_000_000, beat_s=0.05)
SOON_S = 10


async def revoke(server: Server, secret: str) -> None:
    listed = (await server.call("GET", "/api/v1/admin/api-keys")).json["api_keys"]
    (key_id,) = [row["key_id"] for row in listed if secret.startswith(row["prefix"])]
    assert (await server.call("DELETE", f"/api/v1/admin/api-keys/{key_id}")).status == 200


async def test_stream_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    async with served(tmp_path, QUICK) as server, asyncio.timeout(SOON_S):
        key = await server.new_key("jobs:read")
        async with server.http.get(f"{server.url}/api/v1/events", headers={"X-API-Key": key}) as stream:
            await stream.content.readline()
            await revoke(server, key)
            rest = await stream.content.read()

    assert Ending.NOT_LET_IN.value.encode() in rest


async def test_stream_of_a_key_that_stays_goes_on(tmp_path: Path) -> None:
    async with served(tmp_path, QUICK) as server, asyncio.timeout(SOON_S):
        key, other = await server.new_key("jobs:read"), await server.new_key("files:read")
        async with server.http.get(f"{server.url}/api/v1/events", headers={"X-API-Key": key}) as stream:
            await stream.content.readline()
            await revoke(server, other)
            for _ in range(4):
                assert b"beat" in await stream.content.readuntil(b"beat")
            job = await server.submit()
            told = await stream.content.readuntil(b"data: ") + await stream.content.readline()

    assert job["job_id"].encode() in told


async def test_socket_closes_with_a_reason_when_its_key_is_revoked(tmp_path: Path) -> None:
    async with served(tmp_path, QUICK) as server, asyncio.timeout(SOON_S):
        key = await server.new_key("jobs:read")
        offered = (SUBPROTOCOL, KEY_SUBPROTOCOL + key)
        async with server.http.ws_connect(f"{server.url}/api/v1/events/ws", protocols=offered) as open_socket:
            await revoke(server, key)
            told = [message async for message in open_socket]
            code = open_socket.close_code

    assert (told, code) == ([], 1008)
