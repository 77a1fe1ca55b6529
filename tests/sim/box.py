"""One engine box: a disk that survives, and a daemon of the real engine that is killed, frozen, cut off and restarted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TypeVar

from dispatch.app.assembly import Core
from engine.core.agent import Agent
from engine.core.attempts import Key, key_of
from engine.core.messages import Changes, Identity, Saved, SavedAttempt, Setup
from engine.core.messages import Policy as EnginePolicy
from engine.core.recovery import Death
from engine.core.servers import Servers
from engine.core.slots import plain_slots
from engine.ports import QueueFull
from engine.shell.calls import Calls
from engine.shell.crash import take_over
from engine.shell.daemon import Daemon, Rhythm, World
from protocol.capabilities import Capabilities, Load, RegisterReply, RegisterRequest
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Ack, Fail, Goodbye, Heartbeat, HeartbeatReply, LeaseReply, LeaseRequest
from tests.sim.ground import EngineClock, Ground
from tests.sim.minder import Fate, Minder
from tests.sim.network import Handler, Line, Network
from tests.sim.plan import EnginePlan, Plan
from tests.sim.process import Process
from tests.sim.server import REGISTRATION
from tests.sim.tool import Bench, Tool

T = TypeVar("T")
OPERATIONS = frozenset({"operation:noop", "operation:analyze"})
MORE = frozenset({"operation:transcribe", "speech:any", "operation:frames", "operation:package", "operation:measure"})
WEB = frozenset({"operation:transcode", "encoder:libx264", "encoder:aac", "encoder:libmp3lame", "encoder:mjpeg", "metric:vmaf"})
DRAIN_S = 12.0
MAX_STARTS = 3


def _of_media(own: EnginePlan) -> frozenset[str]:
    return (WEB if own.does_web else frozenset()) | (MORE if own.does_more else frozenset())


class BoxDisk:
    """What survives: who the engine is, what it holds, the note of a fatal signal, and the tools with their minders."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench, self._ground, self._watch, self._name = bench, bench.ground, bench.watch, name
        self.identity: Identity | None = None
        self.rows: dict[Key, SavedAttempt] = {}
        self.death: Death | None = None
        self.journals: dict[Key, Minder] = {}

    def apply(self, changes: Changes) -> None:
        """All of it at once. A result that dispatch has not taken may not go."""
        self.identity = changes.identity or self.identity
        for key in changes.forgotten:
            gone = self.rows.pop(key, None)
            is_wanted = self._watch.is_live(key.token) and key.token not in self._watch.refused
            if gone is not None and gone.final is not None and is_wanted:
                raise self._ground.broken(f"{self._name} forgot the result of {key} before dispatch had settled it")
        for row in changes.granted:
            self._check_death(row)
            self.rows[key_of(row.grant)] = row
        for key, slot in changes.started:
            if key in self.rows:
                self.rows[key] = replace(self.rows[key], is_started=True, slot=slot)
        for final in changes.finals:
            if (key := key_of(final)) in self.rows:
                self.rows[key] = replace(self.rows[key], final=final)
                self._check_death(self.rows[key])
                self._bench.noted(self.rows[key].grant.job_id, final)

    def _check_death(self, row: SavedAttempt) -> None:
        """An encode is given up with its engine only where it cannot be taken over, or must not be."""
        key, final = key_of(row.grant), row.final
        if not isinstance(final, Fail) or final.failure.code is not ErrorCode.ENGINE_DIED:
            return
        found = self.journals.get(key)
        is_lost = found is not None and found.fate(self._ground.time) in (Fate.LEFT, Fate.STOPPED)
        is_blamed = self.death is not None and self.death.culprit == key
        if not (is_lost or is_blamed or row.retry_count >= MAX_STARTS):
            raise self._ground.broken(f"{self._name} gave up {key}, which it could have taken over")


