"""Two whole servers on one database and one storage, in one process: the first leads, the second follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from config.cluster import Cluster
from config.database import Database
from config.dispatch import DispatchSettings
from dispatch.api.server import application, runner
from dispatch.api.wiring import Limits
from dispatch.app.assembly import Core, Outside, assemble
from dispatch.app.secrets import Secrets
from dispatch.clock import RandomIds
from dispatch.core.cluster import ServerRow
from dispatch.events.bus import CommitBus
from dispatch.ports import Commit, Store
from plugins.storage_local.provider import LocalStorage
from tests.contract.api_server import UNCOUNTED, Server
from tests.contract.services_world import Even, Moments
from tests.contract.store_adapters import open_store, postgres_store
from tests.servers.postgres import database
from tests.unit.dispatch_jobs import PROFILES

Sections = Mapping[str, Any]  # models of config.dispatch by their name
NO_SECTIONS: Sections = {}
NOWHERE = "postgresql://127.0.0.1:9/nowhere"
"""Says that the database is shared; the store is another."""

PATIENT = Cluster(lease_s=60.0)
"""On a busy machine the first goes on leading."""


class Ticking(Moments):
    """Wall time stands still until it is moved; monotonic time goes on, for servers say again and again that they are there."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Both(CommitBus):
    """Tells the listeners of every server of each commit, as the feeds of a farm do."""

    def __init__(self, *buses: CommitBus) -> None:
        super().__init__()
        self._buses = buses

    def __call__(self, commit: Commit) -> None:
        for bus in self._buses:
            bus(commit)


@dataclass(slots=True)
class Two:
    leader: Server
    follower: Server
    clock: Moments


@asynccontextmanager
async def two(
    directory: Path, limits: Limits = UNCOUNTED, sections: Sections = NO_SECTIONS, adapter: str = "inline"
) -> AsyncIterator[Two]:
    """On PostgreSQL each server has a store of its own; else they share one, which tells both of each commit."""
    buses, clock = (CommitBus(), CommitBus()), Ticking()
    async with AsyncExitStack() as stack:
        if adapter == "postgres":
            url = stack.enter_context(database())
            opening = (postgres_store(url, bus, server=f"srv_{name}") for name, bus in zip("ab", buses, strict=True))
            stores: list[Store] = [await stack.enter_async_context(store) for store in opening]
        else:
            stores = [await stack.enter_async_context(open_store(adapter, directory, Both(*buses)))] * 2
        servers = [
            await stack.enter_async_context(_server(assembled(directory, name, store, bus, clock, sections), limits))
            for name, store, bus in zip("ab", stores, buses, strict=True)
        ]
        yield Two(servers[0], servers[1], clock)


def assembled(directory: Path, name: str, store: Store, bus: CommitBus, clock: Moments, sections: Sections) -> Core:
    root = directory / "storage"
    root.mkdir(exist_ok=True)
    row = ServerRow(f"srv_{name}", f"run_{name}", "", "0.1", clock.now(), clock.now())
    secrets = Secrets(b"signing", "rk_admin", "rt_registration", str)
    made = (store, bus, LocalStorage(str(root)), clock, RandomIds(), Even(), list(PROFILES.values()), secrets)
    settings = DispatchSettings(data=directory / name, database=Database(url=NOWHERE), cluster=PATIENT, **sections)
    return assemble(Outside(*made, server=row), settings)


@asynccontextmanager
async def _server(core: Core, limits: Limits) -> AsyncIterator[Server]:
    await core.load()
    async with asyncio.TaskGroup() as owner, aiohttp.ClientSession() as http:
        running = runner(application(core.services, limits, at_shutdown=[core.cluster.leadership.stop]))
        await running.setup()
        await web.TCPSite(running, "127.0.0.1", 0).start()
        host, port = running.addresses[0][:2]
        core.cluster.lead.listens_at(f"http://{host}:{port}")
        loops = owner.create_task(core.run())
        await core.cluster.leadership.settled.wait()
        try:
            yield Server(core, Path(), f"http://{host}:{port}", http, running)
        finally:
            await running.cleanup()
            loops.cancel()
