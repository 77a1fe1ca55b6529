"""Where settings come from: a TOML file < the environment < arguments. A name that means nothing is refused everywhere."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError, TomlConfigSettingsSource

S = TypeVar("S", bound=BaseSettings)


class SettingsProblem(ValueError):
    """A setting is missing, unknown or out of range; the text names each in one line."""


def read_settings(model: type[S], arguments: Mapping[str, object], *, toml: Path | None, environ: Mapping[str, str]) -> S:
    """The settings in force. Raises SettingsProblem, also for an unknown variable with the model's prefix."""
    prefix = str(model.model_config["env_prefix"])
    known = {prefix + name for name in _variables(model)}
    if unknown := sorted(name for name in environ if name.startswith(prefix) and name not in known):
        raise SettingsProblem(f"unknown environment variable {unknown[0]}; known are {', '.join(sorted(known))}")
    if toml is not None and not toml.is_file():
        raise SettingsProblem(f"there is no settings file {toml}")
    given: dict[str, Any] = dict(arguments)  # Any: the types are what is checked here
    try:
        return _with_file(model, toml)(**given)
    except tomllib.TOMLDecodeError as fault:
        raise SettingsProblem(f"{toml}: not TOML: {fault}") from fault
    except SettingsError as fault:
        raise SettingsProblem(_not_json(fault, prefix, environ)) from fault
    except ValidationError as fault:
        problems = [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in fault.errors()]
        raise SettingsProblem("; ".join(problems)) from fault


def _not_json(fault: SettingsError, prefix: str, environ: Mapping[str, str]) -> str:
    """Which variable could not be read; its value is in the cause, its name nowhere."""
    text = getattr(fault.__cause__, "doc", None)
    names = sorted(name for name, value in environ.items() if name.startswith(prefix) and value == text)
    told = " and ".join(names) or "a variable of the environment"
    return f'{told}: a list is told as JSON in the environment, such as ["a", "b"]'


def _variables(model: type[BaseModel], delimiter: str = "__") -> Iterator[str]:
    """The names of the environment after the prefix: every key, and the keys of every section, one that may be left out too."""
    for name, field in model.model_fields.items():
        yield name.upper()
        for kind in (field.annotation, *_alternatives(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from (f"{name.upper()}{delimiter}{inner}" for inner in _variables(kind))


def _alternatives(annotation: Any) -> tuple[Any, ...]:  # Any: what a type may look like
    return get_args(annotation) if isinstance(annotation, UnionType) else ()


def _with_file(model: type[S], toml: Path | None) -> type[S]:
    class Here(model):  # type: ignore[misc, valid-type]  # the file is known only now; pydantic takes it from the class
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file = () if toml is None else (TomlConfigSettingsSource(settings_cls, toml),)
            return (init_settings, env_settings, *file)

    return Here
