"""Two dispatch servers on one PostgreSQL, as processes: the one that leads is killed, then frozen past its lease."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client.api import ReelyardClient
from client.location import read_line
from protocol.jobs import JobSubmission, JobView
from protocol.states import AttemptState, JobState, TaskKind
from tests.farm import QUICK, Farm, Member, encoders_below, fact
from tests.media import make_clip
from tests.servers.postgres import database

pytestmark = [pytest.mark.integration, pytest.mark.alone]

TAKEN_WITHIN_S = 10.0
WORKS_ON_WITHIN_S = 20.0
"""After another leads. Half of what the engine's open poll would wait for of itself."""
NAMES = ("alpha", "beta")


class Pair(Farm):
    """One database, one storage, one directory of secrets."""

    def __init__(self, root: Path, owner: asyncio.TaskGroup, url: str) -> None:
        super().__init__(root, owner, QUICK)
        self.urls: dict[str, str] = {}
        self.shared = {
            "REELYARD_DISPATCH_DATABASE__URL": url,
            "REELYARD_DISPATCH_CLUSTER__SECRETS": str(root / "secrets"),
            "REELYARD_DISPATCH_STORAGE__ROOT": str(root / "storage"),
        }

    async def start_server(self, name: str) -> Member:
        words = ["-m", "dispatch", "--data", str(self.root / name), "--listen", "127.0.0.1:0"]
        member = await self._start(name, words, self.shared)
        self.urls[name] = str((await member.said("listening"))["url"])
        return member

    async def start_worker(self) -> Member:
        servers = [word for url in self.urls.values() for word in ("--server", url)]
        token = ["--token-file", str(self.root / "secrets" / "registration.token"), "--slots", "1"]
        return await self._start("one", ["-m", "engine", *servers, "--data", str(self.root / "one"), "--name", "one", *token])

    def client_of(self, name: str) -> ReelyardClient:
        return ReelyardClient(self.urls[name], read_line(self.root / "secrets" / "admin.key") or "")


@asynccontextmanager
async def pair(root: Path) -> AsyncIterator[tuple[Pair, Member, Member]]:
    """The first leads. At the end nothing runs any more."""
    with database() as url:
        async with asyncio.TaskGroup() as owner:
            made = Pair(root, owner, url)
            try:
                leader = await made.start_server(NAMES[0])
                await leader.said("leading_won")
                yield made, leader, await made.start_server(NAMES[1])
            finally:
                print(made.logs())  # noqa: T201 - for the report of a failed test
                await made.stop()


def encodes(job: JobView) -> list[AttemptState]:
    return [attempt.state for attempt in job.attempts if attempt.kind is TaskKind.TRANSCODE]


async def test_a_leader_that_is_killed_is_followed_within_ten_seconds_and_nothing_is_encoded_again(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=4, size=(1280, 720))
    async with pair(tmp_path) as (made, leader, other):
        engine = await made.start_worker()
        async with made.client_of("beta") as client:
            job = await client.upload(clip, JobSubmission(profile="web"))
            await engine.said("attempt_started", kind="transcode")
            await fact(lambda: bool(encoders_below(engine.pid)), "FFmpeg encodes")

            await leader.kill()
            async with asyncio.timeout(TAKEN_WITHIN_S):
                await other.said("leading_won", epoch=2)
            done = await client.wait(job.job_id)

    assert (done.state, encodes(done)) == (JobState.COMPLETED, [AttemptState.DONE])


@pytest.mark.trust
async def test_a_leader_that_wakes_up_behind_its_lease_follows(tmp_path: Path) -> None:
    async with pair(tmp_path) as (made, leader, other):
        await made.start_worker()
        async with made.client_of("beta") as client:
            before = await client.wait((await client.submit(JobSubmission(profile="noop"))).job_id)
            leader.signal(signal.SIGSTOP)
            async with asyncio.timeout(TAKEN_WITHIN_S):
                await other.said("leading_won", epoch=2)
            async with asyncio.timeout(WORKS_ON_WITHIN_S):
                between = await client.wait((await client.submit(JobSubmission(profile="noop"))).job_id)
            leader.signal(signal.SIGCONT)
            await leader.said("leading_lost", to=(await _server_id(made, "beta")))
            async with made.client_of("alpha") as asked:
                after = await asked.wait((await asked.submit(JobSubmission(profile="noop"))).job_id)

    assert [job.state for job in (before, between, after)] == [JobState.COMPLETED] * 3
    assert [[attempt.state for attempt in job.attempts] for job in (before, between, after)] == [[AttemptState.DONE]] * 3


@pytest.mark.trust
async def test_a_leader_that_is_stopped_hands_over_at_once(tmp_path: Path) -> None:
    async with pair(tmp_path) as (_, leader, other):
        code = await leader.terminate()
        async with asyncio.timeout(3.0):
            await other.said("leading_won", epoch=2)

    assert (code, leader.log.has("leading_given_up", epoch=1)) == (0, True)


async def _server_id(made: Pair, name: str) -> str:
    return (made.root / name / "server.id").read_text(encoding="ascii").strip()
