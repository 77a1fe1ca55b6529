"""The retention duty: what is kept longer than the settings say goes, in small transactions, told item by item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import structlog

from dispatch.core import retention
from dispatch.core.callers import Caller
from dispatch.core.paging import Wanted, page_fields
from dispatch.core.retention import CONFIGURED, LISTING, Cutoffs, Item, Kind, Spans
from dispatch.core.times import rfc3339
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.purging import save_purge
from dispatch.services.sweeps import WallGuard
from protocol.care import RetentionItem, RetentionPage, RetentionSpans

log = structlog.get_logger("retention")
PAGE, ITEMS_AT_ONCE, ROWS_AT_ONCE = 1000, 50, 1000
"""Small transactions, so that nobody waits long behind one. To find a page costs a look at all that is due, so it is large."""


class RetentionService:
    """`run_once` holds still while wall and monotonic time disagree. A dry run tells each item once."""

    def __init__(self, store: Store, clock: Clock, spans: Spans) -> None:
        self._store, self._clock, self._spans = store, clock, spans
        self._wall = WallGuard(clock)
        self._told: set[tuple[float, str, str, int]] = set()
        self._audit_told = 0

    async def list(self, wanted: Wanted) -> RetentionPage:
        """What is due now, longest kept first; it goes with the next run, but for a dry one."""
        at = retention.cutoffs(self._spans, now=self._clock.now())
        found = await self._store.search(lambda tx: tx.due_items(at, wanted, Kind))
        entries = await self._store.read(lambda tx: tx.count_audit(at.audit))
        kept = self._spans
        spans = RetentionSpans(originals_s=kept.originals_s, records_s=kept.records_s, logs_s=kept.logs_s, audit_s=kept.audit_s)
        items, more = tuple(map(_view, found.rows)), page_fields(found, wanted, LISTING)
        return RetentionPage(items=items, audit_entries=entries, dry_run=kept.is_dry, spans=spans, **more)

    async def run_once(self) -> None:
        if not self._wall.agrees():
            return
        at = retention.cutoffs(self._spans, now=self._clock.now())
        if self._spans.is_dry:
            await self._take(at, frozenset(Kind) - CONFIGURED)
            await self._tell(at)
            return
        await self._take(at, frozenset(Kind))
        await self._drop_history(at)

    async def _take(self, at: Cutoffs, kinds: Iterable[Kind]) -> None:
        """Page by page: an item that cannot be taken does not hold up those behind it."""
        wanted: Wanted | None = Wanted(limit=PAGE)
        while wanted is not None:
            items, wanted = await self._page(at, wanted, kinds)
            for start in range(0, len(items), ITEMS_AT_ONCE):
                some = items[start : start + ITEMS_AT_ONCE]
                for item in await self._store.transact(partial(_take_all, items=some, at=at)):
                    log.info("retention_took", **_told(item))

    async def _tell(self, at: Cutoffs) -> None:
        """What a run would take, the first of it; an item is told when it becomes due, not with every run."""
        items, _ = await self._page(at, Wanted(limit=PAGE), CONFIGURED)
        for item in items:
            if item.place not in self._told:
                log.info("retention_would_take", **_told(item))
        self._told = {item.place for item in items}
        entries = await self._store.read(lambda tx: tx.count_audit(at.audit))
        if entries != self._audit_told:
            log.info("retention_would_drop", audit_entries=entries)
        self._audit_told = entries

    async def _page(self, at: Cutoffs, wanted: Wanted, kinds: Iterable[Kind]) -> tuple[Sequence[Item], Wanted | None]:
        found = await self._store.search(lambda tx: tx.due_items(at, wanted, kinds))
        return found.rows, None if found.last is None else Wanted(limit=wanted.limit, after=found.last)

    async def _drop_history(self, at: Cutoffs) -> None:
        """Events and webhook deliveries as old as logs, and the oldest of the audit log: history that no row refers to."""
        events = deliveries = entries = 0
        while (gone := await self._store.transact(partial(_drop_events, before=at.logs))) > 0:
            events += gone
        while any(some := await self._store.transact(partial(_drop_told_and_noted, at=at))):
            deliveries, entries = deliveries + some[0], entries + some[1]
        if events or deliveries or entries:
            log.info("history_dropped", events=events, webhook_deliveries=deliveries, audit_entries=entries)


def _take_all(tx: Transaction, items: Sequence[Item], at: Cutoffs) -> list[Item]:
    """Those that were taken: what is due was asked before, and is asked again here."""
    graphs = tx.graphs({item.job_id for item in items if item.kind is not Kind.LOG})
    gone: list[Item] = []
    for item in sorted(items, key=retention.strength):
        if item.kind is Kind.LOG:
            if tx.empty_logs([item.token], at.logs):
                gone.append(item)
            continue
        graph = graphs.pop(item.job_id, None)  # changed once, by the kind that takes most
        purge = None if graph is None else retention.taken(item.kind, graph, at)
        if purge is not None:
            save_purge(tx, purge, now=at.now)
            audited(tx, Caller("retention", item.tenant, frozenset()), f"purge_{item.kind}", item.job_id, now=at.now)
            gone.append(item)
    return gone


def _drop_events(tx: Transaction, before: float) -> int:
    last = retention.last_old(tx.oldest_events(ROWS_AT_ONCE), before)
    return 0 if last is None else tx.drop_events(last)


def _drop_told_and_noted(tx: Transaction, at: Cutoffs) -> tuple[int, int]:
    return tx.drop_deliveries(at.logs, ROWS_AT_ONCE), tx.drop_audit(at.audit, ROWS_AT_ONCE)


def _told(item: Item) -> dict[str, object]:
    told: dict[str, object] = {"kind": str(item.kind), "job": item.job_id, "since": rfc3339(item.since), "size": item.size}
    if item.path:
        told["path"] = item.path
    if item.token:
        told["token"] = item.token
    return told


def _view(item: Item) -> RetentionItem:
    return RetentionItem(
        kind=str(item.kind),
        job_id=item.job_id,
        tenant=item.tenant,
        path=item.path or None,
        token=item.token or None,
        since=rfc3339(item.since),
        size_bytes=item.size,
    )