class Queue:
    """The LocalQueue port of one run of the engine."""

    def __init__(self, disk: BoxDisk, ground: Ground, process: Process, line: Line) -> None:
        self._disk, self._ground, self._process, self._line = disk, ground, process, line

    async def load(self) -> Saved:
        rows = sorted(self._disk.rows.values(), key=lambda row: row.order)
        return Saved(self._disk.identity, tuple(rows))

    async def save(self, changes: Changes) -> None:
        await self._moment()
        if self._ground.hits("local queue full", self._ground.rates.queue_full):
            raise QueueFull("no space is left")
        self._disk.apply(changes)
        await self._moment()

    async def _moment(self) -> None:
        if self._ground.hits("kill engine at its disk", self._ground.rates.kill_engine):
            self._process.die()
        await self._ground.pause(0.005)
        await self._line.thawed()
        self._process.check()


class Client:
    """The DispatchClient port: the handlers do what the HTTP layer does around the services."""

    def __init__(self, box: Box, process: Process) -> None:
        self._box, self._process, self._watch = box, process, box.watch
        self._calls = Calls(Servers(box.network.urls))

    async def _to_leader(self, handler: Handler[T], wait_s: float = 0.0) -> T:
        """By the engine's own way: from one server to the next, as far as they point at one another."""

        async def led(core: Core) -> T:
            leading = core.services.leading
            if not leading.is_leading:
                raise ReelyardError(ErrorCode.NOT_LEADER, details={"leader": leading.leader_url})
            return await handler(core)

        async def ask(url: str) -> T:
            try:
                return await self._box.network.call(self._box.line, led, wait_s=wait_s, url=url)
            except ReelyardError as answer:
                self._box.ground.count["not the leader"] += answer.code is ErrorCode.NOT_LEADER
                raise

        return await self._calls.make("call", ask, is_led=True)

    async def register(self, request: RegisterRequest, credential: str | None) -> RegisterReply:
        async def handler(core: Core) -> RegisterReply:
            known = credential is not None and core.services.registration.is_token(credential)
            shown = None if known else credential
            self._watch.leaving(request.engine_id, +1)
            try:
                reply = await core.services.engines.register(request, credential=shown, has_registration_token=known)
            finally:
                self._watch.leaving(request.engine_id, -1)
            self._watch.renewed(reply.engine_id, [key_of(kept) for kept in reply.held if kept.keep])
            self._watch.refused.update(kept.token for kept in reply.held if not kept.keep)
            return reply

        reply = await self._to_leader(handler)
        self._process.check()
        return reply.model_copy(update={"heartbeat_s": self._box.plan.heartbeat_s})

    async def heartbeat(self, who: Identity, request: Heartbeat) -> HeartbeatReply:
        async def handler(core: Core) -> HeartbeatReply:
            await _admit(core, who)
            reply = await core.services.leases.heartbeat(who.engine_id, request)
            renewed = [Key(renewal.task_id, renewal.token) for renewal in reply.renewed]
            self._watch.renewed(who.engine_id, renewed)
            self._watch.refused.update({running.token for running in request.running} - {key.token for key in renewed})
            return reply

        reply = await self._to_leader(handler)
        self._process.check()
        # A farm of hundreds beats every 15 s, a small one every second. The slower is the harder rhythm, and cheaper.
        return reply.model_copy(update={"heartbeat_s": self._box.plan.heartbeat_s})

    async def lease(self, who: Identity, request: LeaseRequest) -> LeaseReply:
        async def handler(core: Core) -> LeaseReply:
            await _admit(core, who)
            for report in request.reports:
                if isinstance(report, Ack) and self._watch.is_live(report.token):
                    self._box.must_hold(key_of(report))
            before = self._watch.live_of_request(who.engine_id, request.request_id)
            reply = await core.services.leases.lease(who.engine_id, request)
            self._watch.answered(request, reply, before)
            return reply

        reply = await self._to_leader(handler, request.wait_s)
        self._process.check()
        return reply

    async def offline(self, who: Identity, goodbye: Goodbye) -> None:
        async def handler(core: Core) -> None:
            await _admit(core, who)
            self._watch.leaving(who.engine_id, +1)
            try:
                await core.services.engines.offline(who.engine_id, goodbye.boot_id)
            finally:
                self._watch.leaving(who.engine_id, -1)

        await self._box.network.call(self._box.line, handler)


async def _admit(core: Core, who: Identity) -> None:
    if await core.services.engines.authenticate(who.credential) != who.engine_id:
        raise ReelyardError(ErrorCode.FORBIDDEN)


