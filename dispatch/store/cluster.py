"""The part of a transaction about the servers on one database: who leads, who is there, facts of the farm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from dispatch.core.cluster import Leadership, ServerRow
from dispatch.ports import StaleRow
from dispatch.store import schema
from dispatch.store.statements import Statement

SCHEDULING = "scheduling"
LAST_DROPPED = "dropped"
CHANGES_S = 600.0
"""A server that has not heard of a commit for so long starts anew."""

LEADER = Statement(select(schema.leadership).where(schema.leadership.c.name == bindparam("of_name")), ("of_name",))
MOMENTS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
}
"""2440587.5 is the Julian day of the Unix epoch."""


class ClusterQueries:
    """Mixed into SqlTransaction; remembers the facts it changed for the listeners of the commit.

    `clock` stands in for the database's own where there is no real one, as in a simulation.
    """

    _connection: Connection
    _clock: Callable[[], float] | None
    _facts: list[str]

    def moment(self) -> float:
        if self._clock is not None:
            return self._clock()
        return float(self._connection.execute(text(MOMENTS[self._connection.dialect.name])).scalar_one())

    def leadership(self) -> Leadership | None:
        found = LEADER.rows(self._connection, (SCHEDULING,))
        return Leadership(*found[0][1:]) if found else None

    def put_leadership(self, row: Leadership, *, was: Leadership | None) -> None:
        table = schema.leadership
        values = {"server_id": row.server_id, "url": row.url, "epoch": row.epoch, "until": row.until}
        if was is None:
            if self.leadership() is not None:
                raise StaleRow("another server leads since")
            self._connection.execute(insert(table), {"name": SCHEDULING, **values})
            return
        is_same = (table.c.name == SCHEDULING, table.c.epoch == was.epoch, table.c.server_id == was.server_id)
        if self._connection.execute(update(table).where(*is_same).values(values)).rowcount != 1:
            raise StaleRow("another server leads since")

    def servers(self) -> list[ServerRow]:
        statement = select(schema.servers).order_by(schema.servers.c.server_id)
        return [ServerRow(*row) for row in self._connection.execute(statement)]

    def put_server(self, row: ServerRow) -> None:
        table = schema.servers
        values = asdict(row)
        changed = self._connection.execute(update(table).where(table.c.server_id == row.server_id).values(values))
        if changed.rowcount == 0:
            self._connection.execute(insert(table), values)

    def drop_servers(self, server_ids: Iterable[str]) -> None:
        self._connection.execute(delete(schema.servers).where(schema.servers.c.server_id.in_(list(server_ids))))

    def forget_rate_windows(self) -> None:
        self._connection.execute(delete(schema.rate_windows).where(schema.rate_windows.c.ends <= self.moment()))

    def drop_changes(self) -> None:
        """The number of the last one is kept: a server that has not heard of it yet must not go on."""
        old = delete(schema.changes).where(schema.changes.c.at < self.moment() - CHANGES_S).returning(schema.changes.c.seq)
        dropped = [int(row[0]) for row in self._connection.execute(old)]
        if not dropped:
            return
        table = schema.sequences
        named = update(table).where(table.c.name == LAST_DROPPED).values(value=max(dropped))
        if self._connection.execute(named).rowcount == 0:
            self._connection.execute(insert(table), {"name": LAST_DROPPED, "value": max(dropped)})

    def fact(self, name: str) -> str | None:
        found = self._connection.execute(select(schema.facts.c.value).where(schema.facts.c.name == name)).scalar()
        return None if found is None else str(found)

    def put_fact(self, name: str, value: str) -> None:
        table = schema.facts
        if self._connection.execute(update(table).where(table.c.name == name).values(value=value)).rowcount == 0:
            self._connection.execute(insert(table), {"name": name, "value": value})
        self._facts.append(name)
