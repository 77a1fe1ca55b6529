"""Several dispatch servers on one database, in the simulation: what must be true of who leads, and of what only a leader does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from dispatch.core.cluster import Leadership
from dispatch.core.records import Delivery
from dispatch.ports import Commit
from protocol.states import AttemptState as A
from protocol.states import JobState as J
from tests.sim.ground import Broken, Ground
from tests.sim.server import Server
from tests.sim.watch import LIVE, Watch

LOOK_S = 0.25
LEASE_S = 7.0
"""Written out once more: the settings' own is what is under test."""

SLACK_S = 8.0
"""To notice that the row is free, on a disk so slow that two commits take three seconds each."""


class Leaders:
    """Held against every commit, before it is taken for true, and against every moment."""

    def __init__(self, ground: Ground, watch: Watch, leader: Callable[[], Leadership | None]) -> None:
        self._ground, self._watch, self._leader = ground, watch, leader
        self._deliveries: dict[str, Delivery] = {}
        self._last: tuple[str, int] | None = None
        self.servers: Sequence[Server] = ()

    def check(self, server_id: str, commit: Commit) -> None:
        """A server has committed this."""
        if len(self.servers) == 1:
            return
        self.look()
        for what in self._of_a_leader(commit):
            row = self._leader()
            if row is None or row.server_id != server_id:
                raise self._ground.broken(f"{server_id} committed {what}, and {row} leads")
        self._deliveries.update((delivery.delivery_id, delivery) for delivery in commit.deliveries)

    def _of_a_leader(self, commit: Commit) -> Iterator[str]:
        """What only a leader does."""
        for attempt in commit.attempts:
            known = self._watch.attempts.get(attempt.token)
            if known is None:
                yield f"grant {attempt.token}"
            elif known.state in LIVE and attempt.state is A.EXPIRED and not self._watch.is_leaving(attempt.engine_id):
                yield f"the end of lease {attempt.token}"
        for job in commit.jobs:
            if job.state is J.COMPLETED and self._watch.jobs[job.job_id].state is J.COMPLETING:
                yield f"the promotion of {job.job_id}"
        for delivery in commit.deliveries:
            known_delivery = self._deliveries.get(delivery.delivery_id)
            if known_delivery is not None and (known_delivery.next_at, known_delivery.attempts) != (
                delivery.next_at,
                delivery.attempts,
            ):
                yield f"a claim or a try of {delivery.delivery_id}"

    def look(self) -> None:
        """No two lead at any moment."""
        leading = [server for server in self.servers if server.is_leading]
        if len(leading) > 1:
            raise self._ground.broken(f"{[server.name for server in leading]} lead at once")
        if leading:
            term = (leading[0].name, leading[0].epoch)
            if term != self._last:
                self._ground.count["terms"] += 1
                self._last = term
                self._watch.dispatch_came()

    async def watch(self) -> None:
        """Nor is there none for long while a server is well."""
        alone_since = self._ground.time
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()
            well = [server.well_since for server in self.servers if server.well_since is not None]
            if not well or any(server.is_leading for server in self.servers):
                alone_since = self._ground.time
            elif (span := self._ground.time - max(alone_since, min(well))) > LEASE_S + SLACK_S:
                raise self._wrong(span)

    def _wrong(self, span: float) -> Broken:
        return self._ground.broken(f"for {span:.1f} s nobody leads, though a server is well")
