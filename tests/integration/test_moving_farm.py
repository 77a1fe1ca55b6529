"""A farm at work moves from SQLite to PostgreSQL by one command, and nobody who works with it has to begin anything again."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from client.api import ReelyardClient
from protocol.admin import KeyRequest, Scope
from protocol.events import EventView
from protocol.jobs import JobSubmission, JobView
from protocol.states import AttemptState, JobState, TaskKind
from tests.farm import Farm, encoders_below, fact, farm, told
from tests.media import make_clip
from tests.published import assert_published
from tests.servers.postgres import database

pytestmark = [pytest.mark.integration, pytest.mark.alone]

WAITING = 3
NOOP = JobSubmission(profile="noop")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=3, size=(1280, 720))


@pytest.fixture
def postgres() -> Iterator[str]:
    with database(is_empty=True) as url:
        yield url


async def migrate(made: Farm, *words: str) -> tuple[int, str, str]:
    """The command as a user types it."""
    command = [sys.executable, "-m", "client", "migrate", "--data", str(made.data), *words]
    child = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    out, problem = await child.communicate()
    assert child.returncode is not None
    return child.returncode, out.decode(), problem.decode()


async def follow(client: ReelyardClient, seen: list[int]) -> None:
    """The client reconnects by itself, with the last id that it saw."""
    async for event in client.events(after=0):
        if isinstance(event, EventView):
            seen.append(event.seq)


def attempts(job: JobView) -> list[tuple[TaskKind, AttemptState]]:
    return [(attempt.kind, attempt.state) for attempt in job.attempts]


async def test_a_running_farm_moves_and_nothing_is_done_twice(tmp_path: Path, clip: Path, postgres: str) -> None:
    async with farm(tmp_path) as made:
        dispatch = await made.start_dispatch()
        engine = await made.start_engine("one", "--slots", "1")
        async with made.client() as admin:
            scopes = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.FILES_READ})
            key = (await admin.create_key(KeyRequest(name="client", scopes=scopes))).api_key
        async with made.client(key) as client, asyncio.TaskGroup() as tasks:
            seen: list[int] = []
            reader = tasks.create_task(follow(client, seen))
            running = await client.upload(clip, JobSubmission(profile="web"))
            await engine.said("attempt_started", kind="transcode")
            await fact(lambda: bool(encoders_below(engine.pid)), "FFmpeg encodes")
            waiting = [await client.submit(NOOP, key=f"key-{number}") for number in range(WAITING)]
            await fact(lambda: bool(seen), "the stream tells")

            code, out, problem = await migrate(made, "--move-to", postgres)
            stopped = await dispatch.ended()
            refused = await _started_in_vain(made)
            made.settings["REELYARD_DISPATCH_DATABASE__URL"] = postgres
            await made.start_dispatch()

            again = [await client.submit(NOOP, key=f"key-{number}") for number in range(WAITING)]
            since = await client.submit(NOOP)
            jobs = [await client.wait(job.job_id) for job in (running, *waiting, since)]
            await told(lambda: _stored(postgres), lambda stored: stored == seen, "every event was told, once and in order")
            reader.cancel()
            assert_published(made.storage / "default/processed" / running.job_id, await client.outputs(running.job_id))

    assert (code, problem, stopped) == (0, "", 0)
    assert f"the server on {made.data} (process {dispatch.pid}) is asked to stop" in out
    assert f'url = "{postgres}"' in out
    moved = f"the state of {made.data} has moved to {postgres}; set database.url to it"
    assert refused == f"dispatch: {moved} (docs/howto/move-to-postgresql.md)"
    assert [job.job_id for job in again] == [job.job_id for job in waiting]
    assert [job.state for job in jobs] == [JobState.COMPLETED] * (WAITING + 2)
    assert [state for kind, state in attempts(jobs[0]) if kind is TaskKind.TRANSCODE] == [AttemptState.DONE]
    assert [attempts(job) for job in jobs[1:]] == [[(TaskKind.NOOP, AttemptState.DONE)]] * (WAITING + 1)
    assert sum(line.get("event") == "engine_registered" for line in engine.log.lines) == 1, "its credential is as good as before"


async def _started_in_vain(made: Farm) -> str:
    """What a server says that is started on the old file."""
    command = [sys.executable, "-m", "dispatch", "--data", str(made.data), "--listen", "127.0.0.1:0"]
    child = await asyncio.create_subprocess_exec(*command, stderr=PIPE)
    _, problem = await child.communicate()
    assert child.returncode == 2
    return problem.decode().strip()


async def _stored(url: str) -> list[int]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute("SELECT seq FROM events WHERE tenant = 'default' ORDER BY seq")
        return [row[0] for row in await found.fetchall()]
