"""What a connection is held to, over real sockets: slow heads, slow bodies, slow readers, noise, too much of anything."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import aiohttp
import pytest

from dispatch.api.wiring import Limits
from tests.contract.api_server import Server, served, until
from tests.contract.raw_http import Line, Said, get, line, post

JOBS = "/api/v1/jobs"
SLOW = Limits(first_request_s=0.1)


async def trickled(wire: Line, piece: bytes) -> Said:
    """What the server says while it gets such a piece every 10 ms, a thousand at most."""
    async with asyncio.TaskGroup() as tasks:
        told = tasks.create_task(wire.answer())
        for _ in range(1000):
            if told.done():
                return told.result()
            wire.writer.write(piece)
            await asyncio.sleep(0.01)
        raise AssertionError("the server took it all without a word")


async def test_head_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    async with served(tmp_path, SLOW) as server, line(server) as wire:
        wire.writer.write(b"GET /healthz HTTP/1.1\r\nHost: ree")
        refused = await wire.answer()
        rest = await wire.rest()

    assert (refused.status, refused.code, refused.headers["connection"], rest) == (408, "REQUEST_TOO_SLOW", "close", b"")
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert json.loads(refused.body)["error"]["request_id"] == refused.headers["x-request-id"]


async def test_bytes_that_trickle_buy_a_head_no_time(tmp_path: Path) -> None:
    async with served(tmp_path, SLOW) as server, line(server) as wire:
        wire.writer.write(b"GET /healthz HTTP/1.1\r\n")
        refused = await trickled(wire, b"A: b\r\n")

    assert refused.code == "REQUEST_TOO_SLOW"


async def test_silent_connection_is_closed_without_a_word(tmp_path: Path) -> None:
    async with served(tmp_path, SLOW) as server, line(server) as wire:
        assert await wire.rest() == b""


async def test_next_head_on_the_same_connection_is_timed_too(tmp_path: Path) -> None:
    async with served(tmp_path, SLOW) as server, line(server) as wire:
        wire.say(*get("/healthz"))
        first = await wire.answer()
        wire.writer.write(b"G")
        second = await wire.answer()

    assert (first.status, second.code) == (200, "REQUEST_TOO_SLOW")


async def test_idle_connection_is_kept_and_then_closed(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(first_request_s=0.05, idle_connection_s=0.3)) as server, line(server) as wire:
        wire.say(*get("/healthz"))
        await wire.answer()
        await asyncio.sleep(0.1)  # longer than a head may take: nothing has begun
        wire.say(*get("/healthz"))
        again = await wire.answer()

        assert (again.status, await wire.rest()) == (200, b"")


async def test_body_may_take_longer_than_a_head(tmp_path: Path) -> None:
    body = b'{"profile": "noop"}'
    async with served(tmp_path, SLOW) as server, line(server) as wire:
        wire.say(*post(server, JOBS, len(body)))
        await asyncio.sleep(0.2)
        wire.writer.write(body)
        made = await wire.answer()

    assert made.status == 202


async def test_body_that_trickles_below_the_least_rate_is_given_up(tmp_path: Path) -> None:
    limits = Limits(min_body_rate=10_000, rate_grace_s=0.1)
    async with served(tmp_path, limits) as server, line(server) as wire:
        wire.say(*post(server, JOBS, 100_000))
        refused = await trickled(wire, b" ")

    assert (refused.status, refused.code) == (408, "BODY_TOO_SLOW")


async def test_too_large_body_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with served(tmp_path) as server, line(server) as wire:
        wire.say(*post(server, JOBS, 2_000_000))
        refused = await wire.answer()

    assert (refused.status, refused.code) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    ("noise", "refusal"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "MALFORMED_REQUEST")),
        (b"HELO there\r\n\r\n", (400, "MALFORMED_REQUEST")),
        (b"GET /healthz HTTP/1.1\r\n\r\n", (400, "MALFORMED_REQUEST")),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nBad Header: b\r\n\r\n", (400, "MALFORMED_REQUEST")),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414, "URL_TOO_LONG")),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n", (431, "HEADERS_TOO_LARGE")),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200 + b"\r\n", (431, "HEADERS_TOO_LARGE")),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", (400, "MALFORMED_REQUEST")),
    ],
)
async def test_what_is_no_request_is_refused_in_the_envelope(tmp_path: Path, noise: bytes, refusal: tuple[int, str]) -> None:
    async with served(tmp_path) as server, line(server) as wire:
        wire.writer.write(noise)
        refused = await wire.answer()
        rest = await wire.rest()

    assert (refused.status, refused.code, refused.headers["connection"], rest) == (*refusal, "close", b"")
    assert refused.headers["content-security-policy"].startswith("default-src 'none'")


async def test_head_in_small_pieces_is_bounded_as_a_whole(tmp_path: Path) -> None:
    async with served(tmp_path) as server, line(server) as wire:
        wire.writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        for number in range(40):
            wire.writer.write(f"X-{number}: ".encode() + b"a" * 1000 + b"\r\n")
            await wire.writer.drain()
            await asyncio.sleep(0)
        refused = await wire.answer()

    assert (refused.status, refused.code) == (431, "HEADERS_TOO_LARGE")


async def test_compressed_body_is_refused_unread(tmp_path: Path) -> None:
    async with served(tmp_path) as server, line(server) as wire:
        wire.say(*post(server, JOBS, 20, "Content-Encoding: gzip"), body=b"\x1f\x8b" + b"\0" * 18)
        refused = await wire.answer()

    assert (refused.status, refused.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"[" * 1_000_000, (400, "MALFORMED_JSON")),
        (b'{"a":' * 150_000, (400, "MALFORMED_JSON")),
        (b'{"metadata":' + b'{"a":' * 150 + b"1" + b"}" * 151, (422, "VALIDATION_FAILED")),
        (b'{"metadata":{"a":NaN},"x":' + b"[" * 500_000, (400, "MALFORMED_JSON")),
    ],
)
async def test_nested_json_is_refused_early(tmp_path: Path, body: bytes, refusal: tuple[int, str]) -> None:
    async with served(tmp_path) as server:
        answer = await server.call("POST", JOBS, data=body, headers={"Content-Type": "application/json"})

    assert (answer.status, answer.code) == refusal


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    count = 500
    async with served(tmp_path) as server, line(server) as wire:
        for number in range(count):
            wire.say(*get("/healthz", f"X-Request-Id: request-{number:04d}"))
        told = [(await wire.answer()).headers["x-request-id"] for _ in range(count)]

    assert told == [f"request-{number:04d}" for number in range(count)]


async def gone(server: Server) -> bool:
    return not (server.web.server and server.web.server.connections)


async def test_reader_of_answers_that_takes_nothing_is_let_go(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(write_idle_s=0.2)) as server, line(server, SO_RCVBUF=4096) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transport has it
        for _ in range(200):
            wire.say(*get("/openapi.json"))
        async with asyncio.timeout(20):
            await until(lambda: gone(server))


async def test_reader_of_a_file_that_takes_nothing_is_let_go(tmp_path: Path) -> None:
    content = bytes(32 << 20)
    async with served(tmp_path, Limits(write_idle_s=0.2)) as server:
        await server.call("PUT", f"{server.signed('PUT', 'staging/a')}/staging/a/big.bin", key=None, data=io.BytesIO(content))
        await server.http.close()
        async with line(server, SO_RCVBUF=4096) as wire:
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transport has it
            wire.say(*get(f"{server.signed('GET', 'staging/a')}/staging/a/big.bin"))
            async with asyncio.timeout(20):
                await until(lambda: gone(server))


@pytest.mark.parametrize("depth", [6, 300, 100_000])
async def test_nested_json_in_a_form_is_refused_too(tmp_path: Path, depth: int) -> None:
    async with served(tmp_path) as server:
        form = aiohttp.FormData()
        form.add_field("metadata", '{"a":' * depth + "1" + "}" * depth)
        form.add_field("file", b"x" * 100, filename="a.mp4")
        answer = await server.call("POST", f"{JOBS}/upload", data=form)

    assert (answer.status, answer.code) == (422, "VALIDATION_FAILED")
