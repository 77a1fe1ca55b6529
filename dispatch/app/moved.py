"""The note that the state of a data directory has moved to PostgreSQL, and which server may start beside it.

It is written before the copy is committed (`moving`) and again after (`moved`). Whatever ends the command between the two,
exactly one of both databases can be started from afterwards.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dispatch.app.secrets import Unusable, sync, write_secret

DATABASE, NOTE = "dispatch.db", "moved.json"
INSTALLATION, COPY = "installation", "copy"
"""Facts by which a copy is known: of which installation it is, and which of its copies."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a database says of itself. An installation that was never moved has none."""

    installation: str
    copy: str


@dataclass(frozen=True, slots=True)
class Note:
    """`to` is a URL without its password, `copy` says which copy was made last."""

    to: str
    copy: str
    is_whole: bool


def read_note(data: Path) -> Note | None:
    try:
        told = json.loads((data / NOTE).read_bytes())
    except FileNotFoundError:
        return None
    return Note(told["to"], told["copy"], told["is_whole"])


def write_note(data: Path, note: Note) -> None:
    """Whole, and on the disk when it returns."""
    write_secret(data, NOTE, json.dumps(asdict(note)))


def drop_note(data: Path) -> None:
    if (data / NOTE).exists():
        (data / NOTE).unlink()
        sync(data)


def admit_sqlite(data: Path) -> None:
    """A server is about to start on the SQLite file. A move that was not finished is given up by this: another begins anew.

    Raises Unusable when the state lives elsewhere by now.
    """
    refuse_moved(data)
    drop_note(data)


def refuse_moved(data: Path) -> None:
    note = read_note(data)
    if note is not None and note.is_whole:
        raise Unusable(f"the state of {data} has moved to {note.to}; set database.url to it (docs/howto/move-to-postgresql.md)")


def admit_postgres(data: Path, there: Mark | None) -> bool:
    """A server is about to start on PostgreSQL. False when the directory has a SQLite file that was never moved there.

    Raises Unusable when what lies there is not the last copy of this directory's state.
    """
    here = mark_of(data / DATABASE)
    if here is None or there is None or here.installation != there.installation:
        return not (data / DATABASE).exists()
    note = read_note(data)
    if note is None or note.copy != there.copy:
        raise Unusable(
            f"the move of {data} to this PostgreSQL was not finished, and an older copy lies there; "
            "run `reelyard migrate --move-to` again"
        )
    if not note.is_whole:
        write_note(data, replace(note, is_whole=True))
    return True


def mark_of(database: Path) -> Mark | None:
    """Of a SQLite file, which may not be there."""
    if not database.exists():
        return None
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        found = dict(connection.execute("SELECT name, value FROM facts WHERE name IN (?, ?)", (INSTALLATION, COPY)))
    except sqlite3.OperationalError:  # of a schema that had no facts
        return None
    finally:
        connection.close()
    return mark_in(found)


def mark_in(facts: Mapping[str, str]) -> Mark | None:
    return Mark(facts[INSTALLATION], facts[COPY]) if facts.keys() >= {INSTALLATION, COPY} else None
