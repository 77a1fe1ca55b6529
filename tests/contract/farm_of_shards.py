"""Two whole farms in one process, each with its own PostgreSQL, its own storage and its own tenants."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from aiohttp import web

from config.database import Database
from config.dispatch import DispatchSettings
from config.shards import Shards
from dispatch.api.server import application, runner
from dispatch.app.assembly import Core, Outside, assemble
from dispatch.app.secrets import Secrets
from dispatch.clock import RandomIds, SystemChance, SystemClock
from dispatch.core.cluster import ServerRow
from dispatch.core.sharding import ShardRouter
from dispatch.events.bus import CommitBus
from dispatch.ports import Store
from plugins.storage_local.provider import LocalStorage
from tests.contract.api_server import UNCOUNTED, Server
from tests.contract.store_adapters import postgres_store
from tests.servers.postgres import TEMPLATE, PostgresServer, database, free_port, migrated, running, shared
from tests.unit.dispatch_jobs import PROFILES

SECRETS = Secrets(b"signing", "rk_admin", "rt_registration", str)
"""All farms have the same."""

Sections = dict[str, Any]  # models of config.dispatch by their name


@dataclass(slots=True)
class Farm:
    """`database` is its URL, `storage` where its files lie."""

    server: Server
    database: str
    storage: Path

    def rows(self, query: str) -> list[str]:
        """The first column, sorted."""
        with psycopg.connect(self.database) as connection:
            return sorted(row[0] for row in connection.execute(query.encode()))


@dataclass(slots=True)
class Two:
    a: Farm
    b: Farm
    router: ShardRouter

    def of(self, tenant: str) -> tuple[Farm, Farm]:
        """The farm a tenant lives in, and the other one."""
        return (self.a, self.b) if self.router.owner(tenant) == "a" else (self.b, self.a)

    def tenants(self, count: int) -> list[str]:
        """As many of either farm."""
        names = [f"tenant{number}" for number in range(100)]
        each = [[name for name in names if self.router.owner(name) == farm][: count // 2] for farm in "ab"]
        return [*each[0], *each[1]]


@lru_cache(maxsize=1)
def another() -> PostgresServer:
    """A second instance of this process, beside the one that all tests share, with a migrated template too."""
    opened = running()
    server = opened.__enter__()
    atexit.register(opened.__exit__, None, None, None)
    server.execute(f"CREATE DATABASE {TEMPLATE}")
    migrated(server.url(TEMPLATE))
    return server


@asynccontextmanager
async def two(directory: Path, sections: Sections | None = None) -> AsyncIterator[Two]:
    """Each on an instance of PostgreSQL of its own."""
    ports = {name: free_port() for name in "ab"}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    farms = {}
    async with AsyncExitStack() as stack:
        for name, port in ports.items():
            url = stack.enter_context(database(shared() if name == "a" else another()))
            bus, root = CommitBus(), directory / name / "storage"
            root.mkdir(parents=True)
            store = await stack.enter_async_context(postgres_store(url, bus, server=f"srv_{name}"))
            shards = Shards(own=name, urls=urls)
            settings = DispatchSettings(data=root.parent, database=Database(url=url), shards=shards, **(sections or {}))
            server = await stack.enter_async_context(_server(_assembled(settings, store, bus), port))
            farms[name] = Farm(server, url, root)
        yield Two(farms["a"], farms["b"], ShardRouter(("a", "b")))


def _assembled(settings: DispatchSettings, store: Store, bus: CommitBus) -> Core:
    clock = SystemClock()
    row = ServerRow(f"srv_{settings.shards.own}", "run_1", "", "0.1", clock.now(), clock.now())
    storage = LocalStorage(str(settings.data / "storage"))
    made = (store, bus, storage, clock, RandomIds(), SystemChance(), list(PROFILES.values()), SECRETS)
    return assemble(Outside(*made, server=row), settings)


@asynccontextmanager
async def _server(core: Core, port: int) -> AsyncIterator[Server]:
    await core.load()
    async with asyncio.TaskGroup() as owner, aiohttp.ClientSession() as http:
        loops = owner.create_task(core.run())
        await core.cluster.leadership.settled.wait()
        running_ = runner(application(core.services, UNCOUNTED, at_shutdown=[core.cluster.leadership.stop]))
        await running_.setup()
        await web.TCPSite(running_, "127.0.0.1", port).start()
        try:
            yield Server(core, Path(), f"http://127.0.0.1:{port}", http, running_)
        finally:
            await running_.cleanup()
            loops.cancel()
