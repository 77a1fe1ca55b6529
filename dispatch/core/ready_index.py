"""The tasks that may be granted, in memory: put, drop, choose. A hint beside the database, never the record.

An entry is small and keeps nothing of its task's record but strings. A chosen task stays known as taken until it is
confirmed, given back, or a commit says otherwise.
"""

from __future__ import annotations

from bisect import insort
from heapq import heapify, heappop, heappush
from itertools import count, islice
from typing import NamedTuple

from dispatch.core.fair_queue import FairQueue, Flow
from dispatch.core.lanes import Lane, Lanes
from dispatch.core.paces import pace_of_task
from dispatch.core.records import Task
from dispatch.core.rooms import ONE, Filling, Pick, Room
from dispatch.core.running import Running
from protocol.capabilities import SlotKind
from protocol.recipes import Pace

AGING_S = 900.0
"""A task gains one level of priority for each 15 minutes it has waited, so that 1 meets a fresh 10 after 2.25 hours."""

STARTED_HEAD_START_S = AGING_S - 0.001
"""A job already started goes before a new one of equal priority (unless that is a level older), never before a higher."""

_COMPACT_AT = 64


class Queue:
    """What one tenant has waiting in one lane, as a heap; dropped entries stay inside until they surface."""

    __slots__ = ("bit", "dead", "flow", "heap", "lane")

    def __init__(self, flow: Flow, lane: Lane) -> None:
        self.flow, self.lane, self.bit = flow, lane, lane.bit
        self.heap: list[Entry] = []
        self.dead = 0


class Entry(NamedTuple):
    """One task, ordered by the first five: rank (lower goes first), then whole jobs, longest task first."""

    rank: float
    job_id: str
    minus_cost: float
    task_id: str
    serial: int
    queue: Queue
    pace: Pace | None


def _top(queue: Queue) -> Entry:
    return queue.heap[0]


class Shelf:
    """A tenant's open queues, by lane, and sorted by their best entry: the first that fits an engine is found at once."""

    __slots__ = ("by_bit", "order")

    def __init__(self) -> None:
        self.by_bit: dict[int, Queue] = {}
        self.order: list[Queue] = []

    def open(self, queue: Queue) -> None:
        self.by_bit[queue.bit] = queue
        insort(self.order, queue, key=_top)

    def best(self, allowed: int) -> Queue:
        return next(queue for queue in self.order if queue.bit & allowed)


def rank(task: Task) -> float:
    """Priority, aging and the head start of started jobs as one number that never needs sorting again."""
    head_start = STARTED_HEAD_START_S if task.ordinal > 0 else 0.0
    return task.created_at - task.priority * AGING_S - head_start


