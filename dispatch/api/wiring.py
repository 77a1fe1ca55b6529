"""What the handlers are given: the services, and the limits of this layer. Made in `dispatch.app`."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from dispatch.events.hub import EventHub
from dispatch.ports import Clock, Ids, Store
from dispatch.services.audit import AuditService
from dispatch.services.care import Care
from dispatch.services.engine_calls import EngineCalls
from dispatch.services.engines import EngineService
from dispatch.services.files import FileService
from dispatch.services.health import HealthService
from dispatch.services.idempotency import Idempotency
from dispatch.services.jobs import JobService
from dispatch.services.keys import KeyService
from dispatch.services.profiles import ProfileBook
from dispatch.services.submissions import SubmissionService
from dispatch.services.tenants import TenantService
from dispatch.services.uploads import UploadService
from protocol.storage import StorageProvider


@dataclass(frozen=True, slots=True)
class Services:
    keys: KeyService
    audit: AuditService
    tenants: TenantService
    idempotency: Idempotency
    submissions: SubmissionService
    jobs: JobService
    engines: EngineService
    leases: EngineCalls
    files: FileService
    health: HealthService
    uploads: UploadService
    care: Care
    store: Store
    storage: StorageProvider
    hub: EventHub
    profiles: ProfileBook
    clock: Clock
    ids: Ids
    version: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Spans in seconds, sizes in bytes.

    `body_idle_s`: how long a body may stand still before the call is given up. `beat_s`: a comment keeps a quiet stream
    open through proxies. `write_idle_s`: how long a stream's reader may take nothing.
    """

    max_upload_bytes: int = 20_000_000_000
    body_idle_s: float = 30.0
    beat_s: float = 15.0
    write_idle_s: float = 30.0
    shutdown_s: float = 20.0


SERVICES = web.AppKey("services", Services)
LIMITS = web.AppKey("limits", Limits)
