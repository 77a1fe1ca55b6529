"""A farm over NATS whose broker is killed twice in the middle of its work: HTTP carries it on, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError

from client.api import ReelyardClient
from protocol.cloud_events import CloudEvent
from protocol.jobs import JobSubmission, JobView
from protocol.states import JobState
from tests.farm import Farm, Member, farm, told
from tests.media import make_clip
from tests.servers.nats import NatsServer, nats_server

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]
NOOP = JobSubmission(profile="noop")
ENGINES = ("engine1", "engine2")
A_ROUND = 20


@dataclass
class Ground:
    broker: NatsServer
    farm: Farm
    dispatch: Member
    engines: tuple[Member, ...]
    client: ReelyardClient

    async def submitted(self, count: int) -> list[str]:
        reply = await self.client.submit_batch([NOOP] * count)
        return [item.job_id or "" for item in reply.jobs]

    async def ended(self, job_ids: Iterable[str]) -> list[JobView]:
        async with asyncio.timeout(60):
            return [await self.client.wait(job_id) for job_id in job_ids]

    async def all_said(self, event: str, marks: dict[str, int]) -> None:
        """Every engine, since the marks were set."""
        for engine in self.engines:
            await engine.said(event, after=marks[engine.name])

    def marks(self) -> dict[str, int]:
        return {engine.name: len(engine.log.lines) for engine in self.engines}

    async def events(self, stream: str = "REELYARD_EVENTS") -> list[CloudEvent]:
        """Everything the broker keeps, in its order."""
        connection = await nats.connect(self.broker.url)
        try:
            js = connection.jetstream()
            state = (await js.stream_info(stream)).state
            found = []
            for seq in range(state.first_seq, state.last_seq + 1):
                try:
                    found.append(CloudEvent.model_validate_json((await js.get_msg(stream, seq)).data or b""))
                except NotFoundError:
                    continue
            return found
        finally:
            await connection.close()

    async def last_seq(self, stream: str) -> int:
        connection = await nats.connect(self.broker.url)
        try:
            return (await connection.jetstream().stream_info(stream)).state.last_seq
        finally:
            await connection.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    root = tmp_path_factory.mktemp("nats_farm")
    async with nats_server(root / "nats") as broker:
        urls = json.dumps([broker.url])
        wishes = {"REELYARD_DISPATCH_NATS__SERVERS": urls, "REELYARD_ENGINE_NATS__SERVERS": urls}
        async with farm(root / "farm", **wishes) as made:
            dispatch = await made.start_dispatch()
            engines = tuple([await made.start_engine(name, "--slots", "1") for name in ENGINES])
            async with made.client() as client:
                ready = Ground(broker, made, dispatch, engines, client)
                await ready.all_said("broker_used", dict.fromkeys(ENGINES, 0))
                yield ready


async def test_a_broker_killed_twice_costs_no_job_and_does_none_twice(ground: Ground, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=1, size=(640, 360))
    before = await ground.submitted(A_ROUND)
    await ground.ended(before)
    settled = await ground.last_seq("REELYARD_STATUS")
    assert settled >= 1  # several reports go in one message
    assert await ground.last_seq("REELYARD_TASKS") >= A_ROUND

    marks = ground.marks()
    film = await ground.client.upload(clip, JobSubmission(profile="web"))
    in_the_middle = await ground.submitted(A_ROUND)
    await ground.broker.kill()
    await ground.all_said("broker_left", marks)
    away = await ground.submitted(A_ROUND)
    views = await ground.ended([*in_the_middle, *away, film.job_id])
    assert [view.error for view in views if view.state is not JobState.COMPLETED] == []
    assert Counter(view.state for view in views) == {JobState.COMPLETED: 2 * A_ROUND + 1}
    assert "engines go by HTTP" in (await ground.client.health_part("queue")).message

    await ground.broker.start()
    await ground.all_said("broker_used", marks)
    marks = ground.marks()
    again = await ground.submitted(A_ROUND)
    await ground.broker.kill()
    late = await ground.submitted(5)
    await ground.all_said("broker_left", marks)
    await ground.broker.start()
    await ground.all_said("broker_used", marks)
    last = await ground.submitted(A_ROUND)
    await ground.ended([*again, *late, *last])

    jobs = [*before, *in_the_middle, *away, film.job_id, *again, *late, *last]
    assert len(jobs) >= 60
    finished = await told(ground.events, lambda seen: _finished(seen) >= set(jobs), "every end is told to the broker")
    for name in ("JobFinished", "VideoTranscoded"):
        ends = [event.subject for event in finished if event.type == f"io.reelyard.{name}" and event.subject in jobs]
        assert Counter(ends) == Counter(jobs)
    assert [int(event.id.partition("-")[0]) for event in finished] == sorted(
        int(event.id.partition("-")[0]) for event in finished
    )
    assert len({(event.source, event.id) for event in finished}) == len(finished)
    assert await ground.last_seq("REELYARD_STATUS") > settled


async def test_a_dispatch_that_dies_with_its_broker_up_tells_every_end_once(ground: Ground) -> None:
    first, marks = await ground.submitted(A_ROUND), ground.marks()
    await ground.dispatch.kill()
    await ground.all_said("broker_left", marks)
    ground.dispatch = await ground.farm.start_dispatch()
    second = await ground.submitted(A_ROUND)
    await ground.ended([*first, *second])
    jobs = {*first, *second}
    told_of = await told(ground.events, lambda seen: _finished(seen) >= jobs, "every end is told to the broker")
    ended = Counter(event.subject for event in told_of if event.type == "io.reelyard.JobFinished" and event.subject in jobs)
    assert ended == Counter(jobs)
    await ground.all_said("broker_used", marks)


def _finished(events: Iterable[CloudEvent]) -> set[str]:
    return {event.subject or "" for event in events if event.type == "io.reelyard.VideoTranscoded"}
