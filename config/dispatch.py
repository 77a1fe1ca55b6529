"""The settings of dispatch. Arguments override the environment (`REELYARD_DISPATCH_...`), which overrides the TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

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
    listen: str = "127.0.0.1:8080"
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    leases: Leases = Leases()
    jobs: Jobs = Jobs()
    inputs: Inputs = Inputs()
    storage: Storage = Storage()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(arguments: Mapping[str, Any], environment: Mapping[str, str], toml: Path | None) -> DispatchSettings:
    """Raises ValidationError for what is wrong, ValueError for a variable that means nothing (a typo is never ignored)."""
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and not _is_known(name))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such setting")
    if toml is not None and not toml.is_file():
        raise ValueError(f"{toml}: there is no such configuration file")

    class FromFile(DispatchSettings):
        model_config = SettingsConfigDict(toml_file=toml)

    return FromFile(**{name: value for name, value in arguments.items() if value is not None})


def _is_known(variable: str) -> bool:
    first, _, rest = variable.removeprefix(PREFIX).lower().partition("__")
    field = DispatchSettings.model_fields.get(first)
    if field is None or not rest:
        return field is not None
    section = field.annotation
    inner, _, _ = rest.partition("__")
    return isinstance(section, type) and issubclass(section, BaseModel) and inner in section.model_fields
