"""What every command takes, as types. Imports nothing heavy: `reelyard --help` reads only the options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]
Data = Annotated[Path, typer.Option("--data", envvar="REELYARD_DATA", help="Where a server on this box keeps its data.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="At most so many.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Go on after this page.")]
Retry = Annotated[int, typer.Option("--priority", min=1, max=10, help="1 (background) to 10 (critical).")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Common:
    """What every command takes."""

    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote(Common):
    """What every command takes that speaks to a server."""

    server: Annotated[
        str | None,
        typer.Option("--server", envvar="REELYARD_SERVER", help="The server's address; else the one that runs on --data."),
    ] = None
    key: Annotated[
        str | None, typer.Option("--key", envvar="REELYARD_API_KEY", help="The API key; else the admin key in --data.")
    ] = None
    data: Data = Path("reelyard-data")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpOptions(Common):
    """Start a server and one engine on this box. Ctrl-C drains both."""

    data: Data = Path("reelyard-data")
    listen: Annotated[str, typer.Option("--listen", help="Address and port of the server; port 0 picks a free one.")] = (
        "127.0.0.1:8080"
    )
    config: Annotated[Path | None, typer.Option("--config", help="A TOML file of settings of the server.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionOptions(Remote):
    """Tell the version of this program, and of the server where one answers."""
