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
    Row("set", o.SetOptions, "client.commands.jobs:set_job", JOBS),
    Row("purge", o.PurgeOptions, "client.commands.jobs:purge", JOBS),
    Row("validate", o.ValidateOptions, "client.commands.validate:validate", JOBS),
    Row("outputs", o.OutputsOptions, "client.commands.jobs:outputs", JOBS),
    Row("playback", o.PlaybackOptions, "client.commands.playing:playback", JOBS),
    Row("live", o.LiveOptions, "client.commands.playing:live", JOBS),
    Row("stop", o.StopOptions, "client.commands.playing:stop", JOBS),
    Row("webhooks endpoints list", o.EndpointListOptions, "client.commands.webhooks:endpoints", JOBS),
    Row("webhooks endpoints add", o.EndpointAddOptions, "client.commands.webhooks:add_endpoint", JOBS),
    Row("webhooks endpoints remove", o.EndpointRemoveOptions, "client.commands.webhooks:remove_endpoint", JOBS),
    Row("webhooks endpoints test", o.EndpointTestOptions, "client.commands.webhooks:test_endpoint", JOBS),
    Row("webhooks endpoints enable", o.EndpointEnableOptions, "client.commands.webhooks:enable_endpoint", JOBS),
    Row("webhooks endpoints disable", o.EndpointDisableOptions, "client.commands.webhooks:disable_endpoint", JOBS),
    Row("webhooks secret show", o.SecretShowOptions, "client.commands.webhooks:show_secret", JOBS),
    Row("webhooks secret rotate", o.SecretRotateOptions, "client.commands.webhooks:rotate_secret", JOBS),
    Row("webhooks deliveries list", o.DeliveryListOptions, "client.commands.webhooks:deliveries", JOBS),
    Row("webhooks deliveries show", o.DeliveryShowOptions, "client.commands.webhooks:delivery", JOBS),
    Row("webhooks deliveries redeliver", o.RedeliverOptions, "client.commands.webhooks:redeliver", JOBS),
    Row("profiles list", o.ProfilesOptions, "client.commands.profiles:profiles", JOBS),
    Row("profiles get", o.ProfileGetOptions, "client.commands.profiles:get_profile", JOBS),
    Row("profiles put", o.ProfilePutOptions, "client.commands.profiles:put_profile", JOBS),
    Row("profiles delete", o.ProfileDeleteOptions, "client.commands.profiles:delete_profile", JOBS),
    Row("engines", o.EnginesOptions, "client.commands.operators:engines", OPERATORS),
    Row("engine-info", o.EngineInfoOptions, "client.commands.operators:engine_info", OPERATORS),
    Row("approve", o.ApproveOptions, "client.commands.operators:approve", OPERATORS),
    Row("drain", o.DrainOptions, "client.commands.operators:drain", OPERATORS),
    Row("undrain", o.UndrainOptions, "client.commands.operators:undrain", OPERATORS),
    Row("keys list", o.KeyListOptions, "client.commands.access:keys", OPERATORS),
    Row("keys create", o.KeyCreateOptions, "client.commands.access:create_key", OPERATORS),
    Row("keys revoke", o.KeyRevokeOptions, "client.commands.access:revoke_key", OPERATORS),
    Row("keys rotate", o.KeyRotateOptions, "client.commands.access:rotate_key", OPERATORS),
    Row("tenants list", o.TenantListOptions, "client.commands.access:tenants", OPERATORS),
    Row("tenants create", o.TenantCreateOptions, "client.commands.access:create_tenant", OPERATORS),
    Row("tenants set", o.TenantSetOptions, "client.commands.access:set_tenant", OPERATORS),
    Row("dead-letter list", o.DeadLetterListOptions, "client.commands.operators:dead_letters", OPERATORS),
    Row("dead-letter retry", o.DeadLetterRetryOptions, "client.commands.operators:retry_dead_letter", OPERATORS),
    Row("dead-letter discard", o.DeadLetterDiscardOptions, "client.commands.operators:discard_dead_letter", OPERATORS),
    Row("stats", o.StatsOptions, "client.commands.operators:stats", OPERATORS),
    Row("usage", o.UsageOptions, "client.commands.operators:usage", OPERATORS),
    Row("audit", o.AuditOptions, "client.commands.operators:audit", OPERATORS),
    Row("retention", o.RetentionOptions, "client.commands.operators:retention", OPERATORS),
    Row("config show", o.ConfigShowOptions, "client.commands.operators:show_config", OPERATORS),
    Row("releases key", o.ReleaseKeyOptions, "client.commands.releases:make_key", PROCESSES),
    Row("releases publish", o.ReleasePublishOptions, "client.commands.releases:publish", PROCESSES),
    Row("version", o.VersionOptions, "client.commands.version:version", OPERATORS),
)


@dataclass(frozen=True, slots=True)
class Group:
    """Commands below one word. `default` is what the word alone does; without it, it shows its help."""

    words: str
    text: str
    panel: str
    default: str | None = None


