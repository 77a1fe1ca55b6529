"""The settings of dispatch. `config.sources` reads them: a TOML file < the environment (`REELYARD_DISPATCH_*`) < arguments."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.cluster import Cluster
from config.database import Database
from config.nats import Nats
from config.s3 import S3
from config.s3_inputs import S3Inputs
from config.scaling import Scaling
from config.sections import LAST_PORT, Port, Section, Share, Span, Url
from config.shards import Shards
from protocol.recipes import InputLimits

PREFIX = "REELYARD_DISPATCH_"


def _port_exists(listen: str) -> str:
    if int(listen.rpartition(":")[2]) > LAST_PORT:
        raise ValueError(f"a port is at most {LAST_PORT}")
    return listen


def _numbers(told: object) -> object:
    """The environment knows only text; the limits, which also travel as messages, take numbers alone."""
    if not isinstance(told, dict):
        return told
    return {name: _number(value) if isinstance(value, str) else value for name, value in told.items()}


def _number(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _network(text: str) -> str:
    return str(ip_network(text))


Origin = Annotated[str, Field(pattern=r"^(\*|https?://[^/\s*]+)$")]


class Leases(Section):
    """Seconds. A lease lives `lease_s` after each heartbeat; a grant must be acked within `ack_s`."""

    lease_s: Span = 60.0
    heartbeat_s: Span = 15.0
    ack_s: Span = 10.0
    sweep_s: Span = 5.0

    @model_validator(mode="after")
    def _outlives_a_lost_heartbeat(self) -> Leases:
        if 2 * self.heartbeat_s > self.lease_s:
            raise ValueError(f"heartbeat_s {self.heartbeat_s:g} must be at most half of lease_s {self.lease_s:g}")
        return self


class Jobs(Section):
    """`ttl_s`: a job not started within this span fails with JOB_EXPIRED. `hurry_s` before its `finish_by` it is critical."""

    ttl_s: Span = 86_400.0
    hurry_s: Span = 3600.0
    default_profile: str = "web"


class Inputs(Section):
    """`allowed_roots`: directories whose files may be named as server paths; none by default.

    Inputs by URL: `ports` are those that are asked at all, `fetch_timeout_s` is for the whole of one input. With
    `allow_private_addresses` engines fetch from closed networks too (never from link-local addresses).

    `s3`: stores whose objects may be named, each a `[[inputs.s3]]`; none by default.
    """

    allowed_roots: tuple[Path, ...] = ()
    limits: Annotated[InputLimits, BeforeValidator(_numbers)] = InputLimits()
    allow_private_addresses: bool = False
    ports: tuple[Port, ...] = (80, 443, 8080, 8443)
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    fetch_timeout_s: Span = 3600.0
    s3: tuple[S3Inputs, ...] = ()


class Storage(Section):
    """`root`: where files lie; `<data>/storage` by default. `s3` belongs to the adapter `s3`. The rest are the shares that
    must stay free."""

    adapter: str = "local"
    root: Path | None = None
    s3: S3 | None = None
    warn_free: Share = 0.15
    grants_free: Share = 0.10
    uploads_free: Share = 0.05
    plenty_bytes: Annotated[int, Field(ge=0)] = 50 << 30
    probe_s: Span = 5.0

    @model_validator(mode="after")
    def _steps_come_in_order(self) -> Storage:
        if not self.uploads_free <= self.grants_free <= self.warn_free:
            raise ValueError("the shares must rise: uploads_free, then grants_free, then warn_free")
        return self

    @model_validator(mode="after")
    def _s3_has_its_section(self) -> Storage:
        if (self.adapter == "s3") != (self.s3 is not None):
            raise ValueError('adapter "s3" and a section storage.s3, with its bucket, go together')
        return self


class Api(Section):
    """`calls_per_s` bounds each key, but for engines. Origins are those of browsers; `*` is any, none by default.

    `first_request_s`: how long a new connection may take to send a whole request head. `min_body_rate`: bytes a second.
    `trusted_proxies` are networks whose `X-Forwarded-For` is believed. `wrong_keys` are free to an address, then it waits.
    `streams_per_tenant`: readers of events at once. With `open_metrics` anybody may read `/metrics`, without a key.
    `view_cache_bytes`: how much JSON of jobs is kept as it was told last; it takes about five times that of memory.
    """

    require_idempotency_key: bool = False
    calls_per_s: Annotated[int, Field(ge=1)] = 50
    jobs_per_hour: Annotated[int, Field(ge=1)] = 100
    tenant_calls_per_s: Annotated[int, Field(ge=1)] = 500
    wrong_keys: Annotated[int, Field(ge=1)] = 50
    streams_per_tenant: Annotated[int, Field(ge=1)] = 2000
    cors_origins: tuple[Origin, ...] = ()
    playback_origins: tuple[Origin, ...] = ()
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    first_request_s: Span = 10.0
    min_body_rate: Annotated[int, Field(ge=0)] = 1024
    public_url: str | None = None
    open_metrics: bool = False
    view_cache_bytes: Annotated[int, Field(ge=0)] = 16_000_000


class Jwt(Section):
    """Tokens of another issuer. Give one of `jwks_url`, `key_file` (PEM or JWKS) and `secret_file` (HS256).

    `tenant_claim` names the tenant, `scopes_claim` the scopes, separated by spaces or as a list. The scope `admin` is
    taken from tokens only with `allow_admin`.
    """

    jwks_url: Annotated[str, Field(pattern="^https?://")] | None = None
    key_file: Path | None = None
    secret_file: Path | None = None
    issuer: Annotated[str, Field(min_length=1)] | None = None
    audience: Annotated[str, Field(min_length=1)] | None = None
    tenant_claim: Annotated[str, Field(min_length=1)] = "tenant"
    scopes_claim: Annotated[str, Field(min_length=1)] = "scope"
    allow_admin: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> Jwt:
        keys = sum(given is not None for given in (self.jwks_url, self.key_file, self.secret_file))
        if keys > 1:
            raise ValueError("give one of jwks_url, key_file and secret_file, not several")
        if keys and (self.issuer is None or self.audience is None):
            raise ValueError("issuer and audience are required: a token for somebody else must open nothing here")
        return self


class Registration(Section):
    """Who may register an engine: holders of the token, anybody (`auto`), or anybody once an operator approves."""

    policy: Annotated[str, Field(pattern="^(token|auto|approve)$")] = "token"


class Webhooks(Section):
    """`allow_private_addresses` is for closed networks; `ports` are those connected to. The rest is seconds and counts."""

    allow_private_addresses: bool = False
    ports: tuple[Port, ...] = (80, 443, 8080, 8443)
    timeout_s: Span = 15.0
    in_flight_per_endpoint: Annotated[int, Field(ge=1, le=100)] = 2
    in_flight: Annotated[int, Field(ge=1, le=1000)] = 64


class Retention(Section):
    """Days after the job's end (logs: the attempt's; audit: the entry's own). `dry_run` only tells what would go, in the log."""

    uploads_days: Annotated[float, Field(gt=0)] = 7.0
    failed_days: Annotated[float, Field(gt=0)] = 30.0
    logs_days: Annotated[float, Field(gt=0)] = 90.0
    audit_days: Annotated[float, Field(gt=0)] = 365.0
    dry_run: bool = False


