"""One POST over real sockets: what counts as delivered, what is refused before a byte goes out, how long it may take."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dispatch.clock import SystemClock
from dispatch.core.webhooks import Tried
from dispatch.events.webhook_sender import REFUSED, Address, HttpSender, retry_after_s
from protocol.addresses import AddressPolicy
from tests.contract.webhook_receiver import DROPPED, Received, Receiver, raw_server, receiver

HEADERS = {"webhook-id": "whd_1"}
BODY = b'{"type":"job.completed"}'


@asynccontextmanager
async def sender(
    *ports: int, private: bool = True, timeout_s: float = 5.0, names: dict[str, list[str]] | None = None
) -> AsyncIterator[HttpSender]:
    """Names are looked up in `names` alone."""
    known = names or {}

    async def lookup(host: str, port: int) -> list[Address]:
        return [(address, port) for address in known[host]]

    policy = AddressPolicy(allow_private_addresses=private, ports=ports)
    made = HttpSender(policy, SystemClock(), timeout_s=timeout_s, lookup=lookup)
    try:
        yield made
    finally:
        await made.close()


async def tried(to: Receiver, path: str = "/in") -> Tried:
    async with sender(to.port) as made:
        return await made.send(to.url(path), HEADERS, BODY)


def what(found: Tried) -> tuple[int | None, str | None]:
    return found.status, found.error


async def test_the_receiver_gets_the_body_and_the_headers() -> None:
    async with receiver() as to:
        found = await tried(to, "/in?token=%2Fx")

    assert what(found) == (200, None)
    assert (to.got[0].body, to.got[0].id) == (BODY, "whd_1")
    assert to.got[0].headers["content-type"] == "application/json"
    assert "accept-encoding" not in to.got[0].headers or "cookie" not in to.got[0].headers


@pytest.mark.parametrize("status", [201, 204])
async def test_any_2xx_is_delivered(status: int) -> None:
    async with receiver() as to:
        to.always["/in"] = status

        assert (await tried(to)).is_delivered


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    async with receiver() as to:

        async def elsewhere(_: Received) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": to.url("/elsewhere")})

        to.always["/in"] = elsewhere
        found = await tried(to)

    assert what(found) == (status, f"answered {status}: redirects are not followed; give the URL it leads to")
    assert [one.path for one in to.got] == ["/in"]


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_anything_else_is_a_failure(status: int) -> None:
    async with receiver() as to:
        to.always["/in"] = status

        assert what(await tried(to)) == (status, f"answered {status}")


async def test_a_connection_that_is_cut_is_a_failure() -> None:
    async with receiver() as to:
        to.always["/in"] = DROPPED

        assert what(await tried(to)) == (None, "the receiver closed the connection without an answer")


@pytest.mark.parametrize(
    "answer", [b"\x00\xff garbage\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 20_000]
)
async def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    async with raw_server(answer) as port, sender(port) as made:
        found = await made.send(f"http://127.0.0.1:{port}/", HEADERS, BODY)

    assert what(found) == (None, "what the receiver answered is not HTTP")


async def test_a_receiver_that_says_nothing_is_given_up_in_time() -> None:
    async with raw_server(b"", holds=True) as port, sender(port, timeout_s=0.2) as made:
        found = await made.send(f"http://127.0.0.1:{port}/", HEADERS, BODY)

    assert what(found) == (None, "no answer within 0.2 s")
    assert 0.2 <= found.seconds < 2.0


async def test_an_endless_answer_is_delivered_and_cut_off() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    async with raw_server(head + b"x" * 200_000, holds=True) as port, sender(port) as made:
        found = await made.send(f"http://127.0.0.1:{port}/", HEADERS, BODY)

    assert what(found) == (200, None)
    assert found.seconds < 1.0


async def test_a_port_nobody_listens_on_is_a_failure() -> None:
    async with raw_server(b"") as port:
        pass
    async with sender(port) as made:
        found = await made.send(f"http://127.0.0.1:{port}/", HEADERS, BODY)

    assert what(found) == (None, "the receiver refuses connections")


@asynccontextmanager
async def own_certificate(directory: Path) -> AsyncIterator[int]:
    """A receiver whose certificate nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(start).not_valid_after(end)
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    pem = directory / "pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret + made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_a_certificate_that_nobody_signed_is_a_failure(tmp_path: Path) -> None:
    async with own_certificate(tmp_path) as port, sender(port) as made:
        found = await made.send(f"https://127.0.0.1:{port}/in", HEADERS, BODY)

    assert what(found) == (None, "the receiver's TLS certificate is not trusted")


