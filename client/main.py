"""The `reelyard` command: a table of commands, each loaded when it is called. Wiring only."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

import typer

from client import options as o
from client.errors import ClientCode, ClientError, ExitCode, one_line

HELP = (
    "Reelyard turns a handful of machines into one transcoder. "
    "Exit codes: 0 done, 1 the job failed, 2 usage, 3 the server cannot be reached or does not allow it."
)
JOBS, OPERATORS, PROCESSES = "Jobs", "Operators", "On this box"


@dataclass(frozen=True, slots=True)
class Row:
    """A command: its words, what it takes, and `module:function` of what carries it out."""

    words: str
    takes: type[o.Common]
    target: str
    panel: str


COMMANDS: tuple[Row, ...] = (
    Row("up", o.UpOptions, "client.up:up", PROCESSES),
    Row("submit", o.SubmitOptions, "client.commands.submit:submit", JOBS),
    Row("jobs", o.JobsOptions, "client.commands.jobs:jobs", JOBS),
    Row("job", o.JobOptions, "client.commands.jobs:job", JOBS),
    Row("why", o.WhyOptions, "client.commands.jobs:why", JOBS),
    Row("log", o.LogOptions, "client.commands.jobs:log", JOBS),
    Row("cancel", o.CancelOptions, "client.commands.jobs:cancel", JOBS),
    Row("retry", o.RetryOptions, "client.commands.jobs:retry", JOBS),
    Row("outputs", o.OutputsOptions, "client.commands.jobs:outputs", JOBS),
    Row("profiles", o.ProfilesOptions, "client.commands.operators:profiles", JOBS),
    Row("engines", o.EnginesOptions, "client.commands.operators:engines", OPERATORS),
    Row("engine-info", o.EngineInfoOptions, "client.commands.operators:engine_info", OPERATORS),
    Row("drain", o.DrainOptions, "client.commands.operators:drain", OPERATORS),
    Row("undrain", o.UndrainOptions, "client.commands.operators:undrain", OPERATORS),
    Row("keys create", o.KeyCreateOptions, "client.commands.operators:create_key", OPERATORS),
    Row("keys list", o.KeyListOptions, "client.commands.operators:keys", OPERATORS),
    Row("keys revoke", o.KeyRevokeOptions, "client.commands.operators:revoke_key", OPERATORS),
    Row("tenants create", o.TenantCreateOptions, "client.commands.operators:create_tenant", OPERATORS),
    Row("tenants list", o.TenantListOptions, "client.commands.operators:tenants", OPERATORS),
    Row("version", o.VersionOptions, "client.commands.operators:version", OPERATORS),
)

GROUPS = {"keys": "API keys.", "tenants": "Tenants."}

REPLACED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "dispatch": ("dispatch", (), "Run the server; `reelyard dispatch --help` tells its options."),
    "engine": ("engine", (), "Run an engine; `reelyard engine --help` tells its options."),
    "doctor": ("engine", ("doctor",), "Check what this box can do: FFmpeg, disk, permissions."),
}
"""Commands that become another program: its module, the words before the user's own, and the help."""


def module_command(module: str, arguments: Sequence[str]) -> list[str]:
    """How one of our modules is run. `-P`: a folder named `engine` where the user happens to stand is not ours."""
    return [sys.executable, "-P", "-m", module, *arguments]


def build() -> typer.Typer:
    app = typer.Typer(name="reelyard", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    groups = {name: typer.Typer(help=text, no_args_is_help=True) for name, text in GROUPS.items()}
    for row in COMMANDS:
        group, _, name = row.words.rpartition(" ")
        place = groups[group] if group else app
        place.command(name, help=row.takes.__doc__, rich_help_panel=None if group else row.panel)(_entry(row))
    for name, (module, before, text) in REPLACED.items():
        _add_replaced(app, name, _replace(module, before), text)
    for name, group_app in groups.items():
        app.add_typer(group_app, name=name, rich_help_panel=OPERATORS)
    return app


def _entry(row: Row) -> Callable[..., int]:
    """A function whose signature is the fields of the options, as typer reads it."""
    hints = get_type_hints(row.takes, include_extras=True)

    def entry(**values: Any) -> int:  # Any: typer hands over what the annotations say
        return _call(row, row.takes(**values))

    own_first = sorted(fields(row.takes), key=lambda one: one.name in {f.name for f in fields(o.Remote)})
    entry.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions take it, their stub does not say so
        [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name], default=_default(one))
            for one in own_first
        ]
    )
    entry.__annotations__ = hints
    return entry


def _default(one: Any) -> object:  # Any: dataclasses.Field of every type
    if one.default is not MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not MISSING else inspect.Parameter.empty


def _call(row: Row, options: o.Common) -> int:
    from client.shell import run

    module, _, function = row.target.partition(":")
    return run(getattr(importlib.import_module(module), function), options)


def _replace(module: str, before: tuple[str, ...]) -> Callable[[typer.Context], None]:
    def replace(context: typer.Context) -> None:
        sys.stdout.flush()
        os.execv(sys.executable, module_command(module, [*before, *context.args]))

    return replace


def _add_replaced(app: typer.Typer, name: str, replace: Callable[[typer.Context], None], text: str) -> None:
    """`--help` too goes to the program that the command becomes."""
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(name, help=text, rich_help_panel=PROCESSES, context_settings=passed_on, add_help_option=False)(replace)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Ends the process with the exit code."""
    try:
        code = build()(args=arguments, prog_name="reelyard", standalone_mode=False)
    except typer.TyperException as error:
        if sentence := one_line(error.format_message()).rstrip("."):  # empty when the help has just been shown
            print(f"error: {ClientError(ClientCode.USAGE, sentence)}. See --help.", file=sys.stderr)  # noqa: T201 - a command line prints
        code = ExitCode.USAGE
    except typer.Abort:
        code = 130
    sys.exit(code if isinstance(code, int) else ExitCode.DONE)


if __name__ == "__main__":
    main()
