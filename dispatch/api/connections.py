"""Connections that do not trust who is at the other end: heads that never end, readers that never read, noise.

aiohttp has no such timers and answers noise in plain text; what it keeps to itself and is used here (`_request_count`,
`_waiter`) is held still by the tests of this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from dispatch.api import answers
from dispatch.api.wiring import Limits
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger()
MAX_LINE, MAX_FIELD, MAX_FIELDS, MAX_HEAD = 8190, 8192, 100, 32_768
"""Bytes of the request line, of one header with its name, number of headers, bytes of a whole head."""

LINGER_S = 2.0
"""How long a body nobody wants is read away, so that the client meets the answer and not a reset connection."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What every connection is held to. `new_id` names refusals that never became a request."""

    limits: Limits
    new_id: Callable[[], str]

    def refusal(self, fault: ReelyardError) -> web.Response:
        request_id = self.new_id()
        told = {**answers.SECURITY_HEADERS, "X-Request-Id": request_id, "Connection": "close"}
        answer = answers.error(fault, request_id, told)
        answer.force_close()
        return answer

    def bare(self, fault: ReelyardError) -> bytes:
        """The same as bytes, for a connection on which no request has come."""
        answer = self.refusal(fault)
        body = answer.body if isinstance(answer.body, bytes) else b""
        fields = {**answer.headers, "Content-Length": str(len(body))}
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join((*lines, "", "")).encode() + body


class GuardedConnection(web.RequestHandler):
    """One connection. A head must be whole within `first_request_s` of the connection, or of its own first byte."""

    __slots__ = ("_head_bytes", "_head_timer", "_reader_timer", "_watch")

    def __init__(self, server: GuardedServer, watch: Watch, **options: Any) -> None:  # Any: aiohttp's own options
        super().__init__(server, **options)
        self._watch = watch
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(self._watch.limits.first_request_s, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        self._let_reader_be()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        web.RequestHandler.data_received(self, data)  # each piece of every request comes by here
        if self._request_count != heads:
            if self._head_timer is not None:
                self._disarm()
        elif data and self._waits_for_a_head():
            self._take_part_of_a_head(len(data))

    def _waits_for_a_head(self) -> bool:
        return not self._request_count or (self._waiter is not None and not self._waiter.done())

    def _take_part_of_a_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD:
            self._refuse(ErrorCode.HEADERS_TOO_LARGE)
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._watch.limits.first_request_s, self._head_is_late)

    def _disarm(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        """Whoever has begun to speak is told why; a connection on which nothing came is just closed."""
        self._head_timer = None
        if self._head_bytes:
            self._refuse(ErrorCode.REQUEST_TOO_SLOW)
        else:
            self.force_close()

    def _refuse(self, code: ErrorCode) -> None:
        """What still comes is read away for a moment: closed at once, the connection would be reset over the answer."""
        self._disarm()
        self.close()
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(self._watch.bare(ReelyardError(code)))
            transport.write_eof()
            self._head_timer = self._loop.call_later(LINGER_S, self.force_close)

    # --- the other direction

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._let_reader_be()
        super().resume_writing()

    def _watch_reader(self) -> None:
        if self.transport is not None:
            left = self.transport.get_write_buffer_size()
            self._reader_timer = self._loop.call_later(self._watch.limits.write_idle_s, self._look_at_reader, left)

    def _look_at_reader(self, before: int) -> None:
        """What waited for the reader must have shrunk at the least rate that bodies are held to as well."""
        limits = self._watch.limits
        if self.transport is None:
            return
        if before - self.transport.get_write_buffer_size() < limits.min_body_rate * limits.write_idle_s:
            self.transport.abort()
        else:
            self._watch_reader()

    def _let_reader_be(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    # --- noise

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no request gets its envelope; anything else that reaches this place is a fault of ours."""
        fault = fault_of(exc)
        if fault.code is ErrorCode.INTERNAL_ERROR:
            log.error("connection_failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        return self._watch.refusal(fault)


def fault_of(exc: BaseException | None) -> ReelyardError:
    """Why the parser refused what came."""
    match exc:
        case LineTooLong() if exc.args[1:2] == (MAX_LINE,):
            return ReelyardError(ErrorCode.URL_TOO_LONG)
        case LineTooLong():
            return ReelyardError(ErrorCode.HEADERS_TOO_LARGE)
        case HttpProcessingError() if "many headers" in exc.message:
            return ReelyardError(ErrorCode.HEADERS_TOO_LARGE)
        case HttpProcessingError():
            return ReelyardError(ErrorCode.MALFORMED_REQUEST)
        case _:
            return ReelyardError(ErrorCode.INTERNAL_ERROR)


class GuardedServer(web.Server):
    """Makes guarded connections for the application behind `plain`."""

    def __init__(self, plain: web.Server, watch: Watch) -> None:
        super().__init__(plain.request_handler, request_factory=plain.request_factory, handler_cancellation=False)
        self._watch = watch

    def __call__(self) -> web.RequestHandler:
        return GuardedConnection(
            self,
            self._watch,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=self._watch.limits.idle_connection_s,
            lingering_time=LINGER_S,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_FIELDS,
            auto_decompress=False,
        )
