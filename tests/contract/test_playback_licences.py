"""Keys and licences below a link of playback: who gets them from this server, and who from another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from config.dispatch import LicenceUrls, Playback
from dispatch.services.licences import MOST_BYTES
from tests.contract.api_server import head_of, served
from tests.contract.playback_world import (
    AES,
    COMMON,
    KEY,
    KEY_ID,
    KEYS,
    KID,
    WIDEVINE,
    K,
    beside,
    finished,
    link,
    opened,
)


async def test_key_of_hls_is_sixteen_bytes_for_whoever_holds_the_link_and_is_kept_nowhere(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server, AES, KEYS)
        told = await link(server)
        key = await opened(server, told["drm"]["key_urls"][0])
        other = await opened(server, beside(told["url"], f"key/{'f' * 32}"))
        of_another = await opened(server, beside(told["url"], f"job_1/key/{KEY_ID}"))
        by_outputs = server.signed("GET", "default/processed/job_1") + f"/default/processed/job_1/key/{KEY_ID}"
        refused = await opened(server, by_outputs)
        clear = await opened(server, beside(told["url"], "360p/video_360p.mp4"))
        segment = await opened(server, beside(told["url"], "cmaf/360p/segment_000.m4s"))
        await server.call("DELETE", "/api/v1/jobs/job_1/outputs")
        purged = await opened(server, told["drm"]["key_urls"][0])

    assert told["drm"] == {
        "scheme": "aes-128",
        "systems": [],
        "key_urls": [beside(told["url"], f"key/{KEY_ID}")],
        "licence_urls": {},
    }
    assert (key.status, key.body, key.headers["Cache-Control"]) == (200, bytes.fromhex(KEY), "no-store")
    assert [head_of(answer) for answer in (other, of_another, refused, clear, purged)] == [
        (404, "FILE_NOT_FOUND"),
        (404, "FILE_NOT_FOUND"),
        (404, "FILE_NOT_FOUND"),
        (404, "FILE_NOT_FOUND"),
        (410, "OUTPUTS_PURGED"),
    ]
    assert segment.status == 200


async def test_clearkey_answers_browsers_as_the_w3c_says(tmp_path: Path) -> None:
    asked = {"kids": [KID], "type": "temporary"}
    async with served(tmp_path) as server:
        await finished(server, COMMON, KEYS)
        told = await link(server)
        licence = told["drm"]["licence_urls"]["clearkey"]
        given = await opened(server, licence, "POST", json=asked)
        as_bytes = {"data": f'{{"kids":["{KID}"]}}'.encode(), "headers": {"Content-Type": "application/octet-stream"}}
        by_shaka = await opened(server, licence, "POST", **as_bytes)
        refused = [
            await opened(server, licence, "POST", json={"kids": ["A" * 22]}),
            await opened(server, licence, "POST", json={"kids": []}),
            await opened(server, licence, "POST", data=b"x" * 70_000),
            await opened(server, beside(told["url"], "licence/widevine"), "POST", data=b"x"),
            await opened(server, beside(told["url"], "hls/master.m3u8"), "POST", data=b"x"),
            await opened(
                server, server.signed("GET", "default") + "/default/processed/job_1/licence/clearkey", "POST", json=asked
            ),
        ]

    assert (given.status, given.headers["Cache-Control"]) == (200, "no-store")
    assert given.json == by_shaka.json == {"keys": [{"kty": "oct", "kid": KID, "k": K}], "type": "temporary"}
    assert [head_of(answer) for answer in refused] == [
        (404, "FILE_NOT_FOUND"),
        (422, "VALIDATION_FAILED"),
        (413, "BODY_TOO_LARGE"),
        (404, "FILE_NOT_FOUND"),
        (404, "FILE_NOT_FOUND"),
        (403, "LINK_INVALID"),
    ]


async def test_a_drm_is_never_gone_round_by_a_bare_key(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server, WIDEVINE, KEYS)
        told = await link(server)
        refused = [
            await opened(server, beside(told["url"], "licence/clearkey"), "POST", json={"kids": [KID]}),
            await opened(server, beside(told["url"], f"key/{KEY_ID}")),
            await opened(server, beside(told["url"], "360p/video_360p.mp4")),
        ]

    assert (told["drm"]["key_urls"], told["drm"]["licence_urls"]) == ([], {})
    assert [head_of(answer) for answer in refused] == [(404, "FILE_NOT_FOUND")] * 3


# --- licences of others


@dataclass
class LicenceServer:
    """Answers as it is told to, and keeps what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b"a licence"
    asked: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((await request.read(), request.headers))
        headers = {"Location": "/elsewhere", "Set-Cookie": "a=b"}
        return web.Response(status=self.status, body=self.body, content_type="application/x-licence", headers=headers)


