"""Carries every table of an installation from one database into another, and proves that it arrived.

From SQLite to PostgreSQL, by its COPY. The caller owns both transactions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.exc import DBAPIError

from dispatch.store import schema

LEFT_BEHIND = (schema.leadership, schema.servers, schema.changes, schema.rate_windows)
"""What they say holds of running servers alone; of these none runs while an installation moves."""

MOVED: tuple[Table, ...] = tuple(table for table in schema.metadata.sorted_tables if table not in LEFT_BEHIND)
"""A table comes after those that its rows refer to."""

ROWS_AT_ONCE = 2_000
NUL, REPLACEMENT = "\0", "\ufffd"
Row = Sequence[Any]  # of any column's type


class NotTheSame(Exception):
    """What was read back is not what was written."""


@dataclass(frozen=True, slots=True)
class Copied:
    """`mended` counts texts in which a NUL, which PostgreSQL cannot keep, became U+FFFD."""

    table: str
    rows: int
    mended: int


class Digest:
    """Of a set of rows, in whatever order they come: every bit of every value counts, and its type."""

    def __init__(self) -> None:
        self.rows, self._sum = 0, 0

    def add(self, row: Row) -> None:
        self.rows += 1
        hashed = hashlib.blake2b(repr(tuple(row)).encode(), digest_size=32)
        self._sum += int.from_bytes(hashed.digest(), "big")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and (self.rows, self._sum) == (other.rows, other._sum)

    __hash__ = None  # type: ignore[assignment]  # it changes


def copy_tables(source: Connection, target: Connection, told: Callable[[Copied], None]) -> None:
    """Every table, each read back and compared. `told` hears of each. Raises NotTheSame and DBAPIError."""
    driver_error: type[Exception] = target.dialect.loaded_dbapi.Error
    for table in MOVED:
        try:
            told(_copy_table(source, target, table))
        except driver_error as error:  # of the driver's own cursors
            raise DBAPIError.instance(f"COPY {table.name}", (), error, driver_error) from error


def _copy_table(source: Connection, target: Connection, table: Table) -> Copied:
    digest, mended = _copy(source, target, table)
    if (found := _digest_of(target, table)) != digest:
        raise NotTheSame(f"{table.name}: {digest.rows} rows were written, {found.rows} came back, and they differ")
    return Copied(table.name, digest.rows, mended)


def empty_tables(target: Connection) -> None:
    """For an installation that is carried over anew."""
    names = ", ".join(table.name for table in MOVED)
    target.exec_driver_sql(f"TRUNCATE {names}")


def count_rows(connection: Connection, tables: Sequence[Table]) -> dict[str, int]:
    """Of those that hold any."""
    counts = {table.name: _count(connection, table) for table in tables}
    return {name: count for name, count in counts.items() if count}


def _count(connection: Connection, table: Table) -> int:
    return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table.name}").scalar_one())


def _copy(source: Connection, target: Connection, table: Table) -> tuple[Digest, int]:
    digest, mended = Digest(), 0
    columns = ", ".join(column.name for column in table.columns)
    raw: Any = target.connection.dbapi_connection  # psycopg.Connection behind SQLAlchemy's proxy
    with raw.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copying:
        for row in _rows(source, table):
            if any(isinstance(value, str) and NUL in value for value in row):
                mended += sum(isinstance(value, str) and NUL in value for value in row)
                row = [_mended(value) for value in row]
            digest.add(row)
            copying.write_row(row)
    return digest, mended


def _mended(value: object) -> object:
    return value.replace(NUL, REPLACEMENT) if isinstance(value, str) else value


def _rows(connection: Connection, table: Table) -> Iterator[Row]:
    """As the driver gives them: a float is the float that was stored, and SQLAlchemy costs ten times as much."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(str(select(table)))
        while some := cursor.fetchmany(ROWS_AT_ONCE):
            yield from some
    finally:
        cursor.close()


def _digest_of(target: Connection, table: Table) -> Digest:
    """By a cursor of the server: a client's own would first load the whole table."""
    digest = Digest()
    raw: Any = target.connection.dbapi_connection  # as above
    with raw.cursor(name="read_back") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(str(select(table)))
        for row in cursor:
            digest.add(row)
    return digest
