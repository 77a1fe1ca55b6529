"""The loop by which servers on one database agree who leads: claims the row, renews it, steps down, gives it up."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from dispatch.core.cluster import Leadership
from dispatch.core.leading import Beat, Belief, forgotten, wanted
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.leading import Lead
from dispatch.services.terms import Term
from protocol.errors import ReelyardError

log = structlog.get_logger("leadership")


class LeadershipService:
    """`store` is the plain one.

    `settled` is set once this server knows whether it leads, and can serve if it does; `stopped` at the end.
    """

    def __init__(self, store: Store, lead: Lead, term: Term, clock: Clock, beat: Beat) -> None:
        self._store, self._lead, self._term, self._clock, self._beat = store, lead, term, clock, beat
        self._running: asyncio.Task[None] | None = None
        self._patience: asyncio.Timeout | None = None
        self._is_stopping = False
        self._shown_at = float("-inf")
        self.settled, self.stopped = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Until cancelled or stopped. A fault in the term ends it: fail loudly."""
        async with asyncio.TaskGroup() as tasks:
            while not self._is_stopping:
                self._lead.doubted.clear()
                await self._look()
                if self._lead.belief is None:
                    await self._end_term()
                    self.settled.set()
                elif self._running is None:
                    self._running = tasks.create_task(self._term.run(self._begun), name="term")
                await self._show()
                await self._pause()
            await self._end_term()
        await self._resign()
        self.stopped.set()

    def stop(self) -> None:
        """Whoever waits in the term is answered at once, and the row is given up, so that another server leads."""
        self._is_stopping = True
        self._lead.is_loaded = False
        self._lead.doubted.set()
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())
        if self._running is not None:
            self._running.cancel()

    # --- the row of the leader

    async def beat(self) -> None:
        """Claim the row or renew it, where this server may; else learn who leads."""
        sent = self._clock.monotonic()
        was = self._lead.belief
        row = await self._store.read(self._followed) if was is None else None
        if row is None:
            row = await self._store.transact(self._claim)
        self._lead.row = row
        if row.server_id != self._lead.me.server_id:
            if was is not None:
                log.warning("leading_lost", epoch=was.epoch, to=row.server_id)
            self._lead.belief = None
            return
        self._lead.belief = Belief(row.epoch, sent + self._beat.lease_s)
        if was is None:
            log.info("leading_won", epoch=row.epoch)

    def _followed(self, tx: Transaction) -> Leadership | None:
        """The row of another that leads; a look that writes nothing."""
        row = tx.leadership()
        return row if row is not None and self._wanted(tx, row) is None else None

    def _claim(self, tx: Transaction) -> Leadership:
        was = tx.leadership()
        row = self._wanted(tx, was)
        if row is None:
            assert was is not None, "a row that is not there may be taken"  # noqa: S101  # says `wanted`
            return was
        tx.put_leadership(row, was=was)
        return row

    def _wanted(self, tx: Transaction, row: Leadership | None) -> Leadership | None:
        held = None if self._lead.belief is None else self._lead.belief.epoch
        return wanted(row, self._lead.me, held, moment=tx.moment(), lease_s=self._beat.lease_s)

    async def _look(self) -> None:
        """One beat, waited for no longer than this server may believe that it leads."""
        try:
            async with asyncio.timeout(self._span()) as self._patience:
                await self.beat()
        except (TimeoutError, ReelyardError) as away:
            log.warning("leadership_unknown", reason=str(away) or "the database does not answer")
        finally:
            self._patience = None
        if not self._lead.believes and self._lead.belief is not None and self._lead.is_loaded:
            log.warning("leading_doubted", epoch=self._lead.belief.epoch)
            self._lead.belief = None

    def _span(self) -> float:
        if self._is_stopping:
            return 0.0
        return self._beat.lease_s if self._lead.belief is None else max(self._left(), self._beat.look_s)

    def _left(self) -> float:
        belief = self._lead.belief
        return 0.0 if belief is None else belief.until - self._clock.monotonic()

    async def _pause(self) -> None:
        """Until the next beat is due, sooner when something hints that the row has changed."""
        left = self._left()
        span = self._beat.look_s
        if left > self._beat.lease_s - self._beat.renew_s:  # the last renewal was good
            span = left - (self._beat.lease_s - self._beat.renew_s)
        elif left > 0.0:
            span = min(span, left)
        try:
            async with asyncio.timeout(span):
                await self._lead.doubted.wait()
        except TimeoutError:
            return

    # --- the term

    def _begun(self) -> None:
        self._lead.is_loaded = True
        self.settled.set()

    async def _end_term(self) -> None:
        """A slow storage may hold it up for minutes: the others hear all the while that this server is there."""
        self._lead.is_loaded = False
        if self._running is None:
            return
        self._running.cancel()
        while not self._running.done():
            await asyncio.wait((self._running,), timeout=self._beat.renew_s)
            await self._show()
        self._running = None

    async def _resign(self) -> None:
        belief, self._lead.belief = self._lead.belief, None
        if belief is None:
            return
        server_id = self._lead.me.server_id

        def give_up(tx: Transaction) -> None:
            was = tx.leadership()
            if was is not None and (was.server_id, was.epoch) == (server_id, belief.epoch):
                tx.put_leadership(Leadership(was.server_id, was.url, was.epoch, tx.moment()), was=was)

        try:
            async with asyncio.timeout(self._beat.renew_s):
                await self._store.transact(give_up)
        except (TimeoutError, ReelyardError) as away:
            log.warning("leading_not_given_up", reason=str(away) or "the database does not answer")
        else:
            log.info("leading_given_up", epoch=belief.epoch)

    # --- the row of this server

    async def _show(self) -> None:
        """That this server runs, and that others have not for a day. In a transaction of its own: the leader's row is hot."""
        if self._clock.monotonic() < self._shown_at + self._beat.renew_s:
            return
        try:
            async with asyncio.timeout(self._beat.look_s):
                await self._store.transact(self._put)
        except (TimeoutError, ReelyardError) as away:
            log.warning("server_not_shown", reason=str(away) or "the database does not answer")
        else:
            self._shown_at = self._clock.monotonic()

    def _put(self, tx: Transaction) -> None:
        moment = tx.moment()
        tx.put_server(replace(self._lead.me, seen_at=moment))
        gone = forgotten(tx.servers(), moment=moment)
        if gone:
            tx.drop_servers(gone)
