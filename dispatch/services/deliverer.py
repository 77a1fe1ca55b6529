"""Sends what the store holds for receivers of webhooks: at least once, in order per job, the same bytes on every try."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import structlog

from dispatch.core import webhooks
from dispatch.core.records import Delivery, WebhookEndpoint
from dispatch.core.webhook_queue import Bounds, DeliveryQueue, Waiting
from dispatch.core.webhooks import Tried
from dispatch.ports import Clock, Commit, Store, Transaction
from dispatch.ports.webhooks import WebhookSender
from dispatch.services.leases import Chance
from dispatch.services.sealing import Unsealable
from dispatch.services.sweeps import WallGuard
from dispatch.services.webhook_keys import WebhookKeys, tenant_secrets
from protocol.errors import ErrorCode, ReelyardError
from protocol.webhooks import DeliveryState

log = structlog.get_logger("webhooks")
DATABASE_AWAY_S = 2.0
MOST_AT_ONCE = 200
CLAIM_LAG_S = 5.0
"""What is claimed is sent by then or not at all, and is nobody else's before that and the longest try are over."""

COMMIT_LAG_S = 1.0
"""The row says that its endpoint is disabled, and memory will hear of it in a moment."""

UNREADABLE = "there is no signing secret that this server can read; rotate it"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery ready to go, and where to. `endpoint` is None where a job's own URL is told."""

    delivery: Delivery
    endpoint: WebhookEndpoint | None
    kept: tuple[str, ...]

    @property
    def may_go(self) -> bool:
        return self.endpoint is None or self.endpoint.disabled_at is None

    @property
    def url(self) -> str:
        return self.delivery.url if self.endpoint is None else self.endpoint.url


