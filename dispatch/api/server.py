"""The HTTP application: every row of the operations table gets its handler, behind one guard."""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus

import structlog
from aiohttp import HttpVersion11, web

from dispatch.api import answers, docs, engines, files, jobs, operators, sockets, streams, tasks, tus, uploads
from dispatch.api.authentication import admit
from dispatch.api.call import Call, Handler
from dispatch.api.keyed import holding_key
from dispatch.api.redaction import redacted
from dispatch.api.wiring import LIMITS, SERVICES, Limits, Services
from dispatch.services.files import as_client_error
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import BY_NAME, STREAMS, Operation
from protocol.storage import StorageError

log = structlog.get_logger()
HANDLERS: Mapping[str, Handler] = {
    **engines.HANDLERS,  # first in the router, because they come thousands of times a second
    **tasks.HANDLERS,
    **jobs.HANDLERS,
    **uploads.HANDLERS,
    **tus.HANDLERS,
    **streams.HANDLERS,
    **sockets.HANDLERS,
    **files.HANDLERS,
    **operators.HANDLERS,
    **docs.HANDLERS,
}
REQUEST_ID = web.RequestKey("request_id", str)


class RequestIds:
    """Ids that begin with one of this start of the server: fresh chance for every call would cost more."""

    def __init__(self, start: str) -> None:
        self._start, self._counter = start, itertools.count(0x1000)

    def new(self) -> str:
        return f"{self._start}{next(self._counter):x}"


REQUEST_IDS = web.AppKey("request_ids", RequestIds)
IS_ANSWERED = web.RequestKey("is_answered", bool)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.\-]{8,64}")
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MissingHandler(Exception):
    """The operations table and the handlers differ; the server does not start like that."""


def application(services: Services, limits: Limits, *, at_shutdown: Iterable[Callable[[], object]] = ()) -> web.Application:
    """The whole API. `at_shutdown` ends what waits below this layer, such as long polls; streams end by themselves."""
    app = web.Application(middlewares=[_guard], client_max_size=0)
    app[SERVICES], app[LIMITS] = services, limits
    app[REQUEST_IDS] = RequestIds(services.ids.new("req", services.clock.now()))
    for name, handler in _checked(HANDLERS).items():
        _route(app, BY_NAME[name], handler)
    endings: tuple[Callable[[], object], ...] = (services.hub.close, *at_shutdown)

    async def end_waiting(_: web.Application) -> None:
        for end in endings:
            end()

    app.on_response_prepare.append(_sign)
    app.on_response_prepare.append(tus.sign)
    app.on_shutdown.append(end_waiting)
    return app


def runner(app: web.Application) -> web.AppRunner:
    """No access log: it would cost more than a lease call, and paths of signed links are keys."""
    return web.AppRunner(app, access_log=None, shutdown_timeout=app[LIMITS].shutdown_s, handler_cancellation=False)


def _checked(handlers: Mapping[str, Handler]) -> Mapping[str, Handler]:
    if differing := handlers.keys() ^ BY_NAME.keys():
        raise MissingHandler(f"in the operations table or among the handlers only: {', '.join(sorted(differing))}")
    return handlers


def _route(app: web.Application, operation: Operation, handler: Handler) -> None:
    services = app[SERVICES]

    async def serve(request: web.Request) -> web.StreamResponse:
        call = Call(request, operation, services)
        await admit(call)
        with holding_key(call):
            if "Expect" in request.headers:
                await _let_the_body_come(request)
            return await handler(call)

    resource = app.router.add_resource(operation.path)
    methods = ("GET", "HEAD") if operation.method == "GET" and operation.gives not in STREAMS else (operation.method,)
    for method in methods:
        resource.add_route(method, serve, expect_handler=_nothing_yet)


async def _nothing_yet(request: web.Request) -> None:
    """aiohttp would ask for the body here, before anybody has looked at the key."""


async def _let_the_body_come(request: web.Request) -> None:
    """RFC 9110, 10.1.1. Expectations other than this one may be passed over."""
    if request.headers["Expect"].lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer


@web.middleware
async def _guard(request: web.Request, handler: Next) -> web.StreamResponse:
    """Gives the request its id, and every failure its envelope."""
    request[REQUEST_ID] = _request_id(request)
    try:
        return await handler(request)
    except ReelyardError as fault:
        return _refusal(request, fault)
    except StorageError as fault:
        log.warning("storage_failed", path=redacted(request.path), request_id=request[REQUEST_ID], reason=str(fault))
        return _refusal(request, as_client_error(fault))
    except web.HTTPException as fault:
        return _refusal(request, _of_routing(fault), _allowed(fault))
    except ConnectionError:
        return _broken_off(request)  # nobody is there to be answered
    except Exception:  # this loop owns the request: whatever broke, the client gets an envelope
        log.exception("call_crashed", method=request.method, path=redacted(request.path), request_id=request[REQUEST_ID])
        return _refusal(request, ReelyardError(ErrorCode.INTERNAL_ERROR))


def _request_id(request: web.Request) -> str:
    told = request.headers.get("X-Request-Id")
    if told is not None and _REQUEST_ID.fullmatch(told):
        return told
    return request.app[REQUEST_IDS].new()


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


def _of_routing(fault: web.HTTPException) -> ReelyardError:
    match fault.status:
        case 404:
            return ReelyardError(ErrorCode.ROUTE_NOT_FOUND)
        case 405:
            return ReelyardError(ErrorCode.METHOD_NOT_ALLOWED)
        case _:
            return ReelyardError(ErrorCode.INTERNAL_ERROR)


def _allowed(fault: web.HTTPException) -> dict[str, str] | None:
    return {"Allow": fault.headers["Allow"]} if "Allow" in fault.headers else None


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every answer, streams included."""
    own = {name: value for name, value in response.headers.items() if name == "Content-Security-Policy"}
    response.headers.update({**answers.SECURITY_HEADERS, **own})
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    request[IS_ANSWERED] = True
