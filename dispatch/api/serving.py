"""From a row of the operations table to its routes: who is let in, what is counted, how the answer is dressed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion11, web

from dispatch.api import compression, shards
from dispatch.api.authentication import address_of, admit
from dispatch.api.call import Call, Handler, check_encoding
from dispatch.api.guard import RATE
from dispatch.api.keyed import holding_key
from dispatch.api.leaders import led, vouched_address
from dispatch.api.peers import household
from dispatch.api.throttle import Failures, Throttle
from dispatch.api.wiring import Services
from dispatch.core.sharding import Shards
from protocol.admin import Scope
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import OPERATIONS, STREAMS, Form, Operation

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY_ASKED = web.RequestKey("body_asked", bool)


class Serving:
    """Makes what the router calls. Engines' calls come thousands of times a second: they are let in, and that is all."""

    def __init__(self, services: Services, throttle: Throttle, failures: Failures) -> None:
        self._services, self._throttle, self._failures = services, throttle, failures
        self._shards = services.shards
        self._resources: dict[str, web.Resource] = {}

    def route(self, app: web.Application, operation: Operation, handler: Handler) -> None:
        serve = self._of(operation, handler)
        if operation.method == "OPTIONS":
            serve = _before_keys(operation, serve)
        resource = self._resources.get(operation.path) or app.router.add_resource(operation.path)
        self._resources[operation.path] = resource
        is_read = operation.method == "GET" and operation.gives not in STREAMS
        for method in ("GET", "HEAD") if is_read else (operation.method,):
            resource.add_route(method, serve, expect_handler=_nothing_yet)

    def close(self) -> None:
        """A fixed path means itself alone: `PATCH /jobs/batch` changes no job of that name. Called after all routes."""
        for path, resource in self._resources.items():
            if "{" not in path:
                resource.add_route("*", _refuser({route.method for route in resource}), expect_handler=_nothing_yet)

    def _of(self, operation: Operation, handler: Handler) -> Serve:
        handler = led(operation.at_follower, handler)
        match operation.scope:
            case Scope.ENGINE:
                return self._engine(operation, handler)
            case Scope.REGISTRATION:
                return self._registration(operation, handler)
            case _:
                dressed = self._dressed(handler) if operation.gives is Form.JSON else handler
                return self._open(operation, dressed) if operation.scope is Scope.OPEN else self._keyed(operation, dressed)

    def _engine(self, operation: Operation, handler: Handler) -> Serve:
        async def serve(request: web.Request) -> web.StreamResponse:
            call = Call(request, operation, self._services)
            await admit(call)
            if "Expect" in request.headers:
                await _let_the_body_come(request)
            return await handler(call)

        return serve

    def _registration(self, operation: Operation, handler: Handler) -> Serve:
        async def serve(request: web.Request) -> web.StreamResponse:
            call = Call(request, operation, self._services)
            if "Expect" in request.headers:
                await _let_the_body_come(request)
            try:
                return await handler(call)
            except ReelyardError as fault:
                raise self._judged(call, fault) from None

        return serve

    def _open(self, operation: Operation, handler: Handler) -> Serve:
        async def serve(request: web.Request) -> web.StreamResponse:
            check_encoding(request.headers)
            if "Expect" in request.headers:
                await _let_the_body_come(request)
            return await handler(Call(request, operation, self._services))

        return serve if self._shards is None or operation.name != "signed_get" else self._anywhere(operation, serve, self._shards)

    def _anywhere(self, operation: Operation, serve: Serve, known: Shards) -> Serve:
        """A link that is good and leads to nothing here was given out by another farm."""

        async def look(request: web.Request) -> web.StreamResponse:
            try:
                return await serve(request)
            except ReelyardError as fault:
                found = None
                if fault.status == HTTPStatus.NOT_FOUND:
                    found = await shards.of_any(Call(request, operation, self._services), known)
                if found is None:
                    raise
                return found

        return look

    def _keyed(self, operation: Operation, handler: Handler) -> Serve:
        async def serve(request: web.Request) -> web.StreamResponse:
            call = Call(request, operation, self._services)
            if self._shards is not None and (url := shards.of_secret(call, self._shards)) is not None:
                return await self._passed_on(call, url)
            await self._admit(call)
            if self._shards is not None and "Expect" in request.headers:
                await _let_the_body_come(request)  # it may name a tenant
            if self._shards is not None and (url := await shards.of_tenant(call, self._shards)) is not None:
                return await self._passed_on(call, url)
            check_encoding(request.headers)
            async with holding_key(call):
                if "Expect" in request.headers:
                    await _let_the_body_come(request)
                return await handler(call)

        return serve

    async def _passed_on(self, call: Call, url: str) -> web.StreamResponse:
        if "Expect" in call.request.headers:
            await _let_the_body_come(call.request)
        return await shards.pass_on(call, url)

    async def _admit(self, call: Call) -> None:
        try:
            await admit(call)
        except ReelyardError as fault:
            raise self._judged(call, fault) from None
        finally:
            refusal = await self._charge(call)
        if refusal is not None:
            raise refusal

    async def _charge(self, call: Call) -> ReelyardError | None:
        """Also a key that lacks the scope has made a call; only a stranger has not."""
        if not call.who.key_id or vouched_address(call) is not None:
            return None  # one that was passed on has been charged where it came in
        call.request[RATE], refusal = await self._throttle.charge(call.who, call.operation.name)
        return refusal

    def _judged(self, call: Call, fault: ReelyardError) -> ReelyardError:
        """A wrong key counts against the address it came from; no key at all does not."""
        if fault.code is not ErrorCode.UNAUTHORIZED or not _shows_a_key(call.request):
            return fault
        place = household(address_of(call))
        return self._failures.note(place) or fault

    def _dressed(self, handler: Handler) -> Handler:
        """JSON: what a cache may do with it, and its coding. What is made from many rows is as old as its answer."""
        clock = self._services.clock

        async def dress(call: Call) -> web.StreamResponse:
            answer = await handler(call)
            if call.operation.method == "GET" and answer.status == HTTPStatus.OK:
                answer.headers.setdefault("Last-Modified", _date(int(clock.now())))
                answer.headers.setdefault("Cache-Control", "private, no-cache")
            return await compression.encode(call.request, answer)

        return dress


def _before_keys(operation: Operation, serve: Serve) -> Serve:
    """A browser asks before it sends a key: it is told the methods of a route that answers OPTIONS by itself, too."""
    methods = {other.method for other in OPERATIONS if other.path == operation.path}
    allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))

    async def answer(request: web.Request) -> web.StreamResponse:
        if "Access-Control-Request-Method" in request.headers:
            return web.Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allowed})
        told = await serve(request)
        told.headers["Allow"] = allowed
        return told

    return answer


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _refuser(allowed: set[str]) -> Serve:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, allowed)

    return refuse


def _shows_a_key(request: web.Request) -> bool:
    return "X-API-Key" in request.headers or "Authorization" in request.headers or "Sec-WebSocket-Protocol" in request.headers


async def _nothing_yet(request: web.Request) -> None:
    """aiohttp would ask for the body here, before anybody has looked at the key."""


async def _let_the_body_come(request: web.Request) -> None:
    """Once. RFC 9110, 10.1.1. Expectations other than this one may be passed over."""
    if BODY_ASKED in request:
        return
    request[BODY_ASKED] = True
    if request.headers["Expect"].lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer
