"""Settings become adapters, adapters become services. Only names and order stand here, no decisions."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, replace

from config.dispatch import DispatchSettings
from dispatch.api.wiring import Services
from dispatch.app.access import assemble_access, assemble_tokens
from dispatch.app.care import assemble_care
from dispatch.app.farm_secrets import settle_signing_key
from dispatch.app.outside import Outside as Outside
from dispatch.app.playback import assemble_playback
from dispatch.app.tenants import TenantParts, assemble_tenants
from dispatch.app.uploads import assemble_uploads
from dispatch.app.webhooks import assemble_webhooks, webhook_policy
from dispatch.app.work import WorkParts, assemble_work, fetch_policy
from dispatch.core.lease_table import LeaseTable
from dispatch.core.masking import masked
from dispatch.services.brought import BroughtFiles
from dispatch.services.deliverer import Deliverer
from dispatch.services.duties import Duty
from dispatch.services.files import FileService
from dispatch.services.guarded_storage import GuardedStorage
from dispatch.services.health import HealthService, Hindrances
from dispatch.services.jobs import JobService
from dispatch.services.leases import LeaseService
from dispatch.services.live import LiveService
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
from dispatch.services.validation import Inputs

TENANTS = ("default",)


@dataclass(frozen=True, slots=True)
class Core:
    """The assembled services, the loops that must run beside them, and what has to be loaded before."""

    services: Services
    work: WorkParts
    deliverer: Deliverer
    duties: tuple[Duty, ...]
    outside: Outside
    is_farm: bool

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
        """Bring memory up to what the database says. Called once, before the loops run and calls are taken."""
        await settle_signing_key(self.outside.store, self.outside.secrets.signing, is_shared=self.is_farm)
        await self.services.profile_changes.load()
        await self.services.tenants.load(TENANTS)
        await self.services.keys.ensure_first(self.outside.secrets.admin, is_fresh=self.outside.secrets.is_admin_fresh)
        await self.services.registration.load()
        self.work.registry.load(await self.outside.store.read(lambda tx: tx.engines()))
        await self.leases.load()
        await self.scheduler.load()
        await self.publisher.load()
        await self.deliverer.load()
        await self.services.uploads.load()
        await self.work.gate.run_once()


def assemble(given: Outside, settings: DispatchSettings) -> Core:
    """Only names and order stand here, no decisions."""
    storage = GuardedStorage(given.storage, given.clock)
    outside = replace(given, storage=storage)
    work = assemble_work(outside, settings)
    access = assemble_access(outside, settings)
    owners = assemble_tenants(outside, access.once)
    tokens, token_duties = assemble_tokens(outside, settings, owners.book)
    sources = _sources(owners, access.sealer, settings, outside.buckets)
    taking_in = assemble_uploads(outside, settings, work.gate, access.once)
    inputs = Inputs(sources, taking_in.service, owners.profiles, outside.storage)
    parts = assemble_care(outside, settings, inputs, work.registry, access.once)
    telling = assemble_webhooks(outside, settings, access.sealer, access.once)
    brought = BroughtFiles(taking_in.service, outside.storage, sources, outside.ids, outside.clock)
    files = FileService(outside.store, outside.storage, outside.clock, outside.secrets.signing, outside.buckets)
    services = Services(
        care=parts.care,
        keys=access.keys,
        registration=access.registration,
        tokens=tokens,
        audit=access.audit,
        tenants=owners.service,
        idempotency=access.once,
        submissions=SubmissionService(access.once, brought, work.gate, sources, outside.ids, outside.clock),
        jobs=JobService(outside.store, access.once, work.scheduler, outside.clock, webhook_policy(settings)),
        engines=work.engines,
        leases=work.calls,
        files=files,
        playback=assemble_playback(outside, settings, files, access.sealer),
        live=LiveService(
            *(outside.store, outside.storage, files, outside.clock, outside.secrets.signing), settings.api.public_url or ""
        ),
        staging=StagingService(outside.storage, outside.clock, outside.secrets.signing),
        health=HealthService(
            *(outside.store, work.gate, work.registry, outside.clock), Hindrances(work.scheduler.standstill, storage.why_not)
        ),
        uploads=taking_in.service,
        upload_creation=taking_in.creation,
        reservations=taking_in.reservations,
        releases=ReleaseShelf(settings.data.absolute() / "releases"),
        webhooks=telling.service,
        store=outside.store,
        storage=outside.storage,
        hub=work.hub,
        profiles=owners.profiles,
        profile_changes=owners.profile_changes,
        stats=StatsService(outside.store, work.registry),
        config=masked(settings.model_dump(mode="json")),
        clock=outside.clock,
        ids=outside.ids,
        version=importlib.metadata.version("reelyard"),
    )
    outside.bus.add(*access.listeners, *owners.listeners, *work.listeners, *parts.listeners, telling.deliverer)
    duties = (*token_duties, *parts.duties, taking_in.duty, telling.duty, *work.duties)
    return Core(services, work, telling.deliverer, duties, given, settings.database.url is not None)


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
