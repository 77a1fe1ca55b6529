"""Answers: JSON with tags, errors in their envelope, and the headers every answer carries."""

from __future__ import annotations

import zlib
from email.utils import formatdate

from aiohttp import web
from pydantic import BaseModel

from dispatch.api import problems
from dispatch.api.call import Call
from dispatch.api.tags import held, tag_of
from dispatch.core.times import parse
from protocol.admin import EngineView
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobView

JSON = "application/json"

# What the API gives is read by programs; a browser that is led to it shall neither guess, frame nor run anything.
SECURITY_HEADERS: dict[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "reelyard",
}


def raw_json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, content_type=JSON, headers=headers)


def message(reply: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return raw_json(reply.model_dump_json(by_alias=True).encode(), status, headers)


def error(fault: ReelyardError, request_id: str, headers: dict[str, str] | None = None) -> web.Response:
    answer = raw_json(problems.envelope(fault, request_id), fault.status, headers)
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = str(max(1, round(fault.retry_after)))
    match fault.code:
        case ErrorCode.UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = 'Bearer realm="reelyard"'
        case ErrorCode.RANGE_NOT_SATISFIABLE:
            answer.headers["Content-Range"] = f"bytes */{fault.details['size']}"
    return answer


def http_date(rfc3339: str) -> str:
    return formatdate(parse(rfc3339), usegmt=True)


def job(view: JobView, status: int = 200) -> web.Response:
    headers = {"ETag": tag_of(view.version), "Last-Modified": http_date(view.updated_at), "Cache-Control": "private, no-cache"}
    return message(view, status, headers)


def engine(view: EngineView) -> web.Response:
    """What it runs changes without its row: the tag names the attempts too."""
    running = " ".join(f"{task.token}{'r' if task.started else 'w'}" for task in view.running)
    tag = f'"{view.version}-{zlib.crc32(running.encode()):08x}"' if running else tag_of(view.version)
    return message(view, 200, {"ETag": tag, "Cache-Control": "private, no-cache"})


def unless_held(call: Call, answer: web.Response) -> web.Response:
    """The answer, or 304 when the client holds this very version."""
    tag = held(call.header("If-None-Match"), answer.headers["ETag"])
    if tag is None:
        return answer
    kept = {name: answer.headers[name] for name in ("Last-Modified", "Cache-Control") if name in answer.headers}
    return web.Response(status=304, headers={"ETag": tag, "Vary": "Accept-Encoding", **kept})
