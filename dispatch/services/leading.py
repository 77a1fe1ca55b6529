"""What a server knows of the leader, and the store of those who act for it: nothing is committed once the term is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from dispatch.core.cluster import Leadership, ServerRow
from dispatch.core.leading import Belief, is_over
from dispatch.ports import Clock, Store, Transaction
from protocol.errors import ErrorCode, ReelyardError

T = TypeVar("T")


class Lead:
    """Satisfies `dispatch.ports.cluster.Leading`: the belief of this server, and whom it follows.

    `doubted` is set when something hints that the row has changed. `is_loaded`: the memory of a leader is complete.
    """

    def __init__(self, me: ServerRow, clock: Clock) -> None:
        self.me, self._clock = me, clock
        self.belief: Belief | None = None
        self.row: Leadership | None = None
        self.is_loaded = False
        self.doubted = asyncio.Event()

    @property
    def believes(self) -> bool:
        return self.belief is not None and self.belief.holds(monotonic=self._clock.monotonic())

    @property
    def is_leading(self) -> bool:
        return self.is_loaded and self.believes

    @property
    def epoch(self) -> int:
        """0 while it does not lead."""
        return 0 if self.belief is None else self.belief.epoch

    @property
    def leader_url(self) -> str | None:
        """Never this server's own before it can serve as leader."""
        if self.is_leading:
            return self.me.url
        if self.row is None or self.row.server_id == self.me.server_id:
            return None
        return self.row.url or None

    def listens_at(self, url: str) -> None:
        """Where this server is reached, where that is known only now."""
        self.me = replace(self.me, url=url)
        self.doubted.set()


class LeadingStore:
    """A Store for what the leader alone may do. The epoch is held against the row in the very transaction."""

    def __init__(self, store: Store, lead: Lead) -> None:
        self._store, self._lead = store, lead

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        """Raises NOT_LEADER, also when another server has come to lead since this was asked for."""
        server_id, epoch = self._lead.me.server_id, self._lead.epoch

        def fenced(tx: Transaction) -> T:
            check_epoch(tx, server_id, epoch)
            return function(tx)

        try:
            return await self._store.transact(fenced)
        except ReelyardError as error:
            if error.code is ErrorCode.NOT_LEADER:
                self._lead.doubted.set()
            raise

    async def read(self, function: Callable[[Transaction], T]) -> T:
        return await self._store.read(function)

    async def search(self, function: Callable[[Transaction], T]) -> T:
        return await self._store.search(function)


def check_epoch(tx: Transaction, server_id: str, epoch: int) -> None:
    """Raises NOT_LEADER unless that server still leads under that epoch."""
    if is_over(tx.leadership(), server_id, epoch):
        raise ReelyardError(ErrorCode.NOT_LEADER)
