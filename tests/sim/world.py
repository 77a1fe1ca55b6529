"""One world from its seed to its verdict."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from dispatch.app.assembly import Core
from dispatch.core.callers import Caller
from dispatch.core.cluster import Leadership
from dispatch.core.records import Tenant
from dispatch.ports import Transaction
from dispatch.store.running import run_batch
from dispatch.store.transaction import SqlTransaction
from protocol.admin import Scope
from protocol.states import JobState
from tests.sim import told, verdict
from tests.sim.ahead import Waiting
from tests.sim.box import Box
from tests.sim.farm import Leaders
from tests.sim.freezing import task_factory
from tests.sim.ground import EPOCH, NO_FAULTS, Broken, Ground
from tests.sim.network import Network
from tests.sim.plan import BUSY_S, Fault, FaultKind, Plan, draw_plan
from tests.sim.receiver import Wire, endpoint
from tests.sim.server import Server, Shared
from tests.sim.storage import Disk
from tests.sim.store import Wires, empty_database
from tests.sim.tenant import Client
from tests.sim.tool import Bench
from tests.sim.watch import OVER, Watch
from tests.virtual_loop import VirtualLoop

OPERATOR = Caller("key_operator", "default", frozenset({Scope.ENGINES_ADMIN}))

PATIENCE_S = 1500.0
LOOK_S = 2.0
HUSH = 10


@dataclass(frozen=True, slots=True)
class Story:
    """What came of a world. `problems` are broken promises; `states` count how jobs ended; `faults` what hit."""

    seed: int
    problems: tuple[str, ...]
    states: Counter[JobState]
    faults: Counter[str]
    digest: str
    virtual_s: float
    trace: tuple[tuple[object, ...], ...]


class World:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ground = Ground(random.Random(f"world {plan.seed}"), plan.rates)
        self.connection = empty_database()
        run_batch(self.connection, [lambda tx: tx.put_endpoint(endpoint()), *_tenants(plan)])
        self.disk = Disk(self.ground)
        self.watch = Watch(self.ground, plan, self.disk.files)
        self.disk.objection = self.watch.objection
        self.bench = Bench(self.ground, self.watch, {job.number: job for job in plan.jobs})
        self.leaders = Leaders(self.ground, self.watch, self._leadership)
        self.wire = Wire(self.ground, random.Random(f"receivers {plan.seed}"))
        parts = (self.ground, plan, self.connection, self.disk, self.watch, self.wire, Wires(self.ground))
        shared = Shared(*parts, self.leaders.check)
        self.servers = self.leaders.servers = [Server(f"server{number}", shared) for number in range(plan.servers)]
        self.network = Network(self.ground, self.servers)
        self.boxes = [Box(own, plan, self.network, self.bench) for own in plan.engines]
        self.clients = [Client(job, self.network, self.bench) for job in plan.jobs]
        self.busy_s = BUSY_S

    def run(self) -> Story:
        problems: list[str] = []
        with quiet(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
            try:
                problems.extend(runner.run(self._run()))
            except BaseExceptionGroup as group:
                problems.extend(f"{type(e).__name__}: {e}" for e in leaves(group) if not isinstance(e, Broken))
            virtual_s = self.watch_time
        problems = list(dict.fromkeys((*self.ground.wrongs, *problems)))
        digest = hashlib.sha256(repr(self.ground.trace).encode()).hexdigest()[:16]
        states = Counter(job.state for job in self.watch.jobs.values())
        return Story(self.plan.seed, tuple(problems), states, self.ground.count, digest, virtual_s, tuple(self.ground.trace))

    watch_time = 0.0

    async def _run(self) -> list[str]:
        try:
            async with asyncio.TaskGroup() as group:
                self.ground.tasks = group
                if len(self.servers) > 1:
                    asyncio.get_running_loop().set_task_factory(task_factory)  # type: ignore[arg-type]  # it passes all on
                lives = [group.create_task(server.live()) for server in self.servers]
                lives += [group.create_task(self.leaders.watch())] if len(self.servers) > 1 else []
                lives += [group.create_task(box.live()) for box in self.boxes]
                lives.append(group.create_task(Waiting(self.ground, self.plan, self.boxes).watch()))
                clients = [group.create_task(client.live()) for client in self.clients]
                faults = [group.create_task(self._fault(fault)) for fault in self.plan.faults]
                problems = await self._story(clients, faults)
        finally:
            self.watch_time = self.ground.time
        return problems

    async def _story(self, clients: list[asyncio.Task[None]], faults: list[asyncio.Task[None]]) -> list[str]:
        await asyncio.sleep(self.busy_s)
        await self._heal()
        await asyncio.wait(faults) if faults else None
        problems = await self._settle(clients)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return problems

    async def _heal(self) -> None:
        self.ground.rates = NO_FAULTS
        self.ground.note("healing")

    async def _settle(self, clients: list[asyncio.Task[None]]) -> list[str]:
        """Wait until nothing is left to do; then judge."""
        limit = self.ground.time + PATIENCE_S
        while not self._is_quiet(clients):
            if self.ground.time > limit:
                break
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(LOOK_S)
        core = self._leader().core
        if core is None:
            return ["dispatch is down at the end"]
        await self._hush(core)
        for name in ("removals", "housekeeping"):
            await next(duty for duty in core.duties if duty.name == name).run_once()
        found = verdict.Rows(self.connection)
        problems = [*verdict.of_jobs(found, self.clients, self.bench), *verdict.of_files(found, self.disk)]
        problems += verdict.of_originals(found, self.disk, self.bench)
        problems += [*verdict.of_uploads(found, self.disk, self.clients), *verdict.of_usage(found, self.watch)]
        problems += verdict.of_purges(found, self.clients, self.disk)
        problems += told.of_webhooks(found, told.Deliveries(self.connection), self.wire, core)
        cores = [server.core for server in self.servers if server.core is not None]
        problems += verdict.of_registries(self.connection, cores)
        return [*problems, *verdict.of_memory(found, core), *verdict.of_boxes(self.boxes)]

    async def _hush(self, core: Core) -> None:
        """What is being told at this very moment arrives. What is to be told much later stays."""
        for _ in range(HUSH):
            if not core.deliverer.queue.in_flight and core.deliverer.queue.next_moment() > core.outside.clock.monotonic():
                return
            await asyncio.sleep(LOOK_S / HUSH)

    def _leader(self) -> Server:
        """Whoever leads; any server while nobody does."""
        return next((server for server in self.servers if server.is_leading), self.servers[0])

    def _hit(self, fault: Fault) -> Server:
        """Mostly the leader."""
        return self.servers[fault.which % len(self.servers)] if fault.which % 4 == 3 else self._leader()

    def _leadership(self) -> Leadership | None:
        return SqlTransaction(self.connection).leadership()

    def _is_quiet(self, clients: list[asyncio.Task[None]]) -> bool:
        return (
            all(task.done() for task in clients)
            and all(job.state in OVER for job in self.watch.jobs.values())
            and not any(box.disk.rows for box in self.boxes)
            and not self.network.on_their_way
            and self._leader().core is not None
            and all(server.core is not None for server in self.servers)
        )

    async def _fault(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        self.ground.count[fault.kind.value] += 1
        self.ground.note("fault", fault.kind.value, round(fault.span, 3))
        box = self.boxes[fault.which % len(self.boxes)]
        match fault.kind:
            case FaultKind.KILL_ENGINE:
                box.kill(fault.span)
            case FaultKind.FREEZE_ENGINE:
                await box.freeze(fault.span)
            case FaultKind.CUT_ENGINE:
                await box.cut(fault.span)
            case FaultKind.STOP_ENGINE:
                box.stop()
            case FaultKind.KILL_DISPATCH:
                self._hit(fault).kill(fault.span)
            case FaultKind.STOP_DISPATCH:
                self._hit(fault).stop(fault.span)
            case FaultKind.DRAIN_ENGINE:
                await self._drain(box, fault.span)
            case FaultKind.FREEZE_DISPATCH:
                await self._hit(fault).freeze(fault.span)
            case FaultKind.CUT_DATABASE:
                await self._hit(fault).cut(fault.span)
            case _:
                await self._fault_around(fault)

    async def _fault_around(self, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.JUMP_CLOCK:
                self.ground.clock.jumped += fault.size
                await asyncio.sleep(fault.span)
                self.ground.clock.jumped -= fault.size
            case FaultKind.NO_STORAGE:
                self.disk.is_away = True
                await asyncio.sleep(fault.span)
                self.disk.is_away = False
            case FaultKind.FULL_STORAGE:
                self.disk.is_full = True
                await asyncio.sleep(fault.span)
                self.disk.is_full = False
            case FaultKind.SLOW_DISK:
                self.ground.is_disk_slow = True
                await asyncio.sleep(fault.span)
                self.ground.is_disk_slow = False
            case _:
                await self._lose_staged(fault.span)

    async def _lose_staged(self, span: float) -> None:
        """The first staged file of a job that is not published yet is gone."""
        until = self.ground.time + span
        while self.ground.time < until:
            staged = sorted(path for path in self.disk.files if path.startswith("staging/"))
            if staged:
                self.ground.note("lost", staged[0])
                self.ground.count["staged file lost"] += 1
                self.disk.remove(staged[0])
                return
            await asyncio.sleep(0.5)

    async def _drain(self, box: Box, span: float) -> None:
        """An operator drains an engine, and lets it go on later."""
        for what in ("drain", "undrain"):
            while not await self._order(box, what):  # noqa: ASYNC110  # a person tries again
                await asyncio.sleep(1.0)
            await asyncio.sleep(span)

    async def _order(self, box: Box, what: str) -> bool:
        """Whether the operator's call was answered."""
        identity = box.disk.identity
        if identity is None:
            return False

        async def handler(core: Core) -> bool:
            engines = core.services.engines
            await (engines.drain if what == "drain" else engines.undrain)(OPERATOR, identity.engine_id)
            return True

        return await self._leader().handle(handler) is True


def _tenants(plan: Plan) -> list[Callable[[Transaction], None]]:
    """Those of whom more is known than their name."""
    caps = dict(plan.caps)
    made = (Tenant(n, 1.0, EPOCH, max_running=caps.get(n), untrusted=n in plan.untrusted) for n in {*caps, *plan.untrusted})
    return [_putting(tenant) for tenant in sorted(made, key=lambda tenant: tenant.name)]


def _putting(tenant: Tenant) -> Callable[[Transaction], None]:
    return lambda tx: tx.put_tenant(tenant)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


@contextmanager
def quiet() -> Iterator[None]:
    """No logs: they cost more than the world itself."""
    kept = structlog.get_config()
    structlog.configure(
        processors=[_drop],
        logger_factory=structlog.ReturnLoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(50),
    )
    try:
        yield
    finally:
        structlog.configure(**kept)


def _drop(logger: object, name: str, event: object) -> str:
    raise structlog.DropEvent


def run(seed: int, draw: Callable[[int], Plan] = draw_plan) -> Story:
    return World(draw(seed)).run()
