"""Stored events told to other services: read after a cursor, kept by the broker, and only then the cursor moves.

At least once, in the order of `seq`, without a gap whatever is killed when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from pydantic import ValidationError

from dispatch.core import cloud_events
from dispatch.core.cloud_events import Named
from dispatch.core.records import Event, Job
from dispatch.ports import Commit, Store, Transaction
from dispatch.ports.broker import Broker, BrokerAway, Outgoing
from protocol.subjects import Subjects

log = structlog.get_logger("broker")
CURSOR = "broker.events"
MOST_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Sender:
    """How this farm signs its events: `source` of each, and what goes before the links in them."""

    source: str
    public_url: str


class Outbox:
    """A CommitListener: `wake` is called when there are events to tell. A duty of the leader runs it."""

    def __init__(self, store: Store, broker: Broker, subjects: Subjects, sender: Sender) -> None:
        self._store, self._broker, self._subjects, self._sender = store, broker, subjects, sender
        self.wake: Callable[[], None] = lambda: None
        self._is_told_away = False

    def __call__(self, commit: Commit) -> None:
        if commit.events:
            self.wake()

    async def run_once(self) -> None:
        """Everything that is to be told, if the broker is there."""
        if self._broker.problem is not None:
            return
        try:
            while await self._some():
                continue
        except BrokerAway as away:
            if not self._is_told_away:
                log.warning("events_wait", reason=str(away))
            self._is_told_away = True
        else:
            self._is_told_away = False

    async def _some(self) -> bool:
        """Whether there may be more."""
        cursor, events, jobs = await self._store.read(_after_cursor)
        if cursor is None:
            await self._store.transact(_begin)
            return True
        if not events:
            return False
        told = [one for event in events for one in self._named(event, jobs)]
        await self._broker.keep([outgoing for one in told if (outgoing := self._outgoing(one)) is not None])
        upto = events[-1].seq
        await self._store.transact(lambda tx: _move(tx, upto))
        return len(events) == MOST_AT_ONCE

    def _named(self, event: Event, jobs: Mapping[str, Job]) -> list[Named]:
        """One row that fits no model must not keep all that follows from going out."""
        try:
            return cloud_events.named([event], jobs, self._sender.source, self._sender.public_url)
        except (ValidationError, KeyError) as fault:
            log.error("event_unspeakable", seq=event.seq, type=event.new.type, problem=str(fault)[:500])
            return []

    def _outgoing(self, one: Named) -> Outgoing | None:
        """What the broker cannot take must not keep all that follows from going out."""
        body = one.body
        if len(body) > self._broker.largest:
            log.warning("event_cut", type=one.name, subject=one.event.subject, bytes=len(body))
            body = cloud_events.cut(one).body
        return None if len(body) > self._broker.largest else Outgoing(self._subjects.event(one.name), body, one.message_id)


def _after_cursor(tx: Transaction) -> tuple[int | None, list[Event], dict[str, Job]]:
    known = tx.fact(CURSOR)
    if known is None:
        return None, [], {}
    events = tx.events_after(int(known), job_id=None, tenant=None, limit=MOST_AT_ONCE)
    graphs = tx.graphs({event.new.job_id for event in events if event.new.job_id is not None})
    return int(known), events, {job_id: graph.job for job_id, graph in graphs.items()}


def _begin(tx: Transaction) -> None:
    """A farm that gets a broker tells it what happens from now on."""
    if tx.fact(CURSOR) is None:
        tx.put_fact(CURSOR, str(tx.last_seq()))


def _move(tx: Transaction, upto: int) -> None:
    """Never back: another that leads by now may have told more."""
    if int(tx.fact(CURSOR) or 0) < upto:
        tx.put_fact(CURSOR, str(upto))


async def begin(store: Store) -> None:
    """Called before anything can happen that would have to be told."""
    await store.transact(_begin)
