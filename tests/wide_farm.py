"""A farm of several dispatch servers on real PostgreSQL, NATS and SeaweedFS, with a fault proxy on every line between them.

Each dispatch server reaches the database by a proxy of its own, so that one of them can be cut off alone; engines and other
servers reach it by its own proxy too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from client.api import ReelyardClient
from client.location import read_line
from client.transport import RetryPolicy
from tests.farm import PROOFS, QUICK, Farm, Member
from tests.servers import nats, postgres, seaweed
from tests.servers.fault_proxy import FaultProxy, fault_proxy

PATIENT = RetryPolicy(attempts=200, within_s=180.0, longest_wait_s=1.0)
"""A client that outlives every restart: its Idempotency-Key makes one job of all its tries."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a wide farm stands on."""

    database: postgres.PostgresServer
    database_url: str
    broker: nats.NatsServer
    store: seaweed.SeaweedServer
    prefix: str


@dataclass(frozen=True, slots=True)
class Lines:
    """The proxies: `database` and `dispatch` by the name of a dispatch server."""

    database: Mapping[str, FaultProxy]
    dispatch: Mapping[str, FaultProxy]
    broker: FaultProxy
    store: FaultProxy

    def all(self) -> Sequence[FaultProxy]:
        return (*self.database.values(), *self.dispatch.values(), self.broker, self.store)


class WideFarm(Farm):
    """`servers` are names; each has a data directory of its own, and all of them the same secrets."""

    def __init__(self, root: Path, owner: asyncio.TaskGroup, grounds: Grounds, lines: Lines) -> None:
        super().__init__(root, owner, QUICK)
        self.grounds, self.lines = grounds, lines
        self.profiles: dict[str, str] = {}

    @property
    def servers(self) -> tuple[str, ...]:
        return tuple(self.lines.dispatch)

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def token(self) -> Path:
        return self.secrets / "registration.token"

    @property
    def key(self) -> str:
        return read_line(self.secrets / "admin.key") or ""

    def address(self, name: str) -> str:
        """Of a dispatch server, by its proxy."""
        return f"http://127.0.0.1:{self.lines.dispatch[name].port}"

    def client_of(self, name: str, retry: RetryPolicy = PATIENT) -> ReelyardClient:
        return ReelyardClient(self.address(name), self.key, retry=retry)

    async def start_server(self, name: str) -> Member:
        data, (host, port) = self.root / name, self.lines.dispatch[name].target
        (data / "profiles").mkdir(parents=True, exist_ok=True)
        for profile, text in self.profiles.items():
            (data / "profiles" / f"{profile}.toml").write_text(text)
        config = data / "dispatch.toml"
        config.write_text(self._settings(name))
        words = ["--config", str(config), "--data", str(data), "--listen", f"{host}:{port}"]
        return await self._start(name, ["-m", "dispatch", *words])

    async def start_worker(self, name: str, *words: str) -> Member:
        """An engine that knows all servers, and the broker."""
        data = self.engine_data(name)
        PROOFS.give(data)
        asked = [word for server in self.servers for word in ("--server", self.address(server))]
        token = ["--token-file", str(self.token)]
        broker = {"REELYARD_ENGINE_NATS__SERVERS": json.dumps([f"nats://127.0.0.1:{self.lines.broker.port}"])}
        return await self._start(name, ["-m", "engine", *asked, "--data", str(data), "--name", name, *token, *words], broker)

    def _settings(self, name: str) -> str:
        database = urlsplit(self.grounds.database_url)
        by_proxy = f"{database.scheme}://{database.username}@127.0.0.1:{self.lines.database[name].port}{database.path}"
        return f"""
[database]
url = "{by_proxy}"
pool_max = 12
[cluster]
url = "{self.address(name)}"
secrets = "{self.secrets}"
[nats]
servers = ["nats://127.0.0.1:{self.lines.broker.port}"]
[storage]
adapter = "s3"
[storage.s3]
bucket = "{seaweed.BUCKET}"
prefix = "{self.grounds.prefix}"
endpoint = "http://127.0.0.1:{self.lines.store.port}"
path_style = true
credentials_file = "{self.grounds.store.credentials}"
[api]
calls_per_s = 10000
tenant_calls_per_s = 10000
jobs_per_hour = 100000
"""


@asynccontextmanager
async def wide_farm(root: Path, servers: Sequence[str]) -> AsyncIterator[WideFarm]:
    """Database, broker and store run; nothing of the farm itself does. At the end nothing runs any more."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(postgres.running({"fsync": "on"}))
        store = stack.enter_context(seaweed.running())
        broker = await stack.enter_async_context(nats.nats_server(root / "nats"))
        url = stack.enter_context(postgres.database(database, is_empty=True))
        grounds = Grounds(database, url, broker, store, seaweed.own_prefix())
        ports = iter(seaweed.free_ports(len(servers)))
        lines = Lines(
            {name: await stack.enter_async_context(fault_proxy("127.0.0.1", database.port)) for name in servers},
            {name: await stack.enter_async_context(fault_proxy("127.0.0.1", next(ports))) for name in servers},
            await stack.enter_async_context(fault_proxy("127.0.0.1", broker.port)),
            await stack.enter_async_context(fault_proxy("127.0.0.1", urlsplit(store.url).port or 0)),
        )
        async with asyncio.TaskGroup() as owner:
            made = WideFarm(root, owner, grounds, lines)
            fault: Exception | None = None
            try:
                yield made
            except Exception as error:  # noqa: BLE001 - raised again below, outside of the group that would wrap it
                error.add_note(made.logs())
                error.add_note(activity(grounds.database_url))
                fault = error
            finally:
                for line in lines.all():
                    line.heal()
                await made.stop()
        if fault is not None:
            raise fault


def activity(url: str) -> str:
    """What every session of the database does, and whom it waits for; for the report of a failed test."""
    wanted = "pid, state, wait_event_type, wait_event, pg_blocking_pids(pid), now() - state_change AS since, left(query, 100)"
    with psycopg.connect(url) as connection:
        rows = connection.execute(f"SELECT {wanted} FROM pg_stat_activity WHERE datname = current_database()").fetchall()
    return "\n".join(map(str, rows))