@asynccontextmanager
async def licence_server() -> AsyncIterator[LicenceServer]:
    made = LicenceServer()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.answer)
    running = web.AppRunner(app, access_log=None)
    await running.setup()
    try:
        await web.TCPSite(running, "127.0.0.1", 0).start()
        host, port = running.addresses[0][:2]
        made.url = f"http://{host}:{port}/wv"
        yield made
    finally:
        await running.cleanup()


def section(url: str, tmp_path: Path) -> Playback:
    secret = tmp_path / "licence.secret"
    secret.write_text("of the operator\n")
    urls = LicenceUrls(widevine=url)
    return Playback(licence_urls=urls, licence_header="X-Account", licence_secret_file=secret, licence_timeout_s=5)


async def test_licence_request_goes_to_the_server_of_the_settings_and_takes_no_more_along_than_it_must(tmp_path: Path) -> None:
    async with (
        licence_server() as other,
        served(tmp_path / "data", sections={"playback": section(other.url, tmp_path)}) as server,
    ):
        await finished(server, WIDEVINE, KEYS)
        told = await link(server)
        sent = {"Content-Type": "application/octet-stream", "Cookie": "viewer=1", "X-Forwarded-For": "192.0.2.1"}
        given = await opened(server, told["drm"]["licence_urls"]["widevine"], "POST", data=b"challenge", headers=sent)

    assert told["drm"]["licence_urls"] == {"widevine": beside(told["url"], "licence/widevine")}
    assert (given.status, given.body, given.headers["Content-Type"]) == (200, b"a licence", "application/x-licence")
    assert (given.headers["Cache-Control"], "Set-Cookie" in given.headers) == ("no-store", False)
    ((body, headers),) = other.asked
    assert (body, headers["X-Account"], headers["Content-Type"]) == (b"challenge", "of the operator", "application/octet-stream")
    assert not {"Cookie", "X-Forwarded-For", "X-API-Key"} & set(headers)


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (403, b"no", (403, "LICENCE_REFUSED")),
        (302, b"", (503, "LICENCE_UNAVAILABLE")),
        (500, b"", (503, "LICENCE_UNAVAILABLE")),
        (200, b"x" * (MOST_BYTES + 1), (503, "LICENCE_UNAVAILABLE")),
    ],
    ids=["refused", "redirected", "broken", "too large"],
)
async def test_what_a_licence_server_does_wrong_is_told(
    tmp_path: Path, status: int, body: bytes, wanted: tuple[int, str]
) -> None:
    async with (
        licence_server() as other,
        served(tmp_path / "data", sections={"playback": section(other.url, tmp_path)}) as server,
    ):
        other.status, other.body = status, body
        await finished(server, WIDEVINE, KEYS)
        told = await link(server)
        given = await opened(server, told["drm"]["licence_urls"]["widevine"], "POST", data=b"challenge")

    assert (head_of(given), len(other.asked)) == (wanted, 1)


async def test_licence_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with served(tmp_path / "data", sections={"playback": section("http://127.0.0.1:9/wv", tmp_path)}) as server:
        await finished(server, WIDEVINE, KEYS)
        given = await opened(server, (await link(server))["drm"]["licence_urls"]["widevine"], "POST", data=b"challenge")

    assert (head_of(given), "Retry-After" in given.headers) == ((503, "LICENCE_UNAVAILABLE"), True)
