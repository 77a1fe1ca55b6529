"""The assembled services of dispatch on the real SQL in line, with a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from config.dispatch import DispatchSettings, Inputs
from dispatch.app.assembly import Core, Outside, assemble
from dispatch.app.secrets import Secrets
from dispatch.core.callers import Caller
from dispatch.core.records import Attempt, Graph
from dispatch.events.bus import CommitBus
from dispatch.ports import Choice, Commit, Transaction
from dispatch.services.idempotency import Answered
from dispatch.services.s3_inputs import NO_BUCKETS, S3Inputs
from plugins.storage_local.provider import LocalStorage
from protocol.admin import Scope
from protocol.capabilities import Capabilities, HeldTask, Load, RegisterReply, RegisterRequest, Slots
from protocol.jobs import JobSubmission
from protocol.leases import Grant, Heartbeat, HeartbeatReply, LeaseReply, LeaseRequest, Report, RunningTask, Settlement
from protocol.states import EngineState
from protocol.storage import StorageProvider
from tests.contract.store_adapters import open_store
from tests.unit.dispatch_jobs import NOW, PROFILES

CODECS = ("encoder:libx264", "encoder:aac", "encoder:libmp3lame", "encoder:mjpeg")
CAN = frozenset({"operation:noop", "operation:analyze", "operation:transcode", *CODECS})
SLOTS = Slots(encoding=4, light=2, free_encoding=4, free_light=2)
BOOT = "boot-0001"
CLIENT = Caller("key_1", "default", frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.FILES_READ}))
OTHER = Caller("key_2", "acme", CLIENT.scopes)
OPERATOR = Caller("key_3", "default", frozenset({Scope.ENGINES_READ, Scope.ENGINES_ADMIN}))
Sections = Mapping[str, Any]  # models of config.dispatch by their name
NO_SECTIONS: Sections = {}


@dataclass
class Moments:
    """Wall and monotonic time; `jump` moves the wall alone."""

    wall: float = NOW
    elapsed: float = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.elapsed += seconds

    def jump(self, seconds: float) -> None:
        self.wall += seconds


@dataclass
class Counting:
    """Ids and secrets by number."""

    count: int = 0

    def new(self, prefix: str, now: float) -> str:
        self.count += 1
        return f"{prefix}_{self.count:06d}"

    def secret(self) -> str:
        self.count += 1
        return f"secret-{self.count:06d}"


class Even:
    def draw(self) -> float:
        return 0.5


@dataclass
class World:
    core: Core
    clock: Moments
    root: Path
    commits: list[Commit] = field(default_factory=list)

    async def submit(self, who: Caller = CLIENT, **fields: Any) -> str:  # any field of a submission
        answer = await self.core.services.submissions.submit(who, JobSubmission(**{"profile": "noop", **fields}), None)
        return job_of(answer)

    async def graph(self, job_id: str) -> Graph:
        def load(tx: Transaction) -> Graph:
            return tx.graphs([job_id], attempts=tx.job_attempts(job_id))[job_id]

        return await self.core.outside.store.read(load)

    async def states(self, job_id: str) -> tuple[str, ...]:
        graph = await self.graph(job_id)
        return (graph.job.state.value, *(task.state.value for task in graph.tasks))

    async def attempt(self, job_id: str, token: int) -> Attempt:
        return (await self.graph(job_id)).attempt(token)

    async def register(
        self,
        name: str = "box",
        *,
        boot: str = BOOT,
        credential: str | None = None,
        held: tuple[HeldTask, ...] = (),
        tags: Iterable[str] = (),
    ) -> RegisterReply:
        request = RegisterRequest(
            name=name,
            hostname=f"{name}.local",
            boot_id=boot,
            version="0.1",
            capabilities=Capabilities(provided=CAN),
            slots=SLOTS,
            held=held,
            tags=frozenset(tags),
        )
        return await self.core.services.engines.register(
            request, credential=credential, has_registration_token=credential is None
        )

    async def grant(self, engine_id: str, job_id: str, *, boot: str = BOOT) -> Grant:
        """Its first pending task, past the scheduler's choice."""
        graph = await self.graph(job_id)
        task = next(task for task in graph.tasks if task.state == "pending")
        made = await self.core.leases.grant([Choice(engine_id, boot, f"req-{task.task_id}", (task.task_id,))])
        return made[0][0]

    async def settle(self, engine_id: str, *reports: Report) -> tuple[Settlement, ...]:
        return await self.core.leases.settle(engine_id, reports)

    async def beat(
        self, engine_id: str, *running: RunningTask, boot: str = BOOT, state: EngineState = EngineState.ONLINE, **fields: Any
    ) -> HeartbeatReply:  # any field of a heartbeat
        beat = Heartbeat(boot_id=boot, state=state, load=Load(), slots=SLOTS, running=running, **fields)
        return await self.core.services.leases.heartbeat(engine_id, beat)

    async def poll(self, engine_id: str, request_id: str = "poll-1", *, boot: str = BOOT) -> LeaseReply:
        """What an open poll is told now, with no room for work: orders alone."""
        request = LeaseRequest(boot_id=boot, slots=0, light_slots=0, wait_s=0.0, request_id=request_id)
        return await self.core.services.leases.lease(engine_id, request)

    async def duty(self, name: str) -> None:
        await next(duty for duty in self.core.duties if duty.name == name).run_once()

    def files(self) -> list[str]:
        """Every file in the storage."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())

    async def stage(self, grant: Grant, path: str, content: bytes) -> None:
        assert grant.staging_url is not None
        signature, _, prefix = grant.staging_url.removeprefix("/files/s/").partition("/")
        await self.core.services.files.stage(signature, f"{prefix}/{path}", blocks_of(content))


async def blocks_of(content: bytes) -> AsyncIterator[bytes]:
    yield content


def job_of(answer: Answered) -> str:
    job_id: str = orjson.loads(answer.body)["job_id"]
    return job_id


async def leads(core: Core) -> None:
    """As the loop of a server that is alone does at its start; its other loops are run by the tests, one round at a time."""
    await core.cluster.leadership.beat()
    await core.cluster.term.begin()
    core.cluster.lead.is_loaded = True


@asynccontextmanager
async def world(
    directory: Path,
    *,
    storage: StorageProvider | None = None,
    adapter: str = "inline",
    sections: Sections = NO_SECTIONS,
    buckets: S3Inputs = NO_BUCKETS,
    **inputs: Any,
) -> AsyncIterator[World]:  # settings
    """`sections` are those of the settings beside `inputs`."""
    root = directory / "storage"
    root.mkdir(exist_ok=True)
    bus, clock = CommitBus(), Moments()
    settings = DispatchSettings(data=directory, inputs=Inputs.model_validate(inputs), **sections)
    async with open_store(adapter, directory, bus) as store:
        secrets = Secrets(b"signing", "rk_admin", "rt_registration", str)
        files = storage or LocalStorage(str(root))
        outside = Outside(store, bus, files, clock, Counting(), Even(), list(PROFILES.values()), secrets, buckets=buckets)
        made = World(assemble(outside, settings), clock, root)
        bus.add(lambda commit: made.commits.append(commit))
        await made.core.load()
        await leads(made.core)
        yield made
        await asyncio.sleep(0)
