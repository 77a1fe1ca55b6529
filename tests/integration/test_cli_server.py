"""The client against a small server that can fail on demand: retries, streams, uploads, downloads, exit codes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from client.api import ReelyardClient
from client.errors import Unreachable, Unreadable
from client.stream import LiveProgress
from client.transport import RetryPolicy
from protocol.errors import ErrorCode, ReelyardError
from protocol.events import EventType, EventView
from protocol.jobs import BatchItem, BatchReply, JobInput, JobSubmission, JobView, OutputLink, OutputsReply
from protocol.states import JobState, StepState
from tests.unit.client_views import JOB_ID, job, step

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


@pytest.fixture
async def farm() -> AsyncIterator[Farm]:
    made = Farm()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app) as server:
        made.url = str(server.make_url("")).rstrip("/")
        yield made


async def cut_off(request: web.Request) -> web.StreamResponse:
    """The connection dies with no answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def client_of(farm: Farm) -> ReelyardClient:
    return ReelyardClient(farm.url, "rk_test", retry=QUICK, answer_timeout_s=5.0)


SUBMISSION = JobSubmission(input=JobInput(path="/media/x.mkv"), profile="web")


async def test_a_submit_is_repeated_under_one_key_until_the_server_takes_it(farm: Farm) -> None:
    farm.on(
        "POST /api/v1/jobs",
        cut_off,
        refused(ErrorCode.SHUTTING_DOWN, 503, Retry_After="1"),
        web.Response(status=502, text="<html>"),
        told(job(), 202),
    )

    async with client_of(farm) as client:
        made = await client.submit(SUBMISSION)

    assert made == job()
    assert len(set(farm.header("Idempotency-Key"))) == 1
    assert [json.loads(body) for *_, body in farm.asked] == [{"input": {"path": "/media/x.mkv"}, "profile": "web"}] * 4
    assert set(farm.header("X-API-Key")) == {"rk_test"}


async def test_a_cancel_whose_answer_was_lost_is_not_sent_again(farm: Farm) -> None:
    farm.on(f"POST /api/v1/jobs/{JOB_ID}/cancel", cut_off)

    async with client_of(farm) as client:
        with pytest.raises(Unreachable):
            await client.cancel(JOB_ID)

    assert len(farm.asked) == 1


async def test_the_error_of_the_envelope_is_raised_as_it_was_told(farm: Farm) -> None:
    farm.on(f"GET /api/v1/jobs/{JOB_ID}", refused(ErrorCode.JOB_NOT_FOUND, 404))

    async with client_of(farm) as client:
        with pytest.raises(ReelyardError) as caught:
            await client.get(JOB_ID)

    assert (caught.value.code, caught.value.message) == (ErrorCode.JOB_NOT_FOUND, "no")


@pytest.mark.parametrize("answer", [web.Response(text="<html>hello"), web.Response(status=302), web.Response(status=418)])
async def test_a_stranger_on_the_port_is_told_apart(farm: Farm, answer: web.Response) -> None:
    farm.on(f"GET /api/v1/jobs/{JOB_ID}", answer)

    async with client_of(farm) as client:
        with pytest.raises(Unreadable):
            await client.get(JOB_ID)


async def test_an_id_of_the_user_cannot_reach_another_route(farm: Farm) -> None:
    async with client_of(farm) as client:
        with pytest.raises(ReelyardError):
            await client.get("../engines?x=1")

    assert [route for route, *_ in farm.asked] == ["GET /api/v1/jobs/../engines?x=1"]


async def test_an_upload_streams_the_fields_first_and_the_file_last_and_survives_a_cut(farm: Farm, tmp_path: Path) -> None:
    clip = tmp_path / 'a "quoted" ä.mp4'
    content = bytes(range(256)) * 12_000
    clip.write_bytes(content)
    progress: list[tuple[int, int]] = []
    farm.on("POST /api/v1/jobs/upload", cut_off, told(job(), 202))

    async with client_of(farm) as client:
        made = await client.upload(
            clip, JobSubmission(profile="web", priority=7), progress=lambda sent, total: progress.append((sent, total))
        )

    _, headers, body = farm.asked[-1]
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    heads_and_values = [part.split(b"\r\n\r\n", 1) for part in body.split(b"--" + boundary)[1:-1]]
    assert made == job()
    assert [value.removesuffix(b"\r\n") for _, value in heads_and_values] == [b"web", b"7", content]
    names = (b'name="profile"', b'name="priority"', b'name="file"')
    assert [[name in head for name in names].index(True) for head, _ in heads_and_values] == [0, 1, 2]
    assert int(headers["Content-Length"]) == len(body)
    assert progress[-1] == (len(content), len(content))
    assert len(set(farm.header("Idempotency-Key"))) == 1


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