GROUPS: tuple[Group, ...] = (
    Group("profiles", "Profiles a job may name; alone: list them.", JOBS, "profiles list"),
    Group("webhooks", "Who is told of jobs; alone: list the endpoints.", JOBS, "webhooks endpoints list"),
    Group("webhooks endpoints", "URLs that are told of all your jobs.", JOBS, "webhooks endpoints list"),
    Group("webhooks secret", "What messages are signed with.", JOBS),
    Group("webhooks deliveries", "What was sent, and what waits.", JOBS, "webhooks deliveries list"),
    Group("keys", "API keys; alone: list them.", OPERATORS, "keys list"),
    Group("tenants", "Tenants; alone: list them.", OPERATORS, "tenants list"),
    Group("dead-letter", "Jobs that failed by no fault of their client; alone: list them.", OPERATORS, "dead-letter list"),
    Group("releases", "Signed releases of the engine, published on the server's box.", PROCESSES),
    Group("config", "Settings of the server and of engines.", OPERATORS),
)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A command that becomes another program: its module, the words before the user's own, and the help.

    `other` is a flag that asks for another module.
    """

    words: str
    module: str
    before: tuple[str, ...]
    text: str
    panel: str
    other: tuple[str, str] | None = None


REPLACED: tuple[Replaced, ...] = (
    Replaced("dispatch", "dispatch", (), "Run the server; `reelyard dispatch --help` tells its options.", PROCESSES),
    Replaced("engine", "engine", (), "Run an engine; `reelyard engine --help` tells its options.", PROCESSES),
    Replaced("doctor", "engine", ("doctor",), "Check what this box can do: FFmpeg, disk, permissions.", PROCESSES),
    Replaced("migrate", "dispatch", ("migrate",), "Bring the database to the newest schema, or to PostgreSQL.", PROCESSES),
    Replaced(
        "config check",
        "dispatch",
        ("config-check",),
        "Check a settings file (--config F) and show what would be in force; --engine: of an engine.",
        OPERATORS,
        ("--engine", "engine"),
    ),
)


def module_command(module: str, arguments: Sequence[str]) -> list[str]:
    """How one of our modules is run. `-P`: a folder named `engine` where the user happens to stand is not ours."""
    return [sys.executable, "-P", "-m", module, *arguments]


def build() -> typer.Typer:
    """The whole tree. Groups come before what stands in them, in their table."""
    rows = {row.words: row for row in COMMANDS}
    apps = {"": typer.Typer(name="reelyard", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)}
    for group in GROUPS:
        above, name = _split(group.words)
        app = apps[group.words] = typer.Typer(help=group.text, no_args_is_help=group.default is None)
        if group.default is not None:
            app.callback(invoke_without_command=True, help=group.text)(_entry(rows[group.default], is_group=True))
        apps[above].add_typer(app, name=name, rich_help_panel=None if above else group.panel)
    for row in COMMANDS:
        above, name = _split(row.words)
        apps[above].command(name, help=row.takes.__doc__, rich_help_panel=None if above else row.panel)(_entry(row))
    for one in REPLACED:
        _add_replaced(apps[_split(one.words)[0]], one)
    return apps[""]


def _split(words: str) -> tuple[str, str]:
    above, _, name = words.rpartition(" ")
    return above, name


def _entry(row: Row, *, is_group: bool = False) -> Callable[..., int | None]:
    """A function whose signature is the fields of the options, as typer reads it. Of a group it waits for a further word."""
    hints = get_type_hints(row.takes, include_extras=True) | ({"context": typer.Context} if is_group else {})

    def entry(context: typer.Context | None = None, **values: Any) -> int | None:  # Any: typer keeps to the annotations
        if context is not None and context.invoked_subcommand is not None:
            _refuse_early_options(context)
            return None
        return _call(row, row.takes(**values))

    own_first = sorted(fields(row.takes), key=lambda one: one.name in {f.name for f in fields(o.Remote)})
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    entry.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions take it, their stub does not say so
        [context] * is_group
        + [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name], default=_default(one))
            for one in own_first
        ]
    )
    entry.__annotations__ = hints
    return entry


def _refuse_early_options(context: typer.Context) -> None:
    """Those of a group belong to its default; before another command they would be passed over. Raises BadParameter."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"--{name.replace('_', '-')} stands behind `{context.invoked_subcommand}`, not before it")


def _default(one: Any) -> object:  # Any: dataclasses.Field of every type
    if one.default is not MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not MISSING else inspect.Parameter.empty


def _call(row: Row, options: o.Common) -> int:
    from client.shell import run

    module, _, function = row.target.partition(":")
    return run(getattr(importlib.import_module(module), function), options)


def _add_replaced(app: typer.Typer, one: Replaced) -> None:
    """`--help` too goes to the program that the command becomes."""

    def replace(context: typer.Context) -> None:
        module, words = one.module, list(context.args)
        if one.other is not None and one.other[0] in words:
            module = one.other[1]
            words.remove(one.other[0])
        sys.stdout.flush()
        os.execv(sys.executable, module_command(module, [*one.before, *words]))

    above, name = _split(one.words)
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    panel = None if above else one.panel
    app.command(name, help=one.text, rich_help_panel=panel, context_settings=passed_on, add_help_option=False)(replace)


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
