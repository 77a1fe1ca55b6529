"""The rows of `changes`: written last in each transaction that writes, read by the feeds of all servers."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, text

from dispatch.store import schema
from dispatch.store.cluster import LAST_DROPPED
from dispatch.store.statements import Found, Statement

CHANNEL = "reelyard_changes"
ORDER_LOCK = 0x7265656C79617264
"""`reelyard` in ASCII: held from the numbering until the commit, by one transaction of the database at a time."""

XID = Statement(text("SELECT pg_current_xact_id_if_assigned()::text"))
LOCK = Statement(
    text(
        "WITH locked AS MATERIALIZED (SELECT pg_current_xact_id()::text AS xid, pg_advisory_xact_lock(:key) AS held) "
        "SELECT xid, nextval('change_numbers'), held FROM locked"
    ),
    ("key",),
)
"""The number is taken from the row that there is only once the lock is held."""

INSERT = Statement(
    text(
        "WITH made AS (INSERT INTO changes (seq, server_id, at, refs_json) "
        "VALUES (:seq, :run_id, extract(epoch FROM clock_timestamp())::float8, :refs) RETURNING seq) "
        f"SELECT pg_notify('{CHANNEL}', (:told)::text) FROM made"
    ),
    ("seq", "run_id", "refs", "told"),
)
SINCE = Statement(
    select(schema.changes.c.seq, schema.changes.c.server_id, schema.changes.c.refs_json)
    .where(schema.changes.c.seq > bindparam("after"))
    .order_by(schema.changes.c.seq),
    ("after",),
)
STATUS = Statement(text("SELECT pg_xact_status((:xid)::text::xid8)"), ("xid",))
IS_THERE = Statement(
    text("SELECT 1 FROM changes WHERE seq = :seq AND server_id = :run_id AND refs_json = :refs"), ("seq", "run_id", "refs")
)
NEWEST = text(
    "SELECT greatest((SELECT max(seq) FROM changes), (SELECT value FROM sequences WHERE name = :dropped), 0), "
    "coalesce((SELECT max(seq) FROM events), 0)"
)
DROPPED = Statement(text("SELECT value FROM sequences WHERE name = :name"), ("name",))


@dataclass(frozen=True, slots=True)
class Stamp:
    """By which a transaction is known after its connection was lost: its id, and the row it wrote."""

    xid: str
    seq: int
    refs: str


def lock_order(connection: Connection) -> tuple[str, int]:
    """From here to the commit nobody else gets numbers. The id of the transaction, and the number of its change."""
    ((xid, seq, _),) = LOCK.rows(connection, (ORDER_LOCK,))
    return str(xid), int(seq)


def has_written(connection: Connection) -> bool:
    return XID.rows(connection)[0][0] is not None


def write_change(connection: Connection, run_id: str, stamp: Stamp) -> None:
    """The row, and a word to all feeds: whose change it is."""
    INSERT.rows(connection, (stamp.seq, run_id, stamp.refs, run_id))


def changes_since(connection: Connection, seq: int) -> list[Found]:
    """(seq, run id, refs), in order."""
    return list(SINCE.rows(connection, (seq,)))


def newest(connection: Connection) -> tuple[int, int]:
    """The number of the last change, and of the last event."""
    change, event = connection.execute(NEWEST, {"dropped": LAST_DROPPED}).one()
    return int(change), int(event)


def last_dropped(connection: Connection) -> int:
    found = DROPPED.rows(connection, (LAST_DROPPED,))
    return int(found[0][0]) if found else 0


def is_over(connection: Connection, xid: str) -> bool:
    """Whether a transaction has ended, well or not."""
    return str(STATUS.rows(connection, (xid,))[0][0]) != "in progress"


def is_there(connection: Connection, run_id: str, stamp: Stamp) -> bool:
    return bool(IS_THERE.rows(connection, (stamp.seq, run_id, stamp.refs)))
