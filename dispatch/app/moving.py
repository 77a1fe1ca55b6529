"""Moves an installation from its SQLite file to PostgreSQL: everything that can be refused is refused before its server stops.

Engines work on meanwhile. Until the copy is committed nothing has happened; from then on the SQLite file is not started from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, delete, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from dispatch.app.locking import held, take_over
from dispatch.app.moved import COPY, DATABASE, INSTALLATION, Mark, Note, drop_note, mark_in, refuse_moved, write_note
from dispatch.app.secrets import Unusable
from dispatch.store import schema
from dispatch.store.copying_tables import LEFT_BEHIND, Copied, copy_tables, count_rows, empty_tables
from dispatch.store.migrate import migrate, seed
from dispatch.store.revisions import revisions
from dispatch.store.running import connect
from dispatch.store.statements import command

STOP_S = 90.0
"""A server finishes what it was asked; systemd would kill it after 60 s."""


@dataclass(frozen=True, slots=True)
class Move:
    """`to` is the target's URL without its password; `say` tells a person how far it is."""

    data: Path
    to: str
    open_target: Callable[[], Connection]
    new_id: Callable[[], str]
    say: Callable[[str], None]


class NotMoved(Exception):
    """It failed before the copy stood: the installation is as it was."""


class Unknown(Exception):
    """The connection was lost while the copy was committed, and nobody can say whether it stands."""


def move(plan: Move) -> dict[str, Copied]:
    """What was copied, by table. Raises Unusable before anything is stopped, then NotMoved or Unknown."""
    with closing(plan.open_target()) as target:
        check(plan, target)
        migrate(target)
        with held(take_over(plan.data, within_s=STOP_S, say=plan.say)):
            return _move(plan, target)


def _move(plan: Move, target: Connection) -> dict[str, Copied]:
    """The note goes before the commit and after it: whatever ends this in between, one of both can be started from."""
    with closing(connect(f"sqlite:///{plan.data / DATABASE}")) as source:
        migrate(source)
        mark = _marked(source, plan.new_id)
        note = Note(plan.to, mark.copy, is_whole=False)
        write_note(plan.data, note)
        copied = _carried(plan, source, target, mark)
    write_note(plan.data, replace(note, is_whole=True))
    return copied


def check(plan: Move, target: Connection) -> None:
    """Looks, and changes nothing. Raises Unusable when the move cannot be made."""
    if not (plan.data / DATABASE).exists():
        raise Unusable(f"there is no installation in {plan.data}: it has no {DATABASE}")
    refuse_moved(plan.data)
    with closing(connect(f"sqlite:///{plan.data / DATABASE}", pragmas=("query_only=ON",))) as source:
        _check_known(source, str(plan.data))
        _check_known(target, plan.to)
        _check_free(target, plan.to, mark_of(source))


def _check_known(connection: Connection, where: str) -> None:
    if not (told := revisions(connection)).is_known:
        raise Unusable(f"{where} has revision {told.found}, of a newer Reelyard than this one ({told.newest})")


def _check_free(target: Connection, where: str, mark: Mark | None) -> None:
    """Empty, or an earlier copy of this very installation on which no server has worked."""
    there = set(inspect(target).get_table_names())
    tables = [table for table in schema.metadata.sorted_tables if table.name in there]
    if tables and revisions(target).found is None:
        raise Unusable(f"{where} holds tables of another program, such as {tables[0].name}; give a database of its own")
    held = count_rows(target, [table for table in tables if table is not schema.sequences])
    known = mark_of(target)
    is_own_copy = mark is not None and known is not None and known.installation == mark.installation
    if held and not (is_own_copy and held.keys().isdisjoint(table.name for table in LEFT_BEHIND)):
        name, count = next(iter(held.items()))
        whose = "a copy of this installation that a server has worked on since" if is_own_copy else "another installation"
        raise Unusable(f"{where} holds {whose} ({count} rows in {name}); give an empty database")


def mark_of(connection: Connection) -> Mark | None:
    if not inspect(connection).has_table(schema.facts.name):
        return None
    return mark_in({str(row[0]): str(row[1]) for row in connection.execute(select(schema.facts))})


def _marked(source: Connection, new_id: Callable[[], str]) -> Mark:
    """Every copy has a name of its own, which lies in it and in the source."""
    known = mark_of(source)
    mark = Mark(known.installation if known else new_id(), new_id())
    values = ((INSTALLATION, mark.installation), (COPY, mark.copy))
    command(source, "BEGIN IMMEDIATE")
    source.execute(delete(schema.facts).where(schema.facts.c.name.in_([INSTALLATION, COPY])))
    source.execute(insert(schema.facts), [{"name": name, "value": value} for name, value in values])
    command(source, "COMMIT")
    return mark


def _carried(plan: Move, source: Connection, target: Connection, mark: Mark) -> dict[str, Copied]:
    copied: dict[str, Copied] = {}

    def told(one: Copied) -> None:
        copied[one.table] = one
        if one.rows:
            plan.say(f"{one.rows:>12,} rows of {one.table}")

    try:
        _carry(plan, source, target, mark, told)
    except BaseException:
        with suppress(DBAPIError):
            command(target, "ROLLBACK")
        drop_note(plan.data)
        raise
    try:
        command(target, "COMMIT")
    except DBAPIError as lost:
        _settle(plan, mark, lost)
    return copied


def _carry(plan: Move, source: Connection, target: Connection, mark: Mark, told: Callable[[Copied], None]) -> None:
    """In one transaction of the target, which is left open. Nobody else writes there meanwhile."""
    names = ", ".join(table.name for table in schema.metadata.sorted_tables)
    command(target, "BEGIN")
    target.exec_driver_sql(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
    _check_free(target, plan.to, mark)  # a server may have been started there since
    empty_tables(target)
    copy_tables(source, target, told)
    seed(target)  # numbers go on after those that came along
    target.exec_driver_sql("ANALYZE")


def _settle(plan: Move, mark: Mark, lost: DBAPIError) -> None:
    """Ask the database itself whether the copy stands. Returns when it does; raises NotMoved or Unknown."""
    try:
        with closing(plan.open_target()) as target:
            stands = mark_of(target) == mark
    except DBAPIError as still:
        raise Unknown from still
    if not stands:
        drop_note(plan.data)
        raise NotMoved from lost
