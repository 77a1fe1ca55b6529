"""The migrations: from nothing to what the code expects, as often as one likes, and the statements find their indexes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from dispatch.store import schema
from dispatch.store.migrate import migrate
from dispatch.store.running import connect


@pytest.fixture
def connection() -> Iterator[Connection]:
    opened = connect("sqlite://", pragmas=("foreign_keys=ON",))
    yield opened
    opened.close()


def test_migrations_make_the_schema_of_the_code(connection: Connection) -> None:
    migrate(connection)

    assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


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
