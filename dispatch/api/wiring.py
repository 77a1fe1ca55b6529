"""What the handlers are given: the services, and the limits of this layer. Made in `dispatch.app`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from pydantic import JsonValue

from dispatch.core.sharding import Shards
from dispatch.events.hub import EventHub
from dispatch.ports import Clock, Ids, Store
from dispatch.ports.cluster import Leading
from dispatch.ports.limits import RateWindows
from dispatch.services.audit import AuditService
from dispatch.services.care import Care
from dispatch.services.direct_uploads import DirectUploads
from dispatch.services.engine_calls import EngineCalls
from dispatch.services.engines import EngineService
from dispatch.services.files import FileService
from dispatch.services.health import HealthService
from dispatch.services.idempotency import Idempotency
from dispatch.services.jobs import JobService
from dispatch.services.keys import KeyService
from dispatch.services.live import LiveService
from dispatch.services.metrics import MetricsService
from dispatch.services.playback import PlaybackService
from dispatch.services.profiles import ProfileBook, ProfileService
from dispatch.services.registration import RegistrationService
from dispatch.services.releases import ReleaseShelf
from dispatch.services.reservations import Reservations
from dispatch.services.staging import StagingService
from dispatch.services.stats import StatsService
from dispatch.services.submissions import SubmissionService
from dispatch.services.tenants import TenantService
from dispatch.services.tokens import TokenService
from dispatch.services.upload_creation import UploadCreation
from dispatch.services.uploads import UploadService
from dispatch.services.vouching import Vouchers
from dispatch.services.webhooks import WebhookService
from protocol.storage import StorageProvider


@dataclass(frozen=True, slots=True)
class Services:
    keys: KeyService
    registration: RegistrationService
    tokens: TokenService
    audit: AuditService
    tenants: TenantService
    idempotency: Idempotency
    submissions: SubmissionService
    jobs: JobService
    engines: EngineService
    leases: EngineCalls
    files: FileService
    playback: PlaybackService
    staging: StagingService
    live: LiveService
    health: HealthService
    uploads: UploadService
    upload_creation: UploadCreation
    direct_uploads: DirectUploads
    reservations: Reservations
    releases: ReleaseShelf
    webhooks: WebhookService
    care: Care
    store: Store
    storage: StorageProvider
    hub: EventHub
    leading: Leading
    vouchers: Vouchers
    profiles: ProfileBook
    profile_changes: ProfileService
    stats: StatsService
    metrics: MetricsService
    windows: RateWindows
    shards: Shards | None
    config: Mapping[str, JsonValue]
    clock: Clock
    ids: Ids
    version: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Spans in seconds, sizes in bytes.

    `body_idle_s`: how long a body may stand still before the call is given up. `beat_s`: a comment keeps a quiet stream
    open through proxies. `write_idle_s`: how long a reader may take nothing. `first_request_s`: how long a request's head
    may take. `min_body_rate`: bytes a second a body must bring on the average, once `rate_grace_s` were waited for it.
    `failures_free`: wrong keys from one address before it has to wait. `streams_per_tenant` are those of events. Origins
    and proxies as in `config.dispatch.Api`.
    """

    max_upload_bytes: int = 20_000_000_000
    body_idle_s: float = 30.0
    beat_s: float = 15.0
    write_idle_s: float = 30.0
    shutdown_s: float = 20.0
    first_request_s: float = 10.0
    min_body_rate: int = 1024
    rate_grace_s: float = 10.0
    idle_connection_s: float = 75.0
    calls_per_s: int = 50
    tenant_calls_per_s: int = 500
    failures_free: int = 50
    streams_per_tenant: int = 2000
    cors_origins: tuple[str, ...] = ()
    playback_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    open_metrics: bool = False


SERVICES = web.AppKey("services", Services)
LIMITS = web.AppKey("limits", Limits)
