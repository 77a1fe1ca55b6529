"""Which index PostgreSQL takes for what is done most: plans are made early, while tables are empty, and kept as they grow."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, text

from dispatch.core.records import Graph
from dispatch.store.postgres.connecting import Reach, writing
from dispatch.store.statements import command
from dispatch.store.transaction import SqlTransaction
from tests.contract.store_adapters import granted, job
from tests.servers.postgres import database

FETCHED = text("SELECT relname, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname IN ('attempts', 'jobs', 'tasks')")
OTHERS, PLANNED_AFTER = 200, 20
"""A plan is kept after some executions of its own."""


def test_a_change_looks_at_its_own_rows_however_many_came_to_share_their_state() -> None:
    first, *others = (job(f"{number:03}") for number in range(OTHERS + 1))
    with database() as url:
        connection = writing(Reach(url)).connect()
        try:
            command(connection, "BEGIN ISOLATION LEVEL SERIALIZABLE")
            _held(connection, [first], 1)
            for at in range(PLANNED_AFTER):
                _change(connection, first.job.job_id, float(at))
            _held(connection, others, 2)
            command(connection, "COMMIT")

            command(connection, "BEGIN ISOLATION LEVEL SERIALIZABLE")
            fetched = _change(connection, others[-1].job.job_id, 100.0)
            command(connection, "COMMIT")
        finally:
            connection.close()
            connection.engine.dispose()

    assert fetched == {"attempts": 1, "jobs": 1, "tasks": 1}


def _held(connection: Connection, new: list[Graph], token: int) -> None:
    tx = SqlTransaction(connection)
    tx.insert(new)
    tx.save(new, [granted(graph, token + number) for number, graph in enumerate(new)])


def _change(connection: Connection, job_id: str, at: float) -> dict[str, int]:
    """How many rows of each table were looked at to write one of each anew."""
    tx = SqlTransaction(connection)
    held = tx.graphs([job_id])[job_id]
    before = _fetched(connection)
    tx.save([held], [_further(held, at)])
    return {table: count - before[table] for table, count in _fetched(connection).items()}


def _further(graph: Graph, at: float) -> Graph:
    """One field of each row is another."""
    tasks = tuple(replace(task, not_before=at) for task in graph.tasks)
    attempts = tuple(replace(attempt, acked_at=at) for attempt in graph.attempts)
    return replace(graph, job=replace(graph.job, updated_at=at), tasks=tasks, attempts=attempts)


def _fetched(connection: Connection) -> dict[str, int]:
    """Rows that this transaction has looked at by an index, by their table."""
    return {row[0]: row[1] for row in connection.execute(FETCHED)}
