"""The heart put together: registry, leases, scheduler, publishing, and the duties that keep them honest."""

from __future__ import annotations

from dataclasses import dataclass

from config.dispatch import DispatchSettings
from dispatch.app.outside import Outside
from dispatch.core.lease_table import LeaseTable, LeaseTimes
from dispatch.events.hub import EventHub
from dispatch.ports import CommitListener, Store
from dispatch.services.deliverer import Deliverer
from dispatch.services.duties import Duty
from dispatch.services.engine_calls import EngineCalls
from dispatch.services.engines import EngineService, Pace
from dispatch.services.gate import StorageGate, Watermarks
from dispatch.services.grants import GrantWriter, Past
from dispatch.services.heartbeats import HeartbeatService, Progress
from dispatch.services.housekeeping import Housekeeping
from dispatch.services.leases import Judging, LeaseService
from dispatch.services.live import LiveSweep
from dispatch.services.orders import OrderDesk
from dispatch.services.originals import OriginalService
from dispatch.services.publishing import Publisher
from dispatch.services.registry import EngineRegistry
from dispatch.services.scheduler import Scheduler
from dispatch.services.sealing import Sealer
from dispatch.services.shared_files import SharedFiles
from dispatch.services.staging_places import StagingPlaces
from dispatch.services.stranded import Stranded
from dispatch.services.sweeps import JobTimers, LeaseSweep
from dispatch.services.terms import Loop, Part
from protocol.addresses import FetchPolicy

PROMOTION_EVERY_S, TIMERS_EVERY_S, HOUSEKEEPING_EVERY_S, STRANDED_EVERY_S = 1.0, 2.0, 600.0, 30.0
STREAMS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class LeaderParts:
    """What of it the leader alone knows and does. `listeners` in their order: what follows state comes before what acts on it."""

    parts: tuple[Part, ...]
    listeners: tuple[CommitListener, ...]
    loops: tuple[Loop, ...]
    duties: tuple[Duty, ...]

    def with_more(self, deliverer: Deliverer, duties: tuple[Duty, ...]) -> LeaderParts:
        return LeaderParts(
            (*self.parts, deliverer),
            (*self.listeners, deliverer),
            (*self.loops, Loop("webhooks", deliverer.run)),
            (*duties, *self.duties),
        )


@dataclass(frozen=True, slots=True)
class WorkParts:
    """`listeners`, `duty` are those of every server; the registry is followed before all other listeners."""

    scheduler: Scheduler
    leases: LeaseService
    publisher: Publisher
    registry: EngineRegistry
    table: LeaseTable
    gate: StorageGate
    engines: EngineService
    calls: EngineCalls
    hub: EventHub
    listeners: tuple[CommitListener, ...]
    duty: Duty
    leading: LeaderParts


def assemble_work(outside: Outside, settings: DispatchSettings, led: Store) -> WorkParts:
    """Only names and order stand here, no decisions. `led` is the store of what the leader alone does."""
    store, clock, lease_s = outside.store, outside.clock, settings.leases.lease_s
    pace = Pace(heartbeat_s=settings.leases.heartbeat_s, lease_s=lease_s)
    table = LeaseTable(LeaseTimes(lease_s=lease_s, ack_s=settings.leases.ack_s))
    registry, hub = EngineRegistry(clock), EventHub()
    sealer = Sealer(outside.secrets.signing, outside.ids.secret)
    past = Past(outside.storage.direct, outside.buckets)
    writer = GrantWriter(outside.secrets.signing, sealer, lease_s=lease_s, fetch=fetch_policy(settings), past=past)
    judging = Judging(registry, OriginalService(store, outside.storage), outside.chance)
    leases = LeaseService(store, table, judging, writer, clock, SharedFiles(outside.storage))
    timers = JobTimers(led, clock, hurry_s=settings.jobs.hurry_s)
    granting = LeaseService(led, table, judging, writer, clock, SharedFiles(outside.storage))
    scheduler = Scheduler(led, granting, clock, timers.on_backoff)

    def publish(progress: Progress) -> None:
        hub.publish_progress(progress.job_id, progress.tenant, progress.data_json)

    heartbeats = HeartbeatService(store, table, registry, clock, pace, publish)
    engines = EngineService(store, registry, table, outside.ids, clock, pace)
    desk = OrderDesk(scheduler, store)
    publisher = Publisher(led, outside.storage, clock)
    gate = StorageGate(outside.storage, _watermarks(settings), lambda why: scheduler.hold(why) if why else scheduler.resume())
    promotion = Duty("promotion", publisher.run_once, PROMOTION_EVERY_S)
    publisher.wake = promotion.wake
    losing = EngineService(led, registry, table, outside.ids, clock, pace)
    sweep = LeaseSweep(led, table, losing, clock, lease_s=lease_s)
    housekeeping = Housekeeping(led, outside.storage, publisher, timers, clock)
    streams = LiveSweep(led, outside.storage, clock)
    stranded = Stranded(led, registry.count_fitting, clock)
    duties = (
        promotion,
        Duty("leases", sweep.run_once, settings.leases.sweep_s),
        Duty("timers", timers.run_once, TIMERS_EVERY_S),
        Duty("housekeeping", housekeeping.run_once, HOUSEKEEPING_EVERY_S),
        Duty("streams", streams.run_once, STREAMS_EVERY_S),
        Duty("stranded", stranded.run_once, STRANDED_EVERY_S),
    )
    places = StagingPlaces(store, writer, outside.storage.direct, clock)
    calls = EngineCalls(leases, heartbeats, scheduler, places, clock)
    leading = LeaderParts(
        parts=(leases, scheduler, desk, publisher, streams, stranded, housekeeping),
        listeners=(leases, scheduler, desk, publisher, streams, stranded),
        loops=(Loop("scheduler", scheduler.run),),
        duties=duties,
    )
    watching = Duty("storage", gate.run_once, settings.storage.probe_s)
    return WorkParts(scheduler, leases, publisher, registry, table, gate, engines, calls, hub, (hub,), watching, leading)


def fetch_policy(settings: DispatchSettings) -> FetchPolicy:
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
