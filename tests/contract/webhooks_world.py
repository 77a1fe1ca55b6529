"""The webhook services on a real store, sending over real sockets, with a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from config.dispatch import DispatchSettings, Webhooks
from dispatch.app.outside import Outside
from dispatch.app.secrets import Secrets
from dispatch.app.webhooks import WebhookParts, assemble_webhooks
from dispatch.core.callers import Caller
from dispatch.core.lifecycle import with_job_state
from dispatch.core.paging import Slice, Wanted
from dispatch.core.records import Delivery, Graph, Tenant
from dispatch.events.bus import CommitBus
from dispatch.ports import Commit, Store
from dispatch.ports.webhooks import DeliveryFilter
from dispatch.services.idempotency import Idempotency, KeyRules
from dispatch.services.sealing import Sealer
from dispatch.store.sqlite import SqliteStore
from plugins.storage_local.provider import LocalStorage
from protocol.admin import Scope
from protocol.states import JobState
from protocol.webhooks import ENDINGS, DeliveryState, EndpointRequest, WebhookEvent
from tests.contract.services_world import CLIENT, Counting, Even, Moments
from tests.contract.store_adapters import died, job, new_database, open_store

ADMIN = Caller("key_0", "default", frozenset({Scope.ADMIN}))
TO_COMPLETED = (JobState.ASSIGNED, JobState.COMPLETING, JobState.COMPLETED)


@dataclass
class WebhookWorld:
    store: Store
    parts: WebhookParts
    clock: Moments
    commits: list[Commit] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def endpoint(self, url: str, *events: WebhookEvent, who: Caller = CLIENT) -> tuple[str, str]:
        """Its id and its secret."""
        request = EndpointRequest(url=url, events=frozenset(events) or ENDINGS)
        made = orjson.loads((await self.parts.service.create(who, request, None)).body)
        return made["endpoint_id"], made["secret"]

    async def new_job(self, name: str, **fields: Any) -> str:  # any field of the job
        graph = job(name, created_at=self.clock.now(), **fields)
        await self.store.transact(lambda tx: tx.insert([graph]))
        return graph.job.job_id

    async def move(self, job_id: str, *states: JobState, **changes: Any) -> None:  # as `with_job_state` takes them
        """Each move is a transaction with its event."""
        for state in states:
            await self.store.transact(partial(_moved, job_id=job_id, state=state, now=self.clock.now(), changes=changes))

    async def finish(self, name: str, **fields: Any) -> str:  # any field of the job
        job_id = await self.new_job(name, **fields)
        await self.move(job_id, *TO_COMPLETED)
        return job_id

    async def advance(self, seconds: float) -> None:
        """Time passes, and the deliverer looks at its queue."""
        self.clock.advance(seconds)
        self.parts.deliverer.wake()
        await asyncio.sleep(0)

    async def rows(self, **wanted: Any) -> list[Delivery]:  # any field of the filter
        found = await self.store.read(lambda tx: tx.list_deliveries(DeliveryFilter(**wanted)))
        return list(found.rows)

    async def rows_of_all(self) -> list[Delivery]:
        """However many there are."""
        found: list[Delivery] = []
        page = Wanted(limit=1000)
        while True:
            part = await self._page(page)
            found.extend(part.rows)
            if part.last is None:
                return found
            page = Wanted(limit=1000, after=part.last)

    async def _page(self, page: Wanted) -> Slice[Delivery]:
        return await self.store.read(lambda tx: tx.list_deliveries(DeliveryFilter(page=page)))

    async def one(self, **wanted: Any) -> Delivery:  # any field of the filter
        (row,) = await self.rows(**wanted)
        return row

    async def until(self, fact: Callable[[list[Delivery]], bool], **wanted: Any) -> list[Delivery]:  # as above
        """The deliveries once this is true of them."""
        while not fact(rows := await self.rows(**wanted)):
            self._news.clear()
            await self._news.wait()
        return rows

    def follow(self, commit: Commit) -> None:
        self.commits.append(commit)
        self._news.set()

    async def tried(self, attempts: int, **wanted: Any) -> Delivery:  # as above
        """The one delivery, once so many of its tries are saved."""
        (row,) = await self.until(lambda rows: [one.attempts for one in rows] == [attempts], **wanted)
        return row

    async def idle(self) -> None:
        """Nothing is under way, and nothing is due."""
        queue = self.parts.deliverer.queue
        while queue.in_flight or queue.next_moment() <= self.clock.monotonic():  # noqa: ASYNC110  # nothing here could set an event
            await asyncio.sleep(0.001)

    async def over(self) -> list[Delivery]:
        """All deliveries, once there are some and none is pending."""
        return await self.until(lambda rows: bool(rows) and all(row.state != DeliveryState.PENDING for row in rows))


def _moved(tx: Any, job_id: str, state: JobState, now: float, changes: dict[str, Any]) -> None:
    before: Graph = tx.graphs([job_id])[job_id]
    tx.save([before], [with_job_state(before, state, now=now, **changes)])


@asynccontextmanager
async def webhooks_world(
    directory: Path, ports: Iterable[int], *, clock: Moments | None = None, runs: bool = True, **settings: Any
) -> AsyncIterator[WebhookWorld]:  # settings of webhooks
    """In memory. `runs`: the deliverer's loop runs beside the block."""
    bus = CommitBus()
    wanted = _settings(directory, ports, settings)
    async with (
        open_store("inline", directory, bus) as store,
        _assembled(store, bus, clock or Moments(), wanted, runs) as made,
    ):
        yield made


@asynccontextmanager
async def restartable(directory: Path, ports: Iterable[int], clock: Moments, **settings: Any) -> AsyncIterator[WebhookWorld]:
    """On the database file in the directory, made when it is not there; the block's end is the process's."""
    bus = CommitBus()
    path = directory / "dispatch.db"
    store = SqliteStore(str(path) if path.exists() else new_database(directory), [bus], died)
    store.start()
    try:
        async with _assembled(store, bus, clock, _settings(directory, ports, settings), runs=True) as made:
            yield made
    finally:
        await store.close()


def _settings(directory: Path, ports: Iterable[int], settings: dict[str, Any]) -> DispatchSettings:
    section = Webhooks.model_validate({"allow_private_addresses": True, "ports": tuple(ports), "timeout_s": 5.0, **settings})
    return DispatchSettings(data=directory, webhooks=section)


@asynccontextmanager
async def _assembled(
    store: Store, bus: CommitBus, clock: Moments, settings: DispatchSettings, runs: bool
) -> AsyncIterator[WebhookWorld]:
    ids, secrets = Counting(), Secrets(b"signing", "rk_admin", "rt_registration", str)
    outside = Outside(store, bus, LocalStorage(str(settings.data)), clock, ids, Even(), [], secrets)
    sealer = Sealer(secrets.signing, ids.secret)
    once = Idempotency(store, sealer, clock, KeyRules("run_1"))
    made = WebhookWorld(store, assemble_webhooks(outside, settings, sealer, once, store), clock)
    bus.add(made.parts.deliverer, made.follow)
    await store.transact(_with_tenants)
    await made.parts.deliverer.load()
    async with asyncio.TaskGroup() as owner:
        loop = owner.create_task(made.parts.deliverer.run()) if runs else None
        yield made
        if loop is not None:
            loop.cancel()


def _with_tenants(tx: Any) -> None:
    known = {tenant.name for tenant in tx.tenants()}
    for name in ("default", "acme"):
        if name not in known:
            tx.put_tenant(Tenant(name, 1.0, 0.0))
