"""Tells engines which of their attempts have ended by our side: a CommitListener in front of the long polls."""

from __future__ import annotations

from dispatch.core.records import Attempt
from dispatch.ports import Commit, Orders
from protocol.leases import Order
from protocol.states import AttemptState


def order_for(attempt: Attempt) -> Order | None:
    """An attempt the engine settled itself has a digest and needs no order."""
    if attempt.state is AttemptState.CANCELLED:
        return Order(order="cancel", task_id=attempt.task_id, token=attempt.token)
    if attempt.state in (AttemptState.EXPIRED, AttemptState.RELEASED) and attempt.digest is None:
        return Order(order="drop", task_id=attempt.task_id, token=attempt.token)
    return None


class OrderDesk:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def __call__(self, commit: Commit) -> None:
        for attempt in commit.attempts:
            order = order_for(attempt)
            if order is not None and attempt.engine_id not in commit.gone_engines:
                self._orders.order(attempt.engine_id, order)
