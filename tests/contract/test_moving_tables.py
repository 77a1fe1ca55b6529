"""An installation on its way from SQLite to a real PostgreSQL: every table, every kind of value, and every way it can end."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import BigInteger, Column, Float, Integer, Table

from dispatch.app import migrating
from dispatch.app.moved import Note, mark_of, read_note
from dispatch.store import schema
from dispatch.store.copying_tables import LEFT_BEHIND, MOVED
from dispatch.store.migrate import migrate
from dispatch.store.running import connect
from tests.contract.store_adapters import postgres_store
from tests.servers.postgres import database, running

FLOATS = (0.1 + 0.2, 5e-324, -1.7976931348623157e308, 1_800_000_000.123456, math.pi)
WHOLE = (0, -1, 2**31 - 1, -(2**31))
LONG = (2**53 + 1, 2**62, -(2**40))
TEXTS = ("", "a\tb\nc\\d\r", "\\N", "\\.", "ü 漢字 🎬", "'; DROP TABLE jobs; --", "x" * 300_000)
ROWS = 7
Rows = Mapping[str, list[tuple[Any, ...]]]  # of any column's type


def value(column: Column[Any], number: int) -> object:
    """Every kind of value comes in some row; what must be unique or refers to another row is named after its number."""
    if column.primary_key and isinstance(column.type, Integer):
        return 2**40 + number
    if column.primary_key or column.unique or column.foreign_keys:
        return f"ü{number}"
    if column.nullable and number == 0:
        return None
    if isinstance(column.type, Float):
        return FLOATS[number % len(FLOATS)]
    if isinstance(column.type, BigInteger):
        return LONG[number % len(LONG)]
    if isinstance(column.type, Integer):
        return WHOLE[number % len(WHOLE)]
    is_heavy = column.name in ("log_tail", "payload")
    return TEXTS[number % (len(TEXTS) if is_heavy else len(TEXTS) - 1)]


def fill(data: Path) -> Path:
    """An installation with rows in every table."""
    with closing(connect(f"sqlite:///{data / 'dispatch.db'}")) as connection:
        migrate(connection)
        for table in MOVED:
            if table is schema.sequences:
                connection.exec_driver_sql("UPDATE sequences SET value = 1099511627776 + 1000 WHERE name <> 'audit'")
                continue
            names, marks = ", ".join(table.columns.keys()), ", ".join("?" * len(table.columns))
            rows = [tuple(value(column, number) for column in table.columns) for number in range(ROWS)]
            connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)
    return data


def key(table: Table) -> str:
    return ", ".join(column.name for column in table.primary_key)


def here(data: Path) -> Rows:
    with closing(connect(f"sqlite:///{data / 'dispatch.db'}")) as connection:
        return {table.name: [tuple(row) for row in connection.exec_driver_sql(_all(table))] for table in MOVED}


def there(url: str) -> Rows:
    with psycopg.connect(url) as connection:
        return {table.name: connection.execute(_all(table).encode()).fetchall() for table in MOVED}


def _all(table: Table) -> str:
    return f"SELECT {', '.join(table.columns.keys())} FROM {table.name} ORDER BY {key(table)}"


@pytest.fixture
def target() -> Iterator[str]:
    with database(is_empty=True) as url:
        yield url


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return fill(tmp_path)


def run(data: Path, *words: str) -> int:
    return migrating.main(["--data", str(data), *words])


def test_every_table_of_the_schema_moves_or_is_left_behind_on_purpose(data: Path) -> None:
    assert {*MOVED, *LEFT_BEHIND} == set(schema.metadata.tables.values())
    assert {name for name, rows in here(data).items() if not rows} == set()


def test_every_row_arrives_as_it_was(data: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "--move-to", target) == 0

    before, after = here(data), there(target)
    for name, rows in before.items():
        assert repr(after[name]) == repr(rows), name
    said = capsys.readouterr().out
    assert f"{sum(map(len, before.values())):,} rows of {len(MOVED)} tables, each read back and compared" in said
    assert f'    [database]\n    url = "{target}"\n' in said
    note = read_note(data)
    assert note is not None
    assert (note.to, note.is_whole) == (target, True)


async def test_numbers_go_on_after_those_that_came_along(data: Path, target: str) -> None:
    assert run(data, "--move-to", target) == 0

    async with postgres_store(target) as store:
        tokens = await store.transact(lambda tx: tx.next_tokens(2))

    assert list(tokens) == [2**40 + 1001, 2**40 + 1002]


def test_a_nul_in_a_text_is_replaced_and_told_of(tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(connect(f"sqlite:///{tmp_path / 'dispatch.db'}")) as connection:
        migrate(connection)
        connection.exec_driver_sql("INSERT INTO facts VALUES ('of a tool', ?)", ("a\0b\0\\x00",))

    assert run(tmp_path, "--move-to", target) == 0

    assert ("of a tool", "a\ufffdb\ufffd\\x00") in there(target)["facts"]
    assert "1 texts held a NUL, which PostgreSQL cannot keep: U+FFFD stands there now\n" in capsys.readouterr().out


# --- what is refused, before anything happens


def test_a_target_that_holds_anything_is_refused(data: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(target) as connection:
        connection.execute("CREATE TABLE jobs (of_another_program text)")

    assert run(data, "--move-to", target) == 2
    assert capsys.readouterr().err == (
        f"migrate: {target} holds tables of another program, such as jobs; give a database of its own\n"
    )
    with database() as used:
        with psycopg.connect(used) as connection:
            connection.execute("INSERT INTO tenants (name, weight, created_at) VALUES ('acme', 1, 1)")

        assert run(data, "--move-to", used) == 2
        assert capsys.readouterr().err == (
            f"migrate: {used} holds another installation (1 rows in tenants); give an empty database\n"
        )
    assert read_note(data) is None


def test_a_wrong_password_is_one_line_and_stands_in_none(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "password").write_text("kept-secret\n")
    with running(access=["host all all 127.0.0.1/32 scram-sha-256"]) as server:
        code = run(data, "--move-to", server.url(), "--database-password-file", str(tmp_path / "password"))
    said = capfd.readouterr()

    assert (code, said.out, said.err.count("\n")) == (1, "", 1)
    assert 'password authentication failed for user "reelyard"' in said.err
    assert said.err.endswith(". Nothing has moved; the server can be started as before.\n")
    assert "kept-secret" not in said.err
    assert read_note(data) is None


def test_a_second_move_is_refused(data: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "--move-to", target) == 0
    capsys.readouterr()

    assert run(data, "--move-to", target) == 2

    assert f"the state of {data} has moved to {target}" in capsys.readouterr().err


# --- interrupted

AT = {
    "before the copy": ("dispatch.app.moving", "copy_tables"),
    "before the commit": ("dispatch.app.moving", "seed"),
    "after the commit": ("dispatch.app.moving", "replace"),
}
"""A function that is called at that moment: the command dies by kill -9 where it would begin."""

DIES = """
import importlib, os, signal, sys
from dispatch.app import migrating
module, name = sys.argv[1:3]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
setattr(importlib.import_module(module), name, die)
sys.exit(migrating.main(sys.argv[3:]))
"""


def killed(data: Path, target: str, moment: str) -> None:
    words = [sys.executable, "-c", DIES, *AT[moment], "--data", str(data), "--move-to", target]
    ended = subprocess.run(words, capture_output=True, check=False, env={**os.environ})
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


@pytest.mark.parametrize("moment", AT)
def test_a_move_that_is_killed_begins_anew(data: Path, target: str, moment: str) -> None:
    before = there_or_nothing(target)
    killed(data, target, moment)
    arrived = there_or_nothing(target)
    note = read_note(data)

    assert note is not None
    assert not note.is_whole
    assert (arrived["facts"] == before["facts"]) == (moment != "after the commit")
    with closing(connect(f"sqlite:///{data / 'dispatch.db'}")) as connection:  # the server went on meanwhile
        connection.exec_driver_sql("DELETE FROM webhook_deliveries")
        connection.exec_driver_sql("INSERT INTO deletions VALUES ('since', NULL, 1.5)")
    assert run(data, "--move-to", target) == 0
    assert repr(there(target)) == repr(here(data))
    assert read_note(data) == Note(target, copy_of(data), is_whole=True)


def there_or_nothing(url: str) -> Rows:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT to_regclass('facts') IS NOT NULL").fetchone()
    return there(url) if row and row[0] else {"facts": []}


def copy_of(data: Path) -> str:
    mark = mark_of(data / "dispatch.db")
    assert mark is not None
    return mark.copy


def test_a_copy_on_which_a_server_has_worked_is_not_written_over(
    data: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(data, target, "after the commit")
    with psycopg.connect(target) as connection:
        connection.execute("INSERT INTO servers VALUES ('srv_1', 'run_1', 'http://a', '1', 1.0, 1.0)")

    assert run(data, "--move-to", target) == 2

    assert "holds a copy of this installation that a server has worked on since" in capsys.readouterr().err


def test_a_copy_that_is_not_the_same_is_not_kept(data: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A database that changes what it is given: here by a rule of its own."""
    with closing(connect_to(target)) as connection:
        migrate(connection)
        spoil = "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.weight := 2; RETURN NEW; END $$"
        connection.exec_driver_sql(spoil)
        connection.exec_driver_sql("CREATE TRIGGER spoil BEFORE INSERT ON engines FOR EACH ROW EXECUTE FUNCTION spoil()")

    assert run(data, "--move-to", target) == 1

    assert capsys.readouterr().err == (
        f"migrate: engines: {ROWS} rows were written, {ROWS} came back, and they differ. "
        "Nothing has moved; the server can be started as before.\n"
    )
    assert {name: rows for name, rows in there(target).items() if rows and name != "sequences"} == {}
    assert read_note(data) is None


def connect_to(url: str) -> Any:  # SQLAlchemy's Connection, by the adapter's own way
    from dispatch.store.postgres.connecting import Reach, connect

    return connect(Reach(url))


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("RAISE EXCEPTION 'not today'", "not today"),
        ("PERFORM pg_terminate_backend(pg_backend_pid())", "connection"),
    ],
    ids=["refused", "the connection is lost"],
)
def test_a_commit_that_fails_leaves_everything_as_it_was(
    data: Path, target: str, capsys: pytest.CaptureFixture[str], ending: str, reason: str
) -> None:
    """The database is asked afterwards whether the copy stands."""
    with closing(connect_to(target)) as connection:
        migrate(connection)
        body = f"BEGIN {ending}; RETURN NULL; END"
        connection.exec_driver_sql(f"CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        fires = "AFTER INSERT ON facts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()"
        connection.exec_driver_sql(f"CREATE CONSTRAINT TRIGGER at_commit {fires}")

    assert run(data, "--move-to", target) == 1

    problem = capsys.readouterr().err
    assert problem.count("\n") == 1
    assert reason in problem
    assert problem.endswith(" Nothing has moved; the server can be started as before.\n")
    assert there(target)["facts"] == []
    assert read_note(data) is None
