"""Numbers that no two transactions share: counter rows on SQLite, sequences on PostgreSQL.

A counter row would make every two transactions of PostgreSQL that run side by side undo each other. Its sequences leave
gaps where a transaction was undone, and rise in the order of commits only under a lock that is held until the commit.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, text, update

from dispatch.store import schema
from dispatch.store.statements import Statement

BUMP = Statement(
    update(schema.sequences)
    .where(schema.sequences.c.name == bindparam("which"))
    .values(value=schema.sequences.c.value + bindparam("count"))
    .returning(schema.sequences.c.value),
    ("count", "which"),
)
NUMBERED = ("token", "event", "audit")
NEXT = {
    which: Statement(text(f"SELECT nextval('{which}_numbers') FROM generate_series(1, :count)"), ("count",)) for which in NUMBERED
}


def take(connection: Connection, which: str, count: int) -> range:
    """The next `count` numbers of the sequence."""
    if not count:
        return range(0)
    if connection.dialect.name == "postgresql":
        return _in_a_row(connection, which, count)
    ((last,),) = BUMP.rows(connection, (count, which))
    return range(last - count + 1, last + 1)


def _in_a_row(connection: Connection, which: str, count: int) -> range:
    """Another transaction may have taken a number from between ours: then the next ones, of which there are 2^63."""
    while True:
        numbers = [int(row[0]) for row in NEXT[which].rows(connection, (count,))]
        if numbers[-1] - numbers[0] == count - 1:
            return range(numbers[0], numbers[-1] + 1)


def raise_to(connection: Connection, which: str, value: int) -> None:
    """PostgreSQL's sequence goes on after this number, if it is not further already."""
    last, is_called = connection.execute(text(f"SELECT last_value, is_called FROM {which}_numbers")).one()
    if value >= (last if is_called else last - 1) and value > 0:
        connection.execute(text(f"SELECT setval('{which}_numbers', :value)"), {"value": value})
