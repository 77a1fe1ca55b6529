"""The command line against a server that fails on demand: lines, documents, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from protocol.errors import ErrorCode
from protocol.events import EventType
from protocol.jobs import BatchItem, BatchReply, OutputsReply
from protocol.states import JobState, StepState
from tests.integration.cli_farm import (
    CONTENT,
    UPLOAD,
    Farm,
    content,
    link,
    refused,
    stored,
    streams,
    takes_an_upload,
    told,
)
from tests.unit.client_views import JOB_ID, job, step

ENVIRONMENT = {**os.environ, "XDG_CACHE_HOME": os.devnull}  # nothing is kept for a next run


@pytest.fixture
async def farm() -> AsyncIterator[Farm]:
    made = Farm()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app) as server:
        made.url = str(server.make_url("")).rstrip("/")
        yield made


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


async def start_cli(*words: str, server: str) -> asyncio.subprocess.Process:
    """`reelyard` as a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "client", *words, "--server", server, "--key", "rk_test", env=ENVIRONMENT,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def cli(*words: str, server: str) -> Ran:
    child = await start_cli(*words, server=server)
    out, err = await child.communicate()
    return Ran(await child.wait(), out.decode(), err.decode())


async def test_submit_and_wait_tells_the_path_of_the_job_in_plain_lines(farm: Farm, tmp_path: Path) -> None:
    clip = tmp_path / "my.mp4"
    clip.write_bytes(b"x" * 1000)
    takes_an_upload(farm)
    farm.on("POST /api/v1/jobs", told(job(), 202))
    farm.on(f"GET /api/v1/jobs/{JOB_ID}", job(), job(JobState.COMPLETED, step("noop", StepState.COMPLETED, 100)))
    farm.on(f"GET /api/v1/jobs/{JOB_ID}/events", streams(stored(1, EventType.JOB_FINISHED)))

    ran = await cli("submit", str(clip), "--wait", server=farm.url)

    assert ran == Ran(
        0,
        "upload my.mp4 0 % of 1.0 kB\nupload my.mp4 100 % of 1.0 kB\n"
        f"{JOB_ID} pending\n{JOB_ID} noop completed\n{JOB_ID} completed in -\n",
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


async def test_ctrl_c_in_an_upload_says_that_it_can_go_on(farm: Farm, tmp_path: Path) -> None:
    is_sending = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        is_sending.set()
        await asyncio.Event().wait()
        return web.Response()

    clip = tmp_path / "my.mp4"
    clip.write_bytes(b"x" * 1000)
    takes_an_upload(farm)
    farm.on(f"PATCH {UPLOAD}", silent)
    child = await start_cli("submit", str(clip), "--json", server=farm.url)
    await is_sending.wait()

    child.send_signal(signal.SIGINT)
    out, err = await child.communicate()

    told = "what has gone up of my.mp4 stays for a day; the same command goes on from there"
    assert (child.returncode, out.decode(), err.decode().splitlines()[-1]) == (130, "", told)


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
    takes_an_upload(farm)
    farm.on("POST /api/v1/jobs", told(job(), 202))
    farm.on("POST /api/v1/jobs/batch", web.Response(text=BatchReply(jobs=items).model_dump_json(), status=202))

    ran = await cli("submit", "server:/a", str(clip), "server:/b", "--json", "--idempotency-key", "k", server=farm.url)

    assert [(one["input"], one["job_id"]) for one in json.loads(ran.out)["jobs"]] == [
        ("server:/a", "job_02"),
        (str(clip), JOB_ID),
        ("server:/b", None),
    ]
    assert (ran.code, ran.err.splitlines()[-1]) == (3, "error: PATH_NOT_ALLOWED: server:/b: no")
    keys = {route: headers.get("Idempotency-Key") for route, headers, _ in farm.asked}
    assert (keys["POST /api/v1/jobs/batch"], keys["POST /api/v1/jobs"]) == ("k.0", "k.1")
    assert keys["POST /api/v1/uploads"] not in ("k.0", "k.1", None)


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
