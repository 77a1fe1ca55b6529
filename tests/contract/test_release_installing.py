"""Releases over HTTP: a good one is installed beside, and of every bad one nothing is."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.releases import LATEST, public_text, publish, sealed
from engine.clock import wall_time
from engine.core.servers import Servers
from engine.core.updates import Installed, Refused
from engine.shell.queue import open_queue
from engine.shell.releases import NotInstalled, Releases, Shop
from engine.shell.versions import Versions
from protocol.releases import Envelope
from tests.release_wheels import wheel

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
Needs = tuple[str, ...]
NEVER, PAST = "2099-01-01", "2020-01-01"


@dataclass
class Market:
    """A shelf that is served, and an engine's side of it."""

    shelf: Path
    versions: Versions
    releases: Releases
    wheels: Path

    def publish(self, version: str = "9.9.9", *, expires: str = NEVER, platform: str = "any", needs: Needs = ()) -> Path:
        made = wheel(self.wheels, version, needs=needs)
        publish(self.shelf, [made], KEY, platforms=[platform], expires=expires)
        return self.shelf / made.name

    def rewrite(self, change: Callable[[Envelope], Envelope]) -> None:
        path = self.shelf / LATEST
        path.write_text(change(Envelope.model_validate_json(path.read_bytes())).model_dump_json())

    def left(self) -> list[str]:
        """What stands in the directory of versions, but for the state."""
        root = self.versions.place("x").parent
        return sorted(found.name for found in root.iterdir() if found.is_dir()) if root.is_dir() else []


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[Market]:
    shelf, wheels = tmp_path / "shelf", tmp_path / "wheels"
    shelf.mkdir()
    wheels.mkdir()
    app = web.Application()

    async def latest(request: web.Request) -> web.StreamResponse:
        path = shelf / LATEST
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    app.router.add_get("/api/v1/engine-releases/latest", latest)
    app.router.add_static("/api/v1/engine-releases/files", shelf)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    versions = Versions(tmp_path / "versions")
    try:
        async with aiohttp.ClientSession() as session, open_queue(str(tmp_path / "engine.db"), wall=wall_time) as queue:
            shop = Shop(session, Servers([url]), [public_text(KEY)], queue, "0.1.0", wall_time)
            yield Market(shelf, versions, Releases(shop, versions), wheels)
    finally:
        await runner.cleanup()


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    async with opened(tmp_path) as made:
        yield made


async def test_a_signed_release_is_installed_beside_what_runs(market: Market) -> None:
    market.publish("9.9.9")

    version = await market.releases.look()

    assert (version, market.left(), market.versions.state()) == ("9.9.9", ["9.9.9"], Installed(waiting="9.9.9"))
    assert (market.versions.place("9.9.9") / "engine" / "core" / "agent.py").is_file()


def _spread(size: int) -> Callable[[Envelope], Envelope]:
    return lambda envelope: sealed(base64.b64decode(envelope.payload) + b" " * size, KEY)


async def test_an_envelope_that_comes_in_many_pieces_is_read_whole(market: Market) -> None:
    market.publish("9.9.9")
    market.rewrite(_spread(600_000))

    assert await market.releases.look() == "9.9.9"


async def test_an_envelope_without_end_is_refused(market: Market) -> None:
    market.publish("9.9.9")
    market.rewrite(_spread(1_000_000))

    with pytest.raises(NotInstalled) as refused:
        await market.releases.look()

    assert (refused.value.why, market.left()) == (Refused.MALFORMED, [])


async def test_without_a_release_there_is_nothing_to_do(market: Market) -> None:
    assert (await market.releases.look(), market.left()) == (None, [])


def _unsigned(envelope: Envelope) -> Envelope:
    return envelope.model_copy(update={"signatures": ()})


def _altered(envelope: Envelope) -> Envelope:
    payload = base64.b64decode(envelope.payload).replace(b"9.9.9", b"9.9.8")
    return envelope.model_copy(update={"payload": base64.b64encode(payload).decode()})


def _by_another(envelope: Envelope) -> Envelope:
    return sealed(base64.b64decode(envelope.payload), OTHER)


def _of_another_kind(envelope: Envelope) -> Envelope:
    return envelope.model_copy(update={"payloadType": "application/x-other"})


def _no_release(envelope: Envelope) -> Envelope:
    return sealed(b'{"version": "9.9.9"}', KEY)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_unsigned, Refused.UNSIGNED),
        (_altered, Refused.WRONG_KEY),
        (_by_another, Refused.WRONG_KEY),
        (_of_another_kind, Refused.WRONG_KEY),
        (_no_release, Refused.MALFORMED),
    ],
)
async def test_a_manifest_that_is_not_the_publishers_is_refused(
    market: Market, change: Callable[[Envelope], Envelope], why: Refused
) -> None:
    market.publish()
    market.rewrite(change)

    assert await _refused(market) is why


async def test_a_manifest_that_is_no_envelope_is_refused(market: Market) -> None:
    (market.shelf / LATEST).write_text("<html>")

    assert await _refused(market) is Refused.MALFORMED


async def test_a_file_of_other_bytes_is_refused(market: Market) -> None:
    path = market.publish()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    assert await _refused(market) is Refused.TAMPERED


@pytest.mark.parametrize("size", [0, 1000])
async def test_a_short_file_is_refused(market: Market, size: int) -> None:
    path = market.publish()
    path.write_bytes(path.read_bytes()[:size])

    assert await _refused(market) is Refused.TRUNCATED


async def test_a_long_file_is_refused_without_being_read_to_its_end(market: Market) -> None:
    path = market.publish()
    path.write_bytes(path.read_bytes() + bytes(50 << 20))

    assert await _refused(market) is Refused.TRUNCATED


async def test_a_missing_file_is_refused(market: Market) -> None:
    market.publish().unlink()

    assert await _refused(market) is Refused.TRUNCATED


async def test_an_expired_release_is_refused(market: Market) -> None:
    market.publish(expires=PAST)

    assert await _refused(market) is Refused.EXPIRED


async def test_an_older_release_is_refused(market: Market) -> None:
    market.publish("0.0.9")

    assert await _refused(market) is Refused.OLDER


async def test_a_release_for_another_platform_is_refused(market: Market) -> None:
    market.publish(platform="linux-riscv64")

    assert await _refused(market) is Refused.OTHER_PLATFORM


async def test_a_release_that_needs_what_is_not_here_is_refused(market: Market) -> None:
    market.publish(needs=("aiohttp>=999",))

    assert await _refused(market) is Refused.NOT_INSTALLABLE


async def test_a_wheel_that_is_none_is_refused(market: Market) -> None:
    made = wheel(market.wheels, "9.9.9")
    genuine = made.read_bytes()
    made.write_bytes(genuine[: len(genuine) // 2] + bytes(100) + genuine[len(genuine) // 2 :])
    publish(market.shelf, [made], KEY, platforms=["any"], expires=NEVER)

    assert await _refused(market) is Refused.NOT_INSTALLABLE


async def _refused(market: Market) -> Refused:
    """Why nothing was installed; nothing of it is left."""
    with pytest.raises(NotInstalled) as caught:
        await market.releases.look()
    assert (market.left(), market.versions.state()) == ([], Installed())
    return caught.value.why
