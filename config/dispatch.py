"""The settings of dispatch. `config.sources` reads them: a TOML file < the environment (`REELYARD_DISPATCH_*`) < arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from protocol.recipes import InputLimits

PREFIX = "REELYARD_DISPATCH_"
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Leases(Section):
    """Seconds. A lease lives `lease_s` after each heartbeat; a grant must be acked within `ack_s`."""

    lease_s: Annotated[float, Field(gt=0)] = 60.0
    heartbeat_s: Annotated[float, Field(gt=0)] = 15.0
    ack_s: Annotated[float, Field(gt=0)] = 10.0
    sweep_s: Annotated[float, Field(gt=0)] = 5.0


class Jobs(Section):
    """`ttl_s`: a job not started within this span fails with JOB_EXPIRED."""

    ttl_s: Annotated[float, Field(gt=0)] = 86_400.0
    default_profile: str = "web"


class Inputs(Section):
    """`allowed_roots`: directories whose files may be named as server paths; none by default."""

    allowed_roots: tuple[Path, ...] = ()
    limits: InputLimits = InputLimits()


class Storage(Section):
    """`root`: where files lie; `<data>/storage` by default. The rest are the shares that must stay free."""

    adapter: str = "local"
    root: Path | None = None
    warn_free: Share = 0.15
    grants_free: Share = 0.10
    uploads_free: Share = 0.05
    plenty_bytes: Annotated[int, Field(ge=0)] = 50 << 30
    probe_s: Annotated[float, Field(gt=0)] = 5.0


class DispatchSettings(BaseSettings):
    """`listen` is HOST:PORT; port 0 picks a free one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    data: Path = Path("reelyard-data")
    listen: Annotated[str, Field(pattern=r"^[^\s]*:\d{1,5}$")] = "127.0.0.1:8080"
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    leases: Leases = Leases()
    jobs: Jobs = Jobs()
    inputs: Inputs = Inputs()
    storage: Storage = Storage()
