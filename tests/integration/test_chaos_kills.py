"""Chaos: dispatch and engines are killed at every kind of moment while real clips are worked on. Nothing may be lost.

`CHAOS_SEED=n` draws another order of kills.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import stamina.instrumentation

from client.api import ReelyardClient
from client.transport import RetryPolicy
from protocol.jobs import JobSubmission, JobView, OutputsReply
from protocol.states import JobState
from tests.farm import QUICK, Farm, Member, encoders_in, fact, farm, is_over, processes_of
from tests.media import make_clip, run_ffmpeg
from tests.published import assert_plays, assert_published

log = logging.getLogger(__name__)
pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.timeout(400)]

SEED = int(os.environ.get("CHAOS_SEED", "20261120"))
JOBS, AT_FIRST, ENGINES = 20, 8, ("one", "two")
FEW = """
name = "few"
description = "what web makes, of 360p alone"
[[renditions]]
name = "360p"
height = 360
preset = "slow"
crf = 23
profile = "main"
level = "3.1"
min_source_width = 640
min_source_height = 360
audio = { codec = "aac", bitrate = 96000, sample_rate = 44100 }
[hls]
segment_seconds = 1
format = "fmp4"
[thumbnails]
percents = [0, 100]
primary_percent = 0
"""
ENCODES, ANALYZES, REPORTS = "an engine while it encodes", "an engine as it analyzes", "an engine as it reports"
FARM_ENCODES, PUBLISHES, TAKES_IN = "dispatch while a job is encoded", "dispatch as it publishes", "dispatch as it takes in"
ROUNDS = {ENCODES: 13, ANALYZES: 3, REPORTS: 4, FARM_ENCODES: 6, PUBLISHES: 2, TAKES_IN: 2}
"""What is killed, when, and how often: 30 rounds, in an order drawn from the seed."""

PATIENT = RetryPolicy(attempts=60, within_s=90.0, longest_wait_s=1.0)
"""A client that outlives every restart: its Idempotency-Key makes one job of all its tries."""


@dataclass(frozen=True, slots=True)
class Clip:
    path: Path
    seconds: float
    size: tuple[int, int] = (640, 360)
    profile: str = "few"
    audio: bool = True


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Five kinds; the wide one is large enough to be caught on its way in."""
    root = tmp_path_factory.mktemp("clips")
    bars = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=2")
    tone = ("-f", "lavfi", "-i", "sine=frequency=880:sample_rate=44100:duration=2")
    run_ffmpeg(*bars, *tone, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", f"{root}/bars.mkv")
    wide = make_clip(root / "wide.mp4", seconds=2.0, size=(1280, 720), options=("-crf", "8"))
    silent = make_clip(root / "silent.mp4", seconds=2.0, size=(960, 540), audio=False, fps=50)
    return [
        Clip(wide, 2.0),
        Clip(make_clip(root / "short.mp4", seconds=1.2), 1.2),
        Clip(silent, 2.0, audio=False),
        Clip(make_clip(root / "long.mkv", seconds=3.0, fps="30000/1001"), 3.0, profile="web"),
        Clip(root / "bars.mkv", 2.0),
    ]


@dataclass
class Chaos:
    """The farm under attack, what was sent to it, and what the kills met."""

    farm: Farm
    clips: list[Clip]
    rng: random.Random
    clients: asyncio.TaskGroup
    members: dict[str, Member] = field(default_factory=dict)
    jobs: dict[str, Clip] = field(default_factory=dict)
    ended: dict[str, JobView] = field(default_factory=dict)
    sent: int = 0
    rounds: Counter[str] = field(default_factory=Counter)
    encodes_hit: int = 0
    dispatch_hit_busy: int = 0
    taken_over: int = 0
    is_trap_set: bool = False

    # --- clients

    def send_one(self, clip: Clip | None = None) -> None:
        """A client of its own, that uploads and then follows its job to the end."""
        if self.sent < JOBS:
            self.sent += 1
            self.clients.create_task(self._send(clip or self.clips[self.sent % len(self.clips)], f"chaos-{self.sent}"))

    async def _send(self, clip: Clip, key: str) -> None:
        async with ReelyardClient(self.farm.url, self.farm.key, retry=PATIENT) as client:
            job = await client.upload(clip.path, JobSubmission(profile=clip.profile), key=key, progress=self._on_its_way)
            self.jobs[job.job_id] = clip
            self.ended[job.job_id] = await client.wait(job.job_id)

    def _on_its_way(self, count: int, total: int) -> None:
        if self.is_trap_set and 0 < count < total:
            self.is_trap_set = False
            self.members["dispatch"].signal(9)

    # --- moments: each tells whom to kill as soon as it has come

    def encoding(self) -> list[Member]:
        return [self.members[name] for name in ENGINES if encoders_in(self.farm.engine_data(name))]

    def moment(self, kind: str) -> Callable[[], Member | None]:
        dispatch = self.members["dispatch"]
        match kind:
            case _ if kind == ENCODES:
                return lambda: self.rng.choice(found) if (found := self.encoding()) else None
            case _ if kind == ANALYZES:
                self.send_one()
                return self._saying("attempt_started", kind="analyze")
            case _ if kind == REPORTS:
                return self._saying("attempt_completed")
            case _ if kind == FARM_ENCODES:
                return lambda: dispatch if self.encoding() else None
            case _ if kind == PUBLISHES:
                return lambda: dispatch if any(self.farm.storage.glob("staging/*/publish-*")) else None
            case _:
                return self._trap(dispatch)

    def _saying(self, event: str, **fields: object) -> Callable[[], Member | None]:
        """Whichever engine says this next."""
        known = {name: len(self.members[name].log.lines) for name in ENGINES}

        def look() -> Member | None:
            found = [m for name, count in known.items() if (m := self.members[name]).log.has(event, after=count, **fields)]
            return self.rng.choice(found) if found else None

        return look

    def _trap(self, dispatch: Member) -> Callable[[], Member | None]:
        """The client that sends the next large clip kills dispatch itself, between two blocks."""
        self.is_trap_set = True
        self.send_one(self.clips[0])
        return lambda: None if self.is_trap_set else dispatch

    # --- one round

    async def strike(self, kind: str) -> None:
        """Wait for the moment, kill, start again. With no work left, whoever the moment is about is killed idle."""
        look = self.moment(kind)
        victims: list[Member] = []

        def has_come() -> bool:
            victims.extend(filter(None, [look()]))
            if not victims and len(self.ended) == self.sent and not self.is_done:
                self.send_one()  # work that is taken over is done sooner than work that is begun again
            return bool(victims) or self.is_done

        await fact(has_come, kind)
        victim = victims[0] if victims else self.members["dispatch" if kind.startswith("dispatch") else "one"]
        self.rounds[kind if victims else "idle"] += 1
        await self.kill(victim)
        await self.start(victim.name)

    async def kill(self, victim: Member) -> None:
        encoders, busy = encoders_in(self.farm.engine_data(victim.name)), self.encoding()
        is_met = bool(encoders) and not all(is_over(encoder) for encoder in encoders)
        await victim.kill()
        self.encodes_hit += is_met
        self.dispatch_hit_busy += victim.name == "dispatch" and bool(busy)
        self.taken_over += victim.log.has("tool_taken_over")

    async def start(self, name: str) -> None:
        starting = self.farm.start_dispatch() if name == "dispatch" else self.farm.start_engine(name, "--slots", "1")
        self.members[name] = await starting

    @property
    def is_done(self) -> bool:
        return len(self.ended) == JOBS


async def rage(chaos: Chaos) -> None:
    kinds = [kind for kind, count in ROUNDS.items() for _ in range(count)]
    chaos.rng.shuffle(kinds)
    uploads = JOBS - AT_FIRST - ROUNDS[TAKES_IN] - ROUNDS[ANALYZES]
    for _ in range(AT_FIRST):
        chaos.send_one()
    for number, kind in enumerate(kinds):
        await chaos.strike(kind)
        if number % 3 == 0 and uploads:
            uploads -= 1
            chaos.send_one()
    while chaos.sent < JOBS:
        chaos.send_one()


@pytest.fixture(autouse=True)
def _quiet_clients() -> Iterator[None]:
    """Every try of every client would be a line."""
    stamina.instrumentation.set_on_retry_hooks([])
    yield
    stamina.instrumentation.set_on_retry_hooks(None)


async def test_thirty_kills_lose_nothing_and_double_nothing(tmp_path: Path, clips: list[Clip]) -> None:
    (tmp_path / "dispatch/profiles").mkdir(parents=True)
    (tmp_path / "dispatch/profiles/few.toml").write_text(FEW)
    async with farm(tmp_path, **QUICK) as made:
        async with asyncio.TaskGroup() as clients:
            chaos = Chaos(made, clips, random.Random(SEED), clients)
            for name in ("dispatch", *ENGINES):
                await chaos.start(name)
            await rage(chaos)
        replies = await outputs_of(made, chaos)
        exits = [await chaos.members[name].terminate() for name in (*ENGINES, "dispatch")]
        await chaos.start("dispatch")  # what an overtaken engine staged behind a publication goes at the next start
        await fact(lambda: staged(made) == [], "nothing staged is left")
        exits.append(await chaos.members["dispatch"].terminate())

    log.info("kills %s; met a running encode: %d", dict(chaos.rounds), chaos.encodes_hit)
    log.info("killed engines that had taken over a running tool: %d", chaos.taken_over)
    log.info("kills of dispatch while a job was encoded: %d", chaos.dispatch_hit_busy)
    assert exits == [0, 0, 0, 0]
    assert sum(chaos.rounds.values()) == 30
    assert (chaos.encodes_hit >= 10, chaos.dispatch_hit_busy >= 5) == (True, True), chaos
    assert Counter(job.state for job in chaos.ended.values()) == {JobState.COMPLETED: JOBS}
    assert_recorded_once(tmp_path / "dispatch/dispatch.db", set(chaos.jobs))
    assert_nothing_left(tmp_path, set(chaos.jobs))
    for reply in replies:
        directory = made.storage / "default/processed" / reply.job_id
        clip = chaos.jobs[reply.job_id]
        assert_published(directory, reply)
        assert_plays(directory, seconds=clip.seconds, size=clip.size, audio=clip.audio)


def staged(made: Farm) -> list[Path]:
    return [path for path in (made.storage / "staging").rglob("*") if path.is_file()]


async def outputs_of(made: Farm, chaos: Chaos) -> list[OutputsReply]:
    async with made.client() as client:
        return [await client.outputs(job_id) for job_id in sorted(chaos.jobs)]


def assert_recorded_once(database: Path, job_ids: set[str]) -> None:
    """No job but those acknowledged, each finished by one event, each task done by one attempt, none left alive."""
    with closing(sqlite3.connect(database)) as db:

        def rows(query: str) -> list[tuple[Any, ...]]:  # Any: SQLite's values
            return db.execute(query).fetchall()

        assert rows("PRAGMA integrity_check") == [("ok",)]
        assert dict(rows("SELECT job_id, state FROM jobs")) == dict.fromkeys(job_ids, "completed")
        finished = rows("SELECT job_id, count(*) FROM events WHERE type = 'JobFinished' GROUP BY job_id")
        assert dict(finished) == dict.fromkeys(job_ids, 1)
        assert rows("SELECT count(*) FROM attempts WHERE state IN ('granted', 'acked', 'running')") == [(0,)]
        done = rows("SELECT task_id, count(*) FROM attempts WHERE state = 'done' GROUP BY task_id")
        assert dict(done) == {task_id: 1 for (task_id,) in rows("SELECT task_id FROM tasks WHERE state = 'done'")}
        assert {state for (state,) in rows("SELECT DISTINCT state FROM tasks")} <= {"done", "skipped"}


def assert_nothing_left(root: Path, job_ids: set[str]) -> None:
    """No process, nothing in the engines' scratch; every job's original is there."""
    storage = root / "dispatch/storage"
    assert processes_of(root) == []
    assert [path for name in ENGINES for path in (root / name / "scratch").iterdir()] == []
    originals = {path.name.split("_original.")[0] for path in (storage / "default/raw").iterdir() if path.name[0] != "."}
    assert originals >= job_ids
    assert {path.name for path in (storage / "default/processed").iterdir()} == job_ids
