"""Core statements run by the driver with plain tuples. SQLAlchemy's way of binding costs 10 us a row, this one 0.3.

A statement stays a Core object; here its text is made once for each dialect, with its parameters in a known order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Executable, Table, bindparam, insert, select
from sqlalchemy.sql import ClauseElement

Values = tuple[Any, ...]  # what a driver binds, in the order of the statement's parameters
Found = Sequence[Any]  # a row, in the order of the statement's columns
MOST_IDS = 1024
"""Ids in one text: well below the 32,766 parameters SQLite takes, and each size of list is a text of its own."""


class ParametersDiffer(Exception):
    """The compiled statement takes other parameters than its caller gives: nothing is run like that."""


class Statement:
    """`takes` names the parameters in the order in which the values come."""

    def __init__(self, statement: Executable, takes: Sequence[str] = ()) -> None:
        self._statement, self._takes = statement, tuple(takes)
        self._texts: dict[str, str] = {}

    def rows(self, connection: Connection, values: Values = ()) -> Sequence[Found]:
        return connection.exec_driver_sql(self.text(connection), values).fetchall()

    def run_many(self, connection: Connection, values: list[Values]) -> int:
        """How many rows were met by all of them together."""
        return connection.exec_driver_sql(self.text(connection), values).rowcount if values else 0

    def text(self, connection: Connection) -> str:
        found = self._texts.get(connection.dialect.name)
        if found is None:
            found = self._texts[connection.dialect.name] = _text(connection, self._statement, self._takes)
        return found


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


def _text(connection: Connection, statement: Executable, takes: tuple[str, ...]) -> str:
    assert isinstance(statement, ClauseElement)  # noqa: S101  # every statement of ours is one
    compiled: Any = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    order = tuple(compiled.positiontup or ())
    if order != takes:
        raise ParametersDiffer(f"{compiled} takes {order}, not {takes}")
    return str(compiled)
