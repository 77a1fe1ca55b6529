"""Calls of tenants who live in another farm: passed on whole, both ways, as they come.

The other farm judges and counts them; nothing of them is kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
import structlog
from aiohttp import WSMsgType, hdrs, web
from multidict import CIMultiDict
from pydantic import ValidationError
from yarl import URL

from dispatch.api.authentication import FROM_SHARD, address_of, secrets_of, shard_address
from dispatch.api.call import Call
from dispatch.api.guard import IS_ANSWERED, REQUEST_ID
from dispatch.api.leaders import PASSED_ON, path_of
from dispatch.core.sharding import Shards
from protocol.admin import KeyRequest, TenantRequest
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import SUBPROTOCOL

log = structlog.get_logger("shards")
AGAIN_S = 2.0
CONNECT_S = 3.0
WHOLE = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
"""A body or a stream may take as long as it moves; both ends watch over that."""

ONE_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "expect"),
    }
)
"""RFC 9110, 7.6.1: headers that are of one connection; and what is said to this server alone."""

OURS = frozenset({"origin", "x-forwarded-for", FROM_SHARD.lower(), PASSED_ON.lower()})
GIVEN_ANEW = frozenset({"date", "server", "x-request-id", *ONE_HOP})

NAMED_IN_BODY: Mapping[str, Callable[[bytes], str]] = {
    "create_tenant": lambda body: TenantRequest.model_validate_json(body).name,
    "create_key": lambda body: KeyRequest.model_validate_json(body).tenant,
}
"""Calls of admins that name a tenant in their body."""


def of_secret(call: Call, shards: Shards) -> str | None:
    """Where a call goes by the key or the token it shows; None where it is for this farm to judge."""
    shown = secrets_of(call.request.headers)
    return shards.by_secret(shown[0]) if shown and not _came_so(call) else None


async def of_tenant(call: Call, shards: Shards) -> str | None:
    """Where an admin's call goes by the tenant it names."""
    named = await _named(call) if call.who.is_admin and not _came_so(call) else None
    return None if named is None else shards.by_tenant(named)


async def _named(call: Call) -> str | None:
    told = call.request.match_info.get("tenant") or call.request.query.get("tenant")
    if told is not None or call.operation.name not in NAMED_IN_BODY:
        return told
    call.body = await call.json_bytes()
    try:
        return NAMED_IN_BODY[call.operation.name](call.body or b"{}")
    except ValidationError:
        return None  # this farm says what is wrong with it


def _came_so(call: Call) -> bool:
    """Two farms that take each other for the owner make no loop."""
    return shard_address(call) is not None


async def pass_on(call: Call, url: str) -> web.StreamResponse:
    """The other farm's answer. Raises DATABASE_UNAVAILABLE where it does not answer; breaks off where it stops midway."""
    try:
        if call.request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await _socket(call, url)
        return await _exchange(call, url)
    except (aiohttp.ClientError, TimeoutError) as away:
        log.warning("shard_unanswered", operation=call.operation.name, url=url, reason=type(away).__name__)
        message = "The farm this tenant lives in does not answer; try again later."
        raise ReelyardError(ErrorCode.DATABASE_UNAVAILABLE, message, retry_after=AGAIN_S) from away


async def _exchange(call: Call, url: str) -> web.StreamResponse:
    async with _asked(call, url) as answer:
        return await _given(call, answer)


async def of_any(call: Call, shards: Shards) -> web.StreamResponse | None:
    """What a signed link leads to in another farm, for a link tells no tenant; None where no other has it."""
    if _came_so(call):
        return None
    for url in shards.others:
        try:
            async with _asked(call, url) as answer:
                if answer.status != HTTPStatus.NOT_FOUND:
                    return await _given(call, answer)
        except (aiohttp.ClientError, TimeoutError) as away:
            if IS_ANSWERED in call.request:
                raise ReelyardError(ErrorCode.STORAGE_UNAVAILABLE, retry_after=AGAIN_S) from away
            log.warning("shard_unanswered", operation=call.operation.name, url=url, reason=type(away).__name__)
    return None


@asynccontextmanager
async def _asked(call: Call, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
    request = call.request
    body = call.body if call.body is not None else request.content if request.can_read_body else None
    async with request.app[SHARD_LINE].request(
        request.method,
        _target(call, url),
        headers=_told(call, request.headers),
        data=body,
        allow_redirects=False,
        timeout=WHOLE,
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
    ) as answer:
        yield answer


async def _given(call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    kept = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in GIVEN_ANEW)
    response = web.StreamResponse(status=answer.status, headers=kept)
    await response.prepare(call.request)
    async for block in answer.content.iter_any():
        await response.write(block)
    await response.write_eof()
    return response


def _told(call: Call, headers: Mapping[str, str]) -> CIMultiDict[str]:
    told = CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in ONE_HOP | OURS)
    told["X-Request-Id"] = call.request[REQUEST_ID]
    told[FROM_SHARD] = call.services.vouchers.issue(address_of(call))
    return told


def _target(call: Call, url: str) -> URL:
    return URL(url.rstrip("/") + path_of(call.request), encoded=True)


async def _socket(call: Call, url: str) -> web.StreamResponse:
    """A reader of events has nothing to say but that it leaves."""
    shown = secrets_of(call.request.headers)[0]
    headers = {"X-API-Key": shown, **_told(call, {})}
    line = call.request.app[SHARD_LINE]
    async with line.ws_connect(
        _target(call, url), headers=headers, protocols=(SUBPROTOCOL,), timeout=aiohttp.ClientWSTimeout()
    ) as there:
        here = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False)
        await here.prepare(call.request)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(_until_left(here, there))
            async for message in there:
                if message.type is WSMsgType.TEXT:
                    await here.send_str(message.data)
            await here.close(code=there.close_code or aiohttp.WSCloseCode.OK)
            listening.cancel()
        return here


async def _until_left(here: web.WebSocketResponse, there: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in here:
        continue
    await there.close()


SHARD_LINE = web.AppKey("shard_line", aiohttp.ClientSession)


async def line(app: web.Application) -> AsyncIterator[None]:
    """What calls are passed on by: bytes as they come, and as many at once as there are readers of streams."""
    connector = aiohttp.TCPConnector(limit=0)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, trust_env=False, auto_decompress=False) as session:
        app[SHARD_LINE] = session
        yield
