"""No-op jobs through real servers and engines: on SQLite, on PostgreSQL, and on PostgreSQL with two servers.

As `noop` sends them. PostgreSQL has its default settings, every commit synced. With two servers clients and engines are
spread over both; the engines find by themselves which one leads. Behind it the stores alone, in this process.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import psycopg

from bench import stores
from bench.noop import JOBS, SLOTS, submit, until_completed
from bench.peers.postgres import Server, postgres
from bench.processes import SECRETS, Farm, server, until_online
from bench.rows import Row, percentile
from bench.spent import seconds

SINGLES, WARM = 200, 20
RACE = re.compile("ERROR:  (could not serialize access|deadlock detected|canceling statement due to lock timeout)")
GENEROUS = {"REELYARD_DISPATCH_API__JOBS_PER_HOUR": "1000000"}


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    servers: int
    on_postgres: bool = True


CASES = (Case("SQLite", 1, on_postgres=False), Case("PostgreSQL", 1), Case("PostgreSQL, two servers", 2))


@dataclass(frozen=True, slots=True)
class Place:
    """A database on a PostgreSQL, and what is known of it so far."""

    database: str
    server: Server

    @property
    def url(self) -> str:
        return self.server.dsn.replace("/postgres?", f"/{self.database}?")

    def made(self) -> None:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database}".encode())

    def transactions(self) -> tuple[int, int]:
        """How many that wrote something there were, and how often one was undone by another."""
        with psycopg.connect(self.url) as connection:
            written = sum(row[0] for row in connection.execute("SELECT count(*) FROM changes"))
        return written, len(RACE.findall(self.server.log.read_text(errors="replace")))


@asynccontextmanager
async def farm(case: Case, place: Place | None) -> AsyncIterator[list[Farm]]:
    """Its servers, with one engine at each; together the engines have as many slots in each case."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reelyard-bench-")))
        shared = {SECRETS: str(home / "secrets"), "REELYARD_DISPATCH_STORAGE__ROOT": str(home / "storage"), **GENEROUS}
        if place is not None:
            shared["REELYARD_DISPATCH_DATABASE__URL"] = place.url
        found: list[Farm] = []
        for number in range(case.servers):
            data = home / str(number)
            data.mkdir()
            found.append(await stack.enter_async_context(server(data, shared)))
        with ExitStack() as engines:
            each = SLOTS // case.servers
            started = [engines.enter_context(one.engine(f"engine-{n}", each)) for n, one in enumerate(found)]
            await until_online(found[0], case.servers, *started)
            yield found


@dataclass(frozen=True, slots=True)
class Watched:
    """Seconds of processor time so far, by whose they are."""

    used: Mapping[str, float]

    def since(self, before: Watched, wall: float) -> str:
        """In cores."""
        return ", ".join(f"{name} {(self.used[name] - before.used[name]) / wall:.2f}" for name in self.used)


def look(servers: Sequence[Farm], place: Place | None) -> Watched:
    engines = [child.pid for child in psutil.Process().children() if "engine" in child.cmdline()[1:4]]
    used = {"dispatch": sum(seconds(one.pid) for one in servers), "engines": sum(map(seconds, engines))}
    if place is not None:
        used["PostgreSQL"] = seconds(place.server.pid)
    own = psutil.Process().cpu_times()
    return Watched({**used, "the client": own.user + own.system})


async def measure(case: Case, place: Place | None) -> list[Row]:
    if place is not None:
        place.made()
    async with farm(case, place) as servers, AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(one.session()) for one in servers]
        alone = (await singles(sessions))[WARM:]
        await until_completed(sessions[0], SINGLES + WARM)
        undone = (0, 0) if place is None else place.transactions()
        before, began = look(servers, place), time.perf_counter()
        spans = await submit(sessions, JOBS)
        await until_completed(sessions[0], SINGLES + WARM + JOBS)
        wall, after = time.perf_counter() - began, look(servers, place)
        rows = rows_of(case, spans, alone, wall)
        rows[0] = Row(rows[0].name, rows[0].value, rows[0].unit, note=f"cores: {after.since(before, wall)}")
        for name in ("dispatch", "PostgreSQL"):
            if name in after.used:
                used = (after.used[name] - before.used[name]) * 1000 / JOBS
                rows.append(Row(f"{case.name}: processor time of {name} for 1,000 jobs", used, "s"))
        return rows if place is None else [*rows, races(case, undone, place.transactions())]


async def singles(sessions: Sequence[aiohttp.ClientSession]) -> list[float]:
    """One job after the other, each answered before the next is sent: milliseconds."""
    spans = []
    for number in range(WARM + SINGLES):
        began = time.perf_counter()
        async with sessions[number % len(sessions)].post("/api/v1/jobs", data='{"profile":"noop"}') as reply:
            if reply.status != 202:
                raise SystemExit(await reply.text())
            await reply.read()
        spans.append(1000 * (time.perf_counter() - began))
    return spans


def rows_of(case: Case, spans: Sequence[float], alone: Sequence[float], wall: float) -> list[Row]:
    return [
        Row(f"{case.name}: no-op jobs end to end", JOBS / wall, "jobs/s"),
        Row(f"{case.name}: one job submitted, p50", percentile(alone, 0.5), "ms"),
        Row(f"{case.name}: one job submitted, p99", percentile(alone, 0.99), "ms"),
        Row(f"{case.name}: a batch under load, p50", percentile(spans, 0.5), "ms"),
        Row(f"{case.name}: a batch under load, p99", percentile(spans, 0.99), "ms"),
    ]


def races(case: Case, before: tuple[int, int], after: tuple[int, int]) -> Row:
    written, undone = after[0] - before[0], after[1] - before[1]
    note = f"{undone} beside {written}, {JOBS / max(1, written):.0f} jobs in each"
    return Row(f"{case.name}: undone by another, of 1,000 transactions", 1000 * undone / max(1, written + undone), "", note=note)


def run() -> list[Row]:
    rows: list[Row] = []
    with postgres(Path(sys.executable)) as database:
        for number, case in enumerate(CASES):
            place = Place(f"farm_{number}", database) if case.on_postgres else None
            rows += asyncio.run(measure(case, place))
        alone = Place("alone", database)
        alone.made()
        rows += asyncio.run(stores.measure(alone.url))
    return rows
