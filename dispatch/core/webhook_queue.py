"""Who is told next: what waits in memory for each receiver, in order per job, with a circuit breaker. A hint; rows decide.

Moments are monotonic seconds. A receiver is an endpoint, or the server behind a job's own URL for one tenant. Nothing
here sends: `take` says what may start now, `ended` is told how it went.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

OPENS_AFTER = 5
SHORTEST_S, LONGEST_S = 30.0, 600.0
SLOW_S = 2.0


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """One delivery that is not over. `seq` orders those of a job."""

    seq: int
    delivery_id: str
    job_id: str = field(compare=False)
    receiver: str = field(compare=False)
    tenant: str = field(compare=False)
    due: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many are in flight at once: for one receiver, and for all.

    Receivers that failed last, or were slow, may together take half of the room, and a tenant three quarters of it.
    """

    per_receiver: int
    in_all: int

    @property
    def of_suspects(self) -> int:
        return max(1, self.in_all // 2)

    @property
    def of_a_tenant(self) -> int:
        return max(1, self.in_all * 3 // 4)


@dataclass(slots=True)
class Breaker:
    """Opens after so many failures in a row; then one is let through at a time, each after twice the span before."""

    failures: int = 0
    span: float = SHORTEST_S
    opens_at: float = 0.0

    @property
    def is_closed(self) -> bool:
        return self.failures < OPENS_AFTER

    def note(self, *, is_good: bool, now: float) -> None:
        if is_good:
            self.failures, self.span, self.opens_at = 0, SHORTEST_S, 0.0
            return
        self.failures += 1
        if not self.is_closed and now >= self.opens_at:  # one that was in flight when it opened changes nothing
            self.opens_at = now + self.span
            self.span = min(2 * self.span, LONGEST_S)


@dataclass(slots=True)
class Lane:
    """One receiver. `chains` are its deliveries by job, in the order of their events; the first of each may go."""

    chains: dict[str, list[Waiting]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    breaker: Breaker = field(default_factory=Breaker)
    is_paused: bool = False
    is_slow: bool = False
    heads: list[tuple[float, Waiting]] = field(default_factory=list)
    alarm: float = inf

    @property
    def is_suspect(self) -> bool:
        return self.is_slow or self.breaker.failures > 0

    def offer(self, job_id: str) -> None:
        """The job's first delivery has its place in the heap; what was there before is passed over by `head`."""
        chain = self.chains.get(job_id)
        if chain and job_id not in self.busy:
            heappush(self.heads, (chain[0].due, chain[0]))

    def head(self) -> Waiting | None:
        while self.heads:
            waiting = self.heads[0][1]
            chain = self.chains.get(waiting.job_id)
            if chain and chain[0] is waiting and waiting.job_id not in self.busy:
                return waiting
            heappop(self.heads)
        return None

    def opens_at(self, bounds: Bounds) -> float:
        """When its first delivery may start, as far as this receiver goes; `inf` when something else must happen first."""
        head = self.head()
        room = bounds.per_receiver if self.breaker.is_closed else 1
        if head is None or self.is_paused or len(self.busy) >= room:
            return inf
        return max(head.due, self.breaker.opens_at)


class DeliveryQueue:
    """All that waits, for all receivers."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._lanes: dict[str, Lane] = {}
        self._known: dict[str, Waiting] = {}
        self._flying: dict[str, tuple[Waiting, bool]] = {}
        self._suspects = 0
        self._of_tenant: Counter[str] = Counter()
        self._asking: dict[str, None] = {}
        self._held_back: dict[str, None] = {}
        self._timers: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._known)

    def put(self, waiting: Waiting) -> None:
        """New, or changed: then it takes the place of what is known under its id."""
        self.remove(waiting.delivery_id)
        self._known[waiting.delivery_id] = waiting
        lane = self._lanes.setdefault(waiting.receiver, Lane())
        insort(lane.chains.setdefault(waiting.job_id, []), waiting)
        lane.offer(waiting.job_id)
        self._asking[waiting.receiver] = None

    def remove(self, delivery_id: str) -> None:
        """It is over, or is put again. A try that is under way is still told by `ended`."""
        waiting = self._known.pop(delivery_id, None)
        if waiting is None:
            return
        lane = self._lanes[waiting.receiver]
        chain = lane.chains[waiting.job_id]
        chain.remove(waiting)
        if not chain:
            del lane.chains[waiting.job_id]
        lane.offer(waiting.job_id)
        self._asking[waiting.receiver] = None

    def pause(self, receiver: str, *, is_paused: bool) -> None:
        lane = self._lanes.setdefault(receiver, Lane())
        if lane.is_paused and not is_paused:
            lane.breaker = Breaker()
        lane.is_paused = is_paused
        self._asking[receiver] = None

    def forget(self, receiver: str) -> None:
        """The endpoint is gone; what waited for it has been removed."""
        lane = self._lanes.get(receiver)
        if lane is not None and not lane.chains and not lane.busy:
            del self._lanes[receiver]

    def take(self, now: float) -> list[Waiting]:
        """What may start now; each is in flight until `ended`. Receivers take turns."""
        self._ring(now)
        taken: list[Waiting] = []
        while self._asking and self.in_flight < self._bounds.in_all:
            receiver = next(iter(self._asking))
            del self._asking[receiver]
            lane = self._lanes.get(receiver)
            waiting = None if lane is None else self._start(receiver, lane, now)
            if waiting is not None:
                taken.append(waiting)
                self._asking[receiver] = None
        return taken

    def _ring(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, receiver = heappop(self._timers)
            if receiver in self._lanes:
                self._lanes[receiver].alarm = inf
                self._asking[receiver] = None

    def _start(self, receiver: str, lane: Lane, now: float) -> Waiting | None:
        opens_at, head = lane.opens_at(self._bounds), lane.head()
        if opens_at > now or head is None:
            if opens_at < lane.alarm:
                lane.alarm = opens_at
                heappush(self._timers, (opens_at, receiver))
            if not lane.chains and not lane.busy and not lane.is_paused:
                del self._lanes[receiver]
            return None
        if not self._has_room(lane, head):
            self._held_back[receiver] = None
            return None
        lane.busy.add(head.job_id)
        self._flying[head.delivery_id] = (head, lane.is_suspect)
        self._suspects += lane.is_suspect
        self._of_tenant[head.tenant] += 1
        return head

    def _has_room(self, lane: Lane, head: Waiting) -> bool:
        if lane.is_suspect and self._suspects >= self._bounds.of_suspects:
            return False
        return self._of_tenant[head.tenant] < self._bounds.of_a_tenant

    def ended(self, delivery_id: str, *, is_good: bool | None, now: float, seconds: float = 0.0) -> None:
        """The try took so long, and what came of it was saved and put. `is_good` None: there was none after all."""
        waiting, is_suspect = self._flying.pop(delivery_id)
        self._suspects -= is_suspect
        self._of_tenant[waiting.tenant] -= 1
        if not self._of_tenant[waiting.tenant]:
            del self._of_tenant[waiting.tenant]
        lane = self._lanes[waiting.receiver]
        lane.busy.discard(waiting.job_id)
        if is_good is not None:
            lane.is_slow = seconds > SLOW_S
            lane.breaker.note(is_good=is_good, now=now)
        lane.offer(waiting.job_id)
        self._asking |= self._held_back  # before the one that had its turn just now
        self._held_back.clear()
        self._asking.setdefault(waiting.receiver)

    def next_moment(self) -> float:
        """When `take` may give something, if nothing else happens before; `inf` when there is nothing to wait for."""
        if self._asking and self.in_flight < self._bounds.in_all:
            return 0.0
        return self._timers[0][0] if self._timers else inf

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    @property
    def receivers(self) -> int:
        return len(self._lanes)

    def snapshot(self) -> set[str]:
        return set(self._known)