class Monitor:
    async def read(self) -> Load:
        return Load(disk_free_percent=50.0)


class Survey:
    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities

    async def run_once(self) -> Capabilities:
        return self._capabilities


class Box:
    """`live` starts the engine again and again. A run never reaches past its own death: every port asks its process."""

    def __init__(self, own: EnginePlan, plan: Plan, network: Network, bench: Bench) -> None:
        self.own, self.plan, self.network, self.bench = own, plan, network, bench
        self.ground, self.watch = bench.ground, bench.watch
        self.line = Line(own.name)
        self.disk = BoxDisk(bench, own.name)
        self.process: Process | None = None
        self.daemon: Daemon | None = None
        self.down_s = 0.0
        self.awake_since = 0.0
        self._boots = 0

    async def live(self) -> None:
        while True:
            self._boots += 1
            process = self.process = Process(self.ground, self.own.name)
            process.spawn(self._run(process))
            await process.over.wait()
            process.is_dead = True
            self.process = self.daemon = None
            down_s, self.down_s = self.down_s or self.ground.rng.uniform(0.2, 8.0), 0.0
            await asyncio.sleep(down_s)

    async def _run(self, process: Process) -> None:
        queue = Queue(self.disk, self.ground, process, self.line)
        self.awake_since = self.ground.time
        saved = await take_over(queue, EngineClock(), self.disk.death, max_starts=MAX_STARTS)
        self.disk.death = None
        sandboxes = frozenset(f"sandbox:{tier}" for tier in range(1, self.own.sandbox + 1))
        capabilities = Capabilities(provided=OPERATIONS | sandboxes | _of_media(self.own))
        setup = Setup(
            name=self.own.name,
            hostname=self.own.name,
            boot_id=f"boot-{self.own.name}-{self._boots}",
            version="1",
            slots=plain_slots(self.own.encoding, self.own.light),
            capabilities=capabilities,
            tags=self.own.tags,
            registration_token=REGISTRATION,
            policy=EnginePolicy(drain_timeout_s=DRAIN_S, progress_s=self.plan.heartbeat_s / 2),
        )
        tool = Tool(self.bench, process, self)
        await tool.sweep([key_of(row.grant) for row in saved.attempts if row.final is None])
        ports = World(Client(self, process), queue, tool, Monitor(), Survey(capabilities), EngineClock())
        agent = Agent(setup, saved, chance=self.ground.rng.random, new_id=lambda: self.ground.ids.new("req", 0.0))
        self.daemon = Daemon(agent, ports, Rhythm(load_s=60.0))
        leaving = await self.daemon.run()
        if leaving.code != 0:
            raise self.ground.broken(f"{self.own.name} gave up: {leaving.message}")
        self.ground.note("left", self.own.name)
        process.over.set()

    def kill(self, down_s: float = 0.0) -> None:
        if self.process is not None:
            if any(row.is_started and row.final is None for row in self.disk.rows.values()):
                self.ground.count["killed while it worked"] += 1
            self.down_s = down_s
            self.process.kill()

    def crash(self, note: str, culprit: Key) -> None:
        """The task kills its engine from within, which leaves evidence; init starts the engine again soon."""
        self.disk.death = Death(note, culprit)
        self.kill(self.ground.rng.uniform(0.5, 3.0))

    def stop(self) -> None:
        """SIGTERM."""
        if self.daemon is not None:
            self.daemon.stop()

    async def freeze(self, span: float) -> None:
        """SIGSTOP and SIGCONT: nothing it does or hears gets through until then."""
        if self.line.frozen is None:
            self.line.frozen = asyncio.Event()
            await asyncio.sleep(span)
            frozen, self.line.frozen = self.line.frozen, None
            self.awake_since = self.ground.time
            frozen.set()

    async def cut(self, span: float) -> None:
        self.line.is_cut = True
        await asyncio.sleep(span)
        self.line.is_cut = False

    def must_hold(self, key: Key) -> None:
        """What is told to be on the disk is there."""
        if key not in self.disk.rows:
            raise self.ground.broken(f"{self.own.name} acked {key}, which is not on its disk")
