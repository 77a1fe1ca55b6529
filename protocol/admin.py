"""Engines, keys and health as operators see them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue, WithJsonSchema

from protocol.base import Bytes, Identifier, Message, Moment, Page
from protocol.capabilities import Capabilities, Load, Slots, Tag
from protocol.leases import RunningTask
from protocol.pictures import Name
from protocol.profiles import Profile
from protocol.states import EngineState


class Scope(StrEnum):
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    ENGINES_READ = "engines:read"
    ENGINES_ADMIN = "engines:admin"
    ADMIN = "admin"  # every scope, every tenant
    ENGINE = "engine"  # an engine's own credential
    REGISTRATION = "registration"  # the registration token: registers engines, nothing else
    OPEN = "open"  # no key needed


Grantable = Annotated[
    Scope, WithJsonSchema({"type": "string", "enum": [s.value for s in Scope if s not in (Scope.REGISTRATION, Scope.OPEN)]})
]
"""What a key can hold; whether it does is for the server to say."""


Weight = Annotated[float, Field(gt=0, le=1000)]


class EngineView(Message):
    engine_id: Identifier
    name: str
    hostname: str
    state: EngineState
    version: int
    software_version: str
    boot_id: str
    capabilities: Capabilities
    tags: frozenset[Tag]
    slots: Slots
    load: Load
    running: tuple[RunningTask, ...]
    registered_at: str
    last_heartbeat_at: str | None
    weight: float = 1.0


class EnginePage(Page):
    engines: tuple[EngineView, ...]


class EnginePatch(Message):
    """`weight`: an engine of weight 2 is woken for new work as if it were twice as fast and had twice its free slots; 1
    unless told.
    """

    tags: frozenset[Tag] | None = None
    paused: bool | None = None
    weight: Weight | None = None


class KeyRequest(Message):
    """`allowed_ips` are addresses or networks in CIDR form, none means any. `rate_limit_per_hour` bounds the calls that
    make jobs: left out it is the server's default (100), null is unlimited.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    tenant: Name = "default"
    scopes: Annotated[frozenset[Grantable], Field(min_length=1)]
    expires_at: Moment | None = None
    allowed_ips: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)] = ()
    rate_limit_per_hour: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None


class RotateRequest(Message):
    """`overlap_s`: for how long the secret until now stays good; 0 ends it at once."""

    overlap_s: Annotated[float, Field(ge=0, le=2_592_000, allow_inf_nan=False)] = 86_400.0


class KeyView(Message):
    """`prefix` is how its secret begins. After a rotation the secret before is good until `previous_until`."""

    key_id: Identifier
    name: str
    tenant: str
    scopes: frozenset[Scope]
    prefix: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    allowed_ips: tuple[str, ...] = ()
    rate_limit_per_hour: int | None = None
    previous_until: str | None = None


class KeyCreated(KeyView):
    """`api_key` is shown this once."""

    api_key: str
    warning: str


class KeyPage(Page):
    api_keys: tuple[KeyView, ...]


class RegistrationToken(Message):
    """The token that lets engines register; it is also in `<data>/secrets/registration.token` on the server."""

    registration_token: str
    warning: str


class AuditView(Message):
    """Who (`actor`: a key's id, or `jwt:<subject>`) did what (`action`: an operation's name) to what, and from where."""

    audit_id: Identifier
    at: str
    tenant: str
    actor: str
    action: str
    target: str
    address: str
    request_id: str
    details: dict[str, JsonValue]


class AuditPage(Page):
    audit: tuple[AuditView, ...]


Quota = Annotated[int, Field(ge=0, le=2**53)]


class TenantLimits(Message):
    """What inputs of one tenant may be; what is null is as for all (`inputs.limits`). `strict` is as in `InputLimits`."""

    max_width: Annotated[int, Field(ge=16, le=16_384)] | None = None
    max_height: Annotated[int, Field(ge=16, le=16_384)] | None = None
    max_fps: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_streams: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_bytes: Bytes | None = None
    min_duration_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None
    max_duration_s: Annotated[float, Field(gt=0, le=864_000, allow_inf_nan=False)] | None = None
    strict: bool | None = None


class TenantRequest(Message):
    """Quotas are null where there is none: tasks running at once, jobs not yet ended, input bytes per month (UTC).

    `prefix` is the directory of its files in the storage, its name when null. The jobs of one that is `untrusted` run
    only on engines whose sandbox holds what their tools may read, write and reach: tier 2 and up.
    """

    name: Name
    weight: Weight = 1.0
    max_running: Quota | None = None
    max_queued: Quota | None = None
    max_bytes_per_month: Quota | None = None
    prefix: Name | None = None
    default_profile: Name | None = None
    untrusted: bool = False
    limits: TenantLimits | None = None


class TenantPatch(Message):
    """What is left out stays; null takes a quota, the limits, the prefix or the profile away. A prefix is fixed by the first
    job.

    `untrusted` and `limits` hold for jobs submitted from then on.
    """

    weight: Weight | None = None
    max_running: Quota | None = None
    max_queued: Quota | None = None
    max_bytes_per_month: Quota | None = None
    prefix: Name | None = None
    default_profile: Name | None = None
    untrusted: bool | None = None
    limits: TenantLimits | None = None


class TenantView(Message):
    name: str
    weight: float
    max_running: int | None
    max_queued: int | None
    max_bytes_per_month: int | None
    prefix: str
    default_profile: str | None
    created_at: str
    version: int
    untrusted: bool = False
    limits: TenantLimits | None = None


class TenantPage(Page):
    tenants: tuple[TenantView, ...]


class ProfilePage(Page):
    profiles: tuple[Profile, ...]


class ServiceHealth(Message):
    status: str
    message: str = ""


class Health(Message):
    status: str
    services: dict[str, ServiceHealth]
    timestamp: str


class Pong(Message):
    status: str


class VersionReply(Message):
    version: str
    api: str = "v1"
