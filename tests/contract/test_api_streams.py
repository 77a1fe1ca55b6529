"""Streams of events over HTTP: nothing missed, nothing twice, and they end when they should."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp

from client.sse import SseMessage, SseParser
from dispatch.api.wiring import Limits
from protocol.events import EventView
from tests.contract.api_server import Server, served, until

EVENTS = "/api/v1/events"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


class Stream:
    """One open stream, read message by message."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self._parser = SseParser()
        self._messages: list[SseMessage] = []

    async def next(self) -> SseMessage:
        while not self._messages:
            self._messages += self._parser.feed(await self.response.content.readany())
        return self._messages.pop(0)

    async def take(self, count: int) -> list[str]:
        return [(await self.next()).event for _ in range(count)]

    async def rest(self) -> list[SseMessage]:
        return self._messages + self._parser.feed(await self.response.read())


def views(body: bytes) -> list[EventView]:
    return [EventView.model_validate_json(message.text) for message in SseParser().feed(body)]


def opened(server: Server, path: str, *, key: str = "", **headers: str) -> aiohttp.client._RequestContextManager:
    return server.http.get(server.url + path, headers={"X-API-Key": key or server.key, **headers})


async def test_stream_of_a_job_tells_its_whole_history_and_ends(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        path = f"/api/v1/jobs/{job['job_id']}"
        await server.call("POST", f"{path}/cancel")
        all_of_it = await server.call("GET", f"{path}/events")
        history = views(all_of_it.body)
        first = str(history[0].seq)
        rest = await server.call("GET", f"{path}/events", headers={"Last-Event-ID": first})
        nothing = await server.call("GET", f"{path}/events", headers={"Last-Event-ID": str(history[-1].seq)})

    types = [event.type for event in history]
    assert (types[0], "JobCancelled" in types, {event.job_id for event in history}) == ("JobCreated", True, {job["job_id"]})
    assert views(rest.body) == history[1:]
    assert (nothing.status, nothing.body) == (204, b"")
    assert all_of_it.headers["Content-Type"] == "text/event-stream"


async def test_live_events_follow_the_history_without_gap_or_repetition(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        path = f"/api/v1/jobs/{job['job_id']}"
        async with opened(server, f"{path}/events") as response:
            stream = Stream(response)
            early = [await stream.next()]
            await server.call("POST", f"{path}/cancel")
            late = await stream.rest()
        stored = views((await server.call("GET", f"{path}/events")).body)

    assert [EventView.model_validate_json(message.text) for message in early + late] == stored
    assert [message.last_id for message in early + late] == [str(event.seq) for event in stored]


async def test_all_events_begin_with_what_is_new(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.submit()
        async with opened(server, EVENTS) as response:
            job = await server.submit()
            message = await Stream(response).next()
        async with opened(server, EVENTS, **{"Last-Event-ID": "0"}) as response:
            since_ever = await Stream(response).take(2)

    assert (message.event, EventView.model_validate_json(message.text).job_id) == ("JobCreated", job["job_id"])
    assert since_ever == ["JobCreated", "JobCreated"]


async def test_tenant_sees_only_its_own_events(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.new_tenant("acme")
        key = await server.new_key("jobs:read", "jobs:write", tenant="acme")
        async with opened(server, EVENTS, key=key, **{"Last-Event-ID": "0"}) as response:
            await server.new_engine()
            await server.submit()
            own = await server.submit(key=key)
            message = await Stream(response).next()

    assert EventView.model_validate_json(message.text).job_id == own["job_id"]


async def test_progress_is_told_live_and_without_a_number(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(beat_s=0.05)) as server:
        job = await server.submit()
        path = f"/api/v1/jobs/{job['job_id']}/events"
        async with opened(server, path) as response:
            stream = Stream(response)
            created = await stream.next()
            await _subscribed(stream)
            server.core.services.hub.publish_progress(job["job_id"], "default", '{"progress_percent":50.0}')
            message = await stream.next()

    assert (message.event, message.text, message.last_id) == ("ProgressUpdated", '{"progress_percent":50.0}', created.last_id)


async def _subscribed(stream: Stream) -> None:
    """A beat is the sign that the reader waits for live events."""
    while b"beat" not in await stream.response.content.readline():
        pass


async def test_quiet_stream_is_kept_open_by_comments(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(beat_s=0.01)) as server, opened(server, EVENTS) as response:
        lines = [await response.content.readline() for _ in range(6)]

    assert lines == [b": reelyard\n", b"\n", b": beat\n", b"\n", b": beat\n", b"\n"]


async def test_stopping_ends_every_stream(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        async with opened(server, EVENTS) as everything, opened(server, f"/api/v1/jobs/{job['job_id']}/events") as one:
            await everything.content.readline()
            await one.content.readline()
            await server.web.cleanup()
            bodies = [await everything.read(), await one.read()]

    assert [b": the server is stopping" in body for body in bodies] == [True, True]


async def test_history_longer_than_a_page_and_a_queue_is_told_whole(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        batch = {"jobs": [{"profile": "noop"}] * 1000}
        for _ in range(2):
            await server.call("POST", "/api/v1/jobs/batch", json=batch)
        async with opened(server, EVENTS, **{"Last-Event-ID": "0"}) as response:
            stream = Stream(response)
            seen = [int((await stream.next()).last_id) for _ in range(2000)]

    assert seen == sorted(set(seen))


async def test_last_event_id_that_is_no_number_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        answer = await server.call("GET", EVENTS, headers={"Last-Event-ID": "abc"})

    assert (answer.status, answer.code) == (422, "VALIDATION_FAILED")


async def test_reader_that_takes_nothing_is_dropped_and_the_server_goes_on(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(write_idle_s=0.1)) as server:
        open_before = _connections(server)
        deaf = socket.socket()
        deaf.connect(server.web.addresses[0][:2])
        deaf.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {server.key}\r\n\r\n".encode())

        async def is_open() -> bool:
            return _connections(server) > open_before

        async def is_dropped() -> bool:
            """Sockets buffer some megabytes; what comes on top has to be taken."""
            server.core.services.hub.publish_progress("job_1", "default", f'"{"x" * 1_000_000}"')
            return _connections(server) == open_before

        await until(is_open)
        await until(is_dropped)
        alive = await server.call("GET", "/healthz")
        deaf.close()

    assert alive.status == 200


def _connections(server: Server) -> int:
    return len(server.web.server.connections) if server.web.server else 0


async def test_a_tenant_reads_so_many_streams_and_sockets_at_once(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(streams_per_tenant=1)) as server:
        await server.new_tenant("acme")
        key, other = await server.new_key("jobs:read"), await server.new_key("jobs:read", tenant="acme")
        async with opened(server, EVENTS, key=key) as first:
            refused = [
                await server.call("GET", EVENTS, key=key),
                await server.call("GET", f"{EVENTS}/ws", key=key, headers=UPGRADE),
            ]
            async with opened(server, EVENTS, key=other) as theirs, opened(server, EVENTS) as a, opened(server, EVENTS) as b:
                let_in = [first.status, theirs.status, a.status, b.status]
            first.close()
        await until(lambda: _is_let_in(server, key))

    assert let_in == [200] * 4
    assert [(one.status, one.code, one.headers["Retry-After"]) for one in refused] == [(429, "RATE_LIMITED", "10")] * 2


async def _is_let_in(server: Server, key: str) -> bool:
    """A reader that is gone is noticed with the next beat at the latest."""
    await server.submit()
    async with opened(server, EVENTS, key=key) as again:
        return again.status == 200
