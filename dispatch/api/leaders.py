"""Calls that need the memory of the server that leads: another server points at it, or passes the call on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import structlog
from aiohttp import web

from dispatch.api.call import Call, Handler
from dispatch.api.guard import REQUEST_ID
from dispatch.api.peers import PEERS
from dispatch.ports.cluster import Leading
from protocol.admin import Scope
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import Follower

log = structlog.get_logger("leaders")
PASSED_ON = "X-Reelyard-Passed-On"
"""Holds a voucher. A call that came with it is passed on no further: servers that take each other for the leader make no loop."""

AGAIN_S = 1.0
TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=2.0)
CREDENTIALS = ("X-API-Key", "Authorization")
GIVEN_BACK = ("Content-Type", "Cache-Control", "Retry-After")


def not_leader(leading: Leading) -> ReelyardError:
    url = leading.leader_url
    return ReelyardError(ErrorCode.NOT_LEADER, details={"leader": url}, retry_after=None if url else AGAIN_S)


def check_leads(call: Call) -> None:
    """Raises NOT_LEADER with the address of the server that leads, or with when to ask again."""
    if not call.services.leading.is_leading:
        raise not_leader(call.services.leading)


def led(follower: Follower, handler: Handler) -> Handler:
    """The handler of a call, as the row of its operation says what a server that does not lead does with it."""
    match follower:
        case Follower.ANSWERS:
            return handler
        case Follower.POINTS:
            return _pointing(handler)
        case Follower.PASSES_ON:
            return _passing(handler)


def _pointing(handler: Handler) -> Handler:
    async def serve(call: Call) -> web.StreamResponse:
        if call.operation.scope is not Scope.REGISTRATION:  # that one judges its secrets by itself first
            check_leads(call)
        return await _as_told(call, handler)

    return serve


def _passing(handler: Handler) -> Handler:
    async def serve(call: Call) -> web.StreamResponse:
        if call.services.leading.is_leading:
            return await _as_told(call, handler)
        return await _passed_on(call)

    return serve


async def _as_told(call: Call, handler: Handler) -> web.StreamResponse:
    """A term that ends while the call runs is told like one that had ended before."""
    try:
        return await handler(call)
    except ReelyardError as fault:
        if fault.code is not ErrorCode.NOT_LEADER or "leader" in fault.details:
            raise
        raise not_leader(call.services.leading) from fault


def vouched_address(call: Call) -> str | None:
    """Where the client came from, when another server of the farm says so."""
    voucher = call.header(PASSED_ON)
    return None if voucher is None else call.services.vouchers.address_in(voucher)


async def _passed_on(call: Call) -> web.StreamResponse:
    """The leader's answer. It looks at the caller's own key once more."""
    leader = call.services.leading.leader_url
    if leader is None or call.header(PASSED_ON) is not None:
        raise not_leader(call.services.leading)
    address = call.request.app[PEERS].address(call.request)
    headers = {name: told for name in CREDENTIALS if (told := call.header(name)) is not None}
    headers |= {"X-Request-Id": call.request[REQUEST_ID], PASSED_ON: call.services.vouchers.issue(address)}
    try:
        async with call.request.app[LINE].get(
            leader.rstrip("/") + path_of(call.request), headers=headers, timeout=TIMEOUT, allow_redirects=False
        ) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as away:
        log.warning("leader_unanswered", operation=call.operation.name, reason=type(away).__name__)
        message = "The server that leads does not answer; ask again in a moment."
        raise ReelyardError(ErrorCode.NOT_LEADER, message, details={"leader": None}, retry_after=AGAIN_S) from away
    kept = {name: answer.headers[name] for name in GIVEN_BACK if name in answer.headers}
    return web.Response(status=answer.status, body=body, headers=kept)


def path_of(request: web.Request) -> str:
    """Path and query as they were sent; no scheme and host, which a client may tell too (RFC 9112, 3.2.2)."""
    return request.raw_path if request.raw_path.startswith("/") else request.rel_url.raw_path_qs


LINE = web.AppKey("line", aiohttp.ClientSession)


async def line(app: web.Application) -> AsyncIterator[None]:
    """What calls are passed on by: no proxies, no cookies."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=True) as session:
        app[LINE] = session
        yield
