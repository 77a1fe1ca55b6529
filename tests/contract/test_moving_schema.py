"""`reelyard migrate` on a SQLite file: what it says, what it does, what it refuses."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from dispatch.app import migrating
from dispatch.app.locking import lock
from dispatch.store.migrate import migrate
from dispatch.store.revisions import Revisions, revisions
from dispatch.store.running import connect

with closing(connect("sqlite://", pragmas=())) as _new:
    NEWEST = revisions(_new).newest


def database(data: Path, revision: str) -> Path:
    path = data / "dispatch.db"
    with closing(connect(f"sqlite:///{path}")) as connection:
        migrate(connection, revision)
    return path


def at(path: Path) -> Revisions:
    with closing(connect(f"sqlite:///{path}")) as connection:
        return revisions(connection)


def run(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> tuple[int, str, str]:
    code = migrating.main(["--data", str(data), *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_an_old_file_is_brought_to_the_newest_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = database(tmp_path, "0003")

    assert run(capsys, tmp_path) == (0, f"{path}: from revision 0003 to {NEWEST}\n", "")

    assert at(path) == Revisions(NEWEST, NEWEST, is_known=True)
    assert run(capsys, tmp_path) == (0, f"{path} has the newest schema, revision {NEWEST}\n", "")


def test_a_check_only_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = database(tmp_path, "0003")

    told = f"{path} is at revision 0003; the newest is {NEWEST}: run `reelyard migrate`\n"
    assert run(capsys, tmp_path, "--check") == (1, told, "")

    assert at(path).found == "0003"
    assert run(capsys, tmp_path)[0] == 0
    assert run(capsys, tmp_path, "--check")[0] == 0


def test_a_file_of_a_running_server_is_not_migrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database(tmp_path, "0003")
    descriptor = lock(tmp_path)

    code, _, problem = run(capsys, tmp_path)

    assert (code, problem) == (2, f"migrate: {tmp_path} is in use by another dispatch server; stop it, or give another --data\n")
    assert run(capsys, tmp_path, "--check")[0] == 1
    os.close(descriptor)


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = database(tmp_path, "head")
    with closing(connect(f"sqlite:///{path}")) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    code, _, problem = run(capsys, tmp_path)

    assert (code, problem) == (2, f"migrate: {path} has revision 9999, of a newer Reelyard than this one ({NEWEST})\n")


def test_where_no_server_ever_ran_there_is_nothing_to_migrate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = f"migrate: there is no dispatch.db in {tmp_path}; a server makes it at its first start\n"

    assert run(capsys, tmp_path) == (2, "", problem)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--move-to", "postgresql://u@h/a", "--database-url", "postgresql://u@h/b"], "leave --database-url out"),
        (["--start"], "--start goes with --move-to"),
        (["--listen", "127.0.0.1:1"], "and --listen with --start"),
        (["--move-to", "mysql://u@h/a"], "database.url: "),
    ],
)
def test_words_that_make_no_sense_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    code, out, said = run(capsys, tmp_path, *words)

    assert (code, out, said.count("\n")) == (2, "", 1)
    assert problem in said
