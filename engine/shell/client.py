"""Dispatch over HTTP: the engine's operations, with every answer as a message, an error code, or silence."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from engine.core.messages import Identity
from engine.ports import Unreachable
from protocol.capabilities import RegisterReply, RegisterRequest
from protocol.errors import ReelyardError
from protocol.jobs import ErrorEnvelope
from protocol.leases import Goodbye, Heartbeat, HeartbeatReply, LeaseReply, LeaseRequest
from protocol.operations import BY_NAME

Reply = TypeVar("Reply", bound=BaseModel)

CALL_S = 15.0
"""How long an answer may take beyond the time the call itself asks to wait."""

CONNECT_S = 5.0


class HttpDispatch:
    """The DispatchClient port. `server` is the base URL; `heard` is called when a registration was answered."""

    def __init__(self, session: aiohttp.ClientSession, server: str, heard: Callable[[], None] = lambda: None) -> None:
        self._session, self._server, self._heard = session, server.rstrip("/"), heard

    async def register(self, request: RegisterRequest, credential: str | None) -> RegisterReply:
        body = await self._call("register_engine", credential, request)
        reply = _read(RegisterReply, body)
        self._heard()
        return reply

    async def heartbeat(self, who: Identity, request: Heartbeat) -> HeartbeatReply:
        body = await self._call("heartbeat", who.credential, request, engine_id=who.engine_id)
        return _read(HeartbeatReply, body)

    async def lease(self, who: Identity, request: LeaseRequest) -> LeaseReply:
        body = await self._call("lease", who.credential, request, engine_id=who.engine_id, wait_s=request.wait_s)
        return _read(LeaseReply, body)

    async def offline(self, who: Identity, goodbye: Goodbye) -> None:
        await self._call("engine_offline", who.credential, goodbye, engine_id=who.engine_id)

    async def _call(
        self, name: str, credential: str | None, request: BaseModel | None, *, engine_id: str = "", wait_s: float = 0.0
    ) -> bytes:
        operation = BY_NAME[name]
        headers = {"Content-Type": "application/json"} if request is not None else {}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        url = self._server + operation.path.replace("{engine_id}", engine_id)
        content = request.model_dump_json().encode() if request is not None else None
        timeout = aiohttp.ClientTimeout(total=wait_s + CALL_S, sock_connect=CONNECT_S)
        try:
            async with self._session.request(
                operation.method, url, data=content, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                body = await response.read()
        except TimeoutError as fault:
            raise Unreachable(f"{name}: no answer within {wait_s + CALL_S:.0f} s") from fault
        except (aiohttp.ClientError, ConnectionError) as fault:
            raise Unreachable(f"{name}: {fault}") from fault
        if response.status != operation.status:
            raise _error(name, response, body)
        return body


def _read(model: type[Reply], body: bytes) -> Reply:
    try:
        return model.model_validate_json(body)
    except ValidationError as fault:
        raise Unreachable(f"the answer is no {model.__name__}: {fault}") from fault


def _error(name: str, response: aiohttp.ClientResponse, body: bytes) -> Exception:
    """The error dispatch named; Unreachable if it was not dispatch that answered."""
    try:
        error = ErrorEnvelope.model_validate_json(body).error
    except ValidationError:
        return Unreachable(f"{name}: answered {response.status} {HTTPStatus(response.status).phrase} without an error code")
    return ReelyardError(error.code, error.message, retry_after=_seconds(response.headers.get("Retry-After")))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
