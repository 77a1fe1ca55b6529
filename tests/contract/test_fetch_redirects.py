"""Where the fetcher lets itself be led: redirects, names that change their addresses, literals, proxies."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.core.fetching import InputFailed
from engine.shell.fetch_guard import guarded_session
from protocol.addresses import Address
from protocol.errors import ErrorCode
from tests.contract.fetch_outside import (
    Asked,
    Moments,
    Names,
    cut,
    failed,
    fetched,
    fetcher,
    http,
    outside,
    policy,
    ranged,
    redirect,
)

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def clock() -> Moments:
    return Moments()


# --- redirects


async def test_redirects_are_followed_and_the_last_url_is_told(tmp_path: Path, clock: Moments) -> None:
    hops = {"/a": "/b?x=1", "/b?x=1": "c/d", "/c/d": "../e"}

    def answer(asked: Asked) -> bytes:
        return redirect(hops[asked.path]) if asked.path in hops else http("200 OK", CONTENT)

    async with outside(answer) as server, fetcher(clock).within(policy(server.port)) as fetching:
        found = await fetching.get(f"{server.url}/a", tmp_path / "input")
    assert (found.url, server.paths) == (f"{server.url}/e", ["/a", "/b?x=1", "/c/d", "/e"])


@pytest.mark.parametrize("length", [6, 1_000_000])
async def test_a_chain_of_redirects_ends(tmp_path: Path, clock: Moments, length: int) -> None:
    def answer(asked: Asked) -> bytes:
        return redirect(f"/{asked.number}") if asked.number < length else http("200 OK", CONTENT)

    told = (ErrorCode.INPUT_URL_REFUSED, "HOST: more than 5 redirects")
    assert await failed(answer, tmp_path, clock) == told


async def test_a_redirect_to_itself_ends(tmp_path: Path, clock: Moments) -> None:
    code, _ = await failed(lambda asked: redirect(asked.path), tmp_path, clock)

    assert code == ErrorCode.INPUT_URL_REFUSED


@pytest.mark.parametrize(
    "location",
    [
        *("file:///etc/passwd", "FILE:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/", "data:,a", "javascript:a"),
        *("http://169.254.169.254/latest/", "//169.254.169.254/", "http://[fd00:ec2::254]/", "http://2852039166/"),
        *("http://[::ffff:169.254.169.254]/", "http://user:pw@127.0.0.1/", "http://127.0.0.1:22/", "http://[::1", "http://a b/"),
    ],
)
async def test_a_redirect_is_checked_like_the_first_url(tmp_path: Path, clock: Moments, location: str) -> None:
    async with outside(lambda _: redirect(location)) as server:
        with pytest.raises(InputFailed) as refused:
            await fetched(server, tmp_path, clock)

    assert (refused.value.code, server.connections) == (ErrorCode.INPUT_URL_REFUSED, 1)


# --- names


async def test_a_name_is_resolved_once_however_often_it_is_asked(tmp_path: Path, clock: Moments) -> None:
    """Rebinding: the second answer would lead to the metadata service; it is never asked for."""
    names = Names({"films.example": [["127.0.0.1"], ["169.254.169.254"]]})

    def answer(asked: Asked) -> bytes:
        if asked.path == "/a":
            return redirect("/b")
        whole = ranged(CONTENT, asked, etag='"v1"')
        return cut(whole, 1000) if asked.number < 4 else whole

    async with outside(answer) as server:
        async with fetcher(clock, names).within(policy(server.port)) as fetching:
            await fetching.get(f"http://films.example:{server.port}/a", tmp_path / "input")
        assert server.connections > 4

    assert (tmp_path / "input").read_bytes() == CONTENT
    assert names.questions == ["films.example"]
    assert {asked.headers["host"] for asked in server.asked} == {f"films.example:{server.port}"}


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1"]],
)
async def test_a_public_name_with_a_private_address_is_never_connected_to(
    tmp_path: Path, clock: Moments, addresses: list[str]
) -> None:
    async with outside(lambda asked: ranged(CONTENT, asked)) as server:
        public = policy(server.port).model_copy(update={"allow_private_addresses": False})
        async with fetcher(clock, Names({"films.example": [addresses]})).within(public) as fetching:
            with pytest.raises(InputFailed) as refused:
                await fetching.get(f"http://films.example:{server.port}/a", tmp_path / "input")

    assert (refused.value.code, server.connections) == (ErrorCode.INPUT_URL_REFUSED, 0)
    assert refused.value.message == "films.example is not at a public address"


async def test_a_redirect_to_a_name_with_a_metadata_address_is_refused(tmp_path: Path, clock: Moments) -> None:
    names = Names({"films.example": [["127.0.0.1"]], "evil.example": [["169.254.169.254"]]})
    async with (
        outside(lambda asked: redirect(f"http://evil.example:{server.port}/")) as server,
        fetcher(clock, names).within(policy(server.port)) as fetching,
    ):
        with pytest.raises(InputFailed, match=r"^evil\.example is not at a public address$"):
            await fetching.get(f"http://films.example:{server.port}/a", tmp_path / "input")

    assert (server.connections, names.questions) == (1, ["films.example", "evil.example"])


async def test_a_literal_that_no_resolver_sees_is_stopped_at_the_socket(tmp_path: Path) -> None:
    """The last guard, asked alone: what the connector would connect to is checked whoever named it."""
    async with outside(lambda asked: ranged(CONTENT, asked)) as server:
        public = policy(server.port).model_copy(update={"allow_private_addresses": False})
        async with guarded_session(public, Names({})) as session:
            with pytest.raises(InputFailed, match="not at a public address"):
                await session.get(f"{server.url}/a")
    assert server.connections == 0


@pytest.mark.parametrize("names", [Names({}), Names({"nowhere.example": [[]]})])
async def test_a_name_that_does_not_exist_is_the_inputs_fault(tmp_path: Path, clock: Moments, names: Names) -> None:
    async with fetcher(clock, names).within(policy(80)) as fetching:
        with pytest.raises(InputFailed, match=r"^there is no host nowhere\.example$") as missing:
            await fetching.get("http://nowhere.example/a", tmp_path / "input")

    assert missing.value.code == ErrorCode.INPUT_NOT_FOUND


async def test_proxies_of_the_environment_are_not_asked(tmp_path: Path, clock: Moments, monkeypatch: pytest.MonkeyPatch) -> None:
    async with outside(lambda asked: ranged(CONTENT, asked)) as server, outside(lambda _: http("200 OK", b"proxy")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert await fetched(server, tmp_path, clock) == CONTENT

    assert proxy.connections == 0


async def test_a_resolver_in_trouble_is_asked_again(tmp_path: Path, clock: Moments) -> None:
    class Troubled(Names):
        async def __call__(self, host: str) -> Sequence[Address]:
            if not self.questions:
                self.questions.append("in vain")
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return await super().__call__(host)

    async with (
        outside(lambda asked: ranged(CONTENT, asked)) as server,
        fetcher(clock, Troubled({"films.example": [["127.0.0.1"]]})).within(policy(server.port)) as fetching,
    ):
        await fetching.get(f"http://films.example:{server.port}/a", tmp_path / "input")
    assert (tmp_path / "input").read_bytes() == CONTENT


async def test_an_untrusted_certificate_is_refused(tmp_path: Path, clock: Moments) -> None:
    """Self-signed, and for another name."""
    made = self_signed(tmp_path)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=made)
    port = server.sockets[0].getsockname()[1]
    async with server, fetcher(clock).within(policy(port)) as fetching:
        with pytest.raises(InputFailed, match=r"^the certificate of 127\.0\.0\.1 is not trusted$") as refused:
            await fetching.get(f"https://127.0.0.1:{port}/a", tmp_path / "input")

    assert refused.value.code == ErrorCode.INPUT_URL_REFUSED


def self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "evil.example")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=36_500))
    pem = serialization.Encoding.PEM
    (directory / "chain").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    (directory / "key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(directory / "chain", directory / "key")
    return made
