"""Core statements run by the driver with plain tuples. SQLAlchemy's way of binding costs 10 us a row, this one 0.3.

A statement stays a Core object; here its text is made once for each dialect, with its parameters in a known order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Executable, Table, bindparam, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

Values = tuple[Any, ...]  # what a driver binds, in the order of the statement's parameters
Found = Sequence[Any]  # a row, in the order of the statement's columns
MOST_IDS = 1024
"""Ids in one text: well below the 32,766 parameters SQLite takes, and each size of list is a text of its own."""


class ParametersDiffer(Exception):
    """The compiled statement takes other parameters than its caller gives: nothing is run like that."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A text, and what the statement binds itself; `places` say where each value and then each of these goes, in the text."""

    text: str
    own: Values = ()
    places: tuple[int, ...] = ()

    def bound(self, values: Values) -> Values:
        if not self.own:
            return values
        both = (*values, *self.own)
        return tuple(both[place] for place in self.places)


class Statement:
    """`takes` names the parameters in the order in which the values come. Words and numbers in the statement are bound too."""

    def __init__(self, statement: Executable, takes: Sequence[str] = ()) -> None:
        self._statement, self._takes = statement, tuple(takes)
        self._ready: dict[str, Ready] = {}

    def rows(self, connection: Connection, values: Values = ()) -> Sequence[Found]:
        """Read by the driver's own cursor: SQLAlchemy describes each result anew, five times the cost of a small read."""
        ready = self._for(connection)
        bound = ready.bound(values)
        try:
            cursor = connection.connection.cursor()
            try:
                cursor.execute(ready.text, bound)
                return cursor.fetchall()
            finally:
                cursor.close()
        except _driver_error(connection) as error:
            raise _as_ours(connection, ready.text, bound, error) from error

    def run_many(self, connection: Connection, values: list[Values]) -> int:
        """How many rows were met by all of them together."""
        if not values:
            return 0
        ready = self._for(connection)
        bound = [ready.bound(some) for some in values] if ready.own else values
        try:
            cursor = connection.connection.cursor()
            try:
                return _run_all(connection, cursor, ready.text, bound)
            finally:
                cursor.close()
        except _driver_error(connection) as error:
            raise _as_ours(connection, ready.text, bound[0], error) from error

    def _for(self, connection: Connection) -> Ready:
        found = self._ready.get(connection.dialect.name)
        if found is None:
            found = self._ready[connection.dialect.name] = _ready(connection, self._statement, self._takes)
        return found


AFTER_MANY = {"postgresql": "SELECT 1"}
"""psycopg ends many rows with a Flush behind their Sync, by which PostgreSQL's idle_in_transaction_session_timeout is not
counted from there on: a server that froze then would hold its locks for as long as it is frozen. The next word counts anew."""


def _run_all(connection: Connection, cursor: Any, text: str, values: list[Values]) -> int:
    """How many rows were met."""
    if len(values) == 1:
        cursor.execute(text, values[0])
        return int(cursor.rowcount)
    cursor.executemany(text, values)
    met = int(cursor.rowcount)
    if (word := AFTER_MANY.get(connection.dialect.name)) is not None:
        cursor.execute(word)
    return met


def command(connection: Connection, *texts: str) -> None:
    """Run words around statements, such as SAVEPOINT, which come as often as the statements do. PostgreSQL gets several of
    them as one message, which it takes from nobody as a prepared statement."""
    try:
        cursor: Any = connection.connection.cursor()  # the driver's own
        try:
            if len(texts) > 1 and connection.dialect.name == "postgresql":
                cursor.execute("; ".join(texts), prepare=False)
            else:
                for text in texts:
                    cursor.execute(text)
        finally:
            cursor.close()
    except _driver_error(connection) as error:
        raise _as_ours(connection, "; ".join(texts), (), error) from error


class Lookup:
    """A select by the ids in its parameter `ids`, over any number of them.

    The list is filled up with its last id to a power of two, so that few texts are ever made and prepared.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._sizes: dict[int, Statement] = {}

    def rows(self, connection: Connection, ids: Iterable[Any]) -> Iterator[Found]:
        wanted = list(ids)
        for start in range(0, len(wanted), MOST_IDS):
            some = wanted[start : start + MOST_IDS]
            size = 1 << (len(some) - 1).bit_length()
            some += some[-1:] * (size - len(some))
            yield from self._of_size(size).rows(connection, tuple(some))

    def _of_size(self, size: int) -> Statement:
        found = self._sizes.get(size)
        if found is None:
            assert isinstance(self._statement, ClauseElement)  # noqa: S101  # every select is one
            filled = self._statement.params(ids=[0] * size)
            found = self._sizes[size] = Statement(filled, [f"ids_{number + 1}" for number in range(size)])
        return found


def by_ids(table: Table, column: str, *columns: str) -> Any:  # SQLAlchemy's Select is generic over its columns
    """The rows whose `column` is among the ids; all columns unless some are named."""
    ids: BindParameter[Any] = bindparam("ids", expanding=True)
    wanted: list[Any] = [table.c[name] for name in columns] or [table]
    return select(*wanted).where(table.c[column].in_(ids))


def inserting(table: Table) -> Statement:
    """Whole rows, in the order of the table's columns."""
    return Statement(
        insert(table).values({column.name: bindparam(column.name) for column in table.columns}), table.columns.keys()
    )


def _driver_error(connection: Connection) -> type[Exception]:
    found: type[Exception] = connection.dialect.loaded_dbapi.Error
    return found


def _as_ours(connection: Connection, text: str, values: Values, error: Exception) -> BaseException:
    """As SQLAlchemy raises it, which is what callers of the store look for."""
    return DBAPIError.instance(text, values, error, _driver_error(connection))


def _ready(connection: Connection, statement: Executable, takes: tuple[str, ...]) -> Ready:
    assert isinstance(statement, ClauseElement)  # noqa: S101  # every statement of ours is one
    compiled: Any = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    order = tuple(compiled.positiontup or ())
    own = {name: bind.value for bind, name in compiled.bind_names.items() if name in order and _is_own(bind, name, takes)}
    if tuple(name for name in order if name not in own) != takes:
        raise ParametersDiffer(f"{compiled} takes {order}, not {takes}")
    given = (*takes, *own)
    return Ready(str(compiled), tuple(own.values()), tuple(given.index(name) for name in order))


def _is_own(bind: BindParameter[Any], name: str, takes: tuple[str, ...]) -> bool:
    """A parameter whose value stands in the statement itself, and not in an expanded list."""
    return name not in takes and not bind.required and not bind.expanding
