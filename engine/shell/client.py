"""Dispatch over HTTP: the engine's operations, with every answer as a message, an error code, or silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from engine.core.messages import Identity
from engine.core.open_calls import beat_patience
from engine.core.servers import Servers
from engine.ports import Unreachable, Unsent
from engine.shell.calls import Calls
from protocol.capabilities import RegisterReply, RegisterRequest
from protocol.errors import ReelyardError
from protocol.jobs import ErrorEnvelope
from protocol.leases import (
    Goodbye,
    Heartbeat,
    HeartbeatReply,
    LeaseReply,
    LeaseRequest,
    UploadFinish,
    UploadsReply,
    UploadsRequest,
)
from protocol.operations import BY_NAME

Reply = TypeVar("Reply", bound=BaseModel)

CALL_S = 15.0
"""How long an answer may take beyond the time the call itself asks to wait."""

FINISH_S = 45.0
"""A storage that makes a large file of its parts takes its time."""

CONNECT_S = 5.0


LED = frozenset({"register_engine", "heartbeat", "lease"})
"""Only the server that leads answers these. The others are answered by any."""


class HttpDispatch:
    """The DispatchClient port. A call goes on at the server that leads; `heard` is called when a registration was answered."""

    def __init__(self, session: aiohttp.ClientSession, servers: Servers, heard: Callable[[], None] = lambda: None) -> None:
        self._session, self._calls, self._heard = session, Calls(servers), heard
        self._beat_s = CALL_S

    def led_by(self, leader: str) -> None:
        """The base URL of the server that leads, as it has told over the broker."""
        self._calls.led_by(leader)

    async def register(self, request: RegisterRequest, credential: str | None) -> RegisterReply:
        body = await self._call("register_engine", credential, request)
        reply = _read(RegisterReply, body)
        self._beat_s = beat_patience(reply.lease_s, CALL_S)
        self._heard()
        return reply

    async def heartbeat(self, who: Identity, request: Heartbeat) -> HeartbeatReply:
        body = await self._call("heartbeat", who.credential, request, limit_s=self._beat_s, engine_id=who.engine_id)
        return _read(HeartbeatReply, body)

    async def lease(self, who: Identity, request: LeaseRequest) -> LeaseReply:
        limit_s = request.wait_s + CALL_S
        body = await self._call("lease", who.credential, request, limit_s=limit_s, engine_id=who.engine_id)
        return _read(LeaseReply, body)

    async def offline(self, who: Identity, goodbye: Goodbye) -> None:
        await self._call("engine_offline", who.credential, goodbye, engine_id=who.engine_id)

    async def uploads(self, credential: str, task_id: str, request: UploadsRequest) -> UploadsReply:
        return _read(UploadsReply, await self._call("task_uploads", credential, request, task_id=task_id))

    async def finish_upload(self, credential: str, task_id: str, request: UploadFinish) -> None:
        await self._call("finish_task_upload", credential, request, limit_s=FINISH_S + CALL_S, task_id=task_id)

    async def _call(
        self, name: str, credential: str | None, request: BaseModel | None, *, limit_s: float = CALL_S, **ids: str
    ) -> bytes:
        """`ids` are in the path."""
        asking = _Asking(name, credential, request, ids, limit_s)
        return await self._calls.make(name, partial(asking.ask, self._session), is_led=name in LED)


@dataclass(frozen=True, slots=True)
class _Asking:
    """One call, whichever server it goes to."""

    name: str
    credential: str | None
    request: BaseModel | None
    ids: Mapping[str, str]
    limit_s: float

    async def ask(self, session: aiohttp.ClientSession, server: str) -> bytes:
        operation, request = BY_NAME[self.name], self.request
        headers = {"Content-Type": "application/json"} if request is not None else {}
        if self.credential is not None:
            headers["Authorization"] = f"Bearer {self.credential}"
        url = server + operation.path.format(**self.ids)
        content = request.model_dump_json().encode() if request is not None else None
        timeout = aiohttp.ClientTimeout(total=self.limit_s, sock_connect=CONNECT_S)
        try:
            async with session.request(
                operation.method, url, data=content, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                body = await response.read()
        except aiohttp.ConnectionTimeoutError as fault:
            raise Unsent(f"{self.name}: no connection within {CONNECT_S:.0f} s") from fault
        except aiohttp.ClientConnectorError as fault:
            raise Unsent(f"{self.name}: {fault}") from fault
        except TimeoutError as fault:
            raise Unreachable(f"{self.name}: no answer within {self.limit_s:.0f} s") from fault
        except (aiohttp.ClientError, ConnectionError) as fault:
            raise Unreachable(f"{self.name}: {fault}") from fault
        if response.status != operation.status:
            raise _error(self.name, response, body)
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
    retry_after = _seconds(response.headers.get("Retry-After"))
    return ReelyardError(error.code, error.message, details=dict(error.details), retry_after=retry_after)


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


@dataclass(frozen=True, slots=True)
class AskedPlaces:
    """Satisfies `engine.shell.direct.Places`, with the credential the engine has by the time of the call."""

    client: HttpDispatch
    credential: Callable[[], str | None]

    async def uploads(self, task_id: str, request: UploadsRequest) -> UploadsReply:
        return await self.client.uploads(self._credential(), task_id, request)

    async def finish_upload(self, task_id: str, request: UploadFinish) -> None:
        await self.client.finish_upload(self._credential(), task_id, request)

    def _credential(self) -> str:
        if (known := self.credential()) is None:
            raise Unreachable("this engine is not registered yet")
        return known
