"""Statements run with plain tuples: what they take, how many ids they look up, and which index they use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Select, bindparam, insert, select
from sqlalchemy.exc import OperationalError

from dispatch.store import schema, transaction
from dispatch.store.migrate import migrate
from dispatch.store.running import connect
from dispatch.store.statements import MOST_IDS, Lookup, ParametersDiffer, Statement, by_ids, inserting


@pytest.fixture
def connection() -> Iterator[Connection]:
    connection = connect("sqlite://", pragmas=("foreign_keys=ON",))
    migrate(connection)
    yield connection
    connection.close()
    connection.engine.dispose()


@pytest.mark.parametrize("count", [0, 1, 3, 4, MOST_IDS, MOST_IDS + 1])
def test_as_many_rows_are_found_as_ids_are_known(connection: Connection, count: int) -> None:
    rows = [(f"sequence_{number}", number) for number in range(count)]
    inserting(schema.sequences).run_many(connection, rows)
    lookup = Lookup(by_ids(schema.sequences, "name"))

    found = list(lookup.rows(connection, ["unknown", *(row[0] for row in rows)]))

    assert sorted(map(tuple, found)) == sorted(rows)


def test_a_lookup_of_nothing_asks_nothing(connection: Connection) -> None:
    assert list(Lookup(by_ids(schema.tenants, "name")).rows(connection, [])) == []


def test_a_statement_with_other_parameters_than_its_caller_gives_is_refused(connection: Connection) -> None:
    statement = Statement(insert(schema.sequences).values(name=bindparam("name"), value=bindparam("value")), ("value", "name"))

    with pytest.raises(ParametersDiffer):
        statement.run_many(connection, [(1, "token")])


def test_numbers_in_a_statement_go_where_they_stand_among_those_of_the_caller(connection: Connection) -> None:
    inserting(schema.sequences).run_many(connection, [("a", 1), ("b", 2), ("c", 2), ("d", 2)])
    wanted = select(schema.sequences.c.name).where(
        schema.sequences.c.name > bindparam("above"), schema.sequences.c.value == 2, schema.sequences.c.name < bindparam("below")
    )
    statement = Statement(wanted.order_by(schema.sequences.c.name), ("above", "below"))

    assert [row[0] for row in statement.rows(connection, ("b", "d"))] == ["c"]


def test_a_statement_that_misses_a_parameter_is_refused(connection: Connection) -> None:
    statement = Statement(select(schema.sequences).where(schema.sequences.c.name == bindparam("wanted")))

    with pytest.raises(ParametersDiffer):
        statement.rows(connection)


def test_what_the_driver_raises_is_an_error_of_the_store(connection: Connection) -> None:
    connection.exec_driver_sql("DROP TABLE sequences")

    with pytest.raises(OperationalError, match="no such table"):
        Statement(select(schema.sequences)).rows(connection)


def _plan(connection: Connection, wanted: Select[tuple[object]]) -> str:
    text = str(wanted.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True}))
    values = tuple("x" for _ in range(text.count("?")))
    return " / ".join(str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values))


def test_live_attempts_of_an_engine_are_found_by_their_own_index(connection: Connection) -> None:
    wanted = transaction.SELECT_LIVE.where(schema.attempts.c.engine_id == bindparam("engine_id"))

    assert "USING INDEX ix_attempts_live" in _plan(connection, wanted)


def test_pending_tasks_are_found_by_their_own_index(connection: Connection) -> None:
    wanted = select(schema.tasks.c.task_id).where(schema.IS_PENDING).order_by(schema.tasks.c.created_at)

    assert "USING INDEX ix_tasks_pending" in _plan(connection, wanted)


def test_the_index_after_a_start_is_loaded_by_pending_tasks_alone(connection: Connection) -> None:
    assert "ix_tasks_pending" in _plan(connection, transaction.SELECT_READY)