# --- where it may go


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "localhost", "[fe80::1]"],
)
async def test_an_address_inside_is_not_connected_to(host: str) -> None:
    async with receiver() as to, sender(to.port, private=False) as made:
        found = await made.send(to.url("/in", host), HEADERS, BODY)

    assert found.status is None
    assert (found.error or "").startswith("the URL is refused:")
    assert to.got == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:10.0.0.1"], ["64:ff9b::7f00:1"]])
async def test_a_name_that_leads_inside_is_not_connected_to(addresses: list[str]) -> None:
    async with receiver() as to, sender(to.port, private=False, names={"hooks.example": addresses}) as made:
        found = await made.send(to.url("/in", "hooks.example"), HEADERS, BODY)

    assert what(found) == (None, REFUSED)
    assert to.got == []


async def test_link_local_addresses_stay_refused_in_a_closed_network() -> None:
    async with sender(80, private=True, names={"hooks.example": ["169.254.169.254"]}) as made:
        found = await made.send("http://hooks.example/latest/meta-data", HEADERS, BODY)

    assert found.error == REFUSED


async def test_a_name_is_resolved_once_and_that_very_address_is_connected_to() -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [("127.0.0.1" if len(asked) == 1 else "169.254.169.254", port)]

    async with receiver() as to:
        policy = AddressPolicy(allow_private_addresses=True, ports=(to.port,))
        made = HttpSender(policy, SystemClock(), timeout_s=5.0, lookup=rebinding)
        found = await made.send(to.url("/in", "hooks.example"), HEADERS, BODY)
        await made.close()

    assert (what(found), asked) == ((200, None), ["hooks.example"])
    assert to.got[0].headers["host"] == f"hooks.example:{to.port}"


async def test_a_name_that_is_rebound_is_refused_when_it_is_connected_to_again() -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])

    async def rebinding(host: str, port: int) -> list[Address]:
        return [(address, port) for address in next(answers)]

    async def closing(_: Received) -> web.StreamResponse:
        response = web.Response()
        response.force_close()
        return response

    async with receiver() as to:
        to.always["/in"] = closing
        policy = AddressPolicy(allow_private_addresses=True, ports=(to.port,))
        made = HttpSender(policy, SystemClock(), timeout_s=5.0, lookup=rebinding)
        found = [await made.send(to.url("/in", "hooks.example"), HEADERS, BODY) for _ in range(2)]
        await made.close()

    assert [what(one) for one in found] == [
        (200, None),
        (None, REFUSED),
    ]


async def test_a_port_that_is_not_listed_is_not_connected_to() -> None:
    async with receiver() as to, sender(443) as made:
        found = await made.send(to.url("/in"), HEADERS, BODY)

    assert (found.error or "").startswith("the URL is refused: port ")
    assert to.got == []


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with receiver() as to:
        assert what(await tried(to)) == (200, None)


async def test_many_are_sent_at_once() -> None:
    gate = asyncio.Event()

    async def held(_: Received) -> web.StreamResponse:
        await gate.wait()
        return web.Response()

    async with receiver() as to, sender(to.port) as made:
        to.always["/in"] = held
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(made.send(to.url("/in"), HEADERS, BODY)) for _ in range(150)]
            await to.until(150)
            gate.set()

    assert all(one.result().is_delivered for one in tries)


# --- Retry-After


@pytest.mark.parametrize(
    ("told", "expected"), [(None, None), ("120", 120.0), ("-1", None), ("soon", None), ("9999999999", None), ("", None)]
)
def test_retry_after_is_read_in_seconds(told: str | None, expected: float | None) -> None:
    assert retry_after_s(told, now=0.0) == expected


def test_retry_after_is_read_as_a_date() -> None:
    assert retry_after_s(formatdate(1_800_000_090, usegmt=True), now=1_800_000_000.0) == 90.0
    assert retry_after_s(formatdate(1_799_999_990, usegmt=True), now=1_800_000_000.0) == 0.0