class Uploads(Section):
    """Resumable uploads. `open_s`: how long an unfinished one waits for more; `kept_s`: how long a finished one for a job.

    `idle_s`: how long room on the disk is held for bytes that do not come. `max_open`: unfinished ones of one tenant.
    """

    open_s: Span = 86_400.0
    kept_s: Span = 86_400.0
    idle_s: Span = 900.0
    max_open: Annotated[int, Field(ge=1)] = 1000


class LicenceUrls(Section):
    """Where licences come from, by DRM system."""

    widevine: Url | None = None
    playready: Url | None = None
    fairplay: Url | None = None


class Playback(Section):
    """`link_s`: how long a link plays. `licence_urls` are the servers that licence requests are passed on to, and no other.

    `licence_header` goes with each of these requests, with what `licence_secret_file` holds.
    """

    link_s: Annotated[int, Field(ge=60, le=7 * 86_400)] = 21_600
    licence_urls: LicenceUrls = LicenceUrls()
    licence_timeout_s: Span = 10.0
    licence_header: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")] | None = None
    licence_secret_file: Path | None = None

    @model_validator(mode="after")
    def _header_has_a_value(self) -> Playback:
        if (self.licence_header is None) != (self.licence_secret_file is None):
            raise ValueError("licence_header and licence_secret_file go together: the name, and the file of its value")
        return self


class DispatchSettings(BaseSettings):
    """`listen` is HOST:PORT; port 0 picks a free one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    data: Path = Path("reelyard-data")
    listen: Annotated[str, Field(pattern=r"^[^\s]*:\d{1,5}$"), AfterValidator(_port_exists)] = "127.0.0.1:8080"
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    leases: Leases = Leases()
    jobs: Jobs = Jobs()
    inputs: Inputs = Inputs()
    storage: Storage = Storage()
    api: Api = Api()
    jwt: Jwt = Jwt()
    registration: Registration = Registration()
    webhooks: Webhooks = Webhooks()
    retention: Retention = Retention()
    uploads: Uploads = Uploads()
    playback: Playback = Playback()
    database: Database = Database()
    cluster: Cluster = Cluster()
    nats: Nats = Nats()
    scaling: Scaling = Scaling()
    shards: Shards = Shards()
