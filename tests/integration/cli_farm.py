"""A small real server that answers what a test wants, for the client and the command line."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from client.api import ReelyardClient
from client.transport import RetryPolicy
from protocol.errors import ErrorCode
from protocol.events import EventType, EventView
from protocol.jobs import JobInput, JobSubmission, JobView, OutputLink
from tests.unit.client_views import JOB_ID

pytestmark = pytest.mark.integration

QUICK = RetryPolicy(attempts=4, within_s=20.0, longest_wait_s=0.05)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def told(view: JobView, status: int = 200) -> web.Response:
    return web.Response(text=view.model_dump_json(by_alias=True), content_type="application/json", status=status)


def refused(code: ErrorCode, status: int, **headers: str) -> web.Response:
    body = {"error": {"code": code, "message": "no", "details": {}, "request_id": "r1"}}
    return web.json_response(body, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Farm:
    """A server that answers each route from a list, the last answer again and again, and remembers what it was asked."""

    routes: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def on(self, route: str, *answers: Answer | web.Response | JobView) -> None:
        self.routes[route] = [self._answer(answer) for answer in answers]

    def _answer(self, answer: Answer | web.Response | JobView) -> Answer:
        if not isinstance(answer, web.Response | JobView):
            return answer
        text, status, headers = (
            (answer.model_dump_json(by_alias=True), 200, {})
            if isinstance(answer, JobView)
            else (answer.text or "", answer.status, {k: v for k, v in answer.headers.items() if k == "Retry-After"})
        )

        async def give(request: web.Request) -> web.StreamResponse:
            return web.Response(text=text, status=status, headers=headers, content_type="application/json")

        return give

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((f"{request.method} {request.path}", dict(request.headers), body))
        answers = self.routes.get(f"{request.method} {request.path}")
        if answers is None:
            return refused(ErrorCode.ROUTE_NOT_FOUND, 404)
        return await (answers.pop(0) if len(answers) > 1 else answers[0])(request)

    def header(self, name: str) -> list[str | None]:
        return [headers.get(name) for _, headers, _ in self.asked]


async def cut_off(request: web.Request) -> web.StreamResponse:
    """The connection dies with no answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def client_of(farm: Farm) -> ReelyardClient:
    return ReelyardClient(farm.url, "rk_test", retry=QUICK, answer_timeout_s=5.0)


SUBMISSION = JobSubmission(input=JobInput(path="/media/x.mkv"), profile="web")


def stored(seq: int, kind: EventType) -> bytes:
    view = EventView(seq=seq, type=kind, job_id=JOB_ID, task_id=None, from_state=None, to_state=None, at="t", data={})
    return f"id: {seq}\nevent: {kind}\ndata: {view.model_dump_json()}\n\n".encode()


def streams(*chunks: bytes) -> Answer:
    """One connection that sends these and then breaks off."""

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        assert request.transport is not None
        request.transport.close()
        return response

    return give


UPLOAD = "/api/v1/uploads/upl_1"


def takes_an_upload(farm: Farm) -> None:
    """A server that takes one file by tus, in pieces, and remembers nothing of it."""

    async def begin(request: web.Request) -> web.StreamResponse:
        return web.Response(status=201, headers={"Location": UPLOAD, "Upload-Offset": "0"})

    async def take(request: web.Request) -> web.StreamResponse:
        reached = int(request.headers["Upload-Offset"]) + (request.content_length or 0)
        return web.Response(status=204, headers={"Upload-Offset": str(reached)})

    farm.on("POST /api/v1/uploads", begin)
    farm.on(f"PATCH {UPLOAD}", take)
    farm.on(f"DELETE {UPLOAD}", web.Response(status=204))


CONTENT = b"moving pictures" * 1000


def link(path: str, url: str, sha256: str | None = None) -> OutputLink:
    digest = sha256 or hashlib.sha256(CONTENT).hexdigest()
    return OutputLink(path=path, role="rendition", rendition="360p", size_bytes=len(CONTENT), sha256=digest, url=url)


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


async def content(request: web.Request) -> web.StreamResponse:
    return web.Response(body=CONTENT)
