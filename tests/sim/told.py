"""What must be true of webhooks once a world is quiet: who was to be told is, of the very bytes, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import orjson
from sqlalchemy import Connection, select

from dispatch.app.assembly import Core
from dispatch.core.records import Delivery
from dispatch.store import rows, schema
from protocol.events import EventType
from tests.sim.receiver import ASKED, Wire
from tests.sim.verdict import Rows

# Written out once more: the code's own table is what is under test.
NAMES = {
    EventType.JOB_CREATED: "job.created",
    EventType.JOB_FINISHED: "job.completed",
    EventType.JOB_FAILED: "job.failed",
    EventType.JOB_CANCELLED: "job.cancelled",
}
ENDS = frozenset(NAMES.values()) - {"job.created"}


class Deliveries:
    """Every delivery the database holds at the end, by its id."""

    def __init__(self, connection: Connection) -> None:
        found = connection.execute(select(schema.webhook_deliveries).order_by(schema.webhook_deliveries.c.seq))
        self.by_id: dict[str, Delivery] = {row.delivery_id: row for row in map(rows.DELIVERIES.load, found)}


def of_webhooks(found: Rows, made: Deliveries, wire: Wire, core: Core) -> Iterator[str]:
    yield from _made_once(found, made)
    yield from _told(found, made, wire)
    yield from _in_order(made, wire)
    yield from _followed(made, core)


def _made_once(found: Rows, made: Deliveries) -> Iterator[str]:
    """One row for each event and receiver, of no other event; of a purged job only what still waits."""
    known = {job.job_id for job in found.jobs}
    wanted: defaultdict[tuple[str, str, str | None], int] = defaultdict(int)
    for event in found.events:
        if event.job_id not in known:
            continue
        name = NAMES.get(event.type)
        if name is not None and event.tenant == "acme" and name in ASKED:
            wanted[event.job_id or "", name, "whe_1"] += 1
        elif name in ENDS and event.tenant == "default":
            wanted[event.job_id or "", name, None] += 1
    there: defaultdict[tuple[str, str, str | None], int] = defaultdict(int)
    for row in made.by_id.values():
        if row.job_id in known:
            there[row.job_id, row.event, row.endpoint_id] += 1
        elif row.state != "pending":
            yield f"{row.job_id} was purged, and left {row.delivery_id}, which is {row.state}"
    for key in wanted.keys() | there.keys():
        if wanted[key] != there[key]:
            yield f"{key} happened {wanted[key]} times and made {there[key]} deliveries"


def _told(found: Rows, made: Deliveries, wire: Wire) -> Iterator[str]:
    """What is delivered was heard; what was heard is a delivery, in its very bytes, or of a job that was purged."""
    known = {job.job_id for job in found.jobs}
    heard = {one.delivery_id for one in wire.heard}
    yield from (f"{row.delivery_id} is delivered and was never heard" for row in _unheard(made, heard))
    for one in wire.heard:
        row = made.by_id.get(one.delivery_id)
        if row is None and orjson.loads(one.body)["data"]["job_id"] not in known:
            continue
        if row is None or row.payload.encode() != one.body:
            yield f"{one.url} heard {one.delivery_id}, which is another message or none"


def _unheard(made: Deliveries, heard: set[str]) -> list[Delivery]:
    return [row for row in made.by_id.values() if row.state == "delivered" and row.delivery_id not in heard]


def _in_order(made: Deliveries, wire: Wire) -> Iterator[str]:
    last: dict[tuple[str, str], int] = {}
    for one in wire.heard:
        row = made.by_id.get(one.delivery_id)
        if row is None:
            continue
        before = last.get((one.url, row.job_id), 0)
        if row.seq < before:
            yield f"{one.url} heard event {row.seq} of {row.job_id} after event {before}"
        last[one.url, row.job_id] = row.seq


def _followed(made: Deliveries, core: Core) -> Iterator[str]:
    """When quiet, what waits in memory is what waits in the rows, and none of it is due."""
    queue = core.deliverer.queue
    pending = {row.delivery_id for row in made.by_id.values() if row.state == "pending"}
    if queue.snapshot() != pending:
        yield f"the queue knows {sorted(queue.snapshot())}, pending are {sorted(pending)}"
    if queue.in_flight:
        yield f"{queue.in_flight} deliveries are under way in a quiet world"
    if queue.next_moment() <= core.outside.clock.monotonic():
        yield "a delivery is due, and nobody sends it"
