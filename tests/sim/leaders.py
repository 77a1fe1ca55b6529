"""Guards of leading taken out: what mutants put in the place of the rules by which one server leads, and no other."""

from __future__ import annotations

from typing import Any

from dispatch.app import webhooks as wiring
from dispatch.services import leading
from dispatch.services.deliverer import Deliverer
from dispatch.services.leading import Lead
from dispatch.services.leases import LeaseService
from tests.sim.corners import draw_farm
from tests.sim.mutant import Mutant


def _nothing(*_: object, **__: object) -> None:
    return None


def _for_ever(self: Any) -> bool:
    """Until the row says otherwise, whenever that is read."""
    return self.belief is not None


async def _as_if_just_run_out(self: Any) -> None:
    live = await self._store.read(lambda tx: tx.live_attempts())
    self._table.is_kept = True
    self._table.apply(live, monotonic=self._clock.monotonic() - self._table._times.lease_s)


def _past_the_epoch(led: Any, *others: Any) -> Deliverer:
    """Claims and saves by the plain store."""
    return Deliverer(led._store, *others)


LEADERS: dict[str, Mutant] = {
    "no epoch in the transaction": Mutant("the epoch is held against the row", leading, "check_epoch", _nothing, draw_farm),
    "a leader believes for ever": Mutant("a belief ends by itself", Lead, "believes", property(_for_ever), draw_farm),
    "no grace of a new leader": Mutant(
        "a new leader gives each lease its whole length", LeaseService, "load", _as_if_just_run_out, draw_farm
    ),
    "a stale leader tells": Mutant("a delivery is claimed under the epoch", wiring, "Deliverer", _past_the_epoch, draw_farm),
}
