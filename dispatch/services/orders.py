"""Tells engines which of their attempts have ended by our side, and what operators want: a CommitListener before the polls."""

from __future__ import annotations

from dispatch.core.records import Attempt
from dispatch.ports import Commit, Orders, Store
from protocol.leases import Order
from protocol.states import AttemptState

DRAIN = "drain"
_DRAIN, _UNDRAIN = Order(order="drain"), Order(order="undrain")


def order_for(attempt: Attempt) -> Order | None:
    """An attempt the engine settled itself has a digest and needs no order."""
    if attempt.state is AttemptState.CANCELLED:
        return Order(order="cancel", task_id=attempt.task_id, token=attempt.token)
    if attempt.state in (AttemptState.EXPIRED, AttemptState.RELEASED) and attempt.digest is None:
        return Order(order="drop", task_id=attempt.task_id, token=attempt.token)
    return None


def order_for_wish(was: str, wanted: str) -> Order | None:
    """What an engine hears at once of what operators want of it; other wishes show in what it is granted."""
    if wanted == was:
        return None
    return _DRAIN if wanted == DRAIN else _UNDRAIN if was == DRAIN else None


class OrderDesk:
    """The leader's: whichever server took the call, its commit comes by here."""

    def __init__(self, orders: Orders, store: Store) -> None:
        self._orders, self._store = orders, store
        self._wanted: dict[str, str] = {}

    def forget(self) -> None:
        self._wanted.clear()

    async def load(self) -> None:
        engines = await self._store.read(lambda tx: tx.engines())
        self._wanted = {engine.engine_id: engine.wanted for engine in engines}

    def __call__(self, commit: Commit) -> None:
        for attempt in commit.attempts:
            order = order_for(attempt)
            if order is not None and attempt.engine_id not in commit.gone_engines:
                self._orders.order(attempt.engine_id, order)
        for engine in commit.engines:
            order = order_for_wish(self._wanted.get(engine.engine_id, engine.wanted), engine.wanted)
            self._wanted[engine.engine_id] = engine.wanted
            if order is not None:
                self._orders.order(engine.engine_id, order)
        for engine_id in commit.gone_engines:
            self._wanted.pop(engine_id, None)
