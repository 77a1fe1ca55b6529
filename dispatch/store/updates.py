"""Updates of rows that are guarded by what was loaded, naming only columns that may have changed.

A column that is named is set, its indexes are looked at, and SQLite looks for rows that refer to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Generic, TypeVar

from sqlalchemy import Connection, Table, bindparam, update

from dispatch.ports import StaleRow
from dispatch.store.statements import Statement, Values

R = TypeVar("R")
ValuesOf = Callable[[Sequence[str]], Callable[[R], Values]]


@dataclass(frozen=True, slots=True)
class Columns:
    """`guards` find the row, as it was loaded, the first of them by its key. `keeps` never change; most changes are of
    `usual` columns alone."""

    guards: tuple[str, ...]
    keeps: str
    usual: str


class Update(Generic[R]):
    """Of one table and its kind of record."""

    def __init__(self, table: Table, kind: type[R], columns: Columns, values_of: ValuesOf[R]) -> None:
        keeps, often = columns.keeps.split(), columns.usual.split()
        names = tuple(column.name for column in table.columns if column.name not in keeps)
        usual = tuple(name for name in names if name in often)
        unusual = (name for name in _fields_of(kind) if name not in {*keeps, *often})
        self._was, self._unusual = values_of(columns.guards), attrgetter(*unusual)
        self._all, self._all_values = _guarded(table, columns.guards, names), values_of(names)
        self._usual, self._usual_values = _guarded(table, columns.guards, usual), values_of(usual)

    def run(self, connection: Connection, changes: Sequence[tuple[R, R]]) -> None:
        """Each record as it was loaded, and as it is now. Raises StaleRow."""
        usual: list[Values] = []
        all_: list[Values] = []
        for old, new in changes:
            if self._unusual(old) == self._unusual(new):
                usual.append((*self._usual_values(new), *self._was(old)))
            else:
                all_.append((*self._all_values(new), *self._was(old)))
        met = self._usual.run_many(connection, usual) + self._all.run_many(connection, all_)
        if met != len(changes):
            raise StaleRow(f"{len(changes) - met} of {len(changes)} rows had moved on")


def _fields_of(kind: type[R]) -> Iterator[str]:
    return (field.name for field in fields(kind))  # type: ignore[arg-type]  # every record is a dataclass


def _guarded(table: Table, guards: tuple[str, ...], names: tuple[str, ...]) -> Statement:
    """The first guard finds the row. The others are written so that PostgreSQL looks for no index that begins with them: it
    plans while a table is small, and half of all jobs may share one state later."""
    key, *others = guards
    statement = update(table).where(table.c[key] == bindparam(f"was_{key}"))
    for guard in others:
        statement = statement.where(table.c[guard].is_not_distinct_from(bindparam(f"was_{guard}")))
    was = (f"was_{guard}" for guard in guards)
    return Statement(statement.values({name: bindparam(name) for name in names}), (*names, *was))
