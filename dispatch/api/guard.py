"""Around every call: its id, the envelope of every failure, and the headers that every answer carries."""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from multidict import CIMultiDict

from dispatch.api import answers
from dispatch.api.closing import Door
from dispatch.api.cors import Origins
from dispatch.api.redaction import redacted
from dispatch.services.files import as_client_error
from protocol.errors import ErrorCode, ReelyardError
from protocol.storage import StorageError

log = structlog.get_logger()
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
REQUEST_ID = web.RequestKey("request_id", str)
IS_ANSWERED = web.RequestKey("is_answered", bool)
RATE = web.RequestKey("rate", dict[str, str])
"""What the answer says of the caller's limit."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.\-]{8,64}")


class RequestIds:
    """Ids that begin with one of this start of the server: fresh chance for every call would cost more."""

    def __init__(self, start: str) -> None:
        self._start, self._counter = start, itertools.count(0x1000)

    def new(self) -> str:
        return f"{self._start}{next(self._counter):x}"

    def of(self, request: web.BaseRequest) -> str:
        """The id the client gave, if it is well formed, else a new one."""
        told = request.headers.get("X-Request-Id")
        return told if told is not None and _REQUEST_ID.fullmatch(told) else self.new()


REQUEST_IDS = web.AppKey("request_ids", RequestIds)


def guard(ids: RequestIds, door: Door) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Next) -> web.StreamResponse:
        request[REQUEST_ID] = ids.of(request)
        if door.is_closed:
            return _last(_refusal(request, door.refuse()))
        door.inside += 1
        try:
            answer = await handler(request)
        except Exception as fault:  # noqa: BLE001  # this loop owns the request: whatever broke, the client gets an envelope
            answer = _failed(request, fault)
        finally:
            door.leave()
        return _last(answer) if door.is_closed else answer

    return guarded


def _failed(request: web.Request, fault: Exception) -> web.StreamResponse:
    match fault:
        case ReelyardError():
            return _refusal(request, fault)
        case StorageError():
            log.warning("storage_failed", path=redacted(request.path), request_id=request[REQUEST_ID], reason=str(fault))
            return _refusal(request, as_client_error(fault))
        case web.HTTPMethodNotAllowed():
            return _of_method(request, fault)
        case web.HTTPNotFound():
            return _refusal(request, ReelyardError(ErrorCode.ROUTE_NOT_FOUND))
        case ConnectionError():
            return _broken_off(request)  # nobody is there to be answered
        case _:
            where = {"method": request.method, "path": redacted(request.path), "request_id": request[REQUEST_ID]}
            log.error("call_crashed", **where, exc_info=fault)
            return _refusal(request, ReelyardError(ErrorCode.INTERNAL_ERROR))


def _last(answer: web.StreamResponse) -> web.StreamResponse:
    if not answer.prepared:
        answer.force_close()
    return answer


def _of_method(request: web.Request, fault: web.HTTPMethodNotAllowed) -> web.StreamResponse:
    """OPTIONS is answered for every route; other methods it does not know are refused. Both tell those there are."""
    allowed = {"Allow": ", ".join(sorted({*fault.allowed_methods, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=allowed)
    return _refusal(request, ReelyardError(ErrorCode.METHOD_NOT_ALLOWED), allowed)


def _refusal(request: web.Request, fault: ReelyardError, headers: dict[str, str] | None = None) -> web.StreamResponse:
    """The envelope; an answer that has begun already can only be broken off, so that nobody takes it for whole."""
    if IS_ANSWERED not in request:
        return answers.error(fault, request[REQUEST_ID], headers)
    return _broken_off(request)


def _broken_off(request: web.Request) -> web.StreamResponse:
    """An answer to nobody: with the connection closed the server drops it quietly; an exception would be a traceback."""
    if request.transport is not None:
        request.transport.close()
    return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)


def signer(origins: Origins) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """The headers of every answer, streams included."""
    policy = "Content-Security-Policy"
    always = CIMultiDict(answers.SECURITY_HEADERS)
    default = always.pop(policy)

    async def sign(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.update(always)
        headers.setdefault(policy, default)
        headers["X-Request-Id"] = request[REQUEST_ID]
        request[IS_ANSWERED] = True
        if RATE in request:
            headers.update(request[RATE])
        if origins.is_any:
            origins.dress(request, response)

    return sign
