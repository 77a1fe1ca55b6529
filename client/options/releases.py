"""What the commands around releases of the engine take."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from client.options.common import Common, Data


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseKeyOptions(Common):
    """Make a key that releases of the engine are signed with."""

    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where the secret key is written.", show_default=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasePublishOptions(Common):
    """Sign wheels of the engine and put them on the server's shelf, where engines find them."""

    wheels: Annotated[
        list[Path],
        typer.Argument(metavar="WHEEL", help="Reelyard's own wheel, others it runs with.", show_default=False),
    ]
    key_file: Annotated[Path, typer.Option("--key-file", help="The signing key.")]
    expires: Annotated[str, typer.Option("--expires", metavar="DAY", help="Not to be installed from then on: 2027-06-30.")]
    platform: Annotated[list[str], typer.Option("--platform", help="linux-x86_64, ...; any unless told.")] = field(
        default_factory=list
    )
    data: Data = Path("reelyard-data")
