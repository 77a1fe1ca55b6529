"""Counter rows, taken inside the transaction that uses them, so that numbers rise in the order of commits."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, update

from dispatch.store import schema
from dispatch.store.statements import Statement

BUMP = Statement(
    update(schema.sequences)
    .where(schema.sequences.c.name == bindparam("which"))
    .values(value=schema.sequences.c.value + bindparam("count"))
    .returning(schema.sequences.c.value),
    ("count", "which"),
)


def take(connection: Connection, which: str, count: int) -> range:
    """The next `count` numbers of the sequence."""
    ((last,),) = BUMP.rows(connection, (count, which))
    return range(last - count + 1, last + 1)
