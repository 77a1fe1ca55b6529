"""Which dispatch server is asked next: those that were configured, and the one that leads, as they tell. Decides only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Route:
    """One call on its way: whom it asks now, and all whom it has asked. No call asks a server twice."""

    server: str
    asked: frozenset[str]

    def to(self, server: str) -> Route:
        return Route(server, self.asked | {server})


class Servers:
    """`told` are the base URLs of the settings, the first preferred.

    Registration, leases and heartbeats go to the server that leads, once one is known; files go wherever they go through.
    """

    def __init__(self, told: Sequence[str]) -> None:
        self._told = tuple(dict.fromkeys(url.rstrip("/") for url in told))
        self._at = 0
        self._leader: str | None = None
        self._files = self._told[0]

    # --- calls that need the leader

    def begin(self) -> Route:
        first = self._leader or self._told[self._at]
        return Route(first, frozenset({first}))

    def pointed(self, route: Route, leader: str | None) -> Route | None:
        """It was answered that another server leads, or none. Where to go on; None: what was answered is the answer."""
        self._forget_leader(route.server)
        wanted = _trusted(leader, by=route.server)
        if wanted is not None and wanted not in route.asked:
            self._leader = wanted
            return route.to(wanted)
        return None if route.server in self._told else self._elsewhere(route)

    def failed(self, route: Route, *, is_unsent: bool) -> Route | None:
        """No answer came. What was sent is not sent again by this call: the next one goes elsewhere."""
        self._forget_leader(route.server)
        if route.server == self._told[self._at]:
            self._at = (self._at + 1) % len(self._told)
        return self._elsewhere(route) if is_unsent else None

    def answered(self, route: Route) -> None:
        if route.server in self._told:
            self._at = self._told.index(route.server)

    def told_leader(self, leader: str) -> None:
        """By the server that leads, over another way than HTTP: also where none of those configured is there to say it."""
        self._leader = _trusted(leader, by=self._told[self._at]) or self._leader

    def _forget_leader(self, server: str) -> None:
        if self._leader == server:
            self._leader = None

    def _elsewhere(self, route: Route) -> Route | None:
        in_turn = (*self._told[self._at :], *self._told[: self._at])
        return next((route.to(server) for server in in_turn if server not in route.asked), None)

    # --- calls that any server answers

    @property
    def for_files(self) -> str:
        return self._files

    def missed(self, server: str) -> None:
        """Bytes did not go through there: the next try asks another, the leader too where it is none of those configured."""
        if server != self._files:
            return  # another transfer has gone on already
        known = self._told if self._leader is None or self._leader in self._told else (*self._told, self._leader)
        self._files = known[(known.index(server) + 1) % len(known)] if server in known else known[0]


def _trusted(leader: str | None, *, by: str) -> str | None:
    """Where the engine's credential may go: an address of HTTP, and never one in clear because one in TLS said so."""
    if leader is None:
        return None
    try:
        parts = urlsplit(leader)
    except ValueError:
        return None
    allowed = ("https",) if urlsplit(by).scheme == "https" else ("http", "https")
    is_plain = parts.hostname and "@" not in parts.netloc and not parts.query and not parts.fragment
    return leader.rstrip("/") if parts.scheme in allowed and is_plain else None
