"""Settings become adapters, adapters become services. Only names and order stand here, no decisions."""

from __future__ import annotations

import asyncio
import importlib.metadata
from dataclasses import dataclass, replace

from config.dispatch import DispatchSettings
from dispatch.api.wiring import Services
from dispatch.app.access import AccessParts, assemble_access, assemble_tokens
from dispatch.app.broker import BrokerParts, Needs, assemble_broker
from dispatch.app.care import CareParts, assemble_care
from dispatch.app.cluster import ClusterParts, assemble_cluster
from dispatch.app.farm_secrets import settle_signing_key
from dispatch.app.outside import Outside as Outside
from dispatch.app.playback import assemble_playback
from dispatch.app.shards import shards_of
from dispatch.app.tenants import TenantParts, assemble_tenants
from dispatch.app.uploads import UploadParts, assemble_uploads
from dispatch.app.webhooks import WebhookParts, assemble_webhooks, webhook_policy
from dispatch.app.work import WorkParts, assemble_work, fetch_policy
from dispatch.core.backlog import Goal
from dispatch.core.lease_table import LeaseTable
from dispatch.core.masking import masked
from dispatch.ports import Store
from dispatch.services.backlog import BacklogService
from dispatch.services.brought import BroughtFiles
from dispatch.services.deliverer import Deliverer
from dispatch.services.duties import Duty
from dispatch.services.files import FileService
from dispatch.services.guarded_storage import GuardedStorage
from dispatch.services.health import HealthService, Hindrances, grants_of
from dispatch.services.jobs import JobService
from dispatch.services.leading import Lead, LeadingStore
from dispatch.services.leases import LeaseService
from dispatch.services.limits import MemoryWindows
from dispatch.services.live import LiveService
from dispatch.services.metrics import MetricsService
from dispatch.services.publishing import Publisher
from dispatch.services.releases import ReleaseShelf
from dispatch.services.s3_inputs import S3Inputs
from dispatch.services.scheduler import Scheduler
from dispatch.services.sealing import Sealer
from dispatch.services.server_files import ServerFiles
from dispatch.services.sources import Rules, Sources
from dispatch.services.staging import StagingService
from dispatch.services.stats import StatsService
from dispatch.services.submissions import SubmissionService
from dispatch.services.tokens import TokenService
from dispatch.services.validation import Inputs
from dispatch.services.vouching import Vouchers
from dispatch.services.watched import WatchedProgress

TENANTS = ("default",)
WATCHED_EVERY_S, CLAIMS_EVERY_S = 3600.0, 5.0
"""Progress is told when there is any: its duty is woken."""