async def test_a_broken_stream_goes_on_after_the_last_event_seen(farm: Farm) -> None:
    live = LiveProgress(job_id=JOB_ID, steps=(step("noop", StepState.RUNNING, 50),), progress_percent=50.0)
    progress = f"event: ProgressUpdated\ndata: {live.model_dump_json()}\n\n".encode()
    farm.on(
        f"GET /api/v1/jobs/{JOB_ID}/events",
        streams(b"retry: 1\n", stored(4, EventType.JOB_ASSIGNED), progress, b"id: 5\nevent: Job"),
        refused(ErrorCode.SHUTTING_DOWN, 503),
        streams(stored(5, EventType.JOB_FINISHED)),
    )
    running = job(JobState.TRANSCODING, step("noop", StepState.RUNNING, 0))
    done = job(JobState.COMPLETED, step("noop", StepState.COMPLETED, 100))
    farm.on(f"GET /api/v1/jobs/{JOB_ID}", job(), running, done)

    async with client_of(farm) as client:
        views = [view async for view in client.watch(JOB_ID)]

    assert [(view.state, view.progress_percent) for view in views] == [
        (JobState.PENDING, 0.0),
        (JobState.TRANSCODING, 0.0),
        (JobState.TRANSCODING, 50.0),
        (JobState.COMPLETED, 0.0),
    ]
    assert [headers.get("Last-Event-ID") for route, headers, _ in farm.asked if route.endswith("/events")] == [None, "4", "4"]


async def test_a_stream_that_has_told_everything_ends(farm: Farm) -> None:
    farm.on(
        f"GET /api/v1/jobs/{JOB_ID}/events",
        streams(b"retry: 1\n", stored(4, EventType.JOB_FINISHED)),
        web.Response(status=204),
    )

    async with client_of(farm) as client:
        events = [event async for event in client.events(JOB_ID)]

    assert [event.seq for event in events if isinstance(event, EventView)] == [4]


async def test_a_job_that_has_ended_is_not_followed(farm: Farm) -> None:
    farm.on(f"GET /api/v1/jobs/{JOB_ID}", job(JobState.CANCELLED))

    async with client_of(farm) as client:
        assert (await client.wait(JOB_ID)).state is JobState.CANCELLED

    assert len(farm.asked) == 1


CONTENT = b"moving pictures" * 1000


def link(path: str, url: str, sha256: str | None = None) -> OutputLink:
    digest = sha256 or hashlib.sha256(CONTENT).hexdigest()
    return OutputLink(path=path, role="rendition", rendition="360p", size_bytes=len(CONTENT), sha256=digest, url=url)


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


async def content(request: web.Request) -> web.StreamResponse:
    return web.Response(body=CONTENT)


async def test_a_download_is_whole_and_takes_no_key_along(farm: Farm, tmp_path: Path) -> None:
    farm.on("GET /files/s/abc.1/x.mp4", cut_off, content)

    async with client_of(farm) as client:
        path = await client.download(link("360p/x.mp4", "/files/s/abc.1/x.mp4"), tmp_path)

    assert path == tmp_path / "360p/x.mp4"
    assert files(tmp_path) == {"360p/x.mp4": CONTENT}
    assert farm.header("X-API-Key") == [None, None]


async def test_a_download_that_differs_leaves_nothing_and_touches_nothing(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"older")
    farm.on("GET /f", content)

    async with client_of(farm) as client:
        with pytest.raises(ReelyardError) as caught:
            await client.download(link("x.mp4", "/f", sha256="0" * 64), tmp_path)

    assert caught.value.code is ErrorCode.CHECKSUM_MISMATCH
    assert files(tmp_path) == {"x.mp4": b"older"}


@pytest.mark.parametrize("path", ["../x.mp4", "/etc/x", "a/../../x", "..", ".hidden", "a//b", "x\n"])
async def test_an_output_cannot_lead_out_of_its_directory(farm: Farm, tmp_path: Path, path: str) -> None:
    evil = link("x", "/f").model_copy(update={"path": path})

    async with client_of(farm) as client:
        with pytest.raises(Unreadable):
            await client.download(evil, tmp_path / "in")

    assert files(tmp_path) == {}
    assert farm.asked == []


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


