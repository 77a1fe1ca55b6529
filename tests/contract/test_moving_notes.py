"""Which database a server may start on, before, during and after a move; and how its lock is taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch.app.locking import InUse, lock, take_over
from dispatch.app.moved import Mark, Note, admit_postgres, admit_sqlite, mark_of, read_note, write_note
from dispatch.app.secrets import Unusable
from dispatch.store.migrate import migrate
from dispatch.store.running import connect

TO = "postgresql://reelyard@db/farm"
HERE = Mark("inst-1", "copy-2")
LIMIT_S = 30.0


def installation(data: Path, mark: Mark | None = HERE) -> Path:
    """A data directory with a migrated file, marked as a move marks it."""
    connection = connect(f"sqlite:///{data / 'dispatch.db'}")
    migrate(connection)
    if mark is not None:
        for name, value in (("installation", mark.installation), ("copy", mark.copy)):
            connection.exec_driver_sql("INSERT INTO facts VALUES (?, ?)", (name, value))
    connection.close()
    return data


def test_a_server_does_not_start_on_a_file_whose_state_has_moved(tmp_path: Path) -> None:
    write_note(tmp_path, Note(TO, "copy-2", is_whole=True))

    with pytest.raises(Unusable) as refused:
        admit_sqlite(tmp_path)

    assert str(refused.value).splitlines() == [
        f"the state of {tmp_path} has moved to {TO}; set database.url to it (docs/howto/move-to-postgresql.md)"
    ]


def test_a_start_on_the_file_gives_up_a_move_that_was_not_finished(tmp_path: Path) -> None:
    write_note(tmp_path, Note(TO, "copy-2", is_whole=False))

    admit_sqlite(tmp_path)

    assert read_note(tmp_path) is None


def test_a_start_on_the_copy_finishes_the_move(tmp_path: Path) -> None:
    write_note(installation(tmp_path), Note(TO, "copy-2", is_whole=False))

    assert admit_postgres(tmp_path, HERE)

    assert read_note(tmp_path) == Note(TO, "copy-2", is_whole=True)


@pytest.mark.parametrize(
    "note",
    [None, Note(TO, "copy-3", is_whole=False)],
    ids=["its server went on with SQLite", "a later copy was begun and not committed"],
)
def test_a_server_does_not_start_on_an_older_copy(tmp_path: Path, note: Note | None) -> None:
    installation(tmp_path)
    if note is not None:
        write_note(tmp_path, note)

    with pytest.raises(Unusable, match="was not finished, and an older copy lies there"):
        admit_postgres(tmp_path, HERE)

    assert read_note(tmp_path) == note


@pytest.mark.parametrize("there", [None, Mark("inst-9", "copy-2")], ids=["no copy", "of another installation"])
@pytest.mark.parametrize("mark", [None, HERE], ids=["never moved", "moved elsewhere"])
def test_a_file_beside_a_foreign_postgresql_is_told_of(tmp_path: Path, there: Mark | None, mark: Mark | None) -> None:
    assert not admit_postgres(installation(tmp_path, mark), there)


def test_a_further_server_of_the_farm_has_no_file_and_starts(tmp_path: Path) -> None:
    assert admit_postgres(tmp_path, HERE)


def test_a_mark_is_read_without_a_write(tmp_path: Path) -> None:
    database = installation(tmp_path) / "dispatch.db"
    before = database.read_bytes()

    assert mark_of(database) == HERE

    assert database.read_bytes() == before
    assert mark_of(tmp_path / "none.db") is None


# --- the lock

SERVER = """
import signal, sys
from pathlib import Path
from dispatch.app.locking import lock
lock(Path(sys.argv[1]))
print("locked", flush=True)
signal.sigwait({signal.SIGTERM}) if sys.argv[2] == "obeys" else signal.pause()
"""


def server(data: Path, manner: str) -> subprocess.Popen[str]:
    """A process that holds the lock, and ends well when it is asked to."""
    before = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"
    child = subprocess.Popen([sys.executable, "-c", before + SERVER, str(data), manner], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    return child


def test_a_running_server_is_asked_to_stop_and_its_lock_is_taken_over(tmp_path: Path) -> None:
    said: list[str] = []
    with server(tmp_path, "obeys") as running:
        descriptor = take_over(tmp_path, within_s=LIMIT_S, say=said.append)

        assert running.wait(LIMIT_S) == 0
    assert (tmp_path / "dispatch.lock").read_text() == f"{os.getpid()}\n"
    assert said == [f"the server on {tmp_path} (process {running.pid}) is asked to stop; engines go on with what they hold"]
    with pytest.raises(InUse):
        lock(tmp_path)
    os.close(descriptor)


def test_a_server_that_does_not_stop_keeps_its_lock(tmp_path: Path) -> None:
    with server(tmp_path, "does not mind") as running:
        with pytest.raises(Unusable, match=r"has not stopped within 0 s; nothing was changed"):
            take_over(tmp_path, within_s=0.01, say=lambda _: None)

        assert running.poll() is None
        running.send_signal(signal.SIGKILL)


def test_a_process_that_only_bears_the_number_of_an_old_server_is_left_alone(tmp_path: Path) -> None:
    with (
        server(tmp_path, "obeys") as running,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other,
    ):
        (tmp_path / "dispatch.lock").write_text(f"{other.pid}\n")

        with pytest.raises(Unusable, match="cannot be told from here; stop it, then run this again"):
            take_over(tmp_path, within_s=LIMIT_S, say=lambda _: None)

        assert (other.poll(), running.poll()) == (None, None)
        other.communicate(b"\n")
        running.send_signal(signal.SIGKILL)
