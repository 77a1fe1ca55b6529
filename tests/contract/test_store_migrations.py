"""The migrations: from nothing to what the code expects, as often as one likes, and the statements find their indexes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from dispatch.store import schema
from dispatch.store.migrate import migrate
from dispatch.store.postgres import connecting
from dispatch.store.postgres.connecting import Reach
from dispatch.store.running import connect
from dispatch.store.sequences import take
from tests.servers.postgres import database


@pytest.fixture
def connection() -> Iterator[Connection]:
    opened = connect("sqlite://", pragmas=("foreign_keys=ON",))
    yield opened
    opened.close()


@pytest.fixture
def postgres() -> Iterator[Connection]:
    with database(is_empty=True) as url:
        opened = connecting.connect(Reach(url))
        yield opened
        opened.close()


def test_migrations_make_the_schema_of_the_code(connection: Connection) -> None:
    migrate(connection)

    assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_on_postgresql_they_make_it_too_but_for_references(postgres: Connection) -> None:
    migrate(postgres)
    migrate(postgres)

    differences = compare_metadata(MigrationContext.configure(postgres), schema.metadata)

    assert {(kind, constraint.name) for kind, constraint in differences} == {
        ("add_fk", "fk_tasks_job_id"),
        ("add_fk", "fk_attempts_task_id"),
        ("add_fk", "fk_staged_files_job_id"),
    }


def test_on_postgresql_words_are_ordered_by_their_bytes_and_great_numbers_fit(postgres: Connection) -> None:
    migrate(postgres)
    columns = (
        "FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'alembic_version' AND data_type"
    )

    words = postgres.exec_driver_sql(f"SELECT DISTINCT collation_name {columns} IN ('text', 'character varying')")
    numbers = postgres.exec_driver_sql(
        f"SELECT column_name {columns} = 'integer' AND (column_name LIKE '%%size%%' OR column_name LIKE '%%bytes%%' "
        "OR column_name IN ('token', 'seq', 'value', 'received'))"
    )

    assert (words.fetchall(), numbers.fetchall()) == ([("C",)], [])


def test_on_postgresql_two_servers_that_start_at_once_migrate_once() -> None:
    with database(is_empty=True) as url:

        def start() -> list[str]:
            opened = connecting.connect(Reach(url))
            migrate(opened)
            tables = inspect(opened).get_table_names()
            opened.close()
            return tables

        with ThreadPoolExecutor(3) as servers:
            found = [future.result() for future in [servers.submit(start) for _ in range(3)]]

    assert [sorted(tables) for tables in found] == [sorted([*schema.metadata.tables, "alembic_version"])] * 3


def test_on_postgresql_numbers_go_on_after_those_of_a_database_that_moved_there(postgres: Connection) -> None:
    migrate(postgres)
    postgres.exec_driver_sql("UPDATE sequences SET value = 41 WHERE name = 'token'")

    migrate(postgres)
    tokens = [list(take(postgres, "token", 2)), list(take(postgres, "event", 1))]
    migrate(postgres)

    assert (tokens, list(take(postgres, "token", 1))) == ([[42, 43], [1]], [44])


def test_partial_indexes_are_partial_in_the_file_too(connection: Connection) -> None:
    migrate(connection)
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type='index' AND sql LIKE '% WHERE %'")

    found = {name: sql.split(" WHERE ", 1)[1] for name, sql in rows}

    assert found == {
        "ix_tasks_pending": "state = 'pending'",
        "ix_attempts_live": "state IN ('granted', 'acked', 'running')",
        "ix_webhook_deliveries_due": "state = 'pending'",
        "ix_jobs_original": "source_kind = 'storage' OR thumbnail_json IS NOT NULL OR attachments_json IS NOT NULL",
        "ix_jobs_expires": "expires_at IS NOT NULL",
        "ix_jobs_finish_by": "finish_by IS NOT NULL AND priority < 10",
        "ix_attempts_log": "log_tail != ''",
        "ix_uploads_open": "state = 'open'",
    }


def test_a_second_migration_changes_nothing(connection: Connection) -> None:
    migrate(connection)
    connection.exec_driver_sql("UPDATE sequences SET value = 41 WHERE name = 'token'")
    before = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()

    migrate(connection)

    assert connection.exec_driver_sql("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before
    assert dict(list(connection.exec_driver_sql("SELECT name, value FROM sequences"))) == {"token": 41, "event": 0, "audit": 0}


def test_a_migration_that_fails_leaves_nothing_half_made(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE tasks (of_another_program TEXT)")

    with pytest.raises(Exception, match="tasks"):
        migrate(connection)

    assert inspect(connection).get_table_names() == ["tasks"]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM tasks WHERE state = 'pending'", "ix_tasks_pending"),
        ("SELECT * FROM attempts WHERE state IN ('granted', 'acked', 'running')", "ix_attempts_live"),
        ("SELECT job_id FROM jobs WHERE state IN ('retrying') ORDER BY created_at", "ix_jobs_state"),
        ("SELECT * FROM jobs WHERE tenant = 'a' ORDER BY created_at DESC, job_id DESC LIMIT 50", "ix_jobs_tenant_created"),
        ("SELECT * FROM events WHERE seq > 5 AND job_id = 'job_1' ORDER BY seq", "ix_events_job"),
        ("SELECT * FROM tasks WHERE job_id IN ('job_1', 'job_2')", "ix_tasks_job"),
        ("SELECT * FROM engines WHERE credential_sha256 = 'x'", "ix_engines_credential"),
    ],
)
def test_the_questions_that_are_asked_often_have_an_index(connection: Connection, query: str, index: str) -> None:
    migrate(connection)

    plan = " ".join(str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))

    assert index in plan, plan
