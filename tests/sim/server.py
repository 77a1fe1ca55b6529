"""The dispatch process of a world: assembled by the real wiring, killed and started again on the same database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from config.database import Database
from config.dispatch import DispatchSettings, Inputs, Jobs, Leases
from config.profiles import load_profiles
from dispatch.app.assembly import Core, Outside, assemble
from dispatch.app.secrets import Secrets
from dispatch.core.cluster import ServerRow
from dispatch.events.bus import CommitBus
from dispatch.ports import Commit
from dispatch.services.files import as_client_error
from engine.ports import Unreachable, Unsent
from protocol.errors import ReelyardError
from protocol.extras import Frames
from protocol.packaging import CmafPackaging
from protocol.profiles import Profile
from protocol.storage import StorageError
from tests.sim.ground import Ground
from tests.sim.measures import measured_film
from tests.sim.plan import Plan
from tests.sim.process import Process
from tests.sim.receiver import SIGNING, SimSender, Wire
from tests.sim.storage import Disk, SimStorage
from tests.sim.store import SimStore, Wires
from tests.sim.watch import Watch

T = TypeVar("T")
REGISTRATION = "registration token of this world"
SECRETS = Secrets(signing=SIGNING, admin="rk_admin", registration=REGISTRATION, write_registration=str)


@lru_cache(maxsize=1)
def profiles() -> tuple[Profile, ...]:
    """The built-in ones, a no-op that takes time, so that it can be interrupted, and one that takes every kind of task."""
    built_in = load_profiles()
    web = next(profile for profile in built_in if profile.name == "web")
    parts = {"name": "film", "frames": Frames(fps=1), "packaging": CmafPackaging(hls=False)}
    film = web.model_copy(update=parts)
    return (*built_in, Profile(name="nap", noop_seconds=4.0), film, measured_film(film))


@lru_cache(maxsize=8)
def _settings(lease_s: float, heartbeat_s: float, ack_s: float, sweep_s: float, is_farm: bool) -> DispatchSettings:
    leases = Leases(lease_s=lease_s, heartbeat_s=heartbeat_s, ack_s=ack_s, sweep_s=sweep_s)
    database = Database(url="postgresql://farm@nowhere/reelyard") if is_farm else Database()
    return DispatchSettings(data=Path("nowhere"), leases=leases, jobs=Jobs(), inputs=Inputs(), database=database)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all servers of a world have in common. `check` is told of each commit, and whose it is."""

    ground: Ground
    plan: Plan
    connection: Connection
    disk: Disk
    watch: Watch
    wire: Wire
    wires: Wires
    check: Callable[[str, Commit], None]


class Server:
    """`core` is None while the process is down. `well_since`: since when it runs, and reaches the database."""

    def __init__(self, name: str, shared: Shared) -> None:
        plan = shared.plan
        self.name, self._shared = name, shared
        self._ground, self._disk, self._watch = shared.ground, shared.disk, shared.watch
        self._is_one_of_many = plan.servers > 1
        self._settings = _settings(plan.lease_s, plan.heartbeat_s, plan.ack_s, plan.sweep_s, self._is_one_of_many)
        self._process: Process | None = None
        self._store: SimStore | None = None
        self.core: Core | None = None
        self.well_since: float | None = None
        self.down_s = 0.0
        self.starts = 0

    @property
    def url(self) -> str:
        return f"http://{self.name}"

    @property
    def is_leading(self) -> bool:
        return self.core is not None and self.core.services.leading.is_leading

    @property
    def epoch(self) -> int:
        return 0 if self.core is None else self.core.services.leading.epoch

    async def live(self) -> None:
        """Start, serve until killed or stopped, stay down for a while, start again: on what the database holds."""
        while True:
            name = self.name if self._is_one_of_many else "dispatch"
            process = self._process = Process(self._ground, name, may_freeze=self._is_one_of_many)
            self.starts += 1
            process.spawn(self._run(process))
            await process.over.wait()
            if process.is_dead and not self._is_one_of_many:
                self._disk.lose_power()
            led = self.is_leading or not self._is_one_of_many
            self.core = self._process = self._store = self.well_since = None
            if led:
                self._watch.dispatch_went()
            down_s, self.down_s = self.down_s or self._ground.rng.uniform(0.2, 8.0), 0.0
            await asyncio.sleep(down_s)
            process.is_dead = True

    async def _run(self, process: Process) -> None:
        bus = CommitBus()
        ground, shared = self._ground, self._shared
        seen = (partial(shared.check, self.name), self._watch)
        store = self._store = SimStore(shared.connection, ground, process, seen, shared.wires)
        store.listeners.extend((bus, self._follow))
        files, sender = SimStorage(self._disk, process), SimSender(shared.wire, process)
        me = ServerRow(self.name, f"run {self.starts}", self.url, "1", 0.0, 0.0)
        outside = Outside(store, bus, files, ground.clock, ground.ids, ground, profiles(), SECRETS, sender, server=me)
        core = assemble(outside, self._settings)
        await core.load()
        process.spawn(core.run())
        await core.cluster.leadership.settled.wait()
        if not self._is_one_of_many:
            self._watch.dispatch_came()
        self.core, self.well_since = core, ground.time
        ground.note("dispatch up")

    def _follow(self, commit: Commit) -> None:
        if self.is_leading or not self._is_one_of_many:
            self._watch.follow(commit)

    async def freeze(self, span: float) -> None:
        """SIGSTOP and SIGCONT."""
        process = self._process
        if process is None or process.frozen is not None:
            return
        self._ground.note("frozen", self.name)
        process.freeze()
        self.well_since = None
        try:
            await asyncio.sleep(span)
        finally:
            process.thaw()  # in a world that ends, too
        if self._process is process:
            self.well_since = self._ground.time

    async def cut(self, span: float) -> None:
        """Its way to the database."""
        store = self._store
        if store is None:
            return
        self._ground.note("cut off the database", self.name)
        store.is_cut, self.well_since = True, None
        await asyncio.sleep(span)
        store.is_cut = False
        if self._store is store:
            self.well_since = self._ground.time

    def kill(self, down_s: float = 0.0) -> None:
        """kill -9; it starts again after `down_s`."""
        if self._process is not None:
            self.down_s = down_s
            self._process.kill()

    def stop(self, down_s: float) -> None:
        """SIGTERM: handlers and loops are cancelled, and what they do on their way out still counts."""
        if self._process is not None and self.core is not None:
            self._ground.note("dispatch stops")
            self.down_s = down_s
            if self._is_one_of_many:
                self._process.spawn(self._hand_over(self.core, self._process))
            else:
                self._process.end()

    async def _hand_over(self, core: Core, process: Process) -> None:
        core.cluster.leadership.stop()
        await core.cluster.leadership.stopped.wait()
        process.end()

    async def handle(self, handler: Callable[[Core], Awaitable[T]]) -> T | Exception:
        """What a request met: its result, the error dispatch answered with, or Unreachable."""
        process, core = self._process, self.core
        if process is None or core is None:
            return Unsent("refused")
        task = process.spawn(_answered(handler, core))
        await asyncio.wait((task,))
        if task.cancelled() or process.is_dead:
            return Unreachable("cut off")
        result: Any = task.result()
        return result  # type: ignore[no-any-return]  # the task erases the type


async def _answered(handler: Callable[[Core], Awaitable[T]], core: Core) -> T | Exception:
    try:
        return await handler(core)
    except ReelyardError as error:
        return error
    except StorageError as error:
        return as_client_error(error)
