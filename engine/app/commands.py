"""What `python -m engine` does: an engine, its trial, the doctor, a check of settings."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import structlog

from config.engine import EngineSettings
from config.sources import SettingsProblem, read_settings
from engine.app.checking import EXIT_USAGE, check_settings, doctor, doctor_arguments
from engine.app.parts import Unusable
from engine.app.serving import only_one, report_once, serve, try_next
from engine.core.agent import EXIT_FOR_UPDATE
from engine.shell.succession import TRIAL, become, chosen
from engine.shell.versions import PACKAGE, Versions

log = structlog.get_logger()


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 drained, 1 the doctor found something, 2 wrong usage, 3 dispatch does not want this engine.

    69 ends the trial of another version while dispatch does not answer.
    """
    is_doctor = argv[:1] == ["doctor"]
    log_to_stderr(logging.ERROR if is_doctor else logging.INFO)  # what a doctor finds stands in its answer
    try:
        if is_doctor:
            return asyncio.run(doctor(doctor_arguments(argv[1:])))
        if argv[:1] == ["config-check"]:
            return check_settings(argv[1:])
        settings = _settings(argv[1:] if argv[:1] == [TRIAL] else argv)
        os.umask(0o077)  # a credential and strangers' films are nobody else's, also in a directory that was there before
        settings.data.mkdir(parents=True, mode=0o700, exist_ok=True)
        if argv[:1] == [TRIAL]:
            with only_one(settings.data):
                return asyncio.run(report_once(settings))
        versions = Versions(settings.data.absolute() / "versions")
        with only_one(settings.data):
            other = chosen(versions, version(PACKAGE), os.environ)
            leaving = asyncio.run(serve(settings, versions)) if other is None else None
        if leaving is None:
            become(versions, other, argv)
        if leaving.code == EXIT_FOR_UPDATE:
            if not asyncio.run(try_next(versions, argv)):
                return 0
            become(versions, None, argv)
    except (SettingsProblem, Unusable) as problem:
        print(f"reelyard engine: {problem}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return EXIT_USAGE
    tell = log.info if leaving.code == 0 else log.error
    tell("engine_left", code=leaving.code, message=leaving.message)
    return leaving.code


def log_to_stderr(least: int = logging.INFO) -> None:
    """Colours on a terminal, one JSON object a line elsewhere."""
    is_terminal = sys.stderr.isatty()
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if is_terminal
        else structlog.processors.JSONRenderer()
    )
    faults = [] if is_terminal else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), *faults, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _settings(argv: Sequence[str]) -> EngineSettings:
    parser = argparse.ArgumentParser(prog="reelyard engine", description="Take work from dispatch and do it.")
    parser.add_argument("--server", action="append", help="URL of dispatch; may be repeated where several servers run")
    parser.add_argument("--data", type=Path, help="directory for queue, identity and scratch files")
    parser.add_argument("--name", help="this engine's name (default: the host's)")
    parser.add_argument("--token-file", type=Path, help="file with the registration token")
    parser.add_argument("--slots", action="append", help="a number of encoding slots, or CPU:0-3, CPU_Set:4-7,9, GPU:0, repeated")
    parser.add_argument("--tag", dest="tags", action="append", help="kind:name, may be repeated")
    parser.add_argument("--config", type=Path, help="TOML file with settings")
    arguments = vars(parser.parse_args(argv))
    toml = arguments.pop("config")
    given = {name: value for name, value in arguments.items() if value is not None}
    return read_settings(EngineSettings, given, toml=toml, environ=os.environ)
