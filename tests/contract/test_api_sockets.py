"""Events over WebSockets: the same as the streams tell, with keys that a browser can show."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dispatch.api.wiring import Limits
from protocol.events import EventView
from protocol.operations import KEY_SUBPROTOCOL, SUBPROTOCOL
from tests.contract.api_server import Server, head_of, served
from tests.contract.test_api_streams import views

SOCKET = "/api/v1/events/ws"


def opened(server: Server, query: str = "", *, key: str = "") -> aiohttp.client._WSRequestContextManager:
    return server.http.ws_connect(f"{server.url}{SOCKET}{query}", headers={"X-API-Key": key or server.key})


async def told(opened_: aiohttp.ClientWebSocketResponse[Any]) -> dict[str, Any]:  # Any: a JSON document
    message: dict[str, Any] = json.loads(await opened_.receive_str())
    return message


async def test_socket_of_a_job_tells_what_the_stream_tells_and_closes(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        path = f"/api/v1/jobs/{job['job_id']}"
        async with opened(server, f"?job_id={job['job_id']}") as open_socket:
            first = await told(open_socket)
            await server.call("POST", f"{path}/cancel")
            rest = [json.loads(message.data) async for message in open_socket]
            code = open_socket.close_code
        stored = views((await server.call("GET", f"{path}/events")).body)

    assert [EventView.model_validate_json(json.dumps(item["data"])) for item in (first, *rest)] == stored
    assert [(item["id"], item["event"]) for item in (first, *rest)] == [(event.seq, event.type) for event in stored]
    assert code == 1000


async def test_socket_goes_on_after_the_last_event_seen(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.submit()
        seen = await server.submit()
        async with opened(server, "?last_event_id=0") as open_socket:
            first = await told(open_socket)
        async with opened(server, f"?last_event_id={first['id']}") as open_socket:
            second = await told(open_socket)

    assert second["data"]["job_id"] == seen["job_id"]


async def test_browser_shows_its_key_as_a_subprotocol(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        offered = (SUBPROTOCOL, KEY_SUBPROTOCOL + server.key)
        async with server.http.ws_connect(server.url + SOCKET, protocols=offered) as open_socket:
            chosen = open_socket.protocol
            job = await server.submit()
            message = await told(open_socket)

    assert (chosen, message["data"]["job_id"]) == (SUBPROTOCOL, job["job_id"])


async def test_tenant_hears_only_its_own_events(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.new_tenant("acme")
        key = await server.new_key("jobs:read", "jobs:write", tenant="acme")
        async with opened(server, "?last_event_id=0", key=key) as open_socket:
            foreign = await server.submit()
            own = await server.submit(key=key)
            message = await told(open_socket)
        refused = await server.call("GET", f"{SOCKET}?job_id={foreign['job_id']}", key=key, headers=upgrade())

    assert message["data"]["job_id"] == own["job_id"]
    assert head_of(refused) == (404, "JOB_NOT_FOUND")


def upgrade() -> dict[str, str]:
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }


@pytest.mark.parametrize(
    ("query", "key", "refusal"),
    [
        ("", None, (401, "UNAUTHORIZED")),
        ("", "", (426, "UPGRADE_REQUIRED")),
        ("?last_event_id=-1", "", (422, "VALIDATION_FAILED")),
        ("?since=1", "", (422, "VALIDATION_FAILED")),
    ],
)
async def test_call_without_a_socket_is_refused(tmp_path: Path, query: str, key: str | None, refusal: tuple[int, str]) -> None:
    async with served(tmp_path) as server:
        answer = await server.call("GET", SOCKET + query, key=key)

    assert head_of(answer) == refusal


async def test_stopping_server_says_goodbye(tmp_path: Path) -> None:
    async with served(tmp_path) as server, opened(server, "?last_event_id=0") as open_socket:
        await server.submit()
        await told(open_socket)
        server.core.services.hub.close()
        closing = await open_socket.receive()

    assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_thousand_open_streams_and_sockets_each_hear_everything_once(tmp_path: Path) -> None:
    jobs = 20
    everybody = asyncio.Barrier(1001)
    async with served(tmp_path) as server, unlimited() as http, asyncio.TaskGroup() as owner:
        await server.submit()
        readers = [owner.create_task(_numbers_of_socket(server, http, jobs, everybody)) for _ in range(500)]
        readers += [owner.create_task(_numbers_of_stream(server, http, jobs, everybody)) for _ in range(500)]
        await everybody.wait()  # each has its connection, and the first event
        for _ in range(jobs - 1):
            await server.submit()
        heard = await asyncio.gather(*readers)
        stored = await server.core.outside.store.read(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=jobs))

    assert len(stored) == jobs
    assert all(numbers == [event.seq for event in stored] for numbers in heard)


def unlimited() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def test_readers_that_take_nothing_are_dropped_and_harm_nobody(tmp_path: Path) -> None:
    """Live progress of 100 kB fills whatever lies between the server and a reader that stands still."""
    padding = json.dumps({"padding": "x" * 100_000})
    everybody = asyncio.Barrier(3)
    async with served(tmp_path, Limits(write_idle_s=0.3)) as server, unlimited() as http, asyncio.TaskGroup() as owner:
        await server.submit()
        stuck = [await _stuck_reader(server) for _ in range(10)]
        good = [owner.create_task(read(server, http, 2, everybody)) for read in (_numbers_of_socket, _numbers_of_stream)]
        await everybody.wait()
        for _ in range(60):
            server.core.services.hub.publish_progress("job_1", "default", padding)
            await asyncio.sleep(0.01)
        ends = [await _read_to_the_end(reader) for reader in stuck]
        await server.submit()
        heard = [await reader for reader in good]

    assert [len(numbers) for numbers in heard] == [2, 2]
    assert max(ends) < 60 * len(padding)  # cut off before it had everything


async def _numbers_of_socket(server: Server, http: aiohttp.ClientSession, count: int, everybody: asyncio.Barrier) -> list[int]:
    found: list[int] = []
    address = f"{server.url}{SOCKET}?last_event_id=0"
    async with http.ws_connect(address, headers={"X-API-Key": server.key}) as open_socket:
        while len(found) < count:
            number = (await told(open_socket))["id"]
            found += [] if number is None else [number]
            if len(found) == 1 and number is not None:
                await everybody.wait()
    return found


async def _numbers_of_stream(server: Server, http: aiohttp.ClientSession, count: int, everybody: asyncio.Barrier) -> list[int]:
    found: list[int] = []
    headers = {"X-API-Key": server.key, "Last-Event-ID": "0"}
    async with http.get(f"{server.url}/api/v1/events", headers=headers, read_bufsize=1 << 20) as response:
        while len(found) < count:
            line = await response.content.readline()
            found += [int(line[4:])] if line.startswith(b"id: ") else []
            if len(found) == 1 and line.startswith(b"id: "):
                await everybody.wait()
    return found


async def _stuck_reader(server: Server) -> socket.socket:
    """Asks for the events and takes nothing."""
    host, port = server.url.removeprefix("http://").split(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(made, (host, int(port)))
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {server.key}\r\n\r\n"
    await loop.sock_sendall(made, head.encode())
    return made


async def _read_to_the_end(reader: socket.socket) -> int:
    """How much it gets when it reads at last, until the connection is found closed."""
    got = 0
    with reader:
        try:
            while block := await asyncio.get_running_loop().sock_recv(reader, 1 << 20):
                got += len(block)
        except ConnectionResetError:
            pass
    return got