@dataclass(frozen=True, slots=True)
class Core:
    """The assembled services, the loops that must run beside them, and what has to be loaded before.

    `own_duties` are those of every server; those of the leader run in its term.
    """

    services: Services
    work: WorkParts
    deliverer: Deliverer
    own_duties: tuple[Duty, ...]
    broker: BrokerParts
    cluster: ClusterParts
    outside: Outside
    is_farm: bool

    @property
    def duties(self) -> tuple[Duty, ...]:
        return (*self.own_duties, *self.cluster.duties)

    @property
    def scheduler(self) -> Scheduler:
        return self.work.scheduler

    @property
    def leases(self) -> LeaseService:
        return self.work.leases

    @property
    def publisher(self) -> Publisher:
        return self.work.publisher

    @property
    def table(self) -> LeaseTable:
        return self.work.table

    async def load(self) -> None:
        """Bring the memory of any server up to what the database says. Called once, before the loops run and calls are taken."""
        await settle_signing_key(self.outside.store, self.outside.secrets.signing, is_shared=self.is_farm)
        await self.broker.begin()
        await self.services.profile_changes.load()
        await self.services.tenants.load(TENANTS)
        await self.services.keys.ensure_first(self.outside.secrets.admin, is_fresh=self.outside.secrets.is_admin_fresh)
        await self.services.registration.load()
        self.cluster.engines.keep()
        self.work.registry.load(await self.outside.store.read(lambda tx: tx.engines()))
        self.cluster.engines.follow()
        await self.services.uploads.load()
        await self.work.gate.run_once()

    async def run(self) -> None:
        """Every loop of this server, until cancelled; those of a leader while it leads. A fault in one ends them all."""
        async with asyncio.TaskGroup() as tasks:
            for duty in self.own_duties:
                tasks.create_task(duty.run(), name=duty.name)
            for loop in self.broker.loops:
                tasks.create_task(loop.run(), name=loop.name)
            tasks.create_task(self.cluster.leadership.run(), name="leadership")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the services are made of."""

    outside: Outside
    storage: GuardedStorage
    lead: Lead
    work: WorkParts
    access: AccessParts
    owners: TenantParts
    sources: Sources
    uploads: UploadParts
    care: CareParts
    webhooks: WebhookParts


def assemble(given: Outside, settings: DispatchSettings) -> Core:
    """Only names and order stand here, no decisions."""
    storage = GuardedStorage(given.storage, given.clock)
    outside = replace(given, storage=storage)
    lead = Lead(outside.server, outside.clock)
    led = LeadingStore(outside.store, lead)
    work = assemble_work(outside, settings, led)
    access = assemble_access(outside, settings)
    owners = assemble_tenants(outside, access.once)
    tokens, token_duties = assemble_tokens(outside, settings, owners.book)
    sources = _sources(owners, access.sealer, settings, outside.buckets)
    uploads = assemble_uploads(outside, settings, work.gate, access.once, led)
    inputs = Inputs(sources, uploads.service, owners.profiles, outside.storage)
    care = assemble_care(outside, settings, inputs, work.registry, access.once, led)
    webhooks = assemble_webhooks(outside, settings, access.sealer, access.once, led)
    parts = Parts(outside, storage, lead, work, access, owners, sources, uploads, care, webhooks)
    broker = _broker(parts, led, settings)
    duties = (*care.duties, uploads.duty, webhooks.duty, *broker.duties)
    leader = work.leading.with_more(webhooks.deliverer, duties)
    cluster = assemble_cluster(outside, settings, lead, leader, work.registry)
    outside.bus.add(*access.listeners, *owners.listeners, cluster.engines, *work.listeners, cluster.following, *care.listeners)
    watched = WatchedProgress(outside.store, lead, work.hub)
    watching = Duty("watched", watched.run_once, WATCHED_EVERY_S)
    watched.wake = watching.wake
    outside.bus.add(*broker.listeners, watched)
    services = _services(parts, tokens, broker, settings)
    own_duties = (*token_duties, work.duty, watching, Duty("claims", access.once.claims.run_once, CLAIMS_EVERY_S))
    return Core(services, work, webhooks.deliverer, own_duties, broker, cluster, given, settings.database.url is not None)


def _services(parts: Parts, tokens: TokenService, broker: BrokerParts, settings: DispatchSettings) -> Services:
    outside, work, access, owners = parts.outside, parts.work, parts.access, parts.owners
    files = FileService(outside.store, outside.storage, outside.clock, outside.secrets.signing, outside.buckets)
    kept = settings.api.view_cache_bytes
    backlog = BacklogService(outside.store, work.registry, outside.clock, Goal(**settings.scaling.model_dump()))
    return Services(
        care=parts.care.care,
        keys=access.keys,
        registration=access.registration,
        tokens=tokens,
        audit=access.audit,
        tenants=owners.service,
        idempotency=access.once,
        submissions=_submissions(parts),
        jobs=JobService(outside.store, access.once, work.scheduler, outside.clock, webhook_policy(settings), kept),
        engines=work.engines,
        leases=work.calls,
        files=files,
        playback=assemble_playback(outside, settings, files, access.sealer),
        live=_live(outside, settings, files),
        staging=StagingService(outside.storage, outside.clock, outside.secrets.signing, access.once.claims),
        health=_health(parts, broker),
        uploads=parts.uploads.service,
        upload_creation=parts.uploads.creation,
        direct_uploads=parts.uploads.direct,
        reservations=parts.uploads.reservations,
        releases=ReleaseShelf(settings.data.absolute() / "releases"),
        webhooks=parts.webhooks.service,
        store=outside.store,
        storage=outside.storage,
        hub=work.hub,
        leading=parts.lead,
        vouchers=Vouchers(parts.access.sealer, outside.clock),
        profiles=owners.profiles,
        profile_changes=owners.profile_changes,
        stats=StatsService(outside.store, work.registry, backlog),
        metrics=MetricsService(outside.store, work.registry, backlog),
        windows=outside.windows or MemoryWindows(outside.clock),
        shards=shards_of(settings),
        config=masked(settings.model_dump(mode="json")),
        clock=outside.clock,
        ids=outside.ids,
        version=importlib.metadata.version("reelyard"),
    )


def _live(outside: Outside, settings: DispatchSettings, files: FileService) -> LiveService:
    parts = (outside.store, outside.storage, files, outside.clock, outside.secrets.signing)
    return LiveService(*parts, settings.api.public_url or "")


def _health(parts: Parts, broker: BrokerParts) -> HealthService:
    outside, work = parts.outside, parts.work
    hindrances = Hindrances(grants_of(parts.lead, work.scheduler.standstill), parts.storage.why_not, broker.problem)
    return HealthService(outside.store, work.gate, work.registry, outside.clock, hindrances)


def _broker(parts: Parts, led: Store, settings: DispatchSettings) -> BrokerParts:
    needs = Needs(led, parts.lead, parts.work, _submissions(parts), parts.access.once, parts.owners.book)
    return assemble_broker(parts.outside, settings, needs)


def _submissions(parts: Parts) -> SubmissionService:
    outside, once = parts.outside, parts.access.once
    brought = BroughtFiles(parts.uploads.service, outside.storage, parts.sources, outside.ids, outside.clock)
    return SubmissionService(once, brought, parts.work.gate, parts.sources, outside.ids, outside.clock)


def _sources(owners: TenantParts, sealer: Sealer, settings: DispatchSettings, buckets: S3Inputs) -> Sources:
    rules = Rules(
        settings.inputs.limits,
        settings.jobs.ttl_s,
        settings.jobs.default_profile,
        fetch_policy(settings),
        webhook_policy(settings),
        buckets,
    )
    files = ServerFiles([str(root) for root in settings.inputs.allowed_roots])
    return Sources(owners.profiles, files, owners.book, sealer, rules)
