"""The Python client against a server that fails on demand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from client.errors import Unreachable, Unreadable
from client.stream import LiveProgress
from protocol.errors import ErrorCode, ReelyardError
from protocol.events import EventType, EventView
from protocol.jobs import JobSubmission
from protocol.states import JobState, StepState
from tests.integration.cli_farm import (
    CONTENT,
    SUBMISSION,
    Farm,
    client_of,
    content,
    cut_off,
    files,
    link,
    refused,
    stored,
    streams,
    told,
)
from tests.unit.client_views import JOB_ID, job, step


@pytest.fixture
async def farm() -> AsyncIterator[Farm]:
    made = Farm()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app) as server:
        made.url = str(server.make_url("")).rstrip("/")
        yield made


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