class ReadyIndex:
    """`lanes` holds the engines, `running` what they hold of each tenant. A tenant at its cap is not chosen for.

    Tasks with a `not_before` pass through a timer heap and come out by `release`.
    """

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.running = Running()
        self._reopened: set[str] = set()
        self._fair = FairQueue()
        self._shelves: dict[str, Shelf] = {}
        self._entries: dict[str, Entry] = {}
        self._taken: dict[str, Entry] = {}
        self._charged: dict[str, tuple[Flow, float]] = {}
        self._delayed: dict[str, Task] = {}
        self._timers: list[tuple[float, int, Task]] = []
        self._jobs: dict[str, str | set[str]] = {}
        self._had: set[str] = set()  # those that an engine has held before
        self._serials = count()
        self._paces: dict[Pace, Pace] = {}

    def __len__(self) -> int:
        return len(self._entries) + len(self._taken) + len(self._delayed)

    def snapshot(self) -> frozenset[str]:
        """Every task the index knows; equal to the grantable tasks in SQL when nothing is under way."""
        return frozenset((*self._entries, *self._taken, *self._delayed))

    def set_weight(self, tenant: str, weight: float) -> None:
        self._fair.set_weight(tenant, weight)

    def set_cap(self, tenant: str, cap: int | None) -> None:
        """How many tasks of the tenant may be held at once, from now on; what runs already runs on."""
        self.running.set_cap(tenant, cap)
        self._shut_or_reopen(tenant)

    def hold(self, task: Task) -> None:
        """By a commit, an engine holds it. It counts for its tenant until it is dropped, put in again, or its job is."""
        self._occupy(task.task_id, task.tenant)
        self._forget(task.task_id, task.job_id)

    @property
    def has_reopened(self) -> bool:
        return bool(self._reopened)

    def reopened(self) -> list[str]:
        """Tasks that nobody was woken for while their tenant was at its cap, as many in each lane as may run now."""
        tenants, self._reopened = self._reopened, set()
        return [task_id for tenant in sorted(tenants) for task_id in self._startable(tenant)]

    def put(self, task: Task) -> bool:
        """Take a pending task in, in place of what is known of it; True when it may be chosen at once."""
        self.drop(task.task_id, task.job_id)
        self._remember(task.job_id, task.task_id)
        if task.token:
            self._had.add(task.task_id)
        if task.not_before > 0.0:
            self._delayed[task.task_id] = task
            heappush(self._timers, (task.not_before, next(self._serials), task))
            return False
        self._enqueue(task)
        return True

    def drop(self, task_id: str, job_id: str) -> None:
        """Forget a task, which nobody holds; harmless when it is not known."""
        self._vacate(task_id)
        self._forget(task_id, job_id)

    def _forget(self, task_id: str, job_id: str) -> None:
        if not self._discard(task_id):
            return
        known = self._jobs.get(job_id)
        if known == task_id:
            del self._jobs[job_id]
        elif isinstance(known, set):
            known.discard(task_id)
            if not known:
                del self._jobs[job_id]

    def drop_job(self, job_id: str) -> None:
        known = self._jobs.pop(job_id, ())
        for task_id in (known,) if isinstance(known, str) else known:
            self._vacate(task_id)
            self._discard(task_id)

    def choose(self, engine_id: str, room: Room, now: float) -> list[Pick]:
        """Take the best tasks for an engine, at most what it has room for; short ones share a slot."""
        return self._choose(self.lanes.masks(engine_id), Filling(room), now)

    def choose_ahead(self, engine_id: str, idle: int, now: float) -> list[Pick]:
        """Take what is next for an engine without a free slot, where it may wait there: one task, or what shares a slot.

        `idle` are lanes of which engines that are idle may take tasks. Nothing is prefetched out of turn, and no task that
        an engine has held before: one that was wanted back goes to whoever is free first.
        """
        masks = self.lanes.masks(engine_id)
        return self._choose((masks[0] & ~idle, 0, 0), Filling(ONE[SlotKind.CPU], is_ahead=True), now)

    def _choose(self, masks: tuple[int, int, int], slots: Filling, now: float) -> list[Pick]:
        picks: list[Pick] = []
        while True:
            allowed = slots.allowed(masks)
            flow = self._fair.first(allowed) if allowed else None
            if flow is None:
                return picks
            queue = self._shelves[flow.tenant].best(allowed)
            kind, cost_s = queue.lane.kind, -queue.heap[0].minus_cost
            if not slots.fits(cost_s, kind) or (slots.is_ahead and queue.heap[0].task_id in self._had):
                return picks
            entry = self._take(flow, queue, now)
            picks.append(Pick(entry.task_id, kind, slots.fill(cost_s, kind)))

    def give_back(self, task_id: str) -> bool:
        """A chosen task was not granted: it waits again, and its charge is refunded. False when a commit said otherwise."""
        entry = self._taken.pop(task_id, None)
        self._refund(task_id)
        if entry is None:
            return False
        entry.queue.lane.waiting -= 1
        self._push(entry)
        self._vacate(task_id)
        return True

    def confirm(self, task_id: str, job_id: str) -> None:
        """A chosen task was granted. Its charge stays open until `settle`."""
        if task_id in self._taken:
            self._forget(task_id, job_id)

    def settle(self, task_id: str, true_s: float) -> None:
        """The attempt has ended after this much work: the tenant's charge is corrected, once."""
        charge = self._charged.pop(task_id, None)
        if charge is not None:
            flow, charged_s = charge
            self._fair.correct(flow, charged_s, true_s)

    def lane_of(self, task_id: str) -> Lane | None:
        """Where a task waits; None when it may not be chosen now."""
        entry = self._entries.get(task_id)
        return entry.queue.lane if entry is not None and entry.queue.flow.is_open else None

    def job_of(self, task_id: str) -> str | None:
        entry = self._entries.get(task_id)
        return entry.job_id if entry is not None else None

    def pace_of(self, task_id: str) -> Pace | None:
        entry = self._entries.get(task_id)
        return entry.pace if entry is not None else None

    def ahead(self, task_id: str) -> int | None:
        """About how many tasks of the same signature go first: own ones before it, others by their tenants' weights."""
        entry = self._entries.get(task_id)
        if entry is None:
            return None
        own = sum(other < entry for other in entry.queue.heap if self._is_live(other))
        weight = entry.queue.flow.weight
        queues = [found for shelf in self._shelves.values() if (found := shelf.by_bit.get(entry.queue.bit))]
        others = [queue for queue in queues if queue is not entry.queue]
        return own + sum(min(len(queue.heap) - queue.dead, round((own + 0.5) * queue.flow.weight / weight)) for queue in others)

    def next_wake(self) -> float | None:
        """The moment the next backoff passes; None when there is none."""
        while self._timers and self._delayed.get(self._timers[0][2].task_id) is not self._timers[0][2]:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def release(self, now: float) -> list[Task]:
        """Make the tasks choosable whose backoff has passed, and say which."""
        released: list[Task] = []
        while (due := self.next_wake()) is not None and due <= now:
            task = heappop(self._timers)[2]
            del self._delayed[task.task_id]
            self._enqueue(task)
            released.append(task)
        return released

    def _enqueue(self, task: Task) -> None:
        lane = self.lanes.lane(task)
        shelf = self._shelves.get(task.tenant)
        queue = shelf.by_bit.get(lane.bit) if shelf is not None else None
        if queue is None:
            queue = Queue(self._fair.flow(task.tenant), lane)
        pace = pace_of_task(task)
        pace = self._paces.setdefault(pace, pace) if pace is not None else None
        self._push(Entry(rank(task), task.job_id, -task.cost_s, task.task_id, next(self._serials), queue, pace))

    def _push(self, entry: Entry) -> None:
        tenant, bit = entry.queue.flow.tenant, entry.queue.bit
        shelf = self._shelves.get(tenant)
        if shelf is None:
            shelf = self._shelves[tenant] = Shelf()
        queue = shelf.by_bit.get(bit)
        if queue is not None and queue is not entry.queue:  # given back to a queue that was closed and opened anew
            entry = entry._replace(queue=queue)
        entry.queue.lane.waiting += 1
        self._entries[entry.task_id] = entry
        heappush(entry.queue.heap, entry)
        if queue is None:
            shelf.open(entry.queue)
            self._fair.show(entry.queue.flow, bit)
        elif queue.heap[0] is entry:
            shelf.order.remove(queue)
            insort(shelf.order, queue, key=_top)

    def _take(self, flow: Flow, queue: Queue, now: float) -> Entry:
        best = queue.heap[0]
        del self._entries[best.task_id]
        self._taken[best.task_id] = best
        self._charged[best.task_id] = (flow, -best.minus_cost)
        self._fair.charge(flow, -best.minus_cost, now)
        self._occupy(best.task_id, flow.tenant)
        self._surface(queue)
        return best

    def _occupy(self, task_id: str, tenant: str) -> None:
        self.running.take(task_id, tenant)
        if self.running.is_full(tenant):
            self._shut_or_reopen(tenant)

    def _vacate(self, task_id: str) -> None:
        tenant = self.running.leave(task_id)
        if tenant is not None and self.running.is_capped(tenant):
            self._shut_or_reopen(tenant)

    def _shut_or_reopen(self, tenant: str) -> None:
        flow, is_full = self._fair.flow(tenant), self.running.is_full(tenant)
        if flow.is_open and is_full:
            self._fair.shut(flow)
        elif not flow.is_open and not is_full:
            self._fair.reopen(flow)
            self._reopened.add(tenant)

    def _startable(self, tenant: str) -> list[str]:
        shelf, room = self._shelves.get(tenant), self.running.room(tenant)
        if shelf is None or (room is not None and room <= 0):
            return []
        return [e.task_id for queue in shelf.order for e in islice(filter(self._is_live, queue.heap), room)]

    def _discard(self, task_id: str) -> bool:
        self._had.discard(task_id)
        if (taken := self._taken.pop(task_id, None)) is not None:
            taken.queue.lane.waiting -= 1
            return True
        if self._delayed.pop(task_id, None) is not None:
            return True
        entry = self._entries.pop(task_id, None)
        if entry is None:
            return False
        queue = entry.queue
        queue.lane.waiting -= 1
        if queue.heap[0] is entry:
            self._surface(queue)
            return True
        queue.dead += 1
        if queue.dead > _COMPACT_AT and 2 * queue.dead > len(queue.heap):
            queue.heap = [other for other in queue.heap if self._is_live(other)]
            heapify(queue.heap)
            queue.dead = 0
        return True

    def _surface(self, queue: Queue) -> None:
        """The top was taken or dropped: bring the next live entry up, or close the queue when there is none."""
        shelf, heap = self._shelves[queue.flow.tenant], queue.heap
        shelf.order.remove(queue)
        heappop(heap)
        while heap and not self._is_live(heap[0]):
            heappop(heap)
            queue.dead -= 1
        if heap:
            insort(shelf.order, queue, key=_top)
        else:
            del shelf.by_bit[queue.bit]
            self._fair.hide(queue.flow, queue.bit)

    def _is_live(self, entry: Entry) -> bool:
        return self._entries.get(entry.task_id) is entry

    def _refund(self, task_id: str) -> None:
        charge = self._charged.pop(task_id, None)
        if charge is not None:
            self._fair.refund(*charge)

    def _remember(self, job_id: str, task_id: str) -> None:
        known = self._jobs.get(job_id)
        if known is None:
            self._jobs[job_id] = task_id
        elif isinstance(known, str):
            self._jobs[job_id] = {known, task_id}
        else:
            known.add(task_id)
