"""Settings become adapters, adapters become services. Only names and order stand here, no decisions."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

from config.dispatch import DispatchSettings
from dispatch.api.wiring import Services
from dispatch.app.access import assemble_access, assemble_tokens
from dispatch.app.care import assemble_care
from dispatch.app.outside import Outside as Outside
from dispatch.app.tenants import TenantParts, assemble_tenants
from dispatch.app.uploads import assemble_uploads
from dispatch.app.webhooks import assemble_webhooks, webhook_policy
from dispatch.core.lease_table import LeaseTable, LeaseTimes
from dispatch.core.masking import masked
from dispatch.events.hub import EventHub
from dispatch.services.brought import BroughtFiles
from dispatch.services.deliverer import Deliverer
from dispatch.services.duties import Duty
from dispatch.services.engine_calls import EngineCalls
from dispatch.services.engines import EngineService, Pace
from dispatch.services.files import FileService
from dispatch.services.gate import StorageGate, Watermarks
from dispatch.services.grants import GrantWriter
from dispatch.services.health import HealthService
from dispatch.services.heartbeats import HeartbeatService, Progress
from dispatch.services.housekeeping import Housekeeping
from dispatch.services.jobs import JobService
from dispatch.services.leases import Judging, LeaseService
from dispatch.services.orders import OrderDesk
from dispatch.services.originals import OriginalService
from dispatch.services.publishing import Publisher
from dispatch.services.registry import EngineRegistry
from dispatch.services.scheduler import Scheduler
from dispatch.services.server_files import ServerFiles
from dispatch.services.sources import Rules, Sources
from dispatch.services.stats import StatsService
from dispatch.services.submissions import SubmissionService
from dispatch.services.sweeps import JobTimers, LeaseSweep
from dispatch.services.validation import Inputs
from protocol.addresses import FetchPolicy

TENANTS = ("default",)
PROMOTION_EVERY_S, TIMERS_EVERY_S, HOUSEKEEPING_EVERY_S = 1.0, 2.0, 600.0


@dataclass(frozen=True, slots=True)
class Core:
    """The assembled services, the loops that must run beside them, and what has to be loaded before."""

    services: Services
    scheduler: Scheduler
    leases: LeaseService
    publisher: Publisher
    deliverer: Deliverer
    registry: EngineRegistry
    table: LeaseTable
    gate: StorageGate
    duties: tuple[Duty, ...]
    outside: Outside

    async def load(self) -> None:
        """Bring memory up to what the database says. Called once, before the loops run and calls are taken."""
        await self.services.profile_changes.load()
        await self.services.tenants.load(TENANTS)
        await self.services.keys.ensure_first(self.outside.secrets.admin, is_fresh=self.outside.secrets.is_admin_fresh)
        self.registry.load(await self.outside.store.read(lambda tx: tx.engines()))
        await self.leases.load()
        await self.scheduler.load()
        await self.publisher.load()
        await self.deliverer.load()
        await self.services.uploads.load()
        await self.gate.run_once()


def assemble(outside: Outside, settings: DispatchSettings) -> Core:
    """Only names and order stand here, no decisions."""
    store, clock, ids, signing = outside.store, outside.clock, outside.ids, outside.secrets.signing
    lease_s = settings.leases.lease_s
    pace = Pace(heartbeat_s=settings.leases.heartbeat_s, lease_s=lease_s)
    table = LeaseTable(LeaseTimes(lease_s=lease_s, ack_s=settings.leases.ack_s))
    registry = EngineRegistry(clock)
    writer = GrantWriter(signing, lease_s=lease_s, fetch=_fetch_policy(settings))
    leases = LeaseService(store, table, _judging(outside, registry), writer, clock)
    timers = JobTimers(store, clock)
    scheduler = Scheduler(store, leases, clock, timers.on_backoff)
    hub = EventHub()

    def publish(progress: Progress) -> None:
        hub.publish_progress(progress.job_id, progress.tenant, progress.data_json)

    heartbeats = HeartbeatService(store, table, registry, clock, pace, publish)
    engines = EngineService(store, registry, table, ids, clock, pace)
    engines.orders = scheduler
    publisher = Publisher(store, outside.storage, clock)
    gate = StorageGate(outside.storage, _watermarks(settings), lambda why: scheduler.hold(why) if why else scheduler.resume())
    access = assemble_access(outside, settings)
    taking_in = assemble_uploads(outside, settings, gate, access.once)
    owners = assemble_tenants(outside, access.once)
    tokens, token_duties = assemble_tokens(outside, settings, owners.book)
    sources = _sources(owners, settings)
    brought = BroughtFiles(taking_in.service, outside.storage, sources, ids, clock)
    inputs = Inputs(sources, taking_in.service, owners.profiles, outside.storage)
    parts = assemble_care(outside, settings, inputs, registry, access.once)
    telling = assemble_webhooks(outside, settings, access.sealer, access.once)
    services = Services(
        care=parts.care,
        keys=access.keys,
        registration=access.registration,
        tokens=tokens,
        audit=access.audit,
        tenants=owners.service,
        idempotency=access.once,
        submissions=SubmissionService(access.once, brought, gate, sources, ids, clock),
        jobs=JobService(store, access.once, scheduler, clock, webhook_policy(settings)),
        engines=engines,
        leases=EngineCalls(store, leases, heartbeats, scheduler, writer, clock),
        files=FileService(store, outside.storage, clock, signing),
        health=HealthService(store, gate, registry, clock, scheduler.standstill),
        uploads=taking_in.service,
        upload_creation=taking_in.creation,
        reservations=taking_in.reservations,
        webhooks=telling.service,
        store=store,
        storage=outside.storage,
        hub=hub,
        profiles=owners.profiles,
        profile_changes=owners.profile_changes,
        stats=StatsService(store, registry),
        config=masked(settings.model_dump(mode="json")),
        clock=clock,
        ids=ids,
        version=importlib.metadata.version("reelyard"),
    )
    outside.bus.add(
        *owners.listeners,
        leases,
        registry,
        scheduler,
        OrderDesk(scheduler),
        publisher,
        hub,
        *parts.listeners,
        telling.deliverer,
    )
    sweep = LeaseSweep(store, table, engines, clock, lease_s=lease_s)
    promotion = Duty("promotion", publisher.run_once, PROMOTION_EVERY_S)
    publisher.wake = promotion.wake
    duties = (
        *token_duties,
        *parts.duties,
        promotion,
        taking_in.duty,
        telling.duty,
        Duty("storage", gate.run_once, settings.storage.probe_s),
        Duty("leases", sweep.run_once, settings.leases.sweep_s),
        Duty("timers", timers.run_once, TIMERS_EVERY_S),
        Duty("housekeeping", Housekeeping(store, outside.storage, publisher, timers, clock).run_once, HOUSEKEEPING_EVERY_S),
    )
    return Core(services, scheduler, leases, publisher, telling.deliverer, registry, table, gate, duties, outside)


def _sources(owners: TenantParts, settings: DispatchSettings) -> Sources:
    rules = Rules(
        settings.inputs.limits,
        settings.jobs.ttl_s,
        settings.jobs.default_profile,
        _fetch_policy(settings),
        webhook_policy(settings),
    )
    files = ServerFiles([str(root) for root in settings.inputs.allowed_roots])
    return Sources(owners.profiles, files, owners.book, rules)


def _judging(outside: Outside, registry: EngineRegistry) -> Judging:
    return Judging(registry, OriginalService(outside.store, outside.storage), outside.chance)


def _fetch_policy(settings: DispatchSettings) -> FetchPolicy:
    inputs = settings.inputs
    return FetchPolicy(
        allow_private_addresses=inputs.allow_private_addresses,
        ports=inputs.ports,
        max_redirects=inputs.max_redirects,
        max_bytes=inputs.limits.max_bytes,
        seconds=inputs.fetch_timeout_s,
    )


def _watermarks(settings: DispatchSettings) -> Watermarks:
    storage = settings.storage
    return Watermarks(storage.warn_free, storage.grants_free, storage.uploads_free, storage.plenty_bytes)
