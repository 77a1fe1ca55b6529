"""The dispatch process of a world: assembled by the real wiring, killed and started again on the same database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from config.dispatch import DispatchSettings, Inputs, Jobs, Leases
from config.profiles import load_profiles
from dispatch.app.assembly import Core, Outside, assemble
from dispatch.app.secrets import Secrets
from dispatch.events.bus import CommitBus
from dispatch.services.files import as_client_error
from engine.ports import Unreachable
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
from tests.sim.store import SimStore
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
def _settings(lease_s: float, heartbeat_s: float, ack_s: float, sweep_s: float) -> DispatchSettings:
    leases = Leases(lease_s=lease_s, heartbeat_s=heartbeat_s, ack_s=ack_s, sweep_s=sweep_s)
    return DispatchSettings(data=Path("nowhere"), leases=leases, jobs=Jobs(), inputs=Inputs())


class Server:
    """`core` is None while the process is down."""

    def __init__(self, ground: Ground, plan: Plan, connection: Connection, disk: Disk, watch: Watch) -> None:
        self._ground, self._connection, self._disk, self._watch = ground, connection, disk, watch
        self._settings = _settings(plan.lease_s, plan.heartbeat_s, plan.ack_s, plan.sweep_s)
        self.wire = Wire(ground, random.Random(f"receivers {plan.seed}"))
        self._process: Process | None = None
        self.core: Core | None = None
        self.down_s = 0.0
        self.starts = 0

    async def live(self) -> None:
        """Start, serve until killed or stopped, stay down for a while, start again: on what the database holds."""
        while True:
            process = self._process = Process(self._ground, "dispatch")
            self.starts += 1
            process.spawn(self._run(process))
            await process.over.wait()
            if process.is_dead:
                self._disk.lose_power()
            self.core = self._process = None
            self._watch.dispatch_went()
            down_s, self.down_s = self.down_s or self._ground.rng.uniform(0.2, 8.0), 0.0
            await asyncio.sleep(down_s)
            process.is_dead = True

    async def _run(self, process: Process) -> None:
        bus = CommitBus()
        store = SimStore(self._connection, self._ground, process, self._watch)
        store.listeners.extend((bus, self._watch.follow))
        ground = self._ground
        files, sender = SimStorage(self._disk, process), SimSender(self.wire, process)
        outside = Outside(store, bus, files, ground.clock, ground.ids, ground, profiles(), SECRETS, sender)
        core = assemble(outside, self._settings)
        await core.load()
        process.spawn(core.run())
        await core.cluster.leadership.settled.wait()
        self._watch.dispatch_came()
        self.core = core
        ground.note("dispatch up")

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
            self._process.end()

    async def handle(self, handler: Callable[[Core], Awaitable[T]]) -> T | Exception:
        """What a request met: its result, the error dispatch answered with, or Unreachable."""
        process, core = self._process, self.core
        if process is None or core is None:
            return Unreachable("refused")
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
