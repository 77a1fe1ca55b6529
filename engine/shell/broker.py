"""The line to dispatch: HTTP alone, or a broker with HTTP behind it. The broker's library is loaded where one is set."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.ports import Clock, DispatchClient, LocalQueue

LedBy = Callable[[str], None]
"""Takes the base URL of the server that leads."""


class LibraryMissing(Exception):
    """The text says which extra brings it."""


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where the broker is, and how to be let in. Files are read at each connection, so that they may be changed."""

    servers: tuple[str, ...]
    prefix: str = "reelyard"
    credentials_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    name: str = "reelyard engine"


@dataclass(frozen=True, slots=True)
class Line:
    """`client` and `queue` are those the daemon works with; `run` carries them, until cancelled, where there is something."""

    client: DispatchClient
    queue: LocalQueue
    run: Callable[[], Coroutine[None, None, None]]


def ignore_leader(_leader: str) -> None:
    """For a client that looks for it by itself."""


def line_of(
    place: BrokerPlace,
    client: DispatchClient,
    queue: LocalQueue,
    clock: Clock,
    written: Iterable[int] = (),
    led_by: LedBy = ignore_leader,
) -> Line:
    """`written` are the tokens of grants that the queue held before; `led_by` hears who leads. Raises LibraryMissing."""
    if not place.servers:
        return Line(client, queue, _nothing)
    try:
        from engine.shell.nats_line import nats_line
    except ModuleNotFoundError as missing:
        raise LibraryMissing(f"[nats] needs {missing.name}: pip install 'reelyard[nats]'") from missing
    return nats_line(place, client, queue, clock, written, led_by)


async def _nothing() -> None:
    """HTTP needs nobody to carry it."""
