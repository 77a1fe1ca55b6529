"""Chaos on a wide farm: dispatch servers, engines, PostgreSQL, NATS and SeaweedFS are killed, frozen and cut off.

Real clips are worked on meanwhile; every job is completed once, and what it published is whole. `CHAOS_SEED=n` draws
another order of faults.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import stamina.instrumentation

from protocol.jobs import JobSubmission, JobView
from protocol.states import JobState
from tests.farm import PROOFS, Member, fact, processes_of, told
from tests.integration.nats_events import transcoded
from tests.media import make_clip
from tests.published import assert_film
from tests.servers.fault_proxy import FaultProxy
from tests.servers.seaweed import BUCKET
from tests.wide_farm import WideFarm, wide_farm

log = logging.getLogger(__name__)
pytestmark = [pytest.mark.integration, pytest.mark.alone]

SEED = int(os.environ.get("CHAOS_SEED", "20261120"))
SERVERS = ("alpha", "beta", "gamma")
ENGINES = ("one", "two", "three", "four", "five", "six")
TINY = """
name = "tiny"
description = "one small film, made in a moment"
[[renditions]]
name = "180p"
height = 180
preset = "ultrafast"
crf = 30
audio = { codec = "aac", bitrate = 64000, sample_rate = 44100 }
"""
CLIP_S = 1.0

LEADER_KILLED, FOLLOWER_KILLED, LEADER_FROZEN, SERVER_FROZEN = (
    "leader killed",
    "follower killed",
    "leader frozen",
    "server frozen",
)
ENGINE_KILLED, ENGINE_FROZEN = "engine killed", "engine frozen"
DATABASE_KILLED, BROKER_KILLED, STORE_KILLED = "database killed", "broker killed", "store killed"
LEADER_CUT_OFF, SERVER_CUT_OFF = "leader cut off from the database", "server cut off from everybody"
BROKER_SILENT, STORE_SILENT = "broker silent", "store silent"

MANY = {
    LEADER_KILLED: 6,
    FOLLOWER_KILLED: 5,
    LEADER_FROZEN: 3,
    SERVER_FROZEN: 2,
    ENGINE_KILLED: 12,
    ENGINE_FROZEN: 4,
    DATABASE_KILLED: 3,
    BROKER_KILLED: 5,
    STORE_KILLED: 4,
    LEADER_CUT_OFF: 2,
    SERVER_CUT_OFF: 2,
    BROKER_SILENT: 1,
    STORE_SILENT: 1,
}
FEW = dict.fromkeys((LEADER_KILLED, LEADER_FROZEN, ENGINE_KILLED, DATABASE_KILLED, BROKER_KILLED, STORE_KILLED), 1)
BETWEEN_S = 120.0
"""Limit against a hang between two faults; what lies between them is work that gets done."""


@dataclass
class Chaos:
    """The farm under attack, what was sent to it, and what became of it."""

    farm: WideFarm
    clip: Path
    jobs: int
    engines: Sequence[str]
    rng: random.Random
    clients: asyncio.TaskGroup
    members: dict[str, Member] = field(default_factory=dict)
    ended: dict[str, JobView] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)

    async def start(self, name: str) -> None:
        is_server = name in SERVERS
        self.members[name] = await (self.farm.start_server(name) if is_server else self.farm.start_worker(name, "--slots", "1"))

    async def start_all(self) -> None:
        """All servers at once, on an empty database: one makes the secrets and the tables, and the others find them.

        The engines after the first believe what that one has proven: their tools are the same.
        """
        for name in SERVERS:
            await self.start(name)
        await fact(self.farm.token.exists, "the servers have their secrets")
        first, *others = self.engines
        await self.start(first)
        await self.members[first].said("engine_started")
        PROOFS.take(self.farm.engine_data(first))
        for name in others:
            await self.start(name)
        await fact(self._is_led, "one of the servers leads")

    def _is_led(self) -> bool:
        return any(self.members[name].log.has("leading_won") for name in SERVERS)

    async def end(self, names: Sequence[str]) -> dict[str, int]:
        """Their exit codes. Whoever was started again just now gets as far as hearing a signal."""

        async def one(name: str) -> int:
            await self.members[name].said("listening" if name in SERVERS else "engine_started")
            return await self.members[name].terminate()

        return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))

    # --- clients

    async def send(self, number: int) -> None:
        """A client of its own: it uploads and follows its job to the end, at a server drawn for it."""
        async with self.farm.client_of(self.rng.choice(SERVERS)) as client:
            job = await client.upload(self.clip, JobSubmission(profile="tiny", metadata={"n": number}), key=f"chaos-{number}")
            self.ended[job.job_id] = await client.wait(job.job_id)

    async def works_on(self, more: int) -> None:
        """Until so many more jobs are completed, or all are: by the database, as the clients of a frozen server hear nothing."""
        async with await psycopg.AsyncConnection.connect(self.farm.grounds.database_url, autocommit=True) as db:

            async def completed() -> int:
                row = await (await db.execute("SELECT count(*) FROM jobs WHERE state = 'completed'")).fetchone()
                return int(row[0]) if row else 0

            wanted = min(await completed() + more, self.jobs)
            await told(completed, lambda now: now >= wanted, f"{wanted} jobs are completed")

    # --- faults

    def leader(self) -> str:
        """Of the running servers the one that won last, by its log."""
        won = {
            name: max(
                (int(line["epoch"]) for line in self.members[name].log.lines if line.get("event") == "leading_won"), default=0
            )
            for name in SERVERS
        }
        return max(won, key=lambda name: won[name])

    def follower(self) -> str:
        return self.rng.choice([name for name in SERVERS if name != self.leader()])

    async def strike(self, kind: str) -> None:
        log.info("fault: %s, %d of %d jobs ended", kind, len(self.ended), self.jobs)
        self.met[kind] += 1
        await self._faults()[kind]()

    def _faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        farm = self.farm
        return {
            LEADER_KILLED: lambda: self._kill(self.leader()),
            FOLLOWER_KILLED: lambda: self._kill(self.follower()),
            LEADER_FROZEN: lambda: self._freeze(self.leader(), is_leader=True),
            SERVER_FROZEN: lambda: self._freeze(self.follower()),
            ENGINE_KILLED: lambda: self._kill(self.rng.choice(self.engines)),
            ENGINE_FROZEN: lambda: self._freeze(self.rng.choice(self.engines)),
            DATABASE_KILLED: self._kill_database,
            BROKER_KILLED: self._kill_broker,
            STORE_KILLED: self._kill_store,
            LEADER_CUT_OFF: self._cut_off_leader,
            SERVER_CUT_OFF: lambda: self._silence(farm.lines.dispatch[self.follower()]),
            BROKER_SILENT: lambda: self._silence(farm.lines.broker),
            STORE_SILENT: self._silence_store,
        }

    async def _kill(self, name: str) -> None:
        await self.members[name].kill()
        await self.start(name)

    async def _freeze(self, name: str, *, is_leader: bool = False) -> None:
        """A leader until another leads, others while the rest works on. Thawed, it goes on with what it had in hand."""
        member = self.members[name]
        member.signal(signal.SIGSTOP)
        try:
            if is_leader:
                await fact(lambda: self.leader() != name, "another leads", within_s=BETWEEN_S)
            await self.works_on(3)
        finally:
            member.signal(signal.SIGCONT)

    async def _kill_database(self) -> None:
        self.farm.grounds.database.kill()
        self.farm.grounds.database.start()

    async def _kill_broker(self) -> None:
        await self.farm.grounds.broker.kill()
        await self.works_on(2)
        await self.farm.grounds.broker.start()

    async def _kill_store(self) -> None:
        self.farm.grounds.store.kill()
        self.farm.grounds.store.start()

    async def _cut_off_leader(self) -> None:
        name = self.leader()
        line = self.farm.lines.database[name]
        line.silence()
        try:
            await fact(lambda: self.leader() != name, "another leads", within_s=BETWEEN_S)
            await self.works_on(2)
        finally:
            line.heal()

    async def _silence(self, line: FaultProxy) -> None:
        """No byte goes through while the rest works on; then every connection is reset."""
        line.silence()
        try:
            await self.works_on(3)
        finally:
            line.heal()
            line.cut()

    async def _silence_store(self) -> None:
        """Without files nothing goes on: until the leader has seen that, and hands out no work."""
        known = {name: len(self.members[name].log.lines) for name in SERVERS}
        line = self.farm.lines.store

        def is_seen() -> bool:
            return any(self.members[name].log.has("grants_held", after=count) for name, count in known.items())

        line.silence()
        try:
            await fact(is_seen, "grants are held", within_s=BETWEEN_S)
        finally:
            line.heal()
            line.cut()

    async def keep_alive(self) -> None:
        """As a service manager does: whoever ended by itself, as a server that was frozen too long may, is started again."""
        for name, member in tuple(self.members.items()):
            if not member.is_alive:
                log.info("%s had ended: %s", name, member.log.text[-2:])
                await self.start(name)


async def rage(chaos: Chaos, faults: dict[str, int]) -> None:
    kinds = [kind for kind, count in faults.items() for _ in range(count)]
    chaos.rng.shuffle(kinds)
    for number, kind in enumerate(kinds):
        due = chaos.jobs * number // (len(kinds) + 1)
        await fact(lambda due=due: len(chaos.ended) >= due, f"{due} jobs ended", within_s=BETWEEN_S)  # type: ignore[misc]  # bound now
        await chaos.strike(kind)
        await chaos.keep_alive()


@pytest.fixture(autouse=True)
def _quiet_clients() -> Iterator[None]:
    """Every try of every client would be a line."""
    stamina.instrumentation.set_on_retry_hooks([])
    yield
    stamina.instrumentation.set_on_retry_hooks(None)


@pytest.mark.timeout(300)
async def test_six_faults_on_a_wide_farm_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    await assert_survives(tmp_path, jobs=12, engines=ENGINES[:4], faults=FEW)


@pytest.mark.trust
@pytest.mark.timeout(1800)
async def test_fifty_faults_on_a_wide_farm_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    await assert_survives(tmp_path, jobs=200, engines=ENGINES, faults=MANY)


async def assert_survives(root: Path, *, jobs: int, engines: Sequence[str], faults: dict[str, int]) -> None:
    clip = make_clip(root / "clip.mp4", seconds=CLIP_S, size=(320, 180), options=("-preset", "ultrafast"))
    async with wide_farm(root, SERVERS) as farm:
        farm.profiles["tiny"] = TINY
        async with asyncio.TaskGroup() as clients:
            chaos = Chaos(farm, clip, jobs, engines, random.Random(SEED), clients)
            await chaos.start_all()
            for number in range(jobs):
                clients.create_task(chaos.send(number))
            await rage(chaos, faults)
        codes = await chaos.end(engines)
        await told(lambda: transcoded(farm.grounds.broker.url), lambda seen: seen == set(chaos.ended), "every job is told of")
        codes |= await chaos.end(SERVERS)
        log.info("faults met: %s", dict(chaos.met))
        assert codes == dict.fromkeys((*engines, *SERVERS), 0)
        assert chaos.met == Counter(faults)
        assert Counter(job.state for job in chaos.ended.values()) == {JobState.COMPLETED: jobs}
        assert_recorded_once(farm.grounds.database_url, set(chaos.ended))
        assert await transcoded(farm.grounds.broker.url) == set(chaos.ended)
        assert_published_whole(farm, set(chaos.ended), root)
        assert processes_of(root / "one") == []


def assert_recorded_once(url: str, job_ids: set[str]) -> None:
    """No job but those acknowledged, each finished by one event, each task done by one attempt, none left alive."""
    with psycopg.connect(url) as db:

        def rows(query: str) -> list[tuple[Any, ...]]:  # Any: PostgreSQL's values
            return db.execute(query).fetchall()

        assert dict(rows("SELECT job_id, state FROM jobs")) == dict.fromkeys(job_ids, "completed")
        finished = rows("SELECT job_id, count(*) FROM events WHERE type = 'JobFinished' GROUP BY job_id")
        assert dict(finished) == dict.fromkeys(job_ids, 1)
        assert rows("SELECT count(*) FROM attempts WHERE state IN ('granted', 'acked', 'running')") == [(0,)]
        done = rows("SELECT task_id, count(*) FROM attempts WHERE state = 'done' GROUP BY task_id")
        assert dict(done) == {task_id: 1 for (task_id,) in rows("SELECT task_id FROM tasks WHERE state = 'done'")}
        numbers = [json.loads(text)["n"] for (text,) in rows("SELECT user_metadata_json FROM jobs")]
        assert sorted(numbers) == list(range(len(job_ids)))


def assert_published_whole(farm: WideFarm, job_ids: set[str], root: Path) -> None:
    """The bucket holds the outputs of exactly these jobs, and each film decodes to its end."""
    client = farm.grounds.store.client()
    place = f"{farm.grounds.prefix}/default/processed/"
    found = [
        thing["Key"]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=place)
        for thing in page.get("Contents", [])
    ]
    films = [key for key in found if key.endswith(".mp4")]
    assert {key.removeprefix(place).split("/")[0] for key in found} == job_ids
    assert len(films) == len(job_ids)
    for number, key in enumerate(films):
        film = root / f"published-{number}.mp4"
        client.download_file(BUCKET, key, str(film))
        assert_film(film, seconds=CLIP_S, size=(320, 180))
    client.close()
