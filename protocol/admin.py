"""Engines, keys and health as operators see them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from protocol.base import Identifier, Message, Page
from protocol.capabilities import Capabilities, Load, Slots, Tag
from protocol.leases import RunningTask
from protocol.profiles import Name, Profile
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


class EnginePage(Page):
    engines: tuple[EngineView, ...]


class EnginePatch(Message):
    tags: frozenset[Tag] | None = None
    paused: bool | None = None


class KeyRequest(Message):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    tenant: Name = "default"
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    expires_at: str | None = None


class KeyView(Message):
    key_id: Identifier
    name: str
    tenant: str
    scopes: frozenset[Scope]
    prefix: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class KeyCreated(KeyView):
    """`api_key` is shown this once."""

    api_key: str
    warning: str


class KeyPage(Page):
    api_keys: tuple[KeyView, ...]


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


class TenantRequest(Message):
    name: Name
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0


class TenantView(Message):
    name: str
    weight: float
    created_at: str


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