class Deliverer:
    """A CommitListener that follows what is to be delivered, and the loop that does it.

    What a crash leaves unsaved is sent once more after the start.
    """

    def __init__(
        self, store: Store, sender: WebhookSender, keys: WebhookKeys, clock: Clock, chance: Chance, bounds: Bounds
    ) -> None:
        self._store, self._sender, self._keys = store, sender, keys
        self._clock, self._chance, self._wall = clock, chance, WallGuard(clock)
        self._bounds, self.queue = bounds, DeliveryQueue(bounds)
        self._woken = asyncio.Event()

    # --- following the rows

    def __call__(self, commit: Commit) -> None:
        for endpoint in commit.endpoints:
            self.queue.pause(endpoint.endpoint_id, is_paused=endpoint.disabled_at is not None)
        for delivery in commit.deliveries:
            self._follow(delivery)
        for endpoint_id in commit.gone_endpoints:
            self.queue.pause(endpoint_id, is_paused=False)
        if commit.deliveries or commit.endpoints:
            self.wake()

    def _follow(self, delivery: Delivery) -> None:
        if delivery.state == DeliveryState.PENDING:
            self.queue.put(webhooks.waiting_of(delivery, now=self._clock.now(), monotonic=self._clock.monotonic()))
        else:
            self.queue.remove(delivery.delivery_id)

    def forget(self) -> None:
        self.queue = DeliveryQueue(self._bounds)

    async def load(self) -> None:
        """What the database says is still to be delivered."""
        pending, endpoints = await self._store.read(lambda tx: (tx.pending_deliveries(), tx.endpoints_of(None)))
        for delivery in pending:
            self._follow(delivery)
        for endpoint in endpoints:
            if endpoint.disabled_at is not None:
                self.queue.pause(endpoint.endpoint_id, is_paused=True)

    def wake(self) -> None:
        self._woken.set()

    # --- sending

    async def run(self) -> None:
        """Until cancelled; tries that are under way then are made again after the next start."""
        try:
            async with asyncio.TaskGroup() as tries:
                while True:
                    self._woken.clear()
                    for waiting in self.queue.take(self._clock.monotonic()):
                        tries.create_task(self._try(waiting))
                    await self._next()
        finally:
            await self._sender.close()

    async def _next(self) -> None:
        moment = self.queue.next_moment()
        try:
            async with asyncio.timeout(None if moment == inf else max(0.0, moment - self._clock.monotonic())):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _try(self, waiting: Waiting) -> None:
        """One try, saved before the next of its receiver; what cannot be read or saved now is tried again."""
        is_good, seconds = None, 0.0
        try:
            claimed_at = self._clock.monotonic()
            parcel = await self._store.transact(self._claiming(waiting.delivery_id))
            if parcel is None:
                self.queue.remove(waiting.delivery_id)
            elif not parcel.may_go:
                await asyncio.sleep(COMMIT_LAG_S)
            elif self._clock.monotonic() < claimed_at + CLAIM_LAG_S:  # else another may have it by now
                tried = await self._send(parcel)
                is_good, seconds = tried.is_delivered, tried.seconds
                await self._settle(parcel, tried)
        except ReelyardError as away:
            log.warning("delivery_waits", delivery=waiting.delivery_id, code=away.code, reason=away.message)
            await asyncio.sleep(DATABASE_AWAY_S)
        self.queue.ended(waiting.delivery_id, is_good=is_good, now=self._clock.monotonic(), seconds=seconds)
        self.wake()

    def _claiming(self, delivery_id: str) -> Callable[[Transaction], Parcel | None]:
        """None when it is over. A tenant that is told something for the first time gets its secret here."""
        fresh, until = self._keys.first(), self._clock.now() + self._sender.longest_s + CLAIM_LAG_S

        def claim(tx: Transaction) -> Parcel | None:
            parcel = _load(tx, delivery_id)
            if parcel is None or not parcel.may_go:
                return parcel
            tx.put_deliveries([webhooks.claimed(parcel.delivery, until=until)])
            return replace(parcel, kept=_kept(tx, parcel, fresh))

        return claim

    async def _send(self, parcel: Parcel) -> Tried:
        delivery = parcel.delivery
        try:
            secrets = self._keys.open(parcel.kept)
        except Unsealable:
            return Tried(None, UNREADABLE, 0.0)
        signed = webhooks.headers(delivery.delivery_id, delivery.payload, secrets, now=self._clock.now())
        return await self._sender.send(parcel.url, signed, delivery.payload.encode())

    async def _settle(self, parcel: Parcel, tried: Tried) -> None:
        now, chance = self._clock.now(), self._chance.draw()

        def save(tx: Transaction) -> Delivery | None:
            """Nothing when it was discarded, or asked for anew, while it was under way."""
            found = tx.deliveries([parcel.delivery.delivery_id])
            if not found or found[0].state != DeliveryState.PENDING or found[0].attempts != parcel.delivery.attempts:
                return None
            settled = webhooks.after_try(replace(found[0], url=parcel.url), tried, now=now, chance=chance)
            tx.put_deliveries([settled])
            if tried.status == webhooks.GONE and settled.endpoint_id is not None:
                _disable(tx, settled.endpoint_id, now=now)
            return settled

        settled = await self._saved(save)
        if settled is not None:
            log.info(
                "webhook_tried",
                delivery=settled.delivery_id,
                job=settled.job_id,
                endpoint=settled.endpoint_id,
                status=tried.status,
                error=tried.error,
                attempts=settled.attempts,
                state=settled.state,
            )

    async def _saved(self, save: Callable[[Transaction], Delivery | None]) -> Delivery | None:
        """A try that was made is not forgotten because the database is away for a while."""
        while True:
            try:
                return await self._store.transact(save)
            except ReelyardError as away:
                if away.code in (ErrorCode.SHUTTING_DOWN, ErrorCode.NOT_LEADER):
                    raise
                log.warning("delivery_not_saved_yet", code=away.code, reason=away.message)
                await asyncio.sleep(DATABASE_AWAY_S)

    # --- giving up

    async def give_up(self) -> None:
        """A duty: what has been due for so long that nobody waits for it any more is dead. A clock that jumped tells nothing."""
        if not self._wall.agrees():
            return
        now = self._clock.now()

        def end(tx: Transaction) -> int:
            overdue = tx.overdue_deliveries(now - webhooks.GIVE_UP_S, MOST_AT_ONCE)
            why = "the receiver has not been reachable, or was disabled, for too long"
            tx.put_deliveries(webhooks.ended(delivery, DeliveryState.DEAD, why, now=now) for delivery in overdue)
            return len(overdue)

        while (count := await self._store.transact(end)) > 0:
            log.warning("deliveries_given_up", count=count)


def _load(tx: Transaction, delivery_id: str) -> Parcel | None:
    found = tx.deliveries([delivery_id])
    if not found or found[0].state != DeliveryState.PENDING:
        return None
    delivery = found[0]
    if delivery.endpoint_id is None:
        return Parcel(delivery, None, tx.webhook_secrets(delivery.tenant) or ())
    endpoint = tx.endpoint(delivery.endpoint_id)
    return None if endpoint is None else Parcel(delivery, endpoint, endpoint.secrets)


def _kept(tx: Transaction, parcel: Parcel, fresh: tuple[str, ...]) -> tuple[str, ...]:
    if parcel.kept or parcel.endpoint is not None:
        return parcel.kept
    try:
        return tenant_secrets(tx, parcel.delivery.tenant, fresh)
    except ReelyardError as fault:
        if fault.code is not ErrorCode.FORBIDDEN:
            raise
        return ()  # nobody's secret: a failed try


def _disable(tx: Transaction, endpoint_id: str, *, now: float) -> None:
    endpoint = tx.endpoint(endpoint_id)
    if endpoint is not None and endpoint.disabled_at is None:
        tx.put_endpoint(webhooks.disabled(endpoint, "the receiver answered 410: it is gone", now=now))
