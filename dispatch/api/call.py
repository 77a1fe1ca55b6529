"""One call as a handler sees it: who asks, the parsed body, the query. Nothing here knows what a call is for."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from dispatch.api import problems
from dispatch.api.wiring import LIMITS, Services
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.paging import refuse
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import Form, Operation

M = TypeVar("M", bound=BaseModel)
BLOCK = 1 << 18
"""Bodies go to the storage in blocks of at least this many bytes, so that each is worth a thread's while."""

_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
_JSON_TYPES = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})
BROKEN_OFF = (ConnectionError, HttpProcessingError, web.PayloadAccessError, web.RequestPayloadError)
NOBODY = Caller("", "", frozenset())


@dataclass(slots=True)
class Call:
    """`who` holds for calls with an API key, `engine_id` for calls of an engine. `body` is one that was read already."""

    request: web.Request
    operation: Operation
    services: Services
    who: Caller = NOBODY
    engine_id: str = ""
    body: bytes | None = None

    def path(self, name: str) -> str:
        return self.request.match_info[name]

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name)

    async def message(self, model: type[M]) -> M:
        """The body as the operation's message. An absent body is an empty object."""
        return parsed(model, await self.json_bytes() or b"{}")

    async def keyed_message(self, model: type[M]) -> tuple[M, IdempotencyKey | None]:
        raw = await self.json_bytes() or b"{}"
        message = parsed(model, raw)
        key = idempotency_key(self.request.headers)
        return message, self.under(key, raw) if key else None

    def under(self, key: str, canonical: bytes) -> IdempotencyKey:
        """The fingerprint covers what the address names too: a key used for one job is refused for another."""
        named = "".join(f"{name}={value}\n" for name, value in sorted(self.request.match_info.items()))
        asked = f"{named}{self.request.query_string}".encode() + canonical
        return IdempotencyKey(self.operation.name, key, hashlib.sha256(asked).hexdigest())

    async def json_bytes(self) -> bytes:
        """The raw body. Raises BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE."""
        request = self.request
        if self.body is not None:
            return self.body
        if not request.can_read_body:
            return b""
        check_type(request.headers)
        raw = await body_bytes(request, self.operation.max_body)
        if b"NaN" in raw or b"Infinity" in raw:
            _refuse_non_numbers(raw)
        return raw

    def query(self) -> Mapping[str, str]:
        """The query parameters; an unknown or repeated one is refused, because it would be passed over in silence."""
        query = self.request.query
        for name in query:
            if name not in self.operation.query and not _is_of_many(name, self.operation.query):
                raise refuse(name[:100], "is no query parameter of this call")
            if len(query.getall(name)) > 1:
                raise refuse(name[:100], "is given more than once")
        return query


def _is_of_many(name: str, known: tuple[str, ...]) -> bool:
    """A row of the table ends in `*` where clients name the rest: `metadata.*`."""
    return any(row.endswith("*") and len(name) > len(row) - 1 and name.startswith(row[:-1]) for row in known)


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


def parsed(model: type[M], raw: bytes) -> M:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise problems.of_validation(error) from None


def _refuse_non_numbers(raw: bytes) -> None:
    """pydantic reads NaN and Infinity, which are no JSON and could not be given back; the words may stand in strings."""
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ReelyardError(ErrorCode.MALFORMED_JSON, details={"reason": f"at character {error.pos}"}) from None


def check_encoding(headers: Mapping[str, str]) -> None:
    """Raise UNSUPPORTED_MEDIA_TYPE for a compressed body: nothing of that size can be told before it is unpacked."""
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ReelyardError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not accepted on requests; send the plain body")


def check_type(headers: Mapping[str, str], wanted: Form = Form.JSON) -> None:
    """Raise UNSUPPORTED_MEDIA_TYPE for another Content-Type than the call takes, and for any Content-Encoding."""
    check_encoding(headers)
    told = headers.get("Content-Type", "").lower()
    if told in _JSON_TYPES and wanted is Form.JSON:
        return
    if told.partition(";")[0].strip() != wanted.value:
        raise ReelyardError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"this call takes Content-Type: {wanted.value}")
    if wanted is Form.JSON and "charset" in told and "utf-8" not in told:
        raise ReelyardError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "JSON is read as UTF-8 only")


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    key = headers.get("Idempotency-Key")
    if key is not None and not _VISIBLE.fullmatch(key):
        raise ReelyardError(ErrorCode.IDEMPOTENCY_KEY_INVALID)
    return key


async def body_bytes(request: web.Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes. A body that stands still is given up."""
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    content = request.content
    if content.is_eof():  # it came with the headers: the usual case, without a timer
        whole = content.read_nowait()
        if len(whole) > limit:
            raise too_large(limit)
        return whole
    received = bytearray()
    async for block in received_blocks(request, content.readany):
        received += block
        if len(received) > limit:
            raise too_large(limit)
    return bytes(received)


def too_large(limit: int) -> ReelyardError:
    return ReelyardError(ErrorCode.BODY_TOO_LARGE, f"the body is larger than the {limit} bytes this call accepts")


async def received_blocks(request: web.Request, read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """What `read` gives until it gives nothing. Raises BODY_TOO_SLOW, and BODY_INCOMPLETE when the client went away.

    Only the time this server waits for the client counts, not the time it takes for what came.
    """
    limits, moment = request.app[LIMITS], asyncio.get_running_loop().time
    waited_s, size = 0.0, 0
    while True:
        asked = moment()
        try:
            async with asyncio.timeout(limits.body_idle_s):
                block = await read()
        except TimeoutError:
            raise ReelyardError(ErrorCode.BODY_TOO_SLOW) from None
        except BROKEN_OFF as error:
            raise ReelyardError(ErrorCode.BODY_INCOMPLETE) from error
        if not block:
            return
        waited_s, size = waited_s + moment() - asked, size + len(block)
        if waited_s > limits.rate_grace_s and size < waited_s * limits.min_body_rate:
            raise ReelyardError(ErrorCode.BODY_TOO_SLOW)
        yield block


async def gathered(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks of at least BLOCK, but for the last."""
    held = bytearray()
    async for block in blocks:
        if not held and len(block) >= BLOCK:
            yield block
            continue
        held += block
        if len(held) >= BLOCK:
            whole, held = bytes(held), bytearray()  # while that one is on its way, nothing is held twice
            yield whole
    if held:
        yield bytes(held)