async def start_cli(*words: str, server: str) -> asyncio.subprocess.Process:
    """`reelyard` as a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "client", *words, "--server", server, "--key", "rk_test",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def cli(*words: str, server: str) -> Ran:
    child = await start_cli(*words, server=server)
    out, err = await child.communicate()
    return Ran(await child.wait(), out.decode(), err.decode())


async def test_submit_and_wait_tells_the_path_of_the_job_in_plain_lines(farm: Farm, tmp_path: Path) -> None:
    clip = tmp_path / "my.mp4"
    clip.write_bytes(b"x" * 1000)
    farm.on("POST /api/v1/jobs/upload", told(job(), 202))
    farm.on(f"GET /api/v1/jobs/{JOB_ID}", job(), job(JobState.COMPLETED, step("noop", StepState.COMPLETED, 100)))
    farm.on(f"GET /api/v1/jobs/{JOB_ID}/events", streams(stored(1, EventType.JOB_FINISHED)))

    ran = await cli("submit", str(clip), "--wait", server=farm.url)

    assert ran == Ran(
        0,
        f"upload my.mp4 100 % of 1.0 kB\n{JOB_ID} pending\n{JOB_ID} noop completed\n{JOB_ID} completed in -\n",
        "",
    )


async def test_ctrl_c_leaves_the_job_running_and_says_how_to_look_at_it(farm: Farm) -> None:
    is_following = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        is_following.set()
        await asyncio.Event().wait()
        return response

    farm.on("POST /api/v1/jobs", told(job(), 202))
    farm.on(f"GET /api/v1/jobs/{JOB_ID}", job())
    farm.on(f"GET /api/v1/jobs/{JOB_ID}/events", silent)
    child = await start_cli("submit", "server:/media/x.mkv", "--wait", server=farm.url)
    await is_following.wait()

    child.send_signal(signal.SIGINT)
    out, err = await child.communicate()

    assert (child.returncode, out.decode(), err.decode()) == (
        130,
        f"{JOB_ID} pending\n",
        f"{JOB_ID} goes on without you; look at it with: reelyard job {JOB_ID} --watch\n",
    )
    assert not [route for route, *_ in farm.asked if "cancel" in route]


async def test_a_failed_job_exits_with_1_and_is_one_document(farm: Farm) -> None:
    error = {"code": "INPUT_CORRUPT", "message": "cut off", "class": "input"}
    text = json.dumps(json.loads(job(JobState.FAILED).model_dump_json()) | {"error": error})
    farm.on("POST /api/v1/jobs", told(job(), 202))
    farm.on(f"GET /api/v1/jobs/{JOB_ID}", web.Response(text=text))

    ran = await cli("submit", "server:/media/x.mkv", "--wait", "--json", server=farm.url)

    assert (ran.code, ran.err) == (1, f"{JOB_ID} failed: INPUT_CORRUPT: cut off\n")
    assert json.loads(ran.out)["error"]["class"] == "input"


async def test_several_inputs_are_each_answered_and_the_worst_decides(farm: Farm, tmp_path: Path) -> None:
    clip = tmp_path / "my.mp4"
    clip.write_bytes(b"x")
    refusal = json.loads(refused(ErrorCode.PATH_NOT_ALLOWED, 403).text or "")["error"]
    items = (BatchItem(status=202, job_id="job_02"), BatchItem.model_validate_json(json.dumps({"status": 403, "error": refusal})))
    farm.on("POST /api/v1/jobs/upload", told(job(), 202))
    farm.on("POST /api/v1/jobs/batch", web.Response(text=BatchReply(jobs=items).model_dump_json(), status=202))

    ran = await cli("submit", "server:/a", str(clip), "server:/b", "--json", "--idempotency-key", "k", server=farm.url)

    assert [(one["input"], one["job_id"]) for one in json.loads(ran.out)["jobs"]] == [
        ("server:/a", "job_02"),
        (str(clip), JOB_ID),
        ("server:/b", None),
    ]
    assert (ran.code, ran.err.splitlines()[-1]) == (3, "error: PATH_NOT_ALLOWED: server:/b: no")
    assert farm.header("Idempotency-Key") == ["k.0", "k.1"]


async def test_outputs_are_fetched_to_a_directory(farm: Farm, tmp_path: Path) -> None:
    reply = OutputsReply(job_id=JOB_ID, expires_at="2026-11-20T07:00:00Z", files=(link("360p/x.mp4", "/f"),))
    farm.on(f"GET /api/v1/jobs/{JOB_ID}/outputs", web.Response(text=reply.model_dump_json()))
    farm.on("GET /f", content)

    ran = await cli("outputs", JOB_ID, "--download", str(tmp_path), server=farm.url)

    assert ran == Ran(0, f"{tmp_path}/360p/x.mp4 15.0 kB\n", "")
    assert (tmp_path / "360p/x.mp4").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("job", "job_9"), 2, "error: ROUTE_NOT_FOUND: no"),
        (("submit", "/nowhere/x.mp4"), 2, "error: INPUT_NOT_FOUND: /nowhere/x.mp4: there is no such file here; "),
        (("submit", "x", "--priority", "11"), 2, "error: VALIDATION_FAILED: priority: "),
        (("submit", "x", "--priority", "many"), 2, "error: USAGE: Invalid value for '--priority'"),
        (("submit", "ftp://x/y"), 2, "error: USAGE: 'ftp://x/y': ftp:// is not read; "),
        (("keys", "create", "x", "--scope", "everything"), 2, "error: VALIDATION_FAILED: 'everything' is not a valid Scope; "),
        (("jobs", "--frob"), 2, "error: USAGE: No such option: --frob"),
    ],
)
async def test_bad_words_are_one_clear_line(farm: Farm, words: tuple[str, ...], code: int, line: str) -> None:
    ran = await cli(*words, server=farm.url)

    assert (ran.code, ran.out, ran.err.count("\n"), ran.err[: len(line)]) == (code, "", 1, line)


async def test_an_unreachable_server_is_one_clear_line() -> None:
    ran = await cli("jobs", server="127.0.0.1:1")

    assert ran == Ran(
        3, "", "error: SERVER_UNREACHABLE: cannot reach http://127.0.0.1:1: Connection refused. Is the server running?\n"
    )
