"""`reelyard version`. Loads next to nothing: it is the first thing that is typed, and scripts ask it often."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from importlib.metadata import version as installed_version

from client.errors import ClientError, ExitCode
from client.location import Location, locate
from client.options import VersionOptions
from client.shell import Shell

PATIENCE_S = 5.0
PATH = "/api/v1/version"  # as in the table of operations, which takes longer to load than the answer to come


async def version(shell: Shell, options: VersionOptions) -> int:
    """The server's part is left out where none answers: the question is about this program first."""
    here = installed_version("reelyard")
    try:
        told, why = await asyncio.to_thread(_ask, locate(options)), None
    except ClientError as error:
        told, why = None, error.message
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        told, why = None, f"it gave no answer: {reason}"
    shell.screen.document({"client": here, "server": told, "server_problem": why})
    shell.screen.line(f"reelyard {here}")
    shell.screen.line(f"server {told}" if told else f"no server told its version: {why}")
    return ExitCode.DONE


def _ask(place: Location) -> str:
    """One GET by the standard library: no proxies, no redirects that could lead the key astray."""
    server = place.server.strip().rstrip("/")
    url = f"{server if '://' in server else f'http://{server}'}{PATH}"
    asked = urllib.request.Request(url, headers={"X-API-Key": place.key})
    if asked.type not in ("http", "https"):
        raise ValueError(f"{place.server!r} is not the address of a server")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
    with opener.open(asked, timeout=PATIENCE_S) as answer:
        told = json.load(answer)
    if not isinstance(told, dict) or not isinstance(told.get("version"), str):
        raise ValueError("it is no Reelyard server")
    found: str = told["version"]
    return found


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *told: object) -> None:
        return None
