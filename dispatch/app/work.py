"""The heart put together: registry, leases, scheduler, publishing, and the duties that keep them honest."""

from __future__ import annotations

from dataclasses import dataclass

from config.dispatch import DispatchSettings
from dispatch.app.outside import Outside
from dispatch.core.lease_table import LeaseTable, LeaseTimes
from dispatch.events.hub import EventHub
from dispatch.ports import CommitListener
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
from protocol.addresses import FetchPolicy

PROMOTION_EVERY_S, TIMERS_EVERY_S, HOUSEKEEPING_EVERY_S, STRANDED_EVERY_S = 1.0, 2.0, 600.0, 30.0
STREAMS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkParts:
    """`listeners` in their order: what follows state comes before what acts on it."""

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
    duties: tuple[Duty, ...]


def assemble_work(outside: Outside, settings: DispatchSettings) -> WorkParts:
    """Only names and order stand here, no decisions."""
    store, clock, lease_s = outside.store, outside.clock, settings.leases.lease_s
    pace = Pace(heartbeat_s=settings.leases.heartbeat_s, lease_s=lease_s)
    table = LeaseTable(LeaseTimes(lease_s=lease_s, ack_s=settings.leases.ack_s))
    registry, hub = EngineRegistry(clock), EventHub()
    sealer = Sealer(outside.secrets.signing, outside.ids.secret)
    past = Past(outside.storage.direct, outside.buckets)
    writer = GrantWriter(outside.secrets.signing, sealer, lease_s=lease_s, fetch=fetch_policy(settings), past=past)
    judging = Judging(registry, OriginalService(store, outside.storage), outside.chance)
    leases = LeaseService(store, table, judging, writer, clock, SharedFiles(outside.storage))
    timers = JobTimers(store, clock, hurry_s=settings.jobs.hurry_s)
    scheduler = Scheduler(store, leases, clock, timers.on_backoff)

    def publish(progress: Progress) -> None:
        hub.publish_progress(progress.job_id, progress.tenant, progress.data_json)

    heartbeats = HeartbeatService(store, table, registry, clock, pace, publish)
    engines = EngineService(store, registry, table, outside.ids, clock, pace)
    engines.orders = scheduler
    publisher = Publisher(store, outside.storage, clock)
    gate = StorageGate(outside.storage, _watermarks(settings), lambda why: scheduler.hold(why) if why else scheduler.resume())
    promotion = Duty("promotion", publisher.run_once, PROMOTION_EVERY_S)
    publisher.wake = promotion.wake
    sweep = LeaseSweep(store, table, engines, clock, lease_s=lease_s)
    housekeeping = Housekeeping(store, outside.storage, publisher, timers, clock)
    streams = LiveSweep(store, outside.storage, clock)
    stranded = Stranded(store, registry.count_fitting, clock)
    duties = (
        promotion,
        Duty("storage", gate.run_once, settings.storage.probe_s),
        Duty("leases", sweep.run_once, settings.leases.sweep_s),
        Duty("timers", timers.run_once, TIMERS_EVERY_S),
        Duty("housekeeping", housekeeping.run_once, HOUSEKEEPING_EVERY_S),
        Duty("streams", streams.run_once, STREAMS_EVERY_S),
        Duty("stranded", stranded.run_once, STRANDED_EVERY_S),
    )
    places = StagingPlaces(store, writer, outside.storage.direct, clock)
    calls = EngineCalls(leases, heartbeats, scheduler, places, clock)
    listeners = (leases, registry, scheduler, OrderDesk(scheduler), publisher, streams, stranded, hub)
    return WorkParts(scheduler, leases, publisher, registry, table, gate, engines, calls, hub, listeners, duties)


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
