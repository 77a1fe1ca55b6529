"""The settings of dispatch. `config.sources` reads them: a TOML file < the environment (`REELYARD_DISPATCH_*`) < arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from protocol.recipes import InputLimits

PREFIX = "REELYARD_DISPATCH_"
Share = Annotated[float, Field(ge=0, le=1)]
Span = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LAST_PORT = 65_535


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


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """`ttl_s`: a job not started within this span fails with JOB_EXPIRED."""

    ttl_s: Span = 86_400.0
    default_profile: str = "web"


class Inputs(Section):
    """`allowed_roots`: directories whose files may be named as server paths; none by default."""

    allowed_roots: tuple[Path, ...] = ()
    limits: Annotated[InputLimits, BeforeValidator(_numbers)] = InputLimits()


class Storage(Section):
    """`root`: where files lie; `<data>/storage` by default. The rest are the shares that must stay free."""

    adapter: str = "local"
    root: Path | None = None
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
